//! Alone in its process, since it counts the process's threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use sluice_sandbox::{Engine, EngineOptions};
use std::fs;

fn tickers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("sluice-ticker")).count()
}

#[test]
fn an_engine_ends_its_threads_with_its_last_clone() {
    let options = EngineOptions { cache_dir: Some(support::cache_dir()), max_runs_in_flight: 4, slow_threads: 1 };
    let engine = Engine::new(options).unwrap();
    let clone = engine.clone();
    drop(engine);
    assert_eq!(tickers(), 1);
    drop(clone);
    assert_eq!(tickers(), 0);
}
