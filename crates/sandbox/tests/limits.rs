//! Every limit, and every way to run into it: each ends with its own reason, and the engine goes on serving.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_model::{FailureReason, Limits};
use sluice_sandbox::RunRequest;
use std::time::{Duration, Instant};
use support::*;

async fn reason(code: &str) -> FailureReason {
    body_failure(code).await.reason
}

#[tokio::test]
async fn an_endless_loop_ends_as_cpu_limit_with_its_function() {
    // Sure is the function; the engine notes lines only where it may throw, so a loop counts as what comes before it.
    let failure =
        failure("function spin(n) {\n  n.x;\n  while (true) { n++ }\n}\nexport function execute() {\n  spin(0)\n}")
            .await;
    assert_eq!(failure.reason, FailureReason::CpuLimit);
    assert_eq!(failure.message, "used more than 50 ms of CPU time");
    assert_eq!((failure.file.as_deref(), failure.line), (Some("src/index.ts"), Some(2)), "{failure:?}");
    let stack = failure.stack.unwrap();
    assert!(
        stack.starts_with("at spin (src/index.ts:2:") && stack.contains("\nat execute (src/index.ts:6:"),
        "{stack}"
    );
}

#[tokio::test]
async fn a_loop_that_catches_everything_ends_all_the_same() {
    let code = "for (;;) { try { for (;;) {} } catch { } finally { for (;;) {} } }";
    assert_eq!(reason(code).await, FailureReason::CpuLimit);
}

#[tokio::test]
async fn endless_microtasks_end_as_cpu_limit() {
    assert_eq!(
        reason("const again = () => Promise.resolve().then(again); await again()").await,
        FailureReason::CpuLimit
    );
    assert_eq!(reason("for (;;) await null").await, FailureReason::CpuLimit);
    assert_eq!(
        reason("const f = () => queueMicrotask(f); f(); await new Promise(() => {})").await,
        FailureReason::CpuLimit
    );
}

#[tokio::test]
async fn catastrophic_regular_expressions_end_as_cpu_limit() {
    assert_eq!(reason("/^(a+)+$/.test('a'.repeat(40) + 'b')").await, FailureReason::CpuLimit);
}

#[tokio::test]
async fn long_calls_into_the_engine_itself_end_as_cpu_limit() {
    assert_eq!(reason("const a = Array(3e6).fill('x'); for (;;) a.join('').split('')").await, FailureReason::CpuLimit);
    assert_eq!(
        reason("const a = []; a.length = 2 ** 32 - 1; a.sort(); a.reverse(); a.indexOf(1)").await,
        FailureReason::CpuLimit
    );
    assert_eq!(reason("let n = 3n; for (;;) n = n * n").await, FailureReason::CpuLimit);
}

#[tokio::test]
async fn getters_proxies_and_to_json_stay_within_the_limits() {
    for returned in [
        "{ kind: 'continue', get state() { for (;;) {} } }",
        "new Proxy({}, { ownKeys() { for (;;) {} } })",
        "new Proxy([], { get() { for (;;) {} } })",
        "{ kind: 'continue', state: { toJSON() { for (;;) {} } } }",
        "{ then() { for (;;) {} } }",
        "{ get then() { for (;;) {} } }",
    ] {
        assert_eq!(reason(&format!("return {returned}")).await, FailureReason::CpuLimit, "{returned}");
    }
    let thrown = "const e = new Error('x'); Object.defineProperty(e, 'message', { get() { for (;;) {} } }); throw e";
    assert_eq!(reason(thrown).await, FailureReason::CpuLimit);
}

#[tokio::test]
async fn the_cpu_limit_is_the_requests_own() {
    let snapshot = snapshot("export function execute() { for (;;) {} }").await;
    let limits = Limits { cpu_ms: 5, wall_ms: 5_000 };
    let report = ENGINE.run(&snapshot, RunRequest { limits, ..request(&json!({})) }).await;
    assert_eq!(report.outcome.unwrap_err().message, "used more than 5 ms of CPU time");
    assert!((5_000..50_000).contains(&report.cpu_us), "{} us", report.cpu_us);
}

#[tokio::test]
async fn a_run_that_is_slow_by_the_clock_ends_as_wall_limit() {
    let snapshot = snapshot("export function execute() { for (;;) {} }").await;
    let limits = Limits { cpu_ms: 1_000, wall_ms: 20 };
    let started = Instant::now();
    let report = ENGINE.run(&snapshot, RunRequest { limits, ..request(&json!({})) }).await;
    let failure = report.outcome.unwrap_err();
    assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::WallLimit, "took longer than 20 ms"));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn memory_bombs_end_as_memory_limit() {
    let big = Limits { cpu_ms: 1_000, wall_ms: 5_000 };
    for code in [
        "const a = []; for (;;) a.push(new Array(1000).fill(1.5))",
        "const a = []; for (let i = 0; ; i++) a.push(String(i).padEnd(1000, '-'))",
        "const a = []; for (;;) a.push(new Uint8Array(1 << 20))",
        "return new ArrayBuffer(1e9)",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, { i })",
        "const o = {}; for (let i = 0; ; i++) o['k' + i] = i",
        "'x'.repeat(1 << 29).replace(/x/g, 'yy')",
        "const a = []; const push = async () => { for (;;) { a.push({}); if (a.length % 64 === 0) await null } }; await push()",
    ] {
        let snapshot = snapshot(&format!("export async function execute() {{ {code} }}")).await;
        let report = ENGINE.run(&snapshot, RunRequest { limits: big, ..request(&json!({})) }).await;
        let failure = report.outcome.unwrap_err();
        assert_eq!(failure.reason, FailureReason::MemoryLimit, "{code}: {failure:?}");
        assert_eq!(failure.message, "asked for more than 64 MiB of memory");
    }
}

#[tokio::test]
async fn who_catches_that_memory_is_out_may_go_on() {
    let report = body("try { new ArrayBuffer(1e9) } catch { } return { kind: 'block' }").await;
    assert_eq!(report.outcome.unwrap().kind().as_str(), "block");
    let failure = body_failure("try { new ArrayBuffer(1e9) } catch { } throw new Error('mine')").await;
    assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::Threw, "Error: mine"));
}

#[tokio::test]
async fn endless_recursion_throws_a_range_error_in_every_form() {
    for code in [
        "const f = () => f(); f()",
        "const f = async () => await f(); await f()",
        "const o = { get x() { return this.x } }; o.x",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x",
        "const f = () => [1].map(f); f()",
        "const f = () => 'x'.replace(/x/, f); f()",
        "const f = () => JSON.stringify({ toJSON: f }); f()",
        "const f = () => [2, 1].sort(f); f()",
        "const f = () => Reflect.apply(f, null, []); f()",
        "class A { constructor() { new A() } } new A()",
        "const o = { toString() { return `${o}` } }; `${o}`",
        "function* g() { yield* g() } [...g()]",
        "const f = (...a) => f(...a, 1); f()",
        "const e = () => eval('e()'); e()",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)",
        "JSON.parse('['.repeat(1e5))",
        "new Function('('.repeat(1e5))",
        "new RegExp('('.repeat(1e5))",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity)",
    ] {
        let snapshot = snapshot(&format!("export async function execute() {{ {code} }}")).await;
        let limits = Limits { cpu_ms: 1_000, wall_ms: 5_000 };
        let report = ENGINE.run(&snapshot, RunRequest { limits, ..request(&json!({})) }).await;
        let Err(failure) = report.outcome else { continue };
        eprintln!("{:7} us {:?} {:?} {code}", report.cpu_us, failure.reason, failure.stack.as_deref().map(str::len));
        assert_eq!(failure.reason, FailureReason::Threw, "{code}: {failure:?}");
        let known = ["RangeError", "SyntaxError", "InternalError"].iter().any(|name| failure.message.starts_with(name));
        assert!(known, "{code}: {}", failure.message);
    }
    let failure = body_failure("const f = () => f();\nf()").await;
    assert_eq!(failure.message, "RangeError: Maximum call stack size exceeded");
    assert_eq!(failure.line, Some(1));
}

#[tokio::test]
async fn recursion_through_what_is_returned_ends_too() {
    let failure = body_failure("const o = { get state() { return o.state } }; return o").await;
    assert_eq!(failure.reason, FailureReason::Threw);
    let (pointer, _) = invalid("{ kind: 'continue', state: { toJSON() { return { a: this } } } }").await;
    assert!(pointer.starts_with("/state/a/a/a"), "{pointer}");
}

#[tokio::test]
async fn a_promise_that_nothing_can_settle_ends_as_never_settled() {
    for code in ["await new Promise(() => {})", "return { then() {} }", "return new Promise(() => {})"] {
        let failure = body_failure(code).await;
        assert_eq!(failure.reason, FailureReason::NeverSettled, "{code}");
        assert_eq!(failure.message, "waits for a promise that nothing is left to settle");
    }
}

#[tokio::test]
async fn a_log_is_cut_at_16_kib_with_a_mark() {
    let report =
        body("for (let i = 0; i < 2000; i++) console.log('line ' + i + ' '.repeat(20)); return { kind: 'continue' }")
            .await;
    assert!(report.outcome.is_ok());
    let bytes: usize = report.logs.iter().map(|line| line.text.len()).sum();
    assert!((15 << 10..=16 << 10).contains(&bytes), "{bytes}");
    assert!(report.logs.last().unwrap().text.ends_with("(cut: a run may log 16 KiB)"));
    let report = body("console.log('ä'.repeat(1e5)); console.log('lost'); return { kind: 'continue' }").await;
    assert_eq!(report.logs.len(), 1);
    assert!(report.logs[0].text.len() <= 16 << 10);
}

#[tokio::test]
async fn empty_lines_cannot_fill_the_hosts_memory() {
    let report = body("for (let i = 0; i < 1e5; i++) console.log(); return { kind: 'continue' }").await;
    assert!(report.logs.len() <= 16 << 10);
}

#[tokio::test]
async fn a_top_level_has_the_limits_of_publishing() {
    assert_eq!(refused("for (;;) {}").await.reason, FailureReason::CpuLimit);
    assert_eq!(
        refused("const a = []; for (;;) a.push(new Uint8Array(1 << 20))").await.reason,
        FailureReason::MemoryLimit
    );
    assert_eq!(refused("await new Promise(() => {})").await.reason, FailureReason::NeverSettled);
    let kept = refused("globalThis.a = new Uint8Array(20 << 20).fill(1); export function execute() {}").await;
    assert_eq!(kept.reason, FailureReason::MemoryLimit);
    assert!(kept.message.starts_with("the top level leaves 20 MiB"), "{}", kept.message);
}

#[tokio::test]
async fn a_bundle_of_more_than_1_mib_is_refused() {
    let failure = refused(&format!("// {}\nexport function execute() {{}}", "x".repeat(1 << 20))).await;
    assert_eq!(failure.reason, FailureReason::MemoryLimit);
}
