//! The engine has what the types of Actions declare, and nothing else: `tests/types/surface.json`, which is made of them, is held
//! against it in both directions by `tests/types/probe.js`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::*;

const MAIN: &str = "
    import { differences } from 'probe.js';
    import surface from 'surface.js';
    export function execute() {
        return { kind: 'continue', state: { found: differences(surface) } };
    }";

/// A file of the repository.
fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// What differs between the engine and a surface.
async fn differences(surface: &str) -> Vec<String> {
    let surface = format!("export default {surface}");
    let bundle = bundle_of(&[("main.js", MAIN), ("probe.js", &file("tests/types/probe.js")), ("surface.js", &surface)]);
    let snapshot = Arc::new(ENGINE.snapshot(&bundle).await.unwrap());
    let outcome = ENGINE.run(&snapshot, request(&json!({}))).await.outcome.unwrap();
    outcome.state["found"].as_array().unwrap().iter().map(|found| found.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn actions_find_what_is_declared_and_nothing_else() {
    let found = differences(&file("tests/types/surface.json")).await;
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn a_difference_in_either_direction_is_told() {
    let mut surface: serde_json::Value = serde_json::from_str(&file("tests/types/surface.json")).unwrap();
    surface["globals"]["URL"]["members"]["hush"] = json!(0);
    let fetch = surface["globals"].as_object_mut().unwrap().remove("fetch").unwrap();
    surface["globals"]["fetched"] = fetch;
    let expected = [
        "fetch is there and not declared",
        "URL.prototype lacks hush, which is declared",
        "fetched is declared and not there",
    ];
    assert_eq!(differences(&surface.to_string()).await, expected);
}

/// The texts between quotes in what stands between two marks.
fn quoted(text: &str, quote: char, begin: &str, end: &str) -> Vec<String> {
    let (_, rest) = text.split_once(begin).unwrap();
    let (list, _) = rest.split_once(end).unwrap();
    let mut found: Vec<_> = list.split(quote).skip(1).step_by(2).map(str::to_owned).collect();
    found.sort_unstable();
    found
}

/// The scripts refuse a header before the host is asked, and by its name; the host refuses it whatever the scripts do.
#[test]
fn the_scripts_and_the_host_refuse_the_same_headers() {
    let of_scripts = quoted(&file("crates/guest/src/web/fetch.js"), '\'', "FORBIDDEN = new Set([", "]");
    let of_host = quoted(&file("crates/egress/src/outgoing.rs"), '"', "REFUSED_HEADERS: &[&str] = &[", "]");
    assert!(of_host.len() > 5);
    assert_eq!(of_scripts, of_host);
}
