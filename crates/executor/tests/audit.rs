//! Where the record of a run goes: spool, stream, control plane; each run exactly once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{Event, Fake, PATIENCE, Taking, start, story};
use sluice_executor::config::Durability;
use std::{path::Path, time::Duration};

const CONTINUES: &str = "({ kind: 'continue' })";

async fn ready(fake: &mut Fake) {
    fake.push(1, true, story(fake, CONTINUES));
    fake.acked(1).await;
}

/// Waits until so many records have come.
async fn arrived(fake: &mut Fake, count: usize) {
    while fake.records().len() < count {
        fake.wait_for(|event| matches!(event, Event::Batch { .. }).then_some(())).await;
        // The event comes before the records are kept.
        tokio::task::yield_now().await;
    }
}

fn executions(fake: &Fake) -> Vec<String> {
    fake.records().into_values().map(|record| record.execution_id).collect()
}

fn epochs(data: &Path) -> Vec<u64> {
    let mut epochs: Vec<u64> = std::fs::read_dir(data.join("spool"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    epochs.sort_unstable();
    epochs
}

#[tokio::test]
async fn every_run_arrives_in_order_and_once() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    ready(&mut fake).await;
    let mut expected = Vec::new();
    for n in 0..50 {
        expected.push(format!("e-{n}"));
        running.execute(|r| r.execution_id = format!("e-{n}")).await.unwrap();
    }
    arrived(&mut fake, 50).await;
    assert_eq!(executions(&fake), expected);
    let sequences: Vec<_> = fake.records().into_keys().collect();
    assert_eq!(sequences, (1..=50).map(|n| (1, n)).collect::<Vec<_>>());
    running.finish().await;
    assert!(epochs(data.path()).is_empty(), "what is acknowledged takes no space");
}

#[tokio::test]
async fn what_a_killed_executor_left_behind_is_shipped_first_by_the_next() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let first = start(&fake, data.path(), |config| config.audit.ship = false).await;
    ready(&mut fake).await;
    for n in 0..3 {
        first.execute(|r| r.execution_id = format!("first-{n}")).await.unwrap();
    }
    drop(first);
    assert_eq!(epochs(data.path()), [1]);
    // It was killed in the middle of a write.
    let segment = std::fs::read_dir(data.path().join("spool").join(format!("{:020}", 1)))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_slice(&[77, 0, 0, 0, 1, 2, 3]);
    std::fs::write(&segment, bytes).unwrap();

    fake.happened();
    let second = start(&fake, data.path(), |_| {}).await;
    second.execute(|r| r.execution_id = "second-0".into()).await.unwrap();
    arrived(&mut fake, 4).await;
    assert_eq!(executions(&fake), ["first-0", "first-1", "first-2", "second-0"]);
    assert_eq!(fake.records().into_keys().collect::<Vec<_>>(), [(1, 1), (1, 2), (1, 3), (2, 1)]);
    second.finish().await;
    assert!(epochs(data.path()).is_empty());
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_on_the_next_stream() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    ready(&mut fake).await;
    fake.taking(Taking::Silent);
    running.execute(|r| r.execution_id = "a".into()).await.unwrap();
    arrived(&mut fake, 1).await;
    fake.go_away().await;
    running.execute(|r| r.execution_id = "b".into()).await.unwrap();
    fake.taking(Taking::Acked);
    fake.come_back().await;
    let first = fake.wait_for(|e| if let Event::IngestHello { first, .. } = e { Some(*first) } else { None }).await;
    assert_eq!(first, 1, "nothing was acknowledged");
    arrived(&mut fake, 2).await;
    assert_eq!(executions(&fake), ["a", "b"]);
}

#[tokio::test]
async fn a_batch_that_was_dropped_is_sent_again_from_where_it_is_expected() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    ready(&mut fake).await;
    fake.taking(Taking::NackOnce(1));
    running.execute(|r| r.execution_id = "a".into()).await.unwrap();
    running.execute(|r| r.execution_id = "b".into()).await.unwrap();
    arrived(&mut fake, 2).await;
    assert_eq!(executions(&fake), ["a", "b"]);
    let streams = fake.happened().into_iter().filter(|e| matches!(e, Event::IngestHello { .. })).count();
    assert_eq!(streams, 0, "on the same stream");
}

#[tokio::test]
async fn an_ack_that_goes_back_or_beyond_what_was_sent_is_not_believed() {
    // The second batch is acknowledged as what it is not.
    for wrong in
        [Taking::AckOnce(0), Taking::AckOnce(3), Taking::AckOnce(u64::MAX), Taking::NackOnce(1), Taking::NackOnce(9)]
    {
        let data = tempfile::tempdir().unwrap();
        let mut fake = Fake::start().await;
        let running = start(&fake, data.path(), |_| {}).await;
        ready(&mut fake).await;
        running.execute(|r| r.execution_id = "a".into()).await.unwrap();
        arrived(&mut fake, 1).await;
        fake.taking(wrong);
        running.execute(|r| r.execution_id = "b".into()).await.unwrap();
        let first = fake.wait_for(|e| if let Event::IngestHello { first, .. } = e { Some(*first) } else { None }).await;
        assert_eq!(first, 2, "{wrong:?}: the stream is opened again, and nothing was let go");
        running.execute(|r| r.execution_id = "c".into()).await.unwrap();
        arrived(&mut fake, 3).await;
        assert_eq!(executions(&fake), ["a", "b", "c"], "{wrong:?}");
        running.finish().await;
        assert!(epochs(data.path()).is_empty());
    }
}

#[tokio::test]
async fn what_gathers_while_the_control_plane_is_away_is_shipped_in_order_and_once() {
    const RUNS: u64 = 2_500;
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    // Segments of 256 KiB: several, and more batches than may be on their way at once.
    let running = start(&fake, data.path(), |config| config.audit.spool_max_bytes = 1 << 20).await;
    ready(&mut fake).await;
    fake.go_away().await;
    let mut client = running.client().await;
    let mut expected = Vec::new();
    for n in 0..RUNS {
        let id = format!("e-{n}");
        client.execute(fake::request(|r| r.execution_id.clone_from(&id))).await.unwrap();
        expected.push(id);
    }
    let segments = || std::fs::read_dir(data.path().join("spool").join(format!("{:020}", 1))).unwrap().count();
    assert!(segments() > 1, "{}", segments());
    fake.come_back().await;
    arrived(&mut fake, RUNS.try_into().unwrap()).await;
    assert_eq!(executions(&fake), expected);
    running.finish().await;
    assert!(epochs(data.path()).is_empty(), "and its space is given back");
}

#[tokio::test]
async fn an_answer_waits_for_the_acknowledgement_where_it_must() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |config| config.audit.durability = Durability::Acked).await;
    ready(&mut fake).await;
    fake.taking(Taking::Silent);
    let mut client = running.client().await;
    let mut answer = tokio::spawn(async move { client.execute(fake::request(|_| {})).await });
    arrived(&mut fake, 1).await;
    let early = tokio::time::timeout(Duration::from_millis(50), &mut answer).await;
    assert!(early.is_err(), "nothing was acknowledged yet");
    fake.taking(Taking::Acked);
    tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_waits_for_the_disk_where_it_must() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |config| config.audit.durability = Durability::Disk).await;
    ready(&mut fake).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = running.client().await;
        calls.spawn(async move { client.execute(fake::request(|_| {})).await });
    }
    while let Some(call) = tokio::time::timeout(PATIENCE, calls.join_next()).await.unwrap() {
        call.unwrap().unwrap();
    }
    arrived(&mut fake, 20).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_record() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(1, true, story(&fake, "new Promise(() => { for (;;) {} })"));
    fake.acked(1).await;
    let mut client = running.client().await;
    let call = client.execute(fake::request(|r| r.execution_id = "gone".into()));
    // The run has 200 ms of CPU time: it goes on when its caller has seen enough.
    assert!(tokio::time::timeout(Duration::from_millis(80), call).await.is_err());
    arrived(&mut fake, 1).await;
    let record = fake.records().into_values().next().unwrap();
    assert_eq!(record.execution_id, "gone");
    let message = record.failure.unwrap().message;
    assert!(message.starts_with("the caller went away"), "{message}");
}
