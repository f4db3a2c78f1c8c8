//! What may come out of a run, and what is refused with a pointer: nothing is lost in silence.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_model::{FailureReason, OutcomeKind};
use support::*;

async fn refused_at(returned: &str, pointer: &str, message: &str) {
    let (at, said) = invalid(returned).await;
    assert_eq!(at, pointer, "{returned}: {said}");
    assert!(said.contains(message), "{returned}: {said}");
}

/// As [`refused_at`], for a value inside the state.
async fn value_refused(expression: &str, message: &str) {
    refused_at(&format!("{{ kind: 'continue', state: {{ v: {expression} }} }}"), "/state/v", message).await;
}

#[tokio::test]
async fn every_kind_comes_out() {
    for (returned, kind) in [
        ("{ kind: 'continue' }", OutcomeKind::Continue),
        ("{ kind: 'block', user_message: 'No.', retry_after_s: 60 }", OutcomeKind::Block),
        ("{ kind: 'demand_mfa', factors: ['otp'] }", OutcomeKind::DemandMfa),
        ("{ kind: 'redirect', url: 'https://example.com/terms' }", OutcomeKind::Redirect),
    ] {
        let outcome = outcome(&format!("export function execute() {{ return {returned} }}")).await;
        assert_eq!(outcome.kind(), kind, "{returned}");
    }
}

#[tokio::test]
async fn execute_may_be_synchronous_async_or_thenable() {
    for code in [
        "export function execute() { return { kind: 'block' } }",
        "export async function execute() { return { kind: 'block' } }",
        "export const execute = async () => { await null; return { kind: 'block' } }",
        "export function execute() { return { then(resolve) { resolve({ kind: 'block' }) } } }",
        "export function execute() { return Promise.resolve().then(() => ({ kind: 'block' })) }",
        "async function execute() { return { kind: 'block' } } export { execute }",
    ] {
        assert_eq!(outcome(code).await.kind(), OutcomeKind::Block, "{code}");
    }
}

#[tokio::test]
async fn what_is_no_outcome_is_never_taken_as_continue() {
    refused_at("undefined", "", "got undefined").await;
    refused_at("null", "", "got null").await;
    refused_at("'continue'", "", "got a string").await;
    refused_at("42", "", "got a number").await;
    refused_at("[]", "", "got an array").await;
    refused_at("{}", "", "\"kind\" is missing").await;
    refused_at("{ kind: 'allow' }", "/kind", "continue, block, demand_mfa, redirect").await;
    refused_at("{ kind: 'continue', claim: [] }", "/claim", "unknown key").await;
    refused_at("{ kind: 'redirect' }", "", "\"url\" is missing").await;
    refused_at("{ kind: 'block', retry_after_s: '60' }", "/retry_after_s", "a whole number").await;
    refused_at("() => ({ kind: 'continue' })", "", "a function").await;
    refused_at("Symbol('continue')", "", "a symbol").await;
}

#[tokio::test]
async fn numbers_that_are_not_finite_are_refused() {
    value_refused("NaN", "got NaN").await;
    value_refused("Infinity", "got Infinity").await;
    value_refused("-1 / 0", "got -Infinity").await;
    refused_at("{ kind: 'continue', state: { a: [1, 2, 0 / 0] } }", "/state/a/2", "NaN").await;
}

#[tokio::test]
async fn what_json_would_drop_or_flatten_is_refused() {
    value_refused("() => 1", "a function").await;
    value_refused("class {}", "a function").await;
    value_refused("Symbol()", "a symbol").await;
    value_refused("10n", "a BigInt").await;
    value_refused("new Map([[1, 2]])", "an instance of Map").await;
    value_refused("new Set([1])", "an instance of Set").await;
    value_refused("new WeakMap()", "an instance of WeakMap").await;
    value_refused("new WeakRef({})", "an instance of WeakRef").await;
    value_refused("/x/", "an instance of RegExp").await;
    value_refused("new Error('x')", "an instance of Error").await;
    value_refused("new Uint8Array(2)", "an instance of Uint8Array").await;
    value_refused("new ArrayBuffer(2)", "an instance of ArrayBuffer").await;
    value_refused("Promise.resolve(1)", "an instance of Promise").await;
    value_refused("new Proxy(new Map(), {})", "an instance of Map").await;
    value_refused("new Date(NaN)", "an invalid date").await;
    refused_at("{ kind: 'continue', state: { a: [1, , 3] } }", "/state/a/1", "undefined").await;
    refused_at("{ kind: 'continue', state: { a: [undefined] } }", "/state/a/0", "undefined").await;
}

#[tokio::test]
async fn cycles_and_depth_are_refused() {
    refused_at(
        "(() => { const o = { kind: 'continue', state: {} }; o.state.o = o; return o })()",
        "/state/o",
        "a cycle",
    )
    .await;
    refused_at(
        "(() => { const a = []; a[0] = a; return { kind: 'continue', state: { a } } })()",
        "/state/a/0",
        "a cycle",
    )
    .await;
    let deep = "(() => { let v = 1; for (let i = 0; i < 200; i++) v = { d: v }; return { kind: 'continue', state: { v } } })()";
    let (pointer, message) = invalid(deep).await;
    assert_eq!(pointer, format!("/state/v{}", "/d".repeat(126)));
    assert!(message.contains("nested more than 128 deep"), "{message}");
    // The same object twice, side by side, is no cycle.
    assert_eq!(value("(() => { const o = { a: 1 }; return [o, o] })()").await, json!([{"a": 1}, {"a": 1}]));
}

#[tokio::test]
async fn half_surrogates_are_refused_and_whole_ones_come_out() {
    value_refused("'a\\ud800b'", "half of a surrogate pair").await;
    refused_at("{ kind: 'continue', state: { ['\\udc00']: 1 } }", "/state/\u{fffd}\u{fffd}\u{fffd}", "surrogate").await;
    assert_eq!(value("'\\ud83d\\ude00 \\u0000 é \\u2028'").await, json!("😀 \u{0} é \u{2028}"));
}

#[tokio::test]
async fn more_than_64_kib_of_json_is_refused_where_it_is() {
    refused_at("{ kind: 'continue', annotations: { a: 'x'.repeat(70000) } }", "/annotations/a", "larger than 64 KiB")
        .await;
    refused_at("{ kind: 'continue', annotations: { a: 'x'.repeat(1e6) } }", "/annotations/a", "larger than 64 KiB")
        .await;
    refused_at(
        "{ kind: 'continue', annotations: { a: '\\u0001'.repeat(11000) } }",
        "/annotations/a",
        "larger than 64 KiB",
    )
    .await;
    let (pointer, _) = invalid(
        "{ kind: 'continue', annotations: Object.fromEntries(Array.from({ length: 9000 }, (_, i) => ['k' + i, i])) }",
    )
    .await;
    assert!(pointer.starts_with("/annotations/k"), "{pointer}");
    let (pointer, _) = invalid("{ kind: 'continue', emit: Array(4e6) }").await;
    assert_eq!(pointer, "/emit");
}

#[tokio::test]
async fn exactly_64_kib_of_json_come_out() {
    let empty = r#"{"kind":"continue","annotations":{"a":""}}"#.len();
    let fits = (64 << 10) - empty;
    let code = |len| {
        format!(
            "export function execute() {{ return {{ kind: 'continue', annotations: {{ a: 'x'.repeat({len}) }} }} }}"
        )
    };
    assert_eq!(outcome(&code(fits)).await.annotations["a"].as_str().unwrap().len(), fits);
    let failure = failure(&code(fits + 1)).await;
    assert_eq!(failure.reason, FailureReason::InvalidOutcome);
}

#[tokio::test]
async fn json_semantics_hold_where_json_loses_nothing() {
    assert_eq!(value("({ a: undefined, b: null, c: true })").await, json!({"b": null, "c": true}));
    assert_eq!(value("new Date(0)").await, json!("1970-01-01T00:00:00.000Z"));
    assert_eq!(value("({ toJSON(key) { return key + '!' } })").await, json!("v!"));
    assert_eq!(value("[{ toJSON(key) { return key + '!' } }]").await, json!(["0!"]));
    assert_eq!(value("[Object(1), Object('x'), Object(false)]").await, json!([1, "x", false]));
    assert_eq!(value("new (class { a = 1; #b = 2; get c() { return 3 } })").await, json!({"a": 1}));
    assert_eq!(value("(function () { return arguments })(1, 'x')").await, json!({"0": 1, "1": "x"}));
    assert_eq!(
        value("Object.create({ inherited: 1 }, { hidden: { value: 1 }, shown: { value: 2, enumerable: true } })").await,
        json!({"shown": 2})
    );
    assert_eq!(value("Object.assign(Object.create(null), { a: 1 })").await, json!({"a": 1}));
    assert_eq!(
        value("new Proxy({ a: 1 }, { get: (t, k) => k === 'toJSON' ? undefined : 'p' })").await,
        json!({"a": "p"})
    );
    assert_eq!(value("new Proxy([1, 2], {})").await, json!([1, 2]));
    assert_eq!(value("JSON.parse('{\"__proto__\": {\"a\": 1}}')").await, json!({"__proto__": {"a": 1}}));
    assert_eq!(
        value("[5.0, 1e21, 0.1, -3, 2 ** 53, 1e300]").await.to_string(),
        "[5,1e+21,0.1,-3,9007199254740992,1e+300]"
    );
}

#[tokio::test]
async fn what_throws_on_the_way_out_is_threw() {
    for returned in [
        "{ kind: 'continue', get state() { throw new TypeError('mine') } }",
        "{ kind: 'continue', state: { toJSON() { throw new TypeError('mine') } } }",
        "new Proxy({}, { ownKeys() { throw new TypeError('mine') } })",
        "new Proxy({}, { get() { throw new TypeError('mine') } })",
        "{ get then() { throw new TypeError('mine') } }",
        "{ then() { throw new TypeError('mine') } }",
    ] {
        let failure = body_failure(&format!("return {returned}")).await;
        assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::Threw, "TypeError: mine"), "{returned}");
    }
    let revoked = body_failure("const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy").await;
    assert_eq!(revoked.reason, FailureReason::Threw);
}

#[tokio::test]
async fn errors_name_their_place_and_stack() {
    let code = "function check(user) {\n  return user.name.length\n}\nexport async function execute(input) {\n  return check(input.user)\n}";
    let failure = failure(code).await;
    assert_eq!(failure.reason, FailureReason::Threw);
    assert_eq!(failure.message, "TypeError: cannot read property 'name' of undefined");
    assert_eq!((failure.file.as_deref(), failure.line), (Some("src/index.ts"), Some(2)));
    let stack = failure.stack.unwrap();
    assert!(
        stack.starts_with("at check (src/index.ts:2:") && stack.contains("\nat execute (src/index.ts:5:"),
        "{stack}"
    );
}

#[tokio::test]
async fn what_is_thrown_without_being_an_error_is_shown_by_its_json() {
    for (thrown, shown) in [
        ("'nope'", "threw \"nope\", which is no Error"),
        ("{ code: 7 }", "threw {\"code\":7}, which is no Error"),
        ("null", "threw null, which is no Error"),
        ("undefined", "threw undefined, which is no Error"),
        ("7n", "threw 7n, which is no Error"),
        ("() => 1", "threw [Function (anonymous)], which is no Error"),
        ("new Error('')", "Error"),
        ("Object.assign(new Error('x'), { name: '', message: 5 })", "threw an Error without a message"),
        ("new (class Denied extends Error { name = 'Denied' })('by policy')", "Denied: by policy"),
    ] {
        let failure = body_failure(&format!("throw {thrown}")).await;
        assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::Threw, shown), "{thrown}");
        let failure = body_failure(&format!("return Promise.reject({thrown})")).await;
        assert_eq!(failure.message, shown, "{thrown}");
    }
}
