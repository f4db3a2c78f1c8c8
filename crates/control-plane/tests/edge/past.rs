//! The history of a flow, the way back, and its end.

use crate::edits::update;
use crate::support::{Plane, assert_refused, attachment, gate, package};
use crate::watching::{Executor, hello, only};
use jiff::SignedDuration;
use sluice_api::control::v1 as control;
use sluice_api::convert;
use sluice_api::distribution::v1 as wire;
use sluice_api::types::v1::{self as types, FlowChangeKind};
use sluice_model::Code;

#[tokio::test]
async fn a_rollback_saves_an_old_revision_as_the_newest_with_its_parts_in_audit() {
    let plane = Plane::with_gate().await;
    let kept = plane.attach(attachment("gate", "1.0.0")).await.unwrap().attachment;
    let gone = plane.attach(attachment("gate", "1.0.0")).await.unwrap().attachment;
    plane.slot("post-login", 3_000).await.unwrap();
    plane.publish("acme", &gate("2")).await.unwrap();
    plane.pin("login", &kept, "1.0.1").await.unwrap();
    plane.detach(&gone).await.unwrap();
    let came = plane.attach(attachment("gate", "1.0.1")).await.unwrap().attachment;
    let before = plane.records("acme").await.len();
    let saved = plane.roll_back(3).await.unwrap();
    assert_eq!((saved.revision, saved.attachment.as_str()), (8, ""));
    let codes: Vec<&str> = saved.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["duplicate_attachment"], "revision 3 has the gate twice");
    let (old, new) = (plane.flow("acme", "login", 3).await.unwrap(), plane.flow("acme", "login", 0).await.unwrap());
    assert_eq!((new.revision, &new.slots), (8, &old.slots));
    let records = plane.records("acme").await.split_off(before);
    let told: Vec<(&str, &str, u64)> =
        records.iter().map(|r| (r.kind.as_str(), r.attachment.as_str(), r.flow_revision)).collect();
    assert_eq!(
        told,
        [
            ("flow.rolled_back", "", 8),
            ("flow.slot_updated", "", 8),
            ("flow.action_detached", came.as_str(), 8),
            ("flow.action_updated", kept.as_str(), 8),
            ("flow.action_attached", gone.as_str(), 8),
        ]
    );
    for revision in [0, 8, 99] {
        let refused = plane.roll_back(revision).await;
        match revision {
            99 => assert_refused(refused, Code::NotFound, "FLOW_REVISION_NOT_FOUND", &[]),
            _ => assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["revision"]),
        };
    }
    assert_eq!(plane.diff(3, 8).await.unwrap().changes, [], "both run the same");
}

#[tokio::test]
async fn history_tells_who_did_what_and_what_can_still_be_executed() {
    let plane = Plane::with_gate().await;
    let id = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    plane.clock.advance(SignedDuration::from_hours(1));
    plane.detach(&id).await.unwrap();
    plane.clock.advance(SignedDuration::from_hours(24));
    plane.roll_back(2).await.unwrap();
    let history = plane.history().await;
    let told: Vec<_> = history
        .iter()
        .map(|past| (past.revision, past.kind.as_str(), past.version.as_str(), past.rolled_back_to, past.executable))
        .collect();
    assert_eq!(
        told,
        [
            (4, "flow.rolled_back", "", 2, true),
            (3, "flow.action_detached", "1.0.0", 0, true),
            // Replaced 24 hours ago to the second.
            (2, "flow.action_attached", "1.0.0", 0, false),
            (1, "flow.created", "", 0, false),
        ]
    );
    assert_eq!(
        (history[2].principal.as_str(), history[2].attachment.as_str(), history[2].trigger.as_str()),
        ("platform-operator", id.as_str(), "post-login")
    );
    let at = |time: &Option<prost_types::Timestamp>| time.map(|time| convert::timestamp(time).unwrap());
    assert_eq!(at(&history[1].replaced_at), Some(plane.clock.now()));
    assert_eq!(at(&history[1].executable_until), Some(plane.clock.now() + SignedDuration::from_hours(24)));
    assert_eq!((history[0].replaced_at, history[0].executable_until), (None, None));
    // Its own pages.
    let mut token = String::new();
    for revision in [4, 3, 2, 1] {
        let request = control::ListFlowRevisionsRequest {
            tenant: "acme".into(),
            flow: "login".into(),
            page_size: 1,
            page_token: token,
        };
        let page = plane.flows().list_flow_revisions(request).await.unwrap().into_inner();
        assert_eq!(page.revisions.iter().map(|past| past.revision).collect::<Vec<_>>(), [revision]);
        token = page.next_page_token;
    }
    assert_eq!(token, "");
    // An expired revision comes back all the same: it is saved anew.
    assert_refused(plane.fetch(2).await, Code::FailedPrecondition, "FLOW_REVISION_EXPIRED", &[]);
    assert_eq!(
        plane.fetch(4).await.unwrap().flow_revision.unwrap().flow.unwrap().slots[0].attachments[0].attachment,
        id
    );
}

#[tokio::test]
async fn a_diff_is_between_any_two_and_without_numbers_the_last_change() {
    let plane = Plane::with_gate().await;
    assert_refused(plane.diff(0, 0).await, Code::InvalidArgument, "INVALID_FIELD", &["from"]);
    let id = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    plane.update(control::UpdateAttachmentRequest { enabled: Some(false), ..update(&id) }).await.unwrap();
    let last = plane.diff(0, 0).await.unwrap();
    assert_eq!((last.from, last.to, last.changes.len()), (2, 3, 1));
    let change = &last.changes[0];
    assert_eq!(
        (change.kind(), change.trigger.as_str(), &change.fields[..]),
        (FlowChangeKind::Updated, "post-login", &["enabled".to_owned()][..])
    );
    assert!(change.from.as_ref().unwrap().enabled && !change.to.as_ref().unwrap().enabled);
    let back = plane.diff(3, 1).await.unwrap();
    assert_eq!((back.changes[0].kind(), back.changes[0].to.clone()), (FlowChangeKind::Detached, None));
    assert_refused(plane.diff(9, 0).await, Code::NotFound, "FLOW_REVISION_NOT_FOUND", &[]);
    assert_refused(plane.diff(0, 9).await, Code::NotFound, "FLOW_REVISION_NOT_FOUND", &[]);
}

#[tokio::test]
async fn a_deleted_flow_is_found_by_nobody_but_those_who_have_begun() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let id = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    while executor.applied().await.revisions().last() != Some(&("login".into(), 2, true)) {}
    let deleted = plane.delete_flow().await.unwrap();
    assert_eq!((deleted.flow.as_str(), deleted.revision), ("login", 2));
    assert_eq!(deleted.rollout, Some(types::Rollout { have: 0, waiting: 1 }));
    let until = convert::timestamp(deleted.executable_until.unwrap()).unwrap();
    assert_eq!(until, plane.clock.now() + SignedDuration::from_hours(24));
    assert_refused(plane.flow("acme", "login", 0).await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    assert_refused(plane.delete_flow().await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    assert_refused(plane.fetch(0).await, Code::NotFound, "FLOW_NOT_FOUND", &[]);
    assert_eq!(plane.actions("acme").await[0].attached, 0);
    let told: Vec<_> = plane.records("acme").await.into_iter().rev().take(2).map(|r| (r.kind, r.attachment)).collect();
    assert_eq!(told, [("flow.action_detached".into(), id), ("flow.deleted".into(), String::new())]);
    // Executors hear of it: there is no newest any more. What was told before may have been told in part already, and then it
    // is told again first.
    while executor.applied().await.revisions() != [("login".into(), 2, false)] {}
    let rollout = control::GetRolloutRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        revision: 2,
        wait: Some(convert::to_duration(std::time::Duration::from_secs(10))),
    };
    let far = plane.flows().get_rollout(rollout).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!((far.have, far.waiting), (1, 0));
    // One that comes now is told what can still be executed, until it cannot.
    let anew = |id: &str| wire::Hello { subscription: only(&["acme"]), ..hello(id) };
    let mut late = Executor::connect(&plane, anew("e2")).await;
    assert_eq!(late.applied().await.revisions(), [("login".into(), 1, false), ("login".into(), 2, false)]);
    plane.clock.advance(SignedDuration::from_hours(24) - SignedDuration::from_nanos(1));
    plane.fetch(2).await.unwrap();
    plane.clock.advance(SignedDuration::from_nanos(1));
    assert_refused(plane.fetch(2).await, Code::FailedPrecondition, "FLOW_REVISION_EXPIRED", &[]);
    let mut later = Executor::connect(&plane, anew("e3")).await;
    assert_eq!(later.applied().await.revisions(), []);
}

#[tokio::test]
async fn a_flow_that_is_made_again_counts_on_and_can_be_brought_back() {
    let mut plane = Plane::with_gate().await;
    let id = plane.attach(attachment("gate", "")).await.unwrap().attachment;
    plane.delete_flow().await.unwrap();
    plane.restart().await;
    let made = plane.create_flow("acme", "login").await.unwrap();
    assert_eq!(made.revision, 3, "no old number ever names another flow's");
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().slots, []);
    let newest = plane.fetch(0).await.unwrap().flow_revision.unwrap();
    assert!(newest.newest && newest.flow.unwrap().revision == 3);
    let former = plane.fetch(2).await.unwrap().flow_revision.unwrap();
    assert!(!former.newest && former.expires_at.is_some());
    let kinds: Vec<String> = plane.history().await.into_iter().map(|past| past.kind).collect();
    assert_eq!(kinds, ["flow.created", "flow.action_attached", "flow.created"]);
    plane.roll_back(2).await.unwrap();
    assert_eq!(plane.attached().await[0].attachment, id);
}

#[tokio::test]
async fn a_flow_of_many_parts_rolls_back_in_one_commit() {
    let plane = Plane::with_acme().await;
    let triggers = ["pre-login", "post-login", "pre-token-issue", "post-logout"];
    let manifest = format!("slug = \"wide\"\nname = \"Wide\"\ntriggers = {triggers:?}\n");
    plane.publish("acme", &package(&manifest, "export const execute = () => ({ kind: 'continue' })\n")).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    for trigger in triggers {
        for _ in 0..50 {
            let request = control::AttachActionRequest { trigger: trigger.into(), ..attachment("wide", "") };
            plane.attach(request).await.unwrap();
        }
    }
    let before = plane.records("acme").await.len();
    let saved = plane.roll_back(1).await.unwrap();
    assert_eq!(saved.revision, 202);
    assert_eq!(plane.records("acme").await.len(), before + 201);
    assert_eq!(plane.actions("acme").await[0].attached, 0);
    plane.roll_back(201).await.unwrap();
    assert_eq!(plane.actions("acme").await[0].attached, 4);
}
