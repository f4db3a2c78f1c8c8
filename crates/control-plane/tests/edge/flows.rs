//! Flows: their revisions, and who may change them.

use crate::support::{
    Plane, answered, archive, assert_refused, attachment, domain_check, exactly, gate, package, with_config,
};
use serde_json::json;
use sluice_api::control::v1 as control;
use sluice_api::convert::json as wire_json;
use sluice_api::types::v1::{self as types, OnFailure};
use sluice_model::Code;

/// The ids of the attachments of a slot.
fn ids(flow: &types::Flow, trigger: &str) -> Vec<String> {
    let slot = flow.slots.iter().find(|slot| slot.trigger == trigger).unwrap();
    assert!(slot.attachments.iter().zip(1..).all(|(attachment, place)| attachment.position == place));
    slot.attachments.iter().map(|attachment| attachment.attachment.clone()).collect()
}

#[tokio::test]
async fn a_new_flow_is_revision_1_and_empty() {
    let plane = Plane::with_acme().await;
    let saved = plane.create_flow("acme", "login").await.unwrap();
    assert_eq!((saved.flow.as_str(), saved.revision, saved.attachment.as_str()), ("login", 1, ""));
    assert_eq!(saved.rollout, Some(types::Rollout { have: 0, waiting: 0 }));
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    assert_eq!((flow.revision, flow.etag, flow.slots), (1, saved.etag, vec![]));
    assert_refused(plane.create_flow("acme", "login").await, Code::AlreadyExists, "FLOW_EXISTS", &[]);
    for bad in ["", "Login", "log in"] {
        assert_refused(plane.create_flow("acme", bad).await, Code::InvalidArgument, "INVALID_FIELD", &["flow"]);
    }
    assert_eq!(plane.kinds("acme").await, ["tenant.created", "flow.created"]);
}

#[tokio::test]
async fn an_attached_action_is_the_next_revision_and_in_audit() {
    let plane = Plane::with_gate().await;
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(saved.revision, 2);
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    assert_eq!((flow.revision, &flow.etag), (2, &saved.etag));
    let slot = &flow.slots[0];
    assert_eq!((slot.trigger.as_str(), slot.budget_ms), ("post-login", 2000));
    let attached = &slot.attachments[0];
    assert_eq!(
        (attached.attachment.as_str(), attached.slug.as_str(), attached.version.as_str()),
        (saved.attachment.as_str(), "gate", "1.0.0")
    );
    assert_eq!((attached.enabled, attached.position, attached.wall_ms), (true, 1, None));
    assert_eq!((attached.on_error(), attached.on_unavailable()), (OnFailure::Block, OnFailure::Block));
    // The former revision is as it was.
    assert_eq!(plane.flow("acme", "login", 1).await.unwrap().slots, []);

    let records = plane.records("acme").await;
    let record = records.last().unwrap();
    assert_eq!(record.kind, "flow.action_attached");
    assert_eq!((record.flow.as_str(), record.flow_revision, record.trigger.as_str()), ("login", 2, "post-login"));
    assert_eq!(
        (record.slug.as_str(), record.version.as_str(), &record.attachment),
        ("gate", "1.0.0", &saved.attachment)
    );
    assert_eq!((record.principal.as_str(), &record.from), ("platform-operator", &None));
    let to = wire_json::value(record.to.clone().unwrap()).unwrap();
    assert_eq!(
        to,
        json!({"version": "1.0.0", "position": 1, "enabled": true, "config": {}, "on_error": "block",
               "on_unavailable": "block", "on_counters_unavailable": "local", "wall_ms": null})
    );
}

#[tokio::test]
async fn a_range_is_resolved_once_and_later_versions_change_nothing() {
    let plane = Plane::with_gate().await;
    plane.publish("acme", &gate("2")).await.unwrap();
    plane.publish_as(exactly("1.3.0"), archive(&gate("3"))).await.unwrap();
    plane.publish_as(exactly("2.0.0-beta.1"), archive(&gate("4"))).await.unwrap();
    for (pin, expected) in
        [("", "1.3.0"), ("^1.0", "1.3.0"), ("~1.0", "1.0.1"), ("1.0.0", "1.0.0"), ("2.0.0-beta.1", "2.0.0-beta.1")]
    {
        let saved = plane.attach(attachment("gate", pin)).await.unwrap();
        let flow = plane.flow("acme", "login", 0).await.unwrap();
        let attached = flow.slots[0].attachments.iter().find(|found| found.attachment == saved.attachment).unwrap();
        assert_eq!(attached.version, expected, "{pin}");
    }
    plane.publish_as(exactly("1.4.0"), archive(&gate("5"))).await.unwrap();
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    assert!(flow.slots[0].attachments.iter().all(|attached| attached.version != "1.4.0"));
}

#[tokio::test]
async fn a_new_attachment_goes_last_unless_a_position_is_given() {
    let plane = Plane::with_gate().await;
    let first = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    let last = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    let at = |position| control::AttachActionRequest { position: Some(position), ..attachment("gate", "") };
    let middle = plane.attach(at(2)).await.unwrap().attachment;
    let front = plane.attach(at(1)).await.unwrap().attachment;
    let end = plane.attach(at(5)).await.unwrap().attachment;
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    assert_eq!(ids(&flow, "post-login"), [front, first, middle, last, end]);
    for position in [0, 7] {
        assert_refused(plane.attach(at(position)).await, Code::InvalidArgument, "INVALID_FIELD", &["position"]);
    }
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, flow.revision);
}

#[tokio::test]
async fn slots_stand_in_the_order_in_which_a_sign_in_comes_to_them() {
    let plane = Plane::with_gate().await;
    for trigger in ["post-login", "pre-login"] {
        let request = control::AttachActionRequest { trigger: trigger.into(), ..attachment("gate", "") };
        plane.attach(request).await.unwrap();
    }
    let flow = plane.flow("acme", "login", 0).await.unwrap();
    let triggers: Vec<&str> = flow.slots.iter().map(|slot| slot.trigger.as_str()).collect();
    assert_eq!(triggers, ["pre-login", "post-login"]);
    let listed =
        plane.flows().list_flows(control::ListFlowsRequest { tenant: "acme".into(), ..Default::default() }).await;
    let listed = listed.unwrap().into_inner().flows;
    assert_eq!(
        (listed[0].triggers.clone(), listed[0].attachments, listed[0].revision),
        (vec!["pre-login".into(), "post-login".into()], 2, 3)
    );
    assert_eq!(listed[0].etag, flow.etag);
}

#[tokio::test]
async fn a_pin_keeps_the_attachment_and_changes_its_version() {
    let plane = Plane::with_gate().await;
    let saved = plane.attach(attachment("gate", "1.0.0")).await.unwrap();
    plane.publish("acme", &gate("2")).await.unwrap();
    let pinned = plane.pin("login", &saved.attachment, "^1").await.unwrap();
    assert_eq!((pinned.revision, &pinned.attachment), (3, &saved.attachment));
    let version = |flow: types::Flow| flow.slots[0].attachments[0].version.clone();
    assert_eq!(version(plane.flow("acme", "login", 0).await.unwrap()), "1.0.1");
    assert_eq!(version(plane.flow("acme", "login", 2).await.unwrap()), "1.0.0");
    let record = plane.records("acme").await.pop().unwrap();
    assert_eq!(
        (record.kind.as_str(), record.flow_revision, record.version.as_str()),
        ("flow.action_updated", 3, "1.0.1")
    );
    let version = |value: Option<prost_types::Value>| wire_json::value(value.unwrap()).unwrap()["version"].clone();
    assert_eq!((version(record.from), version(record.to)), (json!("1.0.0"), json!("1.0.1")));
}

#[tokio::test]
async fn a_pin_that_cannot_be_is_refused_and_changes_nothing() {
    let plane = Plane::with_acme().await;
    plane.publish("acme", &domain_check()).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    let request = with_config(attachment("domain-check", ""), json!({"domains": ["example.com"]}));
    let saved = plane.attach(request).await.unwrap();
    assert_refused(plane.pin("login", &saved.attachment, "1.0.9").await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert_refused(plane.pin("login", "at-nothing", "1.0.0").await, Code::NotFound, "ATTACHMENT_NOT_FOUND", &[]);
    assert_refused(plane.pin("login", "", "1.0.0").await, Code::InvalidArgument, "INVALID_FIELD", &["attachment"]);
    assert_refused(plane.pin("other", &saved.attachment, "1.0.0").await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    assert_refused(
        plane.pin("login", &saved.attachment, "one").await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["version"],
    );
    // A version whose schema refuses the config that is there.
    let mut other = domain_check();
    let schema = other[2].1.replace("\"minLength\": 3", "\"minLength\": 30");
    other[2].1 = &schema;
    plane.publish_as(exactly("2.0.0"), archive(&other)).await.unwrap();
    let refused = plane.pin("login", &saved.attachment, "2.0.0").await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config/domains/0"]);
    // A version that is not made for the trigger.
    let mut elsewhere = domain_check();
    let manifest = elsewhere[0].1.replace("post-login", "pre-login");
    elsewhere[0].1 = &manifest;
    plane.publish_as(exactly("1.1.0"), archive(&elsewhere)).await.unwrap();
    let refused = plane.pin("login", &saved.attachment, "1.1.0").await;
    assert_refused(refused, Code::InvalidArgument, "TRIGGER_NOT_SUPPORTED", &["trigger"]);
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, saved.revision);
    assert_eq!(plane.kinds("acme").await.last().unwrap(), "flow.action_published");
}

#[tokio::test]
async fn a_stale_etag_is_refused_and_a_fresh_one_is_not() {
    let plane = Plane::with_gate().await;
    let first = plane.flow("acme", "login", 0).await.unwrap().etag;
    let with_etag = |etag: &str| control::AttachActionRequest { etag: etag.into(), ..attachment("gate", "") };
    let saved = plane.attach(with_etag(&first)).await.unwrap();
    for stale in [first.as_str(), "nonsense"] {
        assert_refused(plane.attach(with_etag(stale)).await, Code::Aborted, "ETAG_MISMATCH", &["etag"]);
    }
    let pin = control::PinAttachmentRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        attachment: saved.attachment.clone(),
        version: "1.0.0".into(),
        etag: first,
        ..Default::default()
    };
    let refused = answered(plane.flows().pin_attachment(pin).await);
    assert_refused(refused, Code::Aborted, "ETAG_MISMATCH", &["etag"]);
    plane.attach(with_etag(&saved.etag)).await.unwrap();
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, 3);
}

#[tokio::test]
async fn saves_that_race_all_succeed_without_an_etag_and_one_with() {
    let plane = Plane::with_gate().await;
    let saves = futures_util::future::join_all((0..20).map(|_| plane.attach(attachment("gate", "")))).await;
    let mut revisions: Vec<u64> = saves.into_iter().map(|saved| saved.unwrap().revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=21).collect::<Vec<_>>());
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().slots[0].attachments.len(), 20);

    let etag = plane.flow("acme", "login", 0).await.unwrap().etag;
    let guarded = || plane.attach(control::AttachActionRequest { etag: etag.clone(), ..attachment("gate", "") });
    let saves = futures_util::future::join_all((0..5).map(|_| guarded())).await;
    assert_eq!(saves.iter().filter(|saved| saved.is_ok()).count(), 1);
    assert!(saves.iter().flat_map(|saved| saved.as_ref().err()).all(|error| error.reason == "ETAG_MISMATCH"));
    let attached = plane.kinds("acme").await.into_iter().filter(|kind| kind == "flow.action_attached").count();
    assert_eq!(attached, 21);
}

#[tokio::test]
async fn flows_and_revisions_that_are_not_there_are_not_found() {
    let plane = Plane::with_gate().await;
    assert_refused(plane.flow("acme", "other", 0).await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    let missing = plane.flow("acme", "login", 2).await;
    let error = assert_refused(missing, Code::NotFound, "FLOW_REVISION_NOT_FOUND", &[]);
    assert_eq!(error.resource.unwrap().name, "login/2");
    let request = control::AttachActionRequest { flow: "other".into(), ..attachment("gate", "") };
    assert_refused(plane.attach(request).await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    let rollout = control::GetRolloutRequest { tenant: "acme".into(), flow: "login".into(), revision: 9, wait: None };
    let missing = answered(plane.flows().get_rollout(rollout).await);
    assert_refused(missing, Code::NotFound, "FLOW_REVISION_NOT_FOUND", &[]);
}

#[tokio::test]
async fn flows_are_the_tenants_own() {
    let plane = Plane::with_gate().await;
    plane.create_tenant("acme-2").await;
    assert_refused(plane.flow("acme-2", "login", 0).await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    let saved = plane.create_flow("acme-2", "login").await.unwrap();
    assert_eq!(saved.revision, 1);
    let listed =
        plane.flows().list_flows(control::ListFlowsRequest { tenant: "acme-2".into(), ..Default::default() }).await;
    assert_eq!(listed.unwrap().into_inner().flows.len(), 1);
    plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(plane.flow("acme-2", "login", 0).await.unwrap().revision, 1);
}

#[tokio::test]
async fn an_action_counts_once_a_slot_that_has_it() {
    let plane = Plane::with_gate().await;
    plane
        .publish(
            "acme",
            &package(
                "slug = \"other\"\nname = \"Other\"\ntriggers = [\"post-login\"]\n",
                "export const execute = () => ({ kind: 'continue' })",
            ),
        )
        .await
        .unwrap();
    plane.create_flow("acme", "second").await.unwrap();
    let attach = |flow: &str, trigger: &str| control::AttachActionRequest {
        flow: flow.into(),
        trigger: trigger.into(),
        ..attachment("gate", "")
    };
    // Twice in one slot, once in another slot, once in another flow: three slots.
    for (flow, trigger) in
        [("login", "post-login"), ("login", "post-login"), ("login", "pre-login"), ("second", "pre-login")]
    {
        plane.attach(attach(flow, trigger)).await.unwrap();
    }
    let counts: Vec<(String, u32)> =
        plane.actions("acme").await.into_iter().map(|action| (action.slug, action.attached)).collect();
    assert_eq!(counts, [("gate".to_owned(), 3), ("other".to_owned(), 0)]);
}
