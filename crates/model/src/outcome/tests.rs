//! What is an outcome and what is not, with the pointer to the mistake.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::json;

#[test]
fn valid_outcomes_come_back_as_they_were() {
    for value in [
        json!({"kind": "continue"}),
        json!({"kind": "block"}),
        json!({"kind": "block", "user_message": "é".repeat(256), "error": "risk_denied", "retry_after_s": 0, "reason_code": "a.b_1"}),
        json!({"kind": "demand_mfa", "factors": ["otp"], "max_age_s": 86400, "allow_remember": false, "on_unenrolled": "enroll", "on_non_interactive": "block"}),
        json!({"kind": "redirect", "url": "https://a.example/x?y=1", "mode": "resumable", "query": {"a": "b"}}),
        json!({"kind": "continue", "state": {"a": null, "b": [1]}, "annotations": {"n": 1, "s": "x", "b": true}}),
        json!({"kind": "continue", "claims": [{"token": "both", "name": "https://example.com/role", "value": null, "if_exists": "error"}]}),
        json!({"kind": "continue", "emit": [{"type": "x", "data": {}, "to": [{"url": "https://a.example"}]}]}),
    ] {
        let read = Outcome::from_json(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }
}

#[test]
fn every_mistake_is_refused_with_its_pointer() {
    let long = "x".repeat(257);
    let key = "k".repeat(65);
    let fat = "v".repeat(9_000);
    let long_key = format!("/state/{key}");
    let cases: Vec<(Value, &str, &str)> = vec![
        (json!(null), "", "expected an outcome"),
        (json!("continue"), "", "got a string"),
        (json!({}), "", "\"kind\" is missing"),
        (json!({"kind": "allow"}), "/kind", "continue, block, demand_mfa, redirect"),
        (json!({"kind": 1}), "/kind", "got a number"),
        (json!({"kind": "continue", "reson_code": "x"}), "/reson_code", "unknown key"),
        (json!({"kind": "continue", "user_message": "x"}), "/user_message", "unknown key"),
        (json!({"kind": "continue", "a/b~c": 1}), "/a~1b~0c", "unknown key"),
        (json!({"kind": "block", "user_message": long}), "/user_message", "at most 256"),
        (json!({"kind": "block", "error": "nope"}), "/error", "access_denied"),
        (json!({"kind": "block", "retry_after_s": -1}), "/retry_after_s", "whole number"),
        (json!({"kind": "block", "retry_after_s": 1.5}), "/retry_after_s", "whole number"),
        (json!({"kind": "block", "reason_code": "No Spaces"}), "/reason_code", "a-z"),
        (json!({"kind": "block", "reason_code": null}), "/reason_code", "got null"),
        (json!({"kind": "redirect"}), "", "\"url\" is missing"),
        (json!({"kind": "redirect", "url": "/relative"}), "/url", "absolute https"),
        (json!({"kind": "redirect", "url": "https://a.example", "query": {"a": 1}}), "/query/a", "got a number"),
        (json!({"kind": "demand_mfa", "factors": ["otp", "smoke"]}), "/factors/1", "webauthn"),
        (json!({"kind": "demand_mfa", "max_age_s": 86401}), "/max_age_s", "0 to 86400"),
        (json!({"kind": "continue", "state": [1]}), "/state", "got an array"),
        (json!({"kind": "continue", "state": {key: 1}}), &long_key, "64 characters"),
        (json!({"kind": "continue", "state": {"a": fat}}), "/state/a", "at most 8192"),
        (
            json!({"kind": "continue", "claims": [{"token": "id", "name": "SUB", "value": 1}]}),
            "/claims/0/name",
            "reserved",
        ),
        (json!({"kind": "continue", "claims": [{"token": "id", "name": "a"}]}), "/claims/0", "\"value\" is missing"),
        (
            json!({"kind": "continue", "claims": [{"token": "x", "name": "a", "value": 1}]}),
            "/claims/0/token",
            "id, access, both",
        ),
        (
            json!({"kind": "continue", "claims": [{"token": "id", "name": "a", "value": "v".repeat(4_200)}]}),
            "/claims",
            "4096",
        ),
        (json!({"kind": "continue", "annotations": {"a": {}}}), "/annotations/a", "a string, a number or a boolean"),
        (json!({"kind": "continue", "emit": [{"type": "x", "data": 1, "to": []}]}), "/emit/0/to", "no target"),
        (
            json!({"kind": "continue", "emit": [{"type": "x", "data": 1, "to": [{}]}]}),
            "/emit/0/to/0",
            "either url or url_secret",
        ),
    ];
    for (value, pointer, message) in cases {
        let error = Outcome::from_json(value.clone()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{value}");
        assert!(error.message.contains(message), "{value}: {}", error.message);
    }
}
