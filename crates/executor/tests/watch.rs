//! States that are none, tenants on demand, a control plane that is cut off: over sockets, against a control plane that does
//! what a test says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{
    Event, Fake, PATIENCE, Running, codes, flow, proxy::Proxy, reason, request, start, story, tenant, until, version,
};
use sluice_api::distribution::v1::{self as wire, NackCause, hello::Subscription, resource::Resource};
use sluice_executor::config::SubscriptionMode;
use std::time::Duration;
use tonic::{Code, Status};

const CONTINUES: &str = "({ kind: 'continue', reason_code: 'one' })";

fn state(cursor: u64, full: bool, base_cursor: u64, resources: Vec<Resource>) -> wire::State {
    let upserts = resources.into_iter().map(|resource| wire::Resource { resource: Some(resource) }).collect();
    wire::State { cursor, full, base_cursor, last: true, upserts, connected_executors: 1, ..wire::State::default() }
}

fn with_etag(revision: u64, etag: &str) -> Resource {
    let mut revision = flow("acme", revision, "1.0.0");
    revision.flow.as_mut().unwrap().etag = etag.into();
    Resource::FlowRevision(revision)
}

fn on_demand(config: &mut sluice_executor::ExecutorConfig) {
    config.subscription.mode = SubscriptionMode::OnDemand;
}

async fn execute(running: &Running, tenant: &str, timeout: Duration) -> Result<Vec<String>, (Code, String)> {
    let mut request = tonic::Request::new(request(|r| r.tenant = tenant.into()));
    request.set_timeout(timeout);
    let answer = running.client().await.execute(request).await;
    answer.map(|answer| codes(answer.get_ref())).map_err(|status: Status| (status.code(), reason(&status)))
}

#[tokio::test]
async fn a_state_that_is_none_is_nacked_by_its_cause_and_the_last_good_one_serves() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    let digest = fake.bundle(CONTINUES);
    let pinned = || Resource::Version(version("acme", "1.0.0", &digest));
    fake.push(10, true, vec![tenant("acme"), pinned(), with_etag(3, "3-a")]);
    fake.acked(10).await;

    let another = wire::VersionState { digest: "2".repeat(64), ..version("acme", "1.0.0", &digest) };
    let whole = |cursor, revision| state(cursor, true, 0, vec![tenant("acme"), pinned(), revision]);
    let half = |part, last| wire::State { part, last, ..state(11, false, 10, Vec::new()) };
    let unknown = wire::State { upserts: vec![wire::Resource { resource: None }], ..state(11, false, 10, Vec::new()) };
    for (parts, cause, send_full) in [
        (vec![state(11, false, 10, vec![tenant("Not A Slug")])], NackCause::Unreadable, false),
        (vec![unknown], NackCause::Unreadable, false),
        (vec![half(0, false), half(2, true)], NackCause::Incomplete, true),
        (vec![whole(9, with_etag(3, "3-a"))], NackCause::Outdated, false),
        (vec![state(9, false, 10, Vec::new())], NackCause::Outdated, false),
        (vec![whole(11, with_etag(2, "2-a"))], NackCause::Outdated, false),
        (vec![state(11, false, 10, vec![with_etag(2, "2-a")])], NackCause::Outdated, false),
        (vec![state(12, false, 11, vec![with_etag(4, "4-a")])], NackCause::Gap, true),
        (
            vec![state(11, false, 10, vec![Resource::FlowRevision(flow("acme", 4, "9.9.9"))])],
            NackCause::Unresolved,
            true,
        ),
        (vec![state(11, false, 10, vec![Resource::Version(another)])], NackCause::Conflict, false),
        (vec![state(11, false, 10, vec![with_etag(3, "3-b")])], NackCause::Conflict, false),
    ] {
        let cursor = parts[0].cursor;
        fake.push_parts(parts);
        let nack = fake.nacked().await;
        assert_eq!((nack.cursor, nack.cause(), nack.send_full), (cursor, cause, send_full), "{nack:?}");
        assert!(!nack.reason.is_empty());
        let response = running.execute(|_| {}).await.unwrap();
        assert_eq!((codes(&response), response.flow_revision), (vec!["one".to_owned()], 3), "{nack:?}");
    }
    fake.push_parts(vec![state(11, false, 10, vec![with_etag(3, "3-a"), with_etag(4, "4-a")])]);
    fake.acked(11).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 4);
}

#[tokio::test]
async fn half_a_state_is_forgotten_with_the_stream_that_broke() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(4, true, story(&fake, CONTINUES));
    fake.acked(4).await;
    let first = state(5, false, 4, vec![Resource::FlowRevision(flow("acme", 2, "1.0.0"))]);
    fake.push_parts(vec![wire::State { last: false, ..first }]);
    // What is said after the half has come: so has the half.
    fake.count(7);
    running.until("sluice_executor_executors", "", 7.0).await;
    fake.go_away().await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 1);
    fake.come_back().await;
    fake.hello().await;
    fake.push_parts(vec![wire::State { part: 1, ..state(5, false, 4, Vec::new()) }]);
    let nack = fake.nacked().await;
    assert_eq!((nack.cursor, nack.cause()), (5, NackCause::Incomplete));
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 1, "two halves of two streams make no state");
}

#[tokio::test]
async fn everything_is_asked_for_where_what_was_sent_does_not_fit() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(4, true, story(&fake, CONTINUES));
    fake.acked(4).await;
    fake.push_parts(vec![state(7, false, 6, vec![Resource::FlowRevision(flow("acme", 3, "1.0.0"))])]);
    assert!(fake.nacked().await.send_full);
    // Also of the next one, where this one does not hear it any more.
    fake.go_away().await;
    fake.happened();
    fake.come_back().await;
    let hello = fake.hello().await;
    assert_eq!((hello.resume_cursor, hello.send_full), (4, true));
    let mut all = story(&fake, CONTINUES);
    all.push(Resource::FlowRevision(flow("acme", 3, "1.0.0")));
    fake.push(7, true, all);
    fake.acked(7).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 3);
    fake.go_away().await;
    fake.happened();
    fake.come_back().await;
    let hello = fake.hello().await;
    assert_eq!((hello.resume_cursor, hello.send_full), (7, false));
}

#[tokio::test]
async fn another_store_replaces_everything_whatever_its_numbers_are() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    let store = |store, commit| sluice_model::Cursor::new(store, commit).number();
    let mut resources = story(&fake, CONTINUES);
    resources.push(Resource::FlowRevision(flow("acme", 9, "1.0.0")));
    fake.push(store(1, 900), true, resources);
    fake.acked(store(1, 900)).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 9);
    fake.push(store(2, 5), true, story(&fake, CONTINUES));
    fake.acked(store(2, 5)).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 1);
}

#[tokio::test]
async fn a_status_says_where_it_is_without_a_state() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(4, true, story(&fake, CONTINUES));
    fake.acked(4).await;
    fake.stand(20);
    // It changes 20, and not 4.
    fake.push_parts(vec![state(21, false, 20, vec![Resource::FlowRevision(flow("acme", 2, "1.0.0"))])]);
    fake.acked(21).await;
    assert_eq!(running.execute(|_| {}).await.unwrap().flow_revision, 2);
    fake.go_away().await;
    fake.happened();
    fake.come_back().await;
    assert_eq!(fake.hello().await.resume_cursor, 21);
}

#[tokio::test]
async fn what_it_cannot_run_is_said_before_the_ack_and_taken_back_when_it_can() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    let resources = story(&fake, CONTINUES);
    let digest = fake.bundle(CONTINUES);
    fake.withhold(&digest, true);
    fake.push(1, true, resources);
    let said = fake.wait_for(|event| match event {
        Event::Missing(missing) => Some(missing.modules.clone()),
        Event::Ack(_) => panic!("the ack came first"),
        _ => None,
    });
    let missing = said.await;
    assert_eq!(missing.len(), 1);
    let name = wire::VersionName { tenant: "acme".into(), slug: "check".into(), version: "1.0.0".into() };
    assert_eq!(missing[0].version.as_ref(), Some(&name));
    assert!(missing[0].reason.contains("cannot be had"), "{}", missing[0].reason);
    fake.acked(1).await;
    // A new control plane hears of it in the hello.
    fake.go_away().await;
    fake.happened();
    fake.come_back().await;
    assert_eq!(fake.hello().await.missing_modules.unwrap().modules, missing);
    fake.withhold(&digest, false);
    // Sign-ins do not each ask for what could not be had a moment ago.
    until(async || codes(&running.execute(|_| {}).await.unwrap()) == ["one"]).await;
    let missing = fake.wait_for(|event| if let Event::Missing(all) = event { Some(all.modules.len()) } else { None });
    assert_eq!(missing.await, 0);
}

#[tokio::test]
async fn a_bundle_that_is_another_one_is_not_run() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    let resources = story(&fake, CONTINUES);
    fake.corrupt(&fake.bundle(CONTINUES));
    fake.push(1, true, resources);
    let missing = fake.wait_for(|event| if let Event::Missing(all) = event { Some(all.modules.clone()) } else { None });
    assert!(missing.await[0].reason.contains("another bundle"));
    fake.acked(1).await;
    let said = codes(&running.execute(|_| {}).await.unwrap());
    assert!(said[0].contains("another bundle"), "{said:?}");
}

#[tokio::test]
async fn a_tenant_on_demand_is_asked_for_once_and_its_first_call_waits_for_it() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), on_demand).await;
    let none = wire::TenantSet::default();
    assert_eq!(fake.hello().await.subscription, Some(Subscription::OnDemand(none)));
    fake.push(1, true, Vec::new());
    fake.acked(1).await;
    assert!(running.readiness.is_ready());

    let calls = futures_util::future::join_all((0..10).map(|_| execute(&running, "acme", PATIENCE)));
    let answer = async {
        let asked = fake.subscription().await;
        assert_eq!((asked.subscribe, asked.unsubscribe), (vec!["acme".to_owned()], Vec::new()));
        fake.push_with(2, &["acme"], story(&fake, CONTINUES));
        fake.acked(2).await;
    };
    let (calls, ()) = tokio::join!(calls, answer);
    assert!(calls.iter().all(|call| *call == Ok(vec!["one".to_owned()])), "{calls:?}");
    let more = fake.happened().into_iter().filter(|event| matches!(event, Event::Subscription(_))).count();
    assert_eq!(more, 0, "once for all of them");
    // The next control plane is told of it.
    fake.go_away().await;
    assert_eq!(execute(&running, "acme", PATIENCE).await.unwrap(), ["one"]);
    fake.happened();
    fake.come_back().await;
    let hello = fake.hello().await;
    assert_eq!(hello.resume_cursor, 2);
    let set = wire::TenantSet { tenants: vec!["acme".into()] };
    assert_eq!(hello.subscription, Some(Subscription::OnDemand(set)));
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_is_asked_for_once_in_a_while() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), on_demand).await;
    fake.push(1, true, Vec::new());
    fake.acked(1).await;
    let absent = Err((Code::NotFound, "TENANT_NOT_FOUND".to_owned()));
    let answer = async {
        assert_eq!(fake.subscription().await.subscribe, ["nobody"]);
        fake.push_with(2, &["nobody"], Vec::new());
        fake.acked(2).await;
    };
    let (call, ()) = tokio::join!(execute(&running, "nobody", PATIENCE), answer);
    assert_eq!(call, absent);
    let again = futures_util::future::join_all((0..10).map(|_| execute(&running, "nobody", PATIENCE))).await;
    assert!(again.iter().all(|call| *call == absent), "{again:?}");
    assert!(!fake.happened().iter().any(|event| matches!(event, Event::Subscription(_))));
}

#[tokio::test]
async fn a_tenant_that_does_not_come_in_time_is_unavailable_and_asked_for_all_the_same() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), on_demand).await;
    fake.push(1, true, Vec::new());
    fake.acked(1).await;
    let late = Err((Code::Unavailable, "TENANT_NOT_READY".to_owned()));
    assert_eq!(execute(&running, "acme", Duration::from_secs(1)).await, late);
    assert_eq!(fake.subscription().await.subscribe, ["acme"]);
    assert_eq!(execute(&running, "other", Duration::from_secs(1)).await, late);
    // One batch at a time: the other goes with the next.
    fake.push_with(2, &["acme"], story(&fake, CONTINUES));
    assert_eq!(fake.subscription().await.subscribe, ["other"]);
    assert_eq!(execute(&running, "acme", PATIENCE).await.unwrap(), ["one"]);
    // A control plane that is gone has not answered: the next one is asked again.
    fake.go_away().await;
    fake.happened();
    fake.come_back().await;
    assert_eq!(fake.subscription().await.subscribe, ["other"]);
}

#[tokio::test]
async fn a_tenant_that_nobody_asks_for_is_let_go_and_comes_back_when_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let soon = |config: &mut sluice_executor::ExecutorConfig| {
        on_demand(config);
        config.subscription.idle_s = 1;
    };
    let running = start(&fake, data.path(), soon).await;
    fake.push(1, true, Vec::new());
    fake.acked(1).await;
    let answer = async {
        fake.subscription().await;
        fake.push_with(2, &["acme"], story(&fake, CONTINUES));
        fake.acked(2).await;
    };
    let (call, ()) = tokio::join!(execute(&running, "acme", PATIENCE), answer);
    assert_eq!(call.unwrap(), ["one"]);
    let change = fake.subscription().await;
    assert_eq!((change.subscribe, change.unsubscribe), (Vec::new(), vec!["acme".to_owned()]));
    // What was on its way is left out, and no reason to refuse a state.
    fake.push(3, false, vec![Resource::FlowRevision(flow("acme", 2, "1.0.0"))]);
    fake.acked(3).await;
    let digest = fake.bundle(CONTINUES);
    let answer = async {
        assert_eq!(fake.subscription().await.subscribe, ["acme"]);
        let pinned = Resource::Version(version("acme", "1.0.0", &digest));
        fake.push_with(4, &["acme"], vec![tenant("acme"), pinned, Resource::FlowRevision(flow("acme", 2, "1.0.0"))]);
        fake.acked(4).await;
    };
    let (call, ()) = tokio::join!(execute(&running, "acme", PATIENCE), answer);
    assert_eq!(call.unwrap(), ["one"]);
}

#[tokio::test]
async fn a_control_plane_that_is_cut_off_is_noticed_and_another_connection_made() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let proxy = Proxy::start(fake.address()).await;
    let by_proxy = |config: &mut sluice_executor::ExecutorConfig| {
        config.control_url = proxy.url();
        config.subscription.silence_ms = 1_500;
    };
    let running = start(&fake, data.path(), by_proxy).await;
    fake.push(1, true, story(&fake, CONTINUES));
    fake.acked(1).await;
    fake.happened();
    proxy.cut();
    assert_eq!(fake.hello().await.resume_cursor, 1);
    running.until("sluice_executor_watch_reconnects", "", 1.0).await;
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["one"]);
}

#[tokio::test]
async fn many_who_ask_for_a_revision_fetch_it_once() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    // The flow was deleted: it has no newest revision, and the one before is executable still.
    let mut resources = story(&fake, CONTINUES);
    let Some(Resource::FlowRevision(revision)) = resources.last_mut() else { panic!() };
    revision.newest = false;
    fake.push(1, true, resources);
    fake.acked(1).await;
    let refused = running.execute(|_| {}).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "FLOW_NOT_FOUND"));
    assert_eq!(codes(&running.execute(|r| r.flow_revision = 1).await.unwrap()), ["one"]);

    let answer = wire::FetchFlowRevisionResponse {
        flow_revision: Some(flow("acme", 9, "1.0.0")),
        versions: vec![version("acme", "1.0.0", &fake.bundle(CONTINUES))],
        tenant: Some(wire::TenantState {
            counters_key: Vec::new().into(),
            tenant: "acme".into(),
            allowed_redirect_origins: Vec::new(),
            break_glass: false,
        }),
        secrets: Vec::new(),
    };
    fake.revision(9, Some(Ok(answer)));
    let calls = (0..20).map(|_| running.execute(|r| r.flow_revision = 9));
    for call in futures_util::future::join_all(calls).await {
        assert_eq!(call.unwrap().flow_revision, 9);
    }
    let fetches = fake.happened().into_iter().filter(|event| *event == Event::FetchedRevision(9)).count();
    assert_eq!(fetches, 1);
}
