//! The same execution asked for again, and callers that go away, over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{Event, Fake, Running, flow, reason, request, start, story, tenant, version};
use sluice_api::{
    distribution::v1::{VersionState, resource::Resource},
    executor::v1::ExecuteResponse,
    types::v1 as types,
};
use std::{path::Path, time::Duration};
use tonic::Code;

/// Another answer each time that it runs.
const RANDOM: &str = "({ kind: 'continue', state: { r: Math.random() } })";
const FOREVER: &str = "(() => { while (true) {} })()";

async fn serving(fake: &mut Fake, data: &Path, expression: &str) -> Running {
    let running = start(fake, data, |_| {}).await;
    fake.push(1, true, story(fake, expression));
    fake.acked(1).await;
    running
}

/// Serves an Action that ends by its CPU limit alone, a second of it.
async fn serving_forever(fake: &mut Fake, data: &Path) -> Running {
    let running = start(fake, data, |_| {}).await;
    let limits = Some(types::VersionLimits { cpu_ms: 1_000, wall_ms: 5_000 });
    let version = VersionState { limits, ..version("acme", "1.0.0", &fake.bundle(FOREVER)) };
    let mut flow = flow("acme", 1, "1.0.0");
    for slot in &mut flow.flow.as_mut().unwrap().slots {
        slot.budget_ms = 10_000;
    }
    fake.push(1, true, vec![tenant("acme"), Resource::Version(version), Resource::FlowRevision(flow)]);
    fake.acked(1).await;
    running
}

/// The reason and message of the only result's failure.
fn failed(response: &ExecuteResponse) -> (i32, String) {
    match response.results[0].result.clone().unwrap() {
        types::run_result::Result::Failure(failure) => (failure.reason, failure.message),
        other => panic!("{other:?}"),
    }
}

async fn arrived(fake: &mut Fake, count: usize) {
    while fake.records().len() < count {
        fake.wait_for(|event| matches!(event, Event::Batch { .. }).then_some(())).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn asking_again_by_the_same_id_gives_the_same_answer_and_one_record() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = serving(&mut fake, data.path(), RANDOM).await;
    let first = running.execute(|r| r.execution_id = "e-1".into()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(running.execute(|r| r.execution_id = "e-1".into()).await.unwrap(), first);
    }
    let other = running.execute(|r| r.execution_id = "e-2".into()).await.unwrap();
    assert_ne!(other.state, first.state);
    // Without an id every call is its own.
    let (one, two) = (running.execute(|_| {}).await.unwrap(), running.execute(|_| {}).await.unwrap());
    assert_ne!(one.state, two.state);
    arrived(&mut fake, 4).await;
    assert_eq!(fake.records().len(), 4);
    assert!(running.metric("sluice_executor_retries", "what=\"replayed\"") == 3.0);
    assert!(running.metric("sluice_executor_answers", "") >= 2.0);
    assert!(running.metric("sluice_executor_answers_oldest", "") > 0.0);
}

#[tokio::test]
async fn the_same_id_with_another_request_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = serving(&mut fake, data.path(), RANDOM).await;
    running.execute(|r| r.execution_id = "e-1".into()).await.unwrap();
    type Change = fn(&mut sluice_api::executor::v1::ExecuteRequest);
    let changes: [Change; 4] = [
        |r| r.trigger = "pre-login".into(),
        |r| r.flow = "logout".into(),
        |r| r.flow_revision = 1,
        |r| r.sign_in_id = "s-2".into(),
    ];
    for change in changes {
        let refused = running
            .execute(|r| {
                r.execution_id = "e-1".into();
                change(r);
            })
            .await
            .unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "EXECUTION_ID_REUSED"));
    }
    // Another tenant's id is another id: it is looked for in that tenant, where there is nothing.
    let foreign = running.execute(|r| (r.tenant, r.execution_id) = ("other".into(), "e-1".into())).await.unwrap_err();
    assert_eq!(reason(&foreign), "TENANT_NOT_FOUND");
    // A refusal is not kept.
    let twice = running.execute(|r| (r.flow, r.execution_id) = ("logout".into(), "e-3".into())).await.unwrap_err();
    assert_eq!(reason(&twice), "FLOW_NOT_FOUND");
    running.execute(|r| r.execution_id = "e-3".into()).await.unwrap();
}

#[tokio::test]
async fn a_running_execution_is_joined_and_goes_on_when_its_first_caller_goes_away() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = serving_forever(&mut fake, data.path()).await;
    let client = running.client().await;
    let call = || {
        let mut client = client.clone();
        tokio::spawn(async move { client.execute(request(|r| r.execution_id = "e-1".into())).await })
    };
    let first = call();
    running.until("sluice_executor_runs_in_flight", "", 1.0).await;
    let (second, third) = (call(), call());
    running.until("sluice_executor_retries", "what=\"joined\"", 2.0).await;
    // The streams are reset.
    first.abort();
    third.abort();
    let answer = second.await.unwrap().unwrap().into_inner();
    assert_eq!(failed(&answer).0, types::FailureReason::CpuLimit as i32, "it ran to its own end");
    arrived(&mut fake, 1).await;
    let records = fake.records();
    assert_eq!(records.len(), 1, "and once");
    let failure = records.values().next().unwrap().failure.clone().unwrap();
    assert_eq!(failure.reason, types::FailureReason::CpuLimit as i32);
    assert_eq!(running.execute(|r| r.execution_id = "e-1".into()).await.unwrap(), answer);
}

#[tokio::test]
async fn a_run_whose_callers_all_go_away_is_stopped_and_audited_and_its_slot_is_free() {
    for id in ["", "e-1"] {
        let data = tempfile::tempdir().unwrap();
        let mut fake = Fake::start().await;
        let running = serving_forever(&mut fake, data.path()).await;
        let mut client = running.client().await;
        let call = tokio::spawn(async move { client.execute(request(|r| r.execution_id = id.into())).await });
        running.until("sluice_executor_runs_in_flight", "", 1.0).await;
        call.abort();
        arrived(&mut fake, 1).await;
        let failure = fake.records().into_values().next().unwrap().failure.unwrap();
        assert_eq!(failure.reason, types::FailureReason::WallLimit as i32);
        assert!(failure.message.starts_with("the caller went away"), "{}", failure.message);
        running.until("sluice_executor_runs_in_flight", "", 0.0).await;
        // Its id was not used up.
        let mut again = tonic::Request::new(request(|r| r.execution_id = id.into()));
        again.set_timeout(Duration::from_secs(10));
        let answer = running.client().await.execute(again).await.unwrap().into_inner();
        assert_eq!(failed(&answer).0, types::FailureReason::CpuLimit as i32);
    }
}

#[tokio::test]
async fn a_callers_deadline_clips_the_run_so_that_it_is_answered_in_time() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = serving_forever(&mut fake, data.path()).await;
    let sent = std::time::Instant::now();
    let mut clipped = tonic::Request::new(request(|_| {}));
    clipped.set_timeout(Duration::from_millis(400));
    match running.client().await.execute(clipped).await {
        Ok(answer) => {
            let (why, message) = failed(&answer.into_inner());
            assert_eq!(why, types::FailureReason::WallLimit as i32, "{message}");
        }
        // A machine that is so busy that the answer came too late: then it was late in truth.
        Err(status) => {
            assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
            assert!(sent.elapsed() >= Duration::from_millis(400), "refused before its time");
        }
    }
    arrived(&mut fake, 1).await;
    let failure = fake.records().into_values().next().unwrap().failure.unwrap();
    assert_eq!(failure.reason, types::FailureReason::WallLimit as i32);
}
