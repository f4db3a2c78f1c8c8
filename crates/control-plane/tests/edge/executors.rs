//! What executors are told, and how far the platform knows them to be.

use crate::support::{Plane, answered, archive, assert_refused, attachment, domain_check, exactly, gate, with_config};
use crate::watching::{Executor, hello, only};
use jiff::SignedDuration;
use serde_json::json;
use sluice_api::control::v1 as control;
use sluice_api::distribution::v1 as wire;
use sluice_api::distribution::v1::{resource, watch_request};
use sluice_api::types::v1 as types;
use sluice_api::{convert, status};
use sluice_control_plane::config::PlaneConfig;
use sluice_model::{Code, Error};
use std::time::Duration;

/// How far a revision has come, once `wait` is over or nobody is waiting.
async fn rollout(plane: &Plane, revision: u64, wait: Duration) -> (u32, u32) {
    let wait = Some(convert::to_duration(wait));
    let request = control::GetRolloutRequest { tenant: "acme".into(), flow: "login".into(), revision, wait };
    let rollout = plane.flows().get_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    (rollout.have, rollout.waiting)
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_new_executor_is_told_everything_and_then_what_changes() {
    let plane = Plane::with_gate().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    plane.publish("acme", &gate("2")).await.unwrap();
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let state = executor.applied().await;
    assert!(state.full);
    assert_eq!(state.tenants()[0].tenant, "acme");
    // Version 1.0.1 is pinned by nothing. Revision 1 can still be executed.
    assert_eq!(state.versions(), ["acme/gate@1.0.0"]);
    assert_eq!(state.revisions(), [("login".into(), 1, false), ("login".into(), 2, true)]);

    plane.attach(attachment("gate", "1.0.1")).await.unwrap();
    let change = executor.applied().await;
    assert!(!change.full && change.cursor > state.cursor);
    assert_eq!(change.versions(), ["acme/gate@1.0.0", "acme/gate@1.0.1"]);
    assert_eq!(change.revisions(), [("login".into(), 2, false), ("login".into(), 3, true)]);

    plane.create_tenant("acme-2").await;
    assert_eq!(executor.applied().await.tenants()[0].tenant, "acme-2");
    let request = control::AddRedirectOriginRequest {
        tenant: "acme".into(),
        origin: "https://a.example".into(),
        ..Default::default()
    };
    plane.tenants().add_redirect_origin(request).await.unwrap();
    assert_eq!(executor.applied().await.tenants()[0].allowed_redirect_origins, ["https://a.example"]);
}

#[tokio::test]
async fn a_version_comes_with_what_is_needed_to_run_it() {
    let plane = Plane::with_acme().await;
    let published = plane.publish("acme", &domain_check()).await.unwrap().version.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    let config = json!({"domains": ["a.example"], "token": "hunter2"});
    plane.attach(with_config(attachment("domain-check", ""), config.clone())).await.unwrap();
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let state = executor.applied().await;
    let version = state.upserts.iter().find_map(|resource| match resource {
        resource::Resource::Version(version) => Some(version.clone()),
        _ => None,
    });
    let version = version.unwrap();
    assert_eq!(
        (&version.digest, &version.bundle_digest, &version.limits),
        (&published.digest, &published.bundle_digest, &published.limits)
    );
    assert_eq!((&version.config_schema, &version.published_on), (&published.config_schema, &published.published_on));
    let newest = state.upserts.into_iter().rev().find_map(|resource| match resource {
        resource::Resource::FlowRevision(revision) => revision.flow,
        _ => None,
    });
    // The Action needs what nobody else may see.
    let sent = convert::json::object(newest.unwrap().slots[0].attachments[0].config.clone().unwrap()).unwrap();
    assert_eq!(serde_json::Value::Object(sent), config);
}

#[tokio::test]
async fn an_executor_hears_only_of_the_tenants_that_it_asks_for() {
    let plane = Plane::with_gate().await;
    for tenant in ["other", "later"] {
        if tenant == "other" {
            plane.create_tenant(tenant).await;
        }
    }
    let subscribed = wire::Hello { subscription: only(&["other", "later"]), ..hello("e1") };
    let mut executor = Executor::connect(&plane, subscribed).await;
    let state = executor.applied().await;
    assert_eq!(state.tenants().iter().map(|tenant| tenant.tenant.as_str()).collect::<Vec<_>>(), ["other"]);
    assert_eq!(state.revisions(), []);
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(saved.rollout, Some(types::Rollout { have: 0, waiting: 0 }));
    plane.create_tenant("later").await;
    let change = executor.applied().await;
    assert_eq!((change.tenants()[0].tenant.as_str(), change.upserts.len()), ("later", 1));
}

#[tokio::test]
async fn a_rollout_counts_who_serves_a_revision() {
    let plane = Plane::with_gate().await;
    let mut first = Executor::connect(&plane, hello("e1")).await;
    let mut second = Executor::connect(&plane, hello("e2")).await;
    first.applied().await;
    second.applied().await;
    assert_eq!(rollout(&plane, 1, LONG).await, (2, 0));
    let saved = plane.attach(attachment("gate", "")).await.unwrap();
    assert_eq!(saved.rollout, Some(types::Rollout { have: 0, waiting: 2 }));
    first.applied().await;
    let held = second.state().await.unwrap();
    assert_eq!(rollout(&plane, 2, Duration::from_millis(300)).await, (1, 1));
    // The former revision is served by both, whatever came after.
    assert_eq!(rollout(&plane, 1, Duration::ZERO).await, (2, 0));
    let waiting = rollout(&plane, 0, LONG);
    let (far, ()) = tokio::join!(waiting, second.ack(held.cursor));
    assert_eq!(far, (2, 0));
    drop(second);
    first.sees(1).await;
    assert_eq!(rollout(&plane, 0, Duration::ZERO).await, (1, 0));
    let too_long = control::GetRolloutRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        revision: 0,
        wait: Some(convert::to_duration(Duration::from_secs(11))),
    };
    let refused = answered(plane.flows().get_rollout(too_long).await);
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["wait"]);
}

#[tokio::test]
async fn what_an_executor_does_not_hear_of_does_not_keep_it_behind() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    executor.applied().await;
    // Publishing alone tells executors nothing, and so does audit on its way to the log.
    for reason in ["2", "3", "4"] {
        plane.publish("acme", &gate(reason)).await.unwrap();
    }
    let saved = plane.attach(attachment("gate", "1.0.3")).await.unwrap();
    let change = executor.applied().await;
    assert_eq!(change.versions(), ["acme/gate@1.0.3"]);
    assert_eq!(rollout(&plane, saved.revision, LONG).await, (1, 0));
}

#[tokio::test]
async fn an_executor_that_comes_back_hears_only_what_changed() {
    let mut plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let cursor = executor.applied().await.cursor;
    drop(executor);
    plane.attach(attachment("gate", "")).await.unwrap();
    let resumed = |resume_cursor| wire::Hello { resume_cursor, epoch: 2, ..hello("e1") };
    let mut executor = Executor::connect(&plane, resumed(cursor)).await;
    let change = executor.applied().await;
    assert!(!change.full);
    assert_eq!(change.revisions(), [("login".into(), 1, false), ("login".into(), 2, true)]);
    // A restart of the control plane changes nothing about that.
    drop(executor);
    plane.restart().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    let mut executor = Executor::connect(&plane, resumed(change.cursor)).await;
    let later = executor.applied().await;
    assert!(!later.full);
    assert_eq!(later.revisions(), [("login".into(), 2, false), ("login".into(), 3, true)]);
    // The cursor of another store, or one from the future, is of no use.
    for (number, cursor) in [later.cursor ^ (1 << 41), later.cursor + 1_000_000].into_iter().enumerate() {
        let hello = wire::Hello { executor_id: format!("other-{number}"), ..resumed(cursor) };
        assert!(Executor::connect(&plane, hello).await.applied().await.full);
    }
}

#[tokio::test]
async fn an_executor_that_was_away_for_too_long_is_told_everything() {
    let mut config = PlaneConfig::default();
    config.store.changes_kept = 100;
    let plane = Plane::with(config).await;
    plane.create_tenant("acme").await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let cursor = executor.applied().await.cursor;
    drop(executor);
    for number in 0..60 {
        // Each is a commit, and so is the move of its audit.
        plane.create_flow("acme", &format!("flow-{number:02}")).await.unwrap();
        plane.records("acme").await;
    }
    let hello = wire::Hello { resume_cursor: cursor, epoch: 2, ..hello("e1") };
    let state = Executor::connect(&plane, hello).await.applied().await;
    assert!(state.full && state.cursor > cursor);
    assert_eq!(state.revisions().len(), 60);
}

#[tokio::test]
async fn what_was_refused_is_told_again_with_the_next_change() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    executor.applied().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    let refused = executor.state().await.unwrap();
    executor.nack(refused.cursor).await;
    assert_eq!(rollout(&plane, 2, Duration::from_millis(300)).await, (0, 1));
    let known = plane.executors().await.pop().unwrap();
    assert_eq!((known.executor.as_str(), known.epoch, known.sluice_version.as_str()), ("e1", 1, "0.1.0"));
    assert_eq!(known.last_nack.unwrap().reason, "no room");
    plane.create_flow("acme", "second").await.unwrap();
    let next = executor.applied().await;
    let told = [("login".into(), 1, false), ("login".into(), 2, true), ("second".into(), 1, true)];
    assert_eq!(next.revisions(), told);
    assert_eq!(rollout(&plane, 2, LONG).await, (1, 0));
}

#[tokio::test]
async fn a_first_state_that_was_refused_is_told_whole_again() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let first = executor.state().await.unwrap();
    executor.nack(first.cursor).await;
    plane.create_flow("acme", "second").await.unwrap();
    let again = executor.applied().await;
    assert!(again.full);
    assert_eq!(again.revisions(), [("login".into(), 1, true), ("second".into(), 1, true)]);
}

#[tokio::test]
async fn a_later_session_ends_the_one_before_and_an_earlier_epoch_is_refused() {
    let plane = Plane::with_gate().await;
    let mut first = Executor::connect(&plane, hello("e1")).await;
    first.applied().await;
    let mut second = Executor::connect(&plane, wire::Hello { epoch: 2, ..hello("e1") }).await;
    second.applied().await;
    let ended = first.ended().await;
    assert_eq!((ended.code, &*ended.reason), (Code::Aborted, "EPOCH_SUPERSEDED"));
    assert_eq!(second.connected, 1);
    let stale = Executor::try_connect(&plane, watch_request::Message::Hello(hello("e1"))).await.err().unwrap();
    assert_eq!((stale.code, &*stale.reason), (Code::Aborted, "EPOCH_SUPERSEDED"));
    // The same epoch again is a connection that broke.
    let mut third = Executor::connect(&plane, wire::Hello { epoch: 2, ..hello("e1") }).await;
    third.applied().await;
    assert_eq!(&*second.ended().await.reason, "EPOCH_SUPERSEDED");
    plane.attach(attachment("gate", "")).await.unwrap();
    third.applied().await;
    assert_eq!(rollout(&plane, 0, LONG).await, (1, 0));
}

#[tokio::test]
async fn everybody_is_told_how_many_are_connected() {
    let plane = Plane::with_gate().await;
    let mut first = Executor::connect(&plane, hello("e1")).await;
    first.applied().await;
    assert_eq!(first.connected, 1);
    let second = Executor::connect(&plane, hello("e2")).await;
    first.sees(2).await;
    drop(second);
    first.sees(1).await;
    let metrics = plane.telemetry.exposition().text().unwrap();
    assert!(
        metrics.lines().any(|line| line.starts_with("sluice_watch_executors") && line.ends_with(" 1")),
        "{metrics}"
    );
    assert!(metrics.contains("sluice_watch_lag{executor=\"e1\""), "{metrics}");
}

#[tokio::test]
async fn a_large_state_comes_in_parts() {
    let plane = Plane::with_acme().await;
    let mut files = crate::support::package(
        "slug = \"big\"\nname = \"Big\"\ntriggers = [\"post-login\"]\n",
        "export const execute = () => ({ kind: 'continue' })",
    );
    files.push(("schema.json", r#"{"type": "object", "properties": {"text": {"type": "string"}}}"#));
    plane.publish("acme", &files).await.unwrap();
    for flow in ["a", "b", "c", "d"] {
        plane.create_flow("acme", flow).await.unwrap();
        for _ in 0..8 {
            let request = with_config(attachment("big", ""), json!({"text": "x".repeat(60 << 10)}));
            plane.attach(control::AttachActionRequest { flow: flow.into(), ..request }).await.unwrap();
        }
    }
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let state = executor.applied().await;
    assert!(state.parts > 4, "{}", state.parts);
    assert_eq!(state.revisions().len(), 4 * 9);
    assert_eq!(state.revisions().iter().filter(|(_, _, newest)| *newest).count(), 4);
}

#[tokio::test]
async fn a_hello_that_is_none_is_refused_by_its_field() {
    let plane = Plane::with_gate().await;
    for (bad, field) in [
        (wire::Hello { executor_id: String::new(), ..hello("e1") }, "hello.executor_id"),
        (wire::Hello { executor_id: "a b".into(), ..hello("e1") }, "hello.executor_id"),
        (wire::Hello { epoch: 0, ..hello("e1") }, "hello.epoch"),
        (wire::Hello { subscription: None, ..hello("e1") }, "hello.subscription"),
        (wire::Hello { subscription: only(&[]), ..hello("e1") }, "hello.tenants.tenants"),
        (wire::Hello { subscription: only(&["ok", "Bad"]), ..hello("e1") }, "hello.tenants.tenants[1]"),
    ] {
        let error = Executor::try_connect(&plane, watch_request::Message::Hello(bad)).await.err().unwrap();
        assert_refused::<()>(Err(error), Code::InvalidArgument, "INVALID_FIELD", &[field]);
    }
    let ack = watch_request::Message::Ack(wire::Ack { cursor: 1 });
    let error = Executor::try_connect(&plane, ack).await.err().unwrap();
    assert_eq!(&*error.reason, "PROTOCOL_VIOLATION");
}

#[tokio::test]
async fn an_answer_to_nothing_ends_the_session() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let state = executor.applied().await;
    executor.ack(state.cursor).await;
    let ended = executor.ended().await;
    assert_eq!((ended.code, &*ended.reason), (Code::InvalidArgument, "PROTOCOL_VIOLATION"));
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    executor.applied().await;
    executor.says.send(wire::WatchRequest { message: Some(watch_request::Message::Hello(hello("e1"))) }).await.unwrap();
    assert_eq!(&*executor.ended().await.reason, "PROTOCOL_VIOLATION");
}

#[tokio::test]
async fn a_drain_ends_the_watch() {
    let mut plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    executor.applied().await;
    let drained = plane.drain();
    let ended = executor.ended().await;
    assert_eq!((ended.code, &*ended.reason), (Code::Unavailable, "DRAINING"));
    assert_eq!(drained.await.unwrap(), sluice_serve::Drained::Clean);
}

#[tokio::test]
async fn a_bundle_is_sent_only_to_who_may_have_it() {
    let plane = Plane::with_gate().await;
    plane.create_tenant("acme-2").await;
    let published = plane.publish("acme", &gate("2")).await.unwrap().version.unwrap();
    let fetch = |tenant: &str, digest: &str| {
        let request = wire::FetchBundleRequest { tenant: tenant.into(), bundle_digest: digest.into() };
        let mut distribution = plane.distribution();
        async move {
            let mut stream = answered(distribution.fetch_bundle(request).await)?;
            let mut bytes = Vec::new();
            while let Some(part) = stream.message().await.map_err(|status| status::from_status(&status))? {
                bytes.extend_from_slice(&part.chunk);
            }
            Ok::<_, Error>(bytes)
        }
    };
    let bytes = fetch("acme", &published.bundle_digest).await.unwrap();
    assert_eq!(sluice_model::Bundle::digest(&bytes), published.bundle_digest);
    assert!(sluice_model::Bundle::from_bytes(&bytes).unwrap().modules[0].code.contains("r2"));
    assert_refused(fetch("acme-2", &published.bundle_digest).await, Code::NotFound, "BUNDLE_NOT_FOUND", &[]);
    assert_refused(fetch("acme", &"0".repeat(64)).await, Code::NotFound, "BUNDLE_NOT_FOUND", &[]);
    assert_refused(fetch("nobody", &published.bundle_digest).await, Code::NotFound, "TENANT_NOT_FOUND", &[]);
    assert_refused(fetch("acme", "beef").await, Code::InvalidArgument, "INVALID_FIELD", &["bundle_digest"]);
}

#[tokio::test]
async fn a_revision_is_executable_for_24_hours_past_its_replacement() {
    let plane = Plane::with_gate().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    plane.publish_as(exactly("1.1.0"), archive(&gate("2"))).await.unwrap();
    plane.clock.advance(SignedDuration::from_hours(48));
    plane.attach(attachment("gate", "1.1.0")).await.unwrap();
    let replaced = plane.clock.now();
    let fetch = |revision| {
        let request = wire::FetchFlowRevisionRequest { tenant: "acme".into(), flow: "login".into(), revision };
        let mut distribution = plane.distribution();
        async move { answered(distribution.fetch_flow_revision(request).await) }
    };
    // However old it was: what counts is when it was replaced.
    let former = fetch(2).await.unwrap();
    let revision = former.flow_revision.unwrap();
    assert!(!revision.newest);
    let expires_at = convert::timestamp(revision.expires_at.unwrap()).unwrap();
    assert_eq!(expires_at, replaced + SignedDuration::from_hours(24));
    assert_eq!((former.versions.len(), former.versions[0].version.as_str()), (1, "1.0.0"));
    assert_eq!(former.tenant.unwrap().tenant, "acme");
    let newest = fetch(0).await.unwrap();
    assert!(newest.flow_revision.as_ref().unwrap().newest && newest.versions.len() == 2);
    assert_eq!(newest.flow_revision.unwrap().flow.unwrap().revision, 3);
    assert_refused(fetch(1).await, Code::FailedPrecondition, "FLOW_REVISION_EXPIRED", &[]);
    assert_refused(fetch(4).await, Code::NotFound, "FLOW_REVISION_NOT_FOUND", &[]);

    plane.clock.advance(SignedDuration::from_hours(24) - SignedDuration::from_nanos(1));
    fetch(2).await.unwrap();
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    assert_eq!(executor.applied().await.revisions(), [("login".into(), 2, false), ("login".into(), 3, true)]);
    drop(executor);
    plane.clock.advance(SignedDuration::from_nanos(1));
    assert_refused(fetch(2).await, Code::FailedPrecondition, "FLOW_REVISION_EXPIRED", &[]);
    fetch(3).await.unwrap();
    let mut executor = Executor::connect(&plane, wire::Hello { epoch: 2, ..hello("e1") }).await;
    assert_eq!(executor.applied().await.revisions(), [("login".into(), 3, true)]);
    // Kept for history all the same.
    assert_eq!(plane.flow("acme", "login", 2).await.unwrap().revision, 2);
}
