//! What the tests of the real engine share: one engine a test binary, and short ways to make and run an Action.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod ports;

use serde_json::{Value, json};
use sluice_model::limits::MAX_WALL_MS;
use sluice_model::{Bundle, BundleModule, Failure, FailureReason, Limits, Outcome};
use sluice_sandbox::{EncodedInput, Engine, EngineOptions, NoPorts, RunReport, RunRequest, Snapshot};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// The folder that all test binaries share, so that the engine is compiled once.
pub(crate) fn cache_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("engine-cache")
}

/// The one engine of this process.
pub(crate) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineOptions { cache_dir: Some(cache_dir()), ..EngineOptions::default() }).unwrap());

pub(crate) fn bundle(code: &str) -> Bundle {
    bundle_of(&[("src/index.ts", code)])
}

/// A bundle of several modules; the first is the entry.
pub(crate) fn bundle_of(modules: &[(&str, &str)]) -> Bundle {
    let module = |(path, code): &(&str, &str)| BundleModule {
        path: (*path).into(),
        code: (*code).into(),
        source_map: String::new(),
    };
    Bundle::new(modules[0].0, modules.iter().map(module).collect())
}

pub(crate) async fn snapshot(code: &str) -> Arc<Snapshot> {
    match ENGINE.snapshot(&bundle(code)).await {
        Ok(snapshot) => Arc::new(snapshot),
        Err(failure) => panic!("no snapshot of {code}: {failure:?}"),
    }
}

pub(crate) async fn refused(code: &str) -> Failure {
    ENGINE.snapshot(&bundle(code)).await.map(|_| ()).expect_err("the top level should be refused")
}

/// The default CPU limit; and all the time by the clock that there is, since the machine may be busy with other tests.
pub(crate) fn request(input: &Value) -> RunRequest {
    let limits = Limits { wall_ms: MAX_WALL_MS, ..Limits::default() };
    RunRequest { input: EncodedInput::from_json(input).unwrap(), limits, now: None, ports: Arc::new(NoPorts) }
}

/// Evaluates and runs on an empty input.
pub(crate) async fn report(code: &str) -> RunReport {
    ENGINE.run(&snapshot(code).await, request(&json!({}))).await
}

/// As [`report`], for the body of `execute`.
pub(crate) async fn body(body: &str) -> RunReport {
    report(&format!("export async function execute(input) {{ {body} }}")).await
}

pub(crate) async fn outcome(code: &str) -> Outcome {
    match report(code).await.outcome {
        Ok(outcome) => outcome,
        Err(failure) => panic!("{code} failed: {failure:?}"),
    }
}

/// What an expression, or the body of a function, comes to in a run.
pub(crate) async fn value(expression: &str) -> Value {
    value_of("", expression).await
}

/// As [`value`], after a top level.
pub(crate) async fn value_of(top: &str, expression: &str) -> Value {
    let code = format!(
        "{top}\nexport async function execute(input) {{ return {{ kind: 'continue', state: {{ v: {expression} }} }} }}"
    );
    outcome(&code).await.state["v"].clone()
}

pub(crate) async fn failure(code: &str) -> Failure {
    match report(code).await.outcome {
        Ok(outcome) => panic!("{code} gave {outcome:?}"),
        Err(failure) => failure,
    }
}

pub(crate) async fn body_failure(body: &str) -> Failure {
    failure(&format!("export async function execute(input) {{ {body} }}")).await
}

/// The reason and pointer of what is no outcome.
pub(crate) async fn invalid(returned: &str) -> (String, String) {
    let failure = body_failure(&format!("return {returned}")).await;
    assert_eq!(failure.reason, FailureReason::InvalidOutcome, "{returned}: {failure:?}");
    (failure.pointer.unwrap(), failure.message)
}
