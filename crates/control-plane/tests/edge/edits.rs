//! Changes of what is attached.

use crate::support::{Plane, answered, archive, assert_refused, attachment, domain_check, exactly, with_config};
use serde_json::{Value, json};
use sluice_api::control::v1 as control;
use sluice_api::convert::json as wire_json;
use sluice_api::distribution::v1::FetchFlowRevisionRequest;
use sluice_api::types::v1::{self as types, FlowChangeKind, OnFailure};
use sluice_model::{Code, Error};

/// An update of nothing.
pub(crate) fn update(attachment: &str) -> control::UpdateAttachmentRequest {
    control::UpdateAttachmentRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        attachment: attachment.into(),
        ..Default::default()
    }
}

fn object(value: Value) -> prost_types::Struct {
    wire_json::to_struct(value.as_object().unwrap().clone())
}

impl Plane {
    pub(crate) async fn update(&self, request: control::UpdateAttachmentRequest) -> Result<control::SavedFlow, Error> {
        Ok(answered(self.flows().update_attachment(request).await)?.saved.unwrap())
    }

    pub(crate) async fn detach(&self, attachment: &str) -> Result<control::SavedFlow, Error> {
        let request = control::DetachActionRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            attachment: attachment.into(),
            ..Default::default()
        };
        Ok(answered(self.flows().detach_action(request).await)?.saved.unwrap())
    }

    pub(crate) async fn slot(&self, trigger: &str, budget_ms: u32) -> Result<control::SavedFlow, Error> {
        let request = control::UpdateSlotRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            trigger: trigger.into(),
            budget_ms,
            ..Default::default()
        };
        Ok(answered(self.flows().update_slot(request).await)?.saved.unwrap())
    }

    pub(crate) async fn roll_back(&self, revision: u64) -> Result<control::SavedFlow, Error> {
        let request = control::RollbackFlowRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            revision,
            ..Default::default()
        };
        Ok(answered(self.flows().rollback_flow(request).await)?.saved.unwrap())
    }

    pub(crate) async fn delete_flow(&self) -> Result<control::DeleteFlowResponse, Error> {
        let request = control::DeleteFlowRequest { tenant: "acme".into(), flow: "login".into(), ..Default::default() };
        answered(self.flows().delete_flow(request).await)
    }

    pub(crate) async fn history(&self) -> Vec<control::FlowRevisionSummary> {
        let request =
            control::ListFlowRevisionsRequest { tenant: "acme".into(), flow: "login".into(), ..Default::default() };
        answered(self.flows().list_flow_revisions(request).await).unwrap().revisions
    }

    pub(crate) async fn diff(&self, from: u64, to: u64) -> Result<control::GetFlowDiffResponse, Error> {
        let request = control::GetFlowDiffRequest { tenant: "acme".into(), flow: "login".into(), from, to };
        answered(self.flows().get_flow_diff(request).await)
    }

    pub(crate) async fn attached(&self) -> Vec<types::Attachment> {
        let flow = self.flow("acme", "login", 0).await.unwrap();
        flow.slots
            .into_iter()
            .find(|slot| slot.trigger == "post-login")
            .map(|slot| slot.attachments)
            .unwrap_or_default()
    }

    /// The last record of a tenant: kind, from, to.
    pub(crate) async fn last(&self) -> (String, Value, Value) {
        let record = self.records("acme").await.pop().unwrap();
        let value = |value: Option<prost_types::Value>| value.map_or(Value::Null, |v| wire_json::value(v).unwrap());
        (record.kind, value(record.from), value(record.to))
    }

    pub(crate) async fn fetch(
        &self,
        revision: u64,
    ) -> Result<sluice_api::distribution::v1::FetchFlowRevisionResponse, Error> {
        let request = FetchFlowRevisionRequest { tenant: "acme".into(), flow: "login".into(), revision };
        answered(self.distribution().fetch_flow_revision(request).await)
    }
}

fn codes(saved: &control::SavedFlow) -> Vec<&str> {
    saved.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

async fn with_domain_check(config: Value) -> (Plane, String) {
    let plane = Plane::with_acme().await;
    plane.publish("acme", &domain_check()).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    let saved = plane.attach(with_config(attachment("domain-check", ""), config)).await.unwrap();
    (plane, saved.attachment)
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let (plane, id) = with_domain_check(json!({"domains": ["a.example"]})).await;
    let before = plane.attached().await.remove(0);
    let saved = plane.update(control::UpdateAttachmentRequest { enabled: Some(false), ..update(&id) }).await.unwrap();
    assert_eq!((saved.revision, &saved.attachment), (3, &id));
    assert_eq!(plane.attached().await, [types::Attachment { enabled: false, ..before.clone() }]);
    let (kind, from, to) = plane.last().await;
    assert_eq!((kind.as_str(), &from["enabled"], &to["enabled"]), ("flow.action_updated", &json!(true), &json!(false)));
    assert_eq!(from["config"], to["config"]);

    let request = control::UpdateAttachmentRequest {
        config: Some(object(json!({"domains": ["b.example"], "strict": true}))),
        on_error: OnFailure::Continue.into(),
        on_unavailable: OnFailure::Continue.into(),
        on_counters_unavailable: types::OnCountersUnavailable::Fail.into(),
        wall_ms: Some(400),
        enabled: Some(true),
        ..update(&id)
    };
    let saved = plane.update(request.clone()).await.unwrap();
    assert_eq!(
        codes(&saved),
        ["on_error_continue", "on_unavailable_continue", "on_counters_unavailable_unused", "wall_ms_above_version"]
    );
    let after = plane.attached().await.remove(0);
    assert_eq!(
        (after.on_error(), after.on_unavailable(), after.wall_ms),
        (OnFailure::Continue, OnFailure::Continue, Some(400))
    );
    assert_eq!(after.on_counters_unavailable(), types::OnCountersUnavailable::Fail);
    assert_eq!((after.config, after.enabled), (request.config, true));
    plane.update(control::UpdateAttachmentRequest { wall_ms: Some(0), ..update(&id) }).await.unwrap();
    assert_eq!(plane.attached().await[0].wall_ms, None, "0 leaves it to the version again");
}

#[tokio::test]
async fn an_update_that_cannot_be_is_refused_by_its_field_and_changes_nothing() {
    let (plane, id) = with_domain_check(json!({"domains": ["a.example"]})).await;
    let refusals = [
        (update(&id), "config"),
        (
            control::UpdateAttachmentRequest { config: Some(object(json!({"domains": ["x"]}))), ..update(&id) },
            "config/domains/0",
        ),
        (control::UpdateAttachmentRequest { config: Some(object(json!({}))), ..update(&id) }, "config"),
        (control::UpdateAttachmentRequest { wall_ms: Some(5001), ..update(&id) }, "wall_ms"),
        (control::UpdateAttachmentRequest { position: Some(0), ..update(&id) }, "position"),
        (control::UpdateAttachmentRequest { position: Some(2), ..update(&id) }, "position"),
        (control::UpdateAttachmentRequest { on_error: 9, ..update(&id) }, "on_error"),
        (control::UpdateAttachmentRequest { enabled: Some(true), ..update("") }, "attachment"),
    ];
    for (request, field) in refusals {
        assert_refused(plane.update(request).await, Code::InvalidArgument, "INVALID_FIELD", &[field]);
    }
    let request = control::UpdateAttachmentRequest { enabled: Some(true), ..update("at-none") };
    assert_refused(plane.update(request).await, Code::NotFound, "ATTACHMENT_NOT_FOUND", &[]);
    assert_refused(plane.detach("at-none").await, Code::NotFound, "ATTACHMENT_NOT_FOUND", &[]);
    for budget_ms in [0, 10_001] {
        assert_refused(
            plane.slot("post-login", budget_ms).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
            &["budget_ms"],
        );
    }
    assert_refused(plane.slot("lunch", 1).await, Code::InvalidArgument, "INVALID_FIELD", &["trigger"]);
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, 2);
    assert_eq!(plane.kinds("acme").await.last().unwrap(), "flow.action_attached");
}

#[tokio::test]
async fn a_secret_that_comes_back_as_it_was_shown_stays_and_is_never_taken_for_the_secret() {
    let (plane, id) = with_domain_check(json!({"domains": ["a.example"], "token": "hunter2"})).await;
    let mut shown = wire_json::object(plane.attached().await[0].config.clone().unwrap()).unwrap();
    assert_eq!(shown["token"], "(hidden)");
    shown.insert("domains".into(), json!(["b.example"]));
    let request = control::UpdateAttachmentRequest { config: Some(wire_json::to_struct(shown)), ..update(&id) };
    plane.update(request).await.unwrap();
    let sent =
        plane.fetch(0).await.unwrap().flow_revision.unwrap().flow.unwrap().slots[0].attachments[0].config.clone();
    assert_eq!(
        Value::Object(wire_json::object(sent.unwrap()).unwrap()),
        json!({"domains": ["b.example"], "token": "hunter2"})
    );
    // Where nothing was stored, the mark stands for nothing.
    let config = || object(json!({"domains": ["a.example"], "token": "(hidden)"}));
    let request = control::AttachActionRequest { config: Some(config()), ..attachment("domain-check", "") };
    assert_refused(plane.attach(request).await, Code::InvalidArgument, "INVALID_FIELD", &["config/token"]);
    let request =
        control::UpdateAttachmentRequest { config: Some(object(json!({"domains": ["c.example"]}))), ..update(&id) };
    plane.update(request).await.unwrap();
    let request = control::UpdateAttachmentRequest { config: Some(config()), ..update(&id) };
    assert_refused(plane.update(request).await, Code::InvalidArgument, "INVALID_FIELD", &["config/token"]);
    // A change of a secret is told, the secret is not.
    let change = plane.diff(2, 0).await.unwrap().changes.remove(0);
    assert_eq!(change.fields, ["config/domains", "config/token"]);
    let told = format!("{change:?} {:?}", plane.records("acme").await);
    assert!(!told.contains("hunter2") && told.contains("(hidden)"), "{told}");
}

#[tokio::test]
async fn a_pin_takes_the_config_that_the_new_version_asks_for() {
    let (plane, id) = with_domain_check(json!({"domains": ["a.example"], "token": "hunter2"})).await;
    let mut other = domain_check();
    let schema = other[2].1.replace("\"minLength\": 3", "\"minLength\": 20").replace(", \"x-secret\": true", "");
    other[2].1 = &schema;
    plane.publish_as(exactly("2.0.0"), archive(&other)).await.unwrap();
    let pin = |config: Value| {
        let request = control::PinAttachmentRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            attachment: id.clone(),
            version: "2.0.0".into(),
            config: Some(object(config)),
            ..Default::default()
        };
        let mut flows = plane.flows();
        async move { answered(flows.pin_attachment(request).await) }
    };
    let long = "a-very-long-name.example";
    let refused = pin(json!({"domains": ["b.example"]})).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["config/domains/0"]);
    // The stored secret would be shown by this version: it does not go along.
    let refused = pin(json!({"domains": [long], "token": "(hidden)"})).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["version"]);
    pin(json!({"domains": [long], "token": "public"})).await.unwrap();
    let attached = plane.attached().await.remove(0);
    assert_eq!((attached.attachment, attached.version.as_str()), (id.clone(), "2.0.0"));
}

#[tokio::test]
async fn a_position_moves_one_and_keeps_the_order_of_the_others() {
    let plane = Plane::with_gate().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(plane.attach(attachment("gate", "")).await.unwrap().attachment);
    }
    let order = async || plane.attached().await.into_iter().map(|found| found.attachment).collect::<Vec<_>>();
    let at =
        |index: usize, position| control::UpdateAttachmentRequest { position: Some(position), ..update(&ids[index]) };
    plane.update(at(3, 1)).await.unwrap();
    assert_eq!(order().await, [&ids[3], &ids[0], &ids[1], &ids[2]].map(Clone::clone));
    let (_, from, to) = plane.last().await;
    assert_eq!((&from["position"], &to["position"]), (&json!(4), &json!(1)));
    plane.update(at(0, 4)).await.unwrap();
    assert_eq!(order().await, [&ids[3], &ids[1], &ids[2], &ids[0]].map(Clone::clone));
    let changes = plane.diff(6, 7).await.unwrap().changes;
    assert_eq!(changes.len(), 1, "the others did not move: {changes:?}");
    assert_eq!(
        (changes[0].to.as_ref().unwrap().attachment.as_str(), &changes[0].fields[..]),
        (ids[0].as_str(), &["position".to_owned()][..])
    );
}

#[tokio::test]
async fn what_is_detached_is_gone_from_the_newest_alone() {
    let plane = Plane::with_gate().await;
    let first = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    let second = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    let saved = plane.detach(&first).await.unwrap();
    assert_eq!((saved.revision, &saved.attachment), (4, &first));
    assert_eq!(
        plane.attached().await.into_iter().map(|a| (a.attachment, a.position)).collect::<Vec<_>>(),
        [(second.clone(), 1)]
    );
    assert_eq!(plane.actions("acme").await[0].attached, 1);
    let (kind, from, to) = plane.last().await;
    assert_eq!((kind.as_str(), &from["position"], to), ("flow.action_detached", &json!(1), Value::Null));
    assert_refused(plane.detach(&first).await, Code::NotFound, "ATTACHMENT_NOT_FOUND", &[]);
    plane.detach(&second).await.unwrap();
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().slots, [], "an empty slot goes");
    assert_eq!(plane.actions("acme").await[0].attached, 0);
    // What has begun goes on.
    assert_eq!(plane.fetch(3).await.unwrap().flow_revision.unwrap().flow.unwrap().slots[0].attachments.len(), 2);
}

#[tokio::test]
async fn a_slots_time_is_kept_also_where_nothing_is_attached() {
    let plane = Plane::with_gate().await;
    plane.slot("post-login", 5_000).await.unwrap();
    let (kind, from, to) = plane.last().await;
    assert_eq!(
        (kind.as_str(), from, to),
        ("flow.slot_updated", json!({"budget_ms": 2000}), json!({"budget_ms": 5000}))
    );
    let id = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    plane.detach(&id).await.unwrap();
    let slots = plane.flow("acme", "login", 0).await.unwrap().slots;
    assert_eq!((slots.len(), slots[0].budget_ms, slots[0].attachments.len()), (1, 5_000, 0));
    let change = plane.diff(1, 2).await.unwrap().changes.remove(0);
    assert_eq!(
        (change.kind(), change.from_budget_ms, change.to_budget_ms),
        (FlowChangeKind::SlotUpdated, 2_000, 5_000)
    );
}

#[tokio::test]
async fn edits_that_race_lose_nothing() {
    let plane = Plane::with_gate().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(plane.attach(attachment("gate", "")).await.unwrap().attachment);
    }
    let edits = ids.iter().enumerate().map(|(number, id)| {
        let plane = &plane;
        async move {
            match number % 2 {
                0 => plane.detach(id).await,
                _ => plane.update(control::UpdateAttachmentRequest { enabled: Some(false), ..update(id) }).await,
            }
        }
    });
    let saves = futures_util::future::join_all(edits).await;
    let mut revisions: Vec<u64> = saves.into_iter().map(|saved| saved.unwrap().revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (10..18).collect::<Vec<_>>());
    let left = plane.attached().await;
    assert_eq!(left.len(), 4);
    assert!(left.iter().all(|attached| !attached.enabled));
}
