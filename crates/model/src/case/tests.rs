#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::json;

fn only(text: &str) -> String {
    let found = Case::parse("tests/a.json", text).unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].to_string()
}

#[test]
fn a_case_is_one_run() {
    let text = r#"{"name": "blocks", "trigger": "post-login", "config": {"a": 1}, "secrets": {"K": "v"},
        "http": [{"url": "https://a.example/", "json": 7}, {"method": "POST", "url": "https://a.example/", "failure": "timed_out"}],
        "input": {"user": null}, "now": "2026-01-31T12:00:00Z", "expect": {"outcome": {"kind": "block"}}}"#;
    let cases = Case::parse("tests/a.json", text).unwrap();
    assert_eq!(cases.len(), 1);
    assert_eq!((cases[0].name.as_str(), cases[0].trigger), ("blocks", Trigger::PostLogin));
    assert_eq!(cases[0].config, json!({"a": 1}));
    assert_eq!(cases[0].secrets["K"], "v");
    let methods: Vec<(&str, bool)> = cases[0].http.iter().map(|a| (a.method.as_str(), a.answer.is_ok())).collect();
    assert_eq!(methods, [("GET", true), ("POST", false)]);
    assert_eq!(cases[0].steps.len(), 1);
    assert_eq!(cases[0].steps[0].now, Some("2026-01-31T12:00:00Z".parse().unwrap()));
    assert_eq!(cases[0].steps[0].expect, Expectation::Outcome(json!({"kind": "block"})));
}

#[test]
fn a_case_can_be_a_sequence_and_a_file_a_list() {
    let step = r#"{"input": {}, "expect": {"failure": {"reason": "threw"}}}"#;
    let text = format!(
        r#"[{{"name": "a", "trigger": "pre-login", "steps": [{step}, {step}]}},
        {{"name": "b", "trigger": "pre-login", "input": {{}}, "expect": {{"outcome": {{}}}}}}]"#
    );
    let cases = Case::parse("tests/a.json", &text).unwrap();
    assert_eq!(cases.iter().map(|c| c.steps.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(cases[0].config, json!({}));
}

#[test]
fn mistakes_have_a_place_and_a_pointer() {
    for (text, says) in [
        ("{", "tests/a.json:1:1: error: not JSON: the file ends in the middle of an object"),
        ("7", "tests/a.json:1:1: error: expected an object, got a number"),
        ("{\n \"nam\": 1}", "tests/a.json:2:2: error: /nam: unknown key \"nam\"; did you mean \"name\"?"),
        (r#"{"trigger": "pre-login"}"#, "tests/a.json:1:1: error: \"name\" is missing"),
        (r#"{"name": "", "trigger": "pre-login"}"#, "/name: expected 1 to 200 characters"),
        (r#"{"name": "a", "trigger": "x"}"#, "/trigger: expected one of pre-login"),
        (r#"{"name": "a", "trigger": "pre-login"}"#, "\"input\" is missing (or \"steps\""),
        (r#"{"name": "a", "trigger": "pre-login", "input": {}}"#, "\"expect\" is missing (or \"steps\""),
        (
            r#"{"name": "a", "trigger": "pre-login", "input": 1, "expect": {"outcome": {}}}"#,
            "/input: expected an object",
        ),
        (r#"{"name": "a", "trigger": "pre-login", "input": {}, "expect": {}}"#, "/expect: expected \"outcome\" or"),
        (r#"{"name": "a", "trigger": "pre-login", "steps": []}"#, "/steps: expected 1 to 500 steps"),
        (r#"{"name": "a", "trigger": "pre-login", "steps": [], "input": {}}"#, "/steps: each step has its own"),
        (
            r#"{"name": "a", "trigger": "pre-login", "input": {}, "expect": {"outcome": {"kind": "deny"}}}"#,
            "/expect/outcome/kind: expected one of continue, block",
        ),
        (
            r#"{"name": "a", "trigger": "pre-login", "input": {}, "expect": {"failure": {"reason": "crashed"}}}"#,
            "/expect/failure/reason: expected one of threw",
        ),
        (
            r#"{"name": "a", "trigger": "pre-login", "input": {}, "now": "noon", "expect": {"outcome": {}}}"#,
            "/now: expected an RFC 3339 time",
        ),
        (r#"{"name": "a", "trigger": "pre-login", "secrets": {"K": 1}}"#, "/secrets/K: expected a string"),
        (r#"{"name": "a", "trigger": "pre-login", "http": {}}"#, "/http: expected a list of answers, got an object"),
        (
            r#"{"name": "a", "trigger": "pre-login", "http": [{"url": "https://a.example/", "status": 99}]}"#,
            "/http/0/status: expected a status from 200 to 599",
        ),
    ] {
        let found = only(text);
        assert!(found.contains(says), "{text}: {found}");
    }
}

#[test]
fn each_case_of_a_list_tells_its_own_mistake() {
    let found = Case::parse("tests/a.json", r#"[{}, 1, {"name": 3}]"#).unwrap_err();
    let pointers: Vec<_> = found.iter().map(|d| d.pointer.clone().unwrap()).collect();
    assert_eq!(pointers, ["/0", "/1", "/2/name"]);
}

#[test]
fn what_is_expected_is_a_subset() {
    let got = json!({"kind": "block", "user_message": "no", "claims": [{"name": "a", "value": 1}], "n": 1.0});
    for expected in [
        json!({}),
        json!({"kind": "block"}),
        json!({"claims": [{"name": "a"}]}),
        json!({"n": 1}),
        json!({"absent": null}),
    ] {
        assert_eq!(differences(&expected, &got), [], "{expected}");
    }
    for (expected, says) in [
        (json!({"kind": "continue"}), "/kind: expected \"continue\", got \"block\""),
        (json!({"claims": []}), "/claims: expected [], got [{\"name\":\"a\",\"value\":1}]"),
        (json!({"claims": [{"value": 2}]}), "/claims/0/value: expected 2, got 1"),
        (json!({"a/b": 1}), "/a~1b: expected 1, got nothing"),
        (json!({"kind": null}), "/kind: expected null, got \"block\""),
        (json!([]), ": expected [], got {"),
    ] {
        let found = differences(&expected, &got);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with(says), "{}", found[0]);
    }
}

#[test]
fn a_failure_instead_of_an_outcome_is_shown() {
    let result = json!({"outcome": null, "failure": {"reason": "threw", "message": "boom"}});
    let found = Expectation::Outcome(json!({"kind": "continue"})).differences(&result);
    assert_eq!(
        found[0].to_string(),
        r#"/outcome: expected {"kind":"continue"}, got {"failure":{"message":"boom","reason":"threw"}}"#
    );
    assert_eq!(Expectation::Failure(json!({"reason": "threw"})).differences(&result), []);
    let found = Expectation::Failure(json!({"reason": "cpu_limit"})).differences(&result);
    assert_eq!(found[0].to_string(), r#"/failure/reason: expected "cpu_limit", got "threw""#);
}

#[test]
fn a_long_difference_is_cut() {
    let found = differences(&json!("x".repeat(1000)), &json!(1));
    assert!(found[0].to_string().len() < 300);
}

#[test]
fn a_run_is_pointed_at_in_a_list_in_steps_and_alone() {
    let (alone, steps) = (r#"{"name": "a", "input": {}}"#, r#"{"name": "a", "steps": [{}, {}]}"#);
    assert_eq!(pointer_to_run(alone, 0, 0), "");
    assert_eq!(pointer_to_run(steps, 0, 1), "/steps/1");
    let list = format!("[{alone}, {steps}]");
    assert_eq!((pointer_to_run(&list, 0, 0).as_str(), pointer_to_run(&list, 1, 1).as_str()), ("/0", "/1/steps/1"));
}
