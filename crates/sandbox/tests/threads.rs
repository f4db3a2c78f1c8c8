//! Alone in its process, since it counts the process's threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use sluice_sandbox::{Engine, EngineOptions};
use std::fs;
use std::time::{Duration, Instant};

fn tickers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("sluice-ticker")).count()
}

/// A thread names itself once it runs, and is listed a moment longer than it is joined.
fn until_there_are(expected: usize) {
    let started = Instant::now();
    while tickers() != expected {
        assert!(started.elapsed() < Duration::from_secs(10), "{} tickers", tickers());
        std::thread::yield_now();
    }
}

#[test]
fn an_engine_ends_its_threads_with_its_last_clone() {
    let options = EngineOptions {
        cache_dir: Some(support::cache_dir()),
        max_runs_in_flight: 4,
        slow_threads: 1,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options).unwrap();
    let clone = engine.clone();
    drop(engine);
    until_there_are(1);
    drop(clone);
    until_there_are(0);
}
