//! What an executor hears from the control plane, and what it does when it hears nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{Event, Fake, codes, flow, reason, request, start, story, tenant, version};
use sluice_api::{
    distribution::v1::{self as wire, FetchFlowRevisionResponse, hello::Subscription, resource::Resource},
    types::v1 as types,
};
use sluice_executor::config::SubscriptionMode;
use std::time::Duration;
use tonic::{Code, Status};

const CONTINUES: &str = "({ kind: 'continue', reason_code: 'one' })";

fn expired() -> Status {
    sluice_api::status::to_status(sluice_model::Error::precondition("FLOW_REVISION_EXPIRED", "too late"))
}

#[tokio::test]
async fn before_the_first_state_it_is_not_ready_and_after_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    let early = running.execute(|_| {}).await.unwrap_err();
    assert_eq!((early.code(), reason(&early).as_str()), (Code::Unavailable, "NOT_READY"));
    assert!(!running.readiness.is_ready());

    fake.push(1, true, story(&fake, CONTINUES));
    let fetched = fake.wait_for(|event| matches!(event, Event::FetchedBundle(_)).then_some(())).await;
    let () = fetched;
    fake.acked(1).await;
    assert!(running.readiness.is_ready());
    let response = running.execute(|r| r.sign_in_id = "s-1".into()).await.unwrap();
    assert_eq!((codes(&response), response.flow_revision), (vec!["one".to_owned()], 1));
    assert!(!response.execution_id.is_empty());
    let fetches = fake.happened().into_iter().filter(|e| matches!(e, Event::FetchedBundle(_))).count();
    assert_eq!(fetches, 0, "the module was there before the sign-in");
}

#[tokio::test]
async fn a_state_that_cannot_be_applied_is_nacked_and_the_one_before_serves() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(1, true, story(&fake, CONTINUES));
    fake.acked(1).await;
    fake.push(2, false, vec![Resource::FlowRevision(flow("acme", 2, "7.7.7"))]);
    let nack = fake.wait_for(|event| if let Event::Nack(nack) = event { Some(nack.clone()) } else { None }).await;
    assert_eq!(nack.cursor, 2);
    assert!(nack.reason.contains("check@7.7.7"), "{}", nack.reason);
    let name = wire::FlowRevisionName { tenant: "acme".into(), flow: "login".into(), revision: 2 };
    assert_eq!(nack.resource.unwrap().name.unwrap(), wire::resource_name::Name::FlowRevision(name));
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 1);
    fake.push(3, false, vec![Resource::FlowRevision(flow("acme", 2, "1.0.0"))]);
    fake.acked(3).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 2);
}

#[tokio::test]
async fn a_version_without_a_module_stops_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    let mut resources = story(&fake, CONTINUES);
    resources.push(tenant("other"));
    resources.push(Resource::Version(version("other", "1.0.0", &"a".repeat(64))));
    resources.push(Resource::FlowRevision(flow("other", 1, "1.0.0")));
    fake.push(1, true, resources);
    fake.acked(1).await;
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["one"]);
    let response = running.execute(|r| r.tenant = "other".into()).await.unwrap();
    assert_eq!(response.verdict, types::OutcomeKind::Continue as i32, "on_unavailable says continue");
    assert!(codes(&response)[0].starts_with("its module cannot be had"), "{:?}", codes(&response));
}

#[tokio::test]
async fn a_sign_in_keeps_its_revision_and_a_new_one_gets_the_newest() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(1, true, story(&fake, CONTINUES));
    fake.acked(1).await;
    let two = fake.bundle("({ kind: 'continue', reason_code: 'two' })");
    let before = wire::FlowRevision { newest: false, ..flow("acme", 1, "1.0.0") };
    fake.push(
        2,
        false,
        vec![
            Resource::Version(version("acme", "1.1.0", &two)),
            Resource::FlowRevision(flow("acme", 2, "1.1.0")),
            Resource::FlowRevision(before),
        ],
    );
    fake.acked(2).await;
    assert_eq!(codes(&running.execute(|r| r.flow_revision = 1).await.unwrap()), ["one"]);
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["two"]);
    assert!(!fake.happened().contains(&Event::FetchedRevision(1)), "it was here all along");
}

#[tokio::test]
async fn what_is_revoked_or_turned_off_stops_sticky_revisions_too() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(1, true, story(&fake, CONTINUES));
    fake.acked(1).await;
    let two = fake.bundle("({ kind: 'continue', reason_code: 'two' })");
    let before = wire::FlowRevision { newest: false, ..flow("acme", 1, "1.0.0") };
    let moved = vec![
        Resource::Version(version("acme", "1.1.0", &two)),
        Resource::FlowRevision(flow("acme", 2, "1.1.0")),
        Resource::FlowRevision(before),
    ];
    fake.push(2, false, moved);
    fake.acked(2).await;
    assert_eq!(codes(&running.execute(|r| r.flow_revision = 1).await.unwrap()), ["one"]);
    // By a change of the version alone: no revision comes with it.
    let one = fake.bundle(CONTINUES);
    let revoked = wire::VersionState { revoked: true, ..version("acme", "1.0.0", &one) };
    fake.push(3, false, vec![Resource::Version(revoked)]);
    fake.acked(3).await;
    let says = "the platform has revoked check@1.0.0";
    let sticky = running.execute(|r| r.flow_revision = 1).await.unwrap();
    assert_eq!((codes(&sticky), sticky.verdict), (vec![says.to_owned()], types::OutcomeKind::Continue as i32));
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["two"], "and nothing else stops");
    let Resource::Tenant(off) = tenant("acme") else { panic!("a tenant") };
    fake.push(4, false, vec![Resource::Tenant(wire::TenantState { break_glass: true, ..off })]);
    fake.acked(4).await;
    for revision in [0, 1] {
        let skipped = running.execute(|r| r.flow_revision = revision).await.unwrap();
        let how = skipped.results[0].result.clone().unwrap();
        assert_eq!(how, types::run_result::Result::Skipped(types::SkipReason::BreakGlass as i32));
    }
    fake.push(5, false, vec![tenant("acme")]);
    fake.acked(5).await;
    assert_eq!(codes(&running.execute(|r| r.flow_revision = 1).await.unwrap()), [says]);
}

#[tokio::test]
async fn a_revision_that_is_not_here_is_fetched_once() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(5, true, vec![tenant("acme")]);
    fake.acked(5).await;
    let digest = fake.bundle("({ kind: 'continue', reason_code: 'nine' })");
    let answer = FetchFlowRevisionResponse {
        flow_revision: Some(flow("acme", 9, "1.0.0")),
        versions: vec![version("acme", "1.0.0", &digest)],
        tenant: Some(wire::TenantState { tenant: "acme".into(), ..Default::default() }),
        secrets: Vec::new(),
    };
    fake.revision(9, Some(Ok(answer)));
    for _ in 0..3 {
        let response = running.execute(|r| r.flow_revision = 9).await.unwrap();
        assert_eq!((codes(&response), response.flow_revision), (vec!["nine".to_owned()], 9));
    }
    let fetches = fake.happened().into_iter().filter(|event| *event == Event::FetchedRevision(9)).count();
    assert_eq!(fetches, 1);
}

#[tokio::test]
async fn refusals_have_their_code_and_reason() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let only = |config: &mut sluice_executor::ExecutorConfig| {
        config.subscription.mode = SubscriptionMode::Tenants;
        config.subscription.tenants = vec!["acme".into()];
    };
    let running = start(&fake, data.path(), only).await;
    let hello = fake.wait_for(|event| if let Event::Hello(hello) = event { Some(hello.clone()) } else { None }).await;
    let tenants = vec!["acme".to_owned()];
    assert_eq!(hello.subscription.unwrap(), Subscription::Tenants(wire::TenantSet { tenants }));
    let mut resources = story(&fake, CONTINUES);
    let mut old = wire::FlowRevision { newest: false, ..flow("acme", 3, "1.0.0") };
    old.expires_at = Some(prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 });
    resources.push(Resource::FlowRevision(old));
    fake.push(1, true, resources);
    fake.acked(1).await;
    fake.revision(5, Some(Err(expired())));
    fake.revision(6, Some(Err(Status::unavailable("draining"))));
    // An answer that is for another question.
    fake.revision(
        7,
        Some(Ok(FetchFlowRevisionResponse { flow_revision: Some(flow("acme", 8, "1.0.0")), ..Default::default() })),
    );
    fake.revision(8, None);

    type Change = fn(&mut sluice_api::executor::v1::ExecuteRequest);
    let table: [(Change, Code, &str); 12] = [
        (|r| r.tenant = "other".into(), Code::NotFound, "TENANT_NOT_FOUND"),
        (|r| (r.tenant, r.flow_revision) = ("other".into(), 4), Code::NotFound, "TENANT_NOT_FOUND"),
        (|r| r.flow = "logout".into(), Code::NotFound, "FLOW_NOT_FOUND"),
        (|r| r.flow_revision = 4, Code::NotFound, "FLOW_REVISION_NOT_FOUND"),
        (|r| r.flow_revision = 3, Code::FailedPrecondition, "FLOW_REVISION_EXPIRED"),
        (|r| r.flow_revision = 5, Code::FailedPrecondition, "FLOW_REVISION_EXPIRED"),
        (|r| r.flow_revision = 6, Code::Unavailable, "REVISION_NOT_AVAILABLE"),
        (|r| r.flow_revision = 7, Code::Unavailable, "REVISION_NOT_AVAILABLE"),
        (|r| r.tenant = "Acme".into(), Code::InvalidArgument, "INVALID_FIELD"),
        (|r| r.trigger = "later".into(), Code::InvalidArgument, "INVALID_FIELD"),
        (|r| r.execution_id = "a b".into(), Code::InvalidArgument, "INVALID_FIELD"),
        (
            |r| r.input = Some(types::Input { user: Some(types::User::default()), ..Default::default() }),
            Code::InvalidArgument,
            "INVALID_FIELD",
        ),
    ];
    for (change, code, why) in table {
        let refused = running.execute(change).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, why), "{}", refused.message());
    }
    // One that never comes: told before the caller's time is up.
    let mut late = tonic::Request::new(request(|r| r.flow_revision = 8));
    late.set_timeout(Duration::from_millis(600));
    let refused = running.client().await.execute(late).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "REVISION_NOT_AVAILABLE"));
    // A trigger without a slot continues.
    let nothing = running.execute(|r| r.trigger = "pre-login".into()).await.unwrap();
    assert_eq!((nothing.verdict, nothing.results.len()), (types::OutcomeKind::Continue as i32, 0));
}

#[tokio::test]
async fn while_the_control_plane_is_away_it_serves_and_then_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(4, true, story(&fake, CONTINUES));
    fake.acked(4).await;
    fake.go_away().await;
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["one"]);
    fake.happened();
    fake.come_back().await;
    let hello = fake.wait_for(|event| if let Event::Hello(hello) = event { Some(hello.clone()) } else { None }).await;
    assert_eq!((hello.resume_cursor, hello.epoch), (4, 1));
    fake.push(5, false, vec![Resource::FlowRevision(flow("acme", 2, "1.0.0"))]);
    fake.acked(5).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 2);
}

#[tokio::test]
async fn a_restart_is_another_epoch_and_needs_no_bundle_again() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let first = start(&fake, data.path(), |_| {}).await;
    fake.push(1, true, story(&fake, CONTINUES));
    fake.acked(1).await;
    first.finish().await;
    fake.happened();
    let second = start(&fake, data.path(), |_| {}).await;
    let hello = fake.wait_for(|event| if let Event::Hello(hello) = event { Some(hello.clone()) } else { None }).await;
    assert_eq!((hello.epoch, hello.resume_cursor), (2, 1));
    assert_eq!(codes(&second.execute(|_| {}).await.unwrap()), ["one"]);
    let fetches = fake.happened().into_iter().filter(|event| matches!(event, Event::FetchedBundle(_))).count();
    assert_eq!(fetches, 0, "everything is in the cache folder");
}
