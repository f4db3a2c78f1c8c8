//! Runs see nothing of each other, nothing of the host, and cannot bend the glue.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_model::{FailureReason, OutcomeKind};
use sluice_sandbox::RunRequest;
use std::time::{Duration, Instant};
use support::*;

#[tokio::test]
async fn what_a_run_changes_the_next_one_does_not_see() {
    let snapshot = snapshot(
        "let calls = 0; const seen = [];
         export function execute(input) {
           calls++; seen.push(calls); globalThis.left = (globalThis.left ?? 0) + 1; Array.prototype.evil = 1;
           Object.prototype.polluted = true; JSON.parse = () => 0; Promise.prototype.then = null;
           const state = { calls, seen: seen.length, left: globalThis.left };
           delete Object.prototype.polluted;
           return { kind: 'continue', state };
         }",
    )
    .await;
    for _ in 0..20 {
        let report = ENGINE.run(&snapshot, request(&json!({}))).await;
        let state = report.outcome.unwrap().state;
        assert_eq!(json!(state), json!({"calls": 1, "seen": 1, "left": 1}));
    }
}

#[tokio::test]
async fn a_failed_run_leaves_nothing_either() {
    let code = "let n = 0; export function execute(input) { n++; if (input.end === 'loop') for (;;) {} if (input.end === 'throw') throw 1;
                if (input.end === 'deep') { const f = () => f(); f() } return { kind: 'continue', state: { n } } }";
    let snapshot = snapshot(code).await;
    for end in ["loop", "none", "throw", "none", "deep", "none"] {
        let report = ENGINE.run(&snapshot, request(&json!({"end": end}))).await;
        match end {
            "none" => assert_eq!(report.outcome.unwrap().state["n"], 1),
            _ => assert!(report.outcome.is_err()),
        }
    }
}

#[tokio::test]
async fn actions_do_not_see_each_other() {
    let one = snapshot("globalThis.secret = 'one'; export function execute() { return { kind: 'continue', state: { s: globalThis.secret ?? null } } }").await;
    let two =
        snapshot("export function execute() { return { kind: 'continue', state: { s: globalThis.secret ?? null } } }")
            .await;
    for _ in 0..5 {
        assert_eq!(ENGINE.run(&one, request(&json!({}))).await.outcome.unwrap().state["s"], "one");
        assert_eq!(ENGINE.run(&two, request(&json!({}))).await.outcome.unwrap().state["s"], json!(null));
    }
}

#[tokio::test]
async fn poisoned_prototypes_do_not_bend_the_glue() {
    let poison = "
        const { defineProperty, getOwnPropertyNames } = Object, { ownKeys } = Reflect, global = globalThis;
        const descriptor = { __proto__: null, configurable: true, get() { throw 'poisoned' }, set() { throw 'poisoned' } };
        const evil = { __proto__: null, configurable: true, get() { return 'evil' }, set() { throw 'setter' } };
        const protos = [Map.prototype, Set.prototype, String.prototype, Promise.prototype, Array.prototype, Function.prototype, Error.prototype, Object.prototype];
        const keys = protos.map((proto) => ownKeys(proto));
        const names = getOwnPropertyNames(global);
        for (let i = 0; i < 8; i++) {
          for (let k = 0; k < keys[i].length; k++) {
            if (keys[i][k] !== 'constructor') try { defineProperty(protos[i], keys[i][k], descriptor) } catch {}
          }
        }
        const common = { __proto__: null, a: 'kind', b: 'state', c: 'list', d: 'user', e: 'email', f: 'toJSON', g: 'then', h: '0' };
        for (const key in common) defineProperty(protos[7], common[key], evil);
        for (let i = 0; i < names.length; i++) { if (names[i] !== 'globalThis') try { global[names[i]] = 7 } catch {} }
    ";
    let code = format!(
        "{poison}\nexport async function execute(input) {{ const list = await input.list; return {{ kind: 'block', state: {{ user: input.user, list }} }} }}"
    );
    let input = json!({"user": {"email": "a@example.com", "kind": "k"}, "list": [1, [2]]});
    let report = ENGINE.run(&snapshot(&code).await, request(&input)).await;
    let outcome = report.outcome.unwrap();
    assert_eq!(outcome.kind(), OutcomeKind::Block);
    assert_eq!(json!(outcome.state), input);
    let report = ENGINE
        .run(&snapshot(&format!("{poison}\nexport async function execute() {{ throw 7 }}")).await, request(&input))
        .await;
    assert_eq!(report.outcome.unwrap_err().message, "threw 7, which is no Error");
    let report = ENGINE
        .run(&snapshot(&format!("{poison}\nexport async function execute() {{ null.x }}")).await, request(&input))
        .await;
    assert_eq!(report.outcome.unwrap_err().line, Some(17));
}

#[tokio::test]
async fn a_replaced_promise_does_not_settle_a_run() {
    let code = "globalThis.Promise = class { static resolve() { return 1 } then() {} };
                Object.getPrototypeOf((async () => {})()).then = () => { throw new Error('stolen') };
                export async function execute() { await null; return { kind: 'block' } }";
    assert_eq!(outcome(code).await.kind(), OutcomeKind::Block);
}

#[tokio::test]
async fn there_is_nothing_of_the_host_to_reach() {
    for name in
        ["process", "require", "Deno", "std", "os", "scriptArgs", "print", "native", "web", "__hostSync", "WebAssembly"]
    {
        assert_eq!(value(&format!("typeof globalThis[{name:?}]")).await, "undefined", "{name}");
    }
    for code in [
        "await import('fs')",
        "await import('./src/index.ts')",
        "await import('https://example.com/x.js')",
        "await import(':web/core.js')",
    ] {
        let failure = body_failure(code).await;
        assert_eq!(failure.reason, FailureReason::Threw, "{code}");
        assert!(failure.message.contains("no such module in the bundle"), "{code}: {}", failure.message);
    }
    for code in ["await fetch('https://example.com/')", "secrets.get('KEY')", "await kv.get('key')"] {
        assert_eq!(body_failure(code).await.reason, FailureReason::CapabilityDenied, "{code}");
    }
}

#[tokio::test]
async fn shared_memory_and_weak_references_are_harmless() {
    let code = "typeof SharedArrayBuffer === 'undefined' ? 0 : new SharedArrayBuffer(16).byteLength";
    assert!(value(code).await.is_number());
    let wait =
        body_failure("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); return { kind: 'continue' }").await;
    assert_eq!(wait.reason, FailureReason::Threw, "{wait:?}");
    let code = "const registry = new FinalizationRegistry(() => { for (;;) {} });
                export function execute() { for (let i = 0; i < 100; i++) registry.register({}, i); return { kind: 'continue' } }";
    // The callbacks run after execute, as jobs, or never; either way within the limits.
    let ended = report(code).await.outcome.map_err(|f| f.reason);
    assert!(matches!(ended, Ok(_) | Err(FailureReason::CpuLimit)), "{ended:?}");
}

#[tokio::test]
async fn hashes_and_the_language_work_as_usual() {
    assert_eq!(value("[...new Set([3, 1, 3])].map((x) => x ** 2).toSorted()").await, json!([1, 9]));
    assert_eq!(
        value("Object.groupBy([1, 2, 3], (n) => n % 2 ? 'odd' : 'even')").await,
        json!({"odd": [1, 3], "even": [2]})
    );
    assert_eq!(value("/(?<year>\\d{4})/u.exec('in 2026').groups.year").await, "2026");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_are_served_while_runaways_run() {
    let good = snapshot("export async function execute() { return { kind: 'continue' } }").await;
    let bad = snapshot("export async function execute() { for (;;) {} }").await;
    let limits = sluice_model::Limits { cpu_ms: 1_000, wall_ms: 5_000 };
    let runaways: Vec<_> = (0..8)
        .map(|_| {
            let bad = bad.clone();
            tokio::spawn(async move { ENGINE.run(&bad, RunRequest { limits, ..request(&json!({})) }).await })
        })
        .collect();
    // A runaway leaves its worker after two ticks; from then on they are all in the slow lane.
    let started = Instant::now();
    let mut served = 0;
    while !runaways.iter().all(|task| task.is_finished()) {
        let report = ENGINE.run(&good, request(&json!({}))).await;
        assert!(report.outcome.is_ok());
        served += 1;
        tokio::task::yield_now().await;
    }
    assert!(served > 500, "{served} neighbours in {:?}", started.elapsed());
    for task in runaways {
        let reason = task.await.unwrap().outcome.unwrap_err().reason;
        assert!(matches!(reason, FailureReason::CpuLimit | FailureReason::WallLimit), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_waits_for_gives_its_slot_back() {
    let options = sluice_sandbox::EngineOptions {
        cache_dir: Some(cache_dir()),
        max_runs_in_flight: 1,
        slow_threads: 1,
        ..sluice_sandbox::EngineOptions::default()
    };
    let engine = sluice_sandbox::Engine::new(options).unwrap();
    let bad = std::sync::Arc::new(engine.snapshot(&bundle("export function execute() { for (;;) {} }")).await.unwrap());
    let good = std::sync::Arc::new(
        engine.snapshot(&bundle("export function execute() { return { kind: 'continue' } }")).await.unwrap(),
    );
    let limits = sluice_model::Limits { cpu_ms: 1_000, wall_ms: 5_000 };
    let forever = RunRequest { limits, ..request(&json!({})) };
    // Taking the slot, then giving up before the run's own limits.
    let given_up = tokio::time::timeout(Duration::from_millis(30), engine.run(&bad, forever.clone())).await;
    assert!(given_up.is_err());
    let started = Instant::now();
    let report = engine.run(&good, RunRequest { limits, ..request(&json!({})) }).await;
    assert!(report.outcome.is_ok(), "{report:?}");
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    // While the one slot is taken, a run with less patience ends as unavailable.
    let (engine2, bad2) = (engine.clone(), bad.clone());
    let busy = tokio::spawn(async move { engine2.run(&bad2, forever).await });
    while !busy.is_finished() {
        let impatient = sluice_model::Limits { cpu_ms: 50, wall_ms: 1 };
        let report = engine.run(&good, RunRequest { limits: impatient, ..request(&json!({})) }).await;
        if report.outcome.as_ref().is_err_and(|f| f.reason == FailureReason::Unavailable) {
            busy.abort();
            return;
        }
        tokio::task::yield_now().await;
    }
    unreachable!("the slot was never taken: {:?}", busy.await);
}
