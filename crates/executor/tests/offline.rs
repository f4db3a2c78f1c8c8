//! An executor on its own: it starts from its cache folder and serves while there is no control plane, and believes nothing
//! that is damaged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{Event, Fake, Taking, codes, flow, reason, request, start, story, until, version};
use sluice_api::distribution::v1::{self as wire, resource::Resource};
use std::path::{Path, PathBuf};
use tonic::Code;

const CONTINUES: &str = "({ kind: 'continue', reason_code: 'one' })";

/// An executor has applied revision 1 and then revision 2, with another version, and was killed.
async fn killed_after_two(fake: &mut Fake, data: &Path) {
    let running = start(fake, data, |_| {}).await;
    fake.push(1, true, story(fake, CONTINUES));
    fake.acked(1).await;
    let two = fake.bundle("({ kind: 'continue', reason_code: 'two' })");
    let before = wire::FlowRevision { newest: false, ..flow("acme", 1, "1.0.0") };
    let change = vec![
        Resource::Version(version("acme", "1.1.0", &two)),
        Resource::FlowRevision(flow("acme", 2, "1.1.0")),
        Resource::FlowRevision(before),
    ];
    fake.push(2, false, change);
    fake.acked(2).await;
    drop(running);
}

async fn hello(fake: &mut Fake) -> wire::Hello {
    fake.wait_for(|event| if let Event::Hello(hello) = event { Some(hello.clone()) } else { None }).await
}

fn state_file(data: &Path) -> PathBuf {
    data.join("cache/state.log")
}

#[tokio::test]
async fn what_was_acknowledged_serves_after_a_kill_and_without_a_control_plane() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    killed_after_two(&mut fake, data.path()).await;
    fake.go_away().await;

    let running = start(&fake, data.path(), |_| {}).await;
    assert!(running.readiness.is_ready(), "before anybody is asked");
    let newest = running.execute(|_| {}).await.unwrap();
    assert_eq!((newest.flow_revision, codes(&newest)), (2, vec!["two".to_owned()]));
    let earlier = running.execute(|r| r.flow_revision = 1).await.unwrap();
    assert_eq!((earlier.flow_revision, codes(&earlier)), (1, vec!["one".to_owned()]));
    let unknown = running.execute(|r| r.tenant = "other".into()).await.unwrap_err();
    assert_eq!(reason(&unknown), "TENANT_NOT_FOUND");
    let about = running.executor.about()();
    assert_eq!((&about["state"]["cursor"], &about["epoch"]), (&2.into(), &2.into()));
    assert!(about["state"]["age_s"].as_f64().unwrap() >= 0.0);
    assert!(running.metric("sluice_executor_state_cursor", "") == 2.0);
    assert!(running.metric("sluice_executor_state_age", "") > 0.0);

    // And when it comes back, it is told what changed since.
    fake.happened();
    fake.come_back().await;
    assert_eq!(hello(&mut fake).await.resume_cursor, 2);
    fake.push(3, false, vec![Resource::FlowRevision(flow("acme", 3, "1.0.0"))]);
    fake.acked(3).await;
    let newest = running.execute(|_| {}).await.unwrap();
    assert_eq!((newest.flow_revision, codes(&newest)), (3, vec!["one".to_owned()]));
    assert!(!fake.happened().iter().any(|event| matches!(event, Event::FetchedBundle(_))));
}

#[tokio::test]
async fn an_executor_without_any_state_lives_is_not_ready_and_says_why() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    fake.go_away().await;
    let running = start(&fake, data.path(), |_| {}).await;
    assert!(!running.readiness.is_ready());
    let refused = running.execute(|_| {}).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "NOT_READY"));
    assert_eq!(running.executor.about()()["state"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_and_everything_is_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    killed_after_two(&mut fake, data.path()).await;
    let mut bytes = std::fs::read(state_file(data.path())).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(state_file(data.path()), bytes).unwrap();
    fake.go_away().await;
    let running = start(&fake, data.path(), |_| {}).await;
    assert!(!running.readiness.is_ready(), "an older state than was acknowledged is not made up from the good part");
    assert!(running.metric("sluice_executor_cache_damaged", "") >= 1.0);
    assert_eq!(std::fs::read_dir(data.path().join("cache/damaged")).unwrap().count(), 1);
    fake.happened();
    fake.come_back().await;
    assert_eq!(hello(&mut fake).await.resume_cursor, 0);
    fake.acked(2).await;
    assert!(running.readiness.is_ready());
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["two"]);
}

#[tokio::test]
async fn a_change_that_was_half_written_was_not_acknowledged_and_is_asked_for_again() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    killed_after_two(&mut fake, data.path()).await;
    let bytes = std::fs::read(state_file(data.path())).unwrap();
    std::fs::write(state_file(data.path()), &bytes[..bytes.len() - 9]).unwrap();
    fake.happened();
    let running = start(&fake, data.path(), |_| {}).await;
    assert!(running.readiness.is_ready());
    assert_eq!(hello(&mut fake).await.resume_cursor, 1);
    fake.acked(2).await;
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["two"]);
    assert!(!data.path().join("cache/damaged").exists());
}

#[tokio::test]
async fn damaged_modules_are_had_again_and_never_run() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    killed_after_two(&mut fake, data.path()).await;
    let engine = std::fs::read_dir(data.path().join("cache/snapshots")).unwrap().next().unwrap().unwrap().path();
    for folder in [engine, data.path().join("cache/bundles")] {
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
    }
    let running = start(&fake, data.path(), |_| {}).await;
    assert_eq!(codes(&running.execute(|_| {}).await.unwrap()), ["two"]);
    assert_eq!(codes(&running.execute(|r| r.flow_revision = 1).await.unwrap()), ["one"]);
    assert_eq!(std::fs::read_dir(data.path().join("cache/damaged")).unwrap().count(), 4);
}

#[tokio::test]
async fn a_state_of_another_subscription_is_not_served() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    killed_after_two(&mut fake, data.path()).await;
    fake.go_away().await;
    let running = start(&fake, data.path(), |config| config.subscription.tenants = vec!["other".into()]).await;
    assert!(!running.readiness.is_ready());
    fake.happened();
    fake.come_back().await;
    assert_eq!(hello(&mut fake).await.resume_cursor, 0, "what changed since would not be all of it");
}

#[tokio::test]
async fn an_executor_that_cannot_keep_audit_wants_no_traffic_until_it_can() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |config| config.audit.spool_max_bytes = 1 << 20).await;
    fake.push(1, true, story(&fake, CONTINUES));
    fake.acked(1).await;
    assert!(running.readiness.is_ready());
    fake.taking(Taking::Silent);
    let mut client = running.client().await;
    // A record has some 200 bytes.
    let mut refused = None;
    for _ in 0..20_000 {
        if let Err(status) = client.execute(request(|_| {})).await {
            refused = Some(status);
            break;
        }
    }
    assert_eq!(reason(&refused.expect("the spool is bounded")), "AUDIT_UNAVAILABLE");
    until(async || !running.readiness.is_ready()).await;
    fake.taking(Taking::Acked);
    until(async || running.readiness.is_ready()).await;
    client.execute(request(|_| {})).await.unwrap();
}
