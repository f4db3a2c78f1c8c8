//! How soon an executor with 10,000 Actions in its cache folder is ready, and what a first call costs. Not asserted: printed.
//!
//! `cargo test --release -p sluice-executor --test scale -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "it prints what it measures")]

mod fake;

use fake::{Fake, Running, flow, request, start, tenant, until, version};
use hdrhistogram::Histogram;
use sluice_api::distribution::v1::{FlowRevision, VersionState, resource::Resource};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const TENANTS: usize = 100;
const FLOWS_A_TENANT: usize = 100;
const CALLS: usize = 5_000;

fn name(n: usize) -> (String, String) {
    (format!("tenant-{}", n / FLOWS_A_TENANT), format!("flow-{}", n % FLOWS_A_TENANT))
}

/// Ten thousand Actions, no two alike, each pinned by a flow of its own.
fn everything(fake: &Fake) -> Vec<Resource> {
    let mut all: Vec<Resource> = (0..TENANTS).map(|n| tenant(&format!("tenant-{n}"))).collect();
    for n in 0..TENANTS * FLOWS_A_TENANT {
        let (tenant, name) = name(n);
        let digest = fake.bundle(&format!(
            "(input.user && ['a{n}.example.com', 'b{n}.example.com'].includes(input.user.email)) \
             ? {{ kind: 'block', reason_code: 'r{n}' }} : {{ kind: 'continue', reason_code: 'r{n}' }}"
        ));
        let slug = format!("check-{n}");
        all.push(Resource::Version(VersionState { slug: slug.clone(), ..version(&tenant, "1.0.0", &digest) }));
        let mut revision: FlowRevision = flow(&tenant, 1, "1.0.0");
        if let Some(flow) = &mut revision.flow {
            flow.flow = name;
            flow.slots[0].attachments[0].slug = slug;
        }
        all.push(Resource::FlowRevision(revision));
    }
    all
}

/// The size of what is in a folder, in bytes.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        about if about.is_dir() => size(&entry.path()),
        about => about.len(),
    };
    entries.map(size).sum()
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Calls that each are the first of their Action.
async fn first_calls(running: &Running, what: &str, numbers: impl Iterator<Item = usize>) {
    let mut client = running.client().await;
    let mut took = Histogram::<u64>::new(3).unwrap();
    for n in numbers {
        let (tenant, flow) = name(n);
        let sent = Instant::now();
        let answer = client.execute(request(|r| (r.tenant, r.flow) = (tenant, flow))).await.unwrap().into_inner();
        took.record(u64::try_from(sent.elapsed().as_micros()).unwrap()).unwrap();
        assert_eq!(fake::codes(&answer), [format!("r{n}")], "never another's answer");
    }
    let at = |quantile| took.value_at_quantile(quantile);
    println!("{what}: p50 {} us, p99 {} us, p99.9 {} us, max {} us", at(0.5), at(0.99), at(0.999), took.max());
}

/// Numbers in an order that has nothing to do with that of the folder.
fn scattered(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(|n| (n * 7_919) % (TENANTS * FLOWS_A_TENANT))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of a minute"]
async fn ten_thousand_actions() {
    let data = tempfile::tempdir().unwrap();
    let mut fake = Fake::start().await;
    let written = Instant::now();
    let running = start(&fake, data.path(), |_| {}).await;
    fake.push(1, true, everything(&fake));
    until_acked(&mut fake).await;
    println!(
        "written in {:.1} s, {} MiB on disk",
        written.elapsed().as_secs_f64(),
        size(&data.path().join("cache")) >> 20
    );
    running.finish().await;
    fake.go_away().await;

    for round in 0..3 {
        let before = resident_mib();
        let started = Instant::now();
        let running = start(&fake, data.path(), |_| {}).await;
        assert!(running.readiness.is_ready());
        println!("round {round}: ready after {} ms", started.elapsed().as_millis());
        first_calls(&running, "  first calls while memory is filled", scattered(500)).await;
        until(async || running.metric("sluice_executor_modules", "") >= 10_000.0).await;
        println!(
            "  all in memory after {} ms, {:.0} MiB of modules, the process grew by {:.0} MiB",
            started.elapsed().as_millis(),
            running.metric("sluice_executor_modules_bytes", "") / 1_048_576.0,
            resident_mib() - before
        );
        first_calls(&running, "  calls of modules in memory", scattered(CALLS)).await;
        drop(running);
    }
    let running = start(&fake, data.path(), |config| config.modules.memory_bytes = 1 << 20).await;
    // Whatever fits is in memory by then, and next to nothing does.
    tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
    first_calls(&running, "calls of modules that are never in memory", scattered(CALLS)).await;
    println!(
        "  asked: {} hits, {} misses; {} bytes in memory",
        running.metric("sluice_executor_modules_asked", "found=\"hit\""),
        running.metric("sluice_executor_modules_asked", "found=\"miss\""),
        running.metric("sluice_executor_modules_bytes", "")
    );
}

/// Making ten thousand snapshots takes longer than a test waits.
async fn until_acked(fake: &mut Fake) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(300) {
        if fake.happened().contains(&fake::Event::Ack(1)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no ack");
}
