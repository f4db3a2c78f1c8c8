//! The guest reads and writes the golden vectors exactly as the host does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use sluice_sandbox::EncodedInput;
use support::*;

const VECTORS: &str = include_str!("vectors/values.tsv");

fn vectors() -> impl Iterator<Item = (&'static str, Value)> {
    VECTORS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut columns = line.split('\t');
        (columns.next().unwrap(), serde_json::from_str(columns.next().unwrap()).unwrap())
    })
}

#[tokio::test]
async fn an_action_that_returns_what_it_got_returns_the_vectors() {
    let snapshot =
        snapshot("export function execute(input) { return { kind: 'continue', state: { v: input } } }").await;
    for (name, value) in vectors() {
        let outcome = match ENGINE.run(&snapshot, request(&value)).await.outcome {
            Ok(outcome) => outcome,
            // It has crossed; only the rules of the state are stricter.
            Err(failure) if name == "120 deep" && failure.message.contains("nested more than 24 deep") => continue,
            Err(failure) => panic!("{name}: {failure:?}"),
        };
        // The same bytes, hence the same value: that of the host's encoder is held by the vectors.
        let again = EncodedInput::from_json(&outcome.state["v"]).unwrap();
        assert_eq!(again, EncodedInput::from_json(&value).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn an_action_sees_what_json_parse_would_give() {
    let code = "export function execute({ text, value }) {
        const same = (a, b) => Object.is(a, b) || (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null
            && Array.isArray(a) === Array.isArray(b) && Object.getPrototypeOf(a) === Object.getPrototypeOf(b)
            && Object.keys(a).sort().join() === Object.keys(b).sort().join() && Object.keys(a).every((k) => same(a[k], b[k])));
        return { kind: 'continue', annotations: { same: same(value, JSON.parse(text)) } };
    }";
    let snapshot = snapshot(code).await;
    for (name, value) in vectors() {
        let input = json!({"text": value.to_string(), "value": value});
        let outcome = ENGINE.run(&snapshot, request(&input)).await.outcome.unwrap();
        assert_eq!(outcome.annotations["same"], json!(true), "{name}");
    }
}

#[tokio::test]
async fn inputs_of_any_size_cross() {
    let snapshot = snapshot("export function execute(input) { return { kind: 'continue', annotations: { n: input.items.length, last: input.items.at(-1) } } }").await;
    for count in [0, 1, 63, 64, 65, 5_000, 70_000, 300_000] {
        let items: Vec<_> = (0..count).collect();
        let report = ENGINE.run(&snapshot, request(&json!({"items": items}))).await;
        let outcome = report.outcome.unwrap();
        assert_eq!(outcome.annotations["n"], json!(count));
        assert_eq!(outcome.annotations.get("last"), items.last().map(|n| json!(n)).as_ref());
    }
}

#[tokio::test]
async fn an_input_is_the_actions_own_to_change() {
    let code = "export function execute(input) { input.user.email = 'x'; input.user.new = 1; delete input.list; return { kind: 'continue', state: input } }";
    let report = ENGINE.run(&snapshot(code).await, request(&json!({"user": {"email": "a"}, "list": [1]}))).await;
    assert_eq!(json!(report.outcome.unwrap().state), json!({"user": {"email": "x", "new": 1}}));
}
