//! What an Action finds around it: modules, console, clock and random numbers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_model::{FailureReason, LogLevel};
use sluice_sandbox::RunRequest;
use std::sync::Arc;
use support::*;

async fn logged(body_code: &str) -> Vec<String> {
    let report = body(&format!("{body_code}; return {{ kind: 'continue' }}")).await;
    assert!(report.outcome.is_ok(), "{body_code}: {:?}", report.outcome);
    report.logs.into_iter().map(|line| line.text).collect()
}

#[tokio::test]
async fn modules_import_each_other_by_exact_path() {
    let bundle = bundle_of(&[
        (
            "src/index.ts",
            "import { kind } from 'src/kinds/default.ts'; export { execute } from 'src/run.ts'; export const k = kind;",
        ),
        (
            "src/run.ts",
            "import * as all from 'src/kinds/default.ts'; export function execute() { return { kind: all.kind } }",
        ),
        ("src/kinds/default.ts", "export const kind = 'block';"),
    ]);
    let snapshot = Arc::new(ENGINE.snapshot(&bundle).await.unwrap());
    let report = ENGINE.run(&snapshot, request(&json!({}))).await;
    assert_eq!(report.outcome.unwrap().kind().as_str(), "block");
}

#[tokio::test]
async fn modules_that_import_each_other_are_loaded_once() {
    let bundle = bundle_of(&[
        ("src/index.ts", "import { both } from 'src/b.ts'; export const a = 1; export const execute = () => both();"),
        (
            "src/b.ts",
            "import { a } from 'src/index.ts'; export const both = () => ({ kind: a === 1 ? 'continue' : 'block' });",
        ),
        ("src/unused.ts", "this is no JavaScript"),
    ]);
    let snapshot = Arc::new(ENGINE.snapshot(&bundle).await.unwrap());
    let report = ENGINE.run(&snapshot, request(&json!({}))).await;
    assert_eq!(report.outcome.unwrap().kind().as_str(), "continue");
}

/// It would be in every snapshot, once for each function around it, and be copied for each run.
#[tokio::test]
async fn the_text_of_a_function_is_not_kept() {
    let code = |filler: &str| {
        let code = format!(
            "export function execute() {{ /* {filler} */ return {{ kind: 'continue', annotations: {{ text: String(execute) }} }} }}"
        );
        bundle_of(&[("src/index.ts", code.as_str())])
    };
    let short = Arc::new(ENGINE.snapshot(&code("")).await.unwrap());
    let long = ENGINE.snapshot(&code(&"filler ".repeat(10_000))).await.unwrap();
    assert!(long.memory_bytes() < short.memory_bytes() + 1024, "{} {}", long.memory_bytes(), short.memory_bytes());
    let outcome = ENGINE.run(&short, request(&json!({}))).await.outcome.unwrap();
    let text = json!("function execute() {\n    [native code]\n}");
    assert_eq!(outcome.annotations["text"], text);
}

#[tokio::test]
async fn errors_name_the_module_that_they_are_in() {
    let bundle = bundle_of(&[
        (
            "src/index.ts",
            "import { check } from 'src/check.ts';\nexport async function execute(input) {\n  await null;\n  return check(input);\n}",
        ),
        ("src/check.ts", "export function check(input) {\n\n  throw new Error('no plan');\n}"),
    ]);
    let snapshot = Arc::new(ENGINE.snapshot(&bundle).await.unwrap());
    let failure = ENGINE.run(&snapshot, request(&json!({}))).await.outcome.unwrap_err();
    assert_eq!((failure.file.as_deref(), failure.line), (Some("src/check.ts"), Some(3)));
    assert!(failure.stack.unwrap().contains("\nat execute (src/index.ts:4:"));
}

#[tokio::test]
async fn a_bad_top_level_is_refused_with_its_place() {
    let syntax = refused("export function execute() {\n  return {;\n}").await;
    assert_eq!((syntax.reason, syntax.line), (FailureReason::Threw, Some(2)), "{syntax:?}");
    assert!(syntax.message.starts_with("SyntaxError: "), "{}", syntax.message);
    let threw = refused("const a = 1;\nnull.x;\nexport function execute() {}").await;
    assert_eq!((threw.line, threw.message.as_str()), (Some(2), "TypeError: cannot read property 'x' of null"));
    let threw = refused("await null; throw new Error('late')").await;
    assert_eq!(threw.message, "Error: late");
    for code in
        ["export const run = 1", "export const execute = { kind: 'continue' }", "export default function execute() {}"]
    {
        let failure = refused(code).await;
        assert_eq!(failure.message, "src/index.ts exports no function named execute", "{code}");
        assert_eq!(failure.file.as_deref(), Some("src/index.ts"));
    }
    let import = refused("import 'src/missing.ts'; export function execute() {}").await;
    assert!(
        import.message.contains("cannot import 'src/missing.ts': no such module in the bundle"),
        "{}",
        import.message
    );
    let early = refused("export { execute }; throw 1; let execute = () => {}").await;
    assert_eq!(early.message, "threw 1, which is no Error");
}

#[tokio::test]
async fn a_bundle_must_hold_its_entry() {
    let mut bundle = bundle("export function execute() {}");
    bundle.entry = "src/main.ts".into();
    let failure = ENGINE.snapshot(&bundle).await.unwrap_err();
    assert!(failure.message.contains("no module \"src/main.ts\""), "{}", failure.message);
}

#[tokio::test]
async fn a_top_level_may_await_what_settles() {
    let code = "const kind = await Promise.resolve('block'); export function execute() { return { kind } }";
    assert_eq!(outcome(code).await.kind().as_str(), "block");
}

#[tokio::test]
async fn the_console_has_levels() {
    let report = body("console.debug(1); console.log(2); console.info(3); console.warn(4); console.error(5); return { kind: 'continue' }").await;
    let logs: Vec<_> = report.logs.iter().map(|line| (line.level, line.text.as_str())).collect();
    use LogLevel::{Debug, Error, Info, Warn};
    assert_eq!(logs, [(Debug, "1"), (Info, "2"), (Info, "3"), (Warn, "4"), (Error, "5")]);
}

#[tokio::test]
async fn the_console_shows_values_as_an_author_expects() {
    for (argument, shown) in [
        ("'a', 'b c', 1.5, true, null, undefined", "a b c 1.5 true null undefined"),
        ("['it', \"it's\", `a\\nb`]", "[ 'it', \"it's\", 'a\\nb' ]"),
        ("{ a: 1, 'b-c': [1, [2, [3, [4]]]] }", "{ a: 1, 'b-c': [ 1, [ 2, [Array] ] ] }"),
        ("[], {}, -0, 10n, Symbol('s')", "[] {} -0 10n Symbol(s)"),
        ("new Map([['a', { b: 1 }]]), new Set([1, 'x'])", "Map(1) { 'a' => { b: 1 } } Set(2) { 1, 'x' }"),
        ("new Map(), new Set()", "Map(0) {} Set(0) {}"),
        ("() => 1, function named() {}, class A {}", "[Function (anonymous)] [Function: named] [Function: A]"),
        ("new Date(0), /a+/gi", "1970-01-01T00:00:00.000Z /a+/gi"),
        ("{ get a() { throw 1 }, set b(v) {} }", "{ a: [Getter], b: [Setter] }"),
        ("(() => { const o = { n: 1 }; o.self = o; return o })()", "{ n: 1, self: [Circular] }"),
        ("Array(102).fill(0).length, [...Array(102).keys()].slice(0, 2)", "102 [ 0, 1 ]"),
    ] {
        assert_eq!(logged(&format!("console.log({argument})")).await, [shown], "{argument}");
    }
    let long = logged("console.log(Array(102).fill(7))").await;
    assert!(long[0].ends_with("7, ... 2 more ]"), "{}", long[0]);
    let error = logged("console.log(new RangeError('too far'))").await;
    assert!(error[0].starts_with("RangeError: too far\n    at execute (src/index.ts:1:"), "{}", error[0]);
}

#[tokio::test]
async fn a_log_survives_a_failure() {
    let report = body("console.log('before'); throw new Error('x')").await;
    assert_eq!(report.logs[0].text, "before");
    let report = body("console.log('before'); for (;;) {}").await;
    assert_eq!(report.outcome.unwrap_err().reason, FailureReason::CpuLimit);
    assert_eq!(report.logs[0].text, "before");
}

#[tokio::test]
async fn rejections_that_nobody_listens_to_are_logged() {
    let logs = logged("Promise.reject(new Error('lost')); Promise.reject(7); Promise.reject(1).catch(() => {})").await;
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert!(logs[0].starts_with("unhandled rejection: Error: lost"), "{logs:?}");
    assert_eq!(logs[1], "unhandled rejection: 7");
    let late = logged("const p = Promise.reject(1); await null; await null; p.catch(() => {})").await;
    assert_eq!(late, Vec::<String>::new());
    let report = body("throw new Error('mine')").await;
    assert!(report.logs.is_empty(), "execute's own promise is no stray: {:?}", report.logs);
    let logs = logged("queueMicrotask(() => { throw new Error('stray') }); await null").await;
    assert!(logs[0].starts_with("uncaught in a microtask: Error: stray"), "{logs:?}");
}

#[tokio::test]
async fn a_top_levels_log_is_kept_apart() {
    let snapshot =
        snapshot("console.warn('at publish'); export function execute() { return { kind: 'continue' } }").await;
    assert_eq!(snapshot.logs()[0].text, "at publish");
    assert!(ENGINE.run(&snapshot, request(&json!({}))).await.logs.is_empty());
}

#[tokio::test]
async fn the_clock_and_random_numbers_are_live_in_a_run_and_constant_at_the_top_level() {
    let code = "const then = Date.now(), dice = [Math.random(), Math.random()], stamp = new Date().toISOString();
                export function execute() { return { kind: 'continue', state: { then, dice, stamp, now: Date.now(), a: Math.random(), b: Math.random() } } }";
    let snapshot = snapshot(code).await;
    let before = jiff::Timestamp::now().as_millisecond();
    let one = ENGINE.run(&snapshot, request(&json!({}))).await.outcome.unwrap().state;
    let two = ENGINE.run(&snapshot, request(&json!({}))).await.outcome.unwrap().state;
    assert_eq!(one["then"], json!(1_767_225_600_000_i64));
    assert_eq!((&one["stamp"], &one["dice"]), (&json!("2026-01-01T00:00:00.000Z"), &json!([0.5, 0.5])));
    assert!((before..before + 60_000).contains(&one["now"].as_i64().unwrap()));
    let rolls = [&one["a"], &one["b"], &two["a"], &two["b"]].map(|v| v.as_f64().unwrap());
    assert!(rolls.iter().all(|roll| (0.0..1.0).contains(roll)), "{rolls:?}");
    assert!(rolls.iter().enumerate().all(|(i, roll)| !rolls[..i].contains(roll)), "{rolls:?}");
}

#[tokio::test]
async fn a_request_can_set_the_clock() {
    let now: jiff::Timestamp = "2031-05-06T07:08:09.123Z".parse().unwrap();
    let snapshot = snapshot("export function execute() { return { kind: 'continue', state: { now: new Date().toISOString(), hour: new Date().getHours(), zone: new Date().getTimezoneOffset() } } }").await;
    let report = ENGINE.run(&snapshot, RunRequest { now: Some(now), ..request(&json!({})) }).await;
    assert_eq!(json!(report.outcome.unwrap().state), json!({"now": "2031-05-06T07:08:09.123Z", "hour": 7, "zone": 0}));
}

#[tokio::test]
async fn a_report_says_what_was_used() {
    let report =
        body("let n = 0; for (let i = 0; i < 1e5; i++) n += i; return { kind: 'continue', state: { n } }").await;
    assert!(report.outcome.is_ok());
    assert!(report.cpu_us > 300 && report.wall_us >= 300, "{report:?}");
    assert!((512 << 10..64 << 20).contains(&report.memory_bytes), "{report:?}");
}

#[tokio::test]
async fn the_origin_of_time_stays_as_it_is_where_the_clock_stands_still() {
    let snapshot = snapshot(
        "export async function execute() {
            const first = performance.timeOrigin;
            await new Promise((resolve) => setTimeout(resolve, 20));
            const passed = performance.now();
            return { kind: 'continue', state: { moved: performance.timeOrigin - first, passed, date: Date.now() } };
        }",
    )
    .await;
    let now = "2026-03-05T14:07:09Z".parse().unwrap();
    let outcome = ENGINE.run(&snapshot, RunRequest { now: Some(now), ..request(&json!({})) }).await.outcome.unwrap();
    assert_eq!(outcome.state["moved"], 0);
    assert!(outcome.state["passed"].as_f64().unwrap() >= 20.0);
    assert_eq!(outcome.state["date"], now.as_millisecond());
}
