//! Configs against schemas.

use super::schema;
use crate::{Invalid, schema::validate};
use serde_json::{Value, json};

fn claims() -> crate::ConfigSchema {
    schema(json!({
        "type": "object", "additionalProperties": false, "required": ["claims"],
        "$defs": {"claim": {
            "type": "object", "additionalProperties": false, "required": ["name", "source"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 128},
                "source": {"enum": ["static", "path"]},
                "value": {},
                "path": {"type": "string"},
                "token": {"enum": ["id", "access", "both"], "default": "access"}
            }
        }},
        "properties": {
            "claims": {"type": "array", "minItems": 1, "maxItems": 20, "items": {"$ref": "#/$defs/claim"}},
            "limits": {"type": "object", "default": {}, "properties": {"rate": {"type": "integer", "default": 5, "maximum": 9}}},
            "key": {"type": "string", "x-secret": true, "minLength": 24}
        }
    }))
}

fn mistakes(config: Value) -> Vec<String> {
    claims().validate(&config).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_filled_in_at_every_depth() {
    let filled = claims().validate(&json!({"claims": [{"name": "a", "source": "path"}]})).unwrap();
    assert_eq!(
        filled,
        json!({
            "claims": [{"name": "a", "source": "path", "token": "access"}],
            "limits": {"rate": 5}
        })
    );
    // What is there stays, null included.
    let filled =
        claims().validate(&json!({"claims": [{"name": "a", "source": "path", "value": null}], "limits": {"rate": 1}}));
    assert_eq!(filled.unwrap()["limits"]["rate"], 1);
}

#[test]
fn a_required_property_may_have_a_default() {
    let schema =
        schema(json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "default": 3}}}));
    assert_eq!(schema.validate(&json!({})).unwrap(), json!({"a": 3}));
}

#[test]
fn every_mistake_is_told_with_its_pointer() {
    assert_eq!(
        mistakes(
            json!({"claim": [], "claims": [{"nam": 1, "source": "x"}, 7], "limits": {"rate": 10}, "key": "sk_live_1"})
        ),
        [
            "/claim: unknown key \"claim\"; did you mean \"claims\"?",
            "/claims/0: \"name\" is missing",
            "/claims/0/nam: unknown key \"nam\"; did you mean \"name\"?",
            "/claims/0/source: expected one of \"static\", \"path\"",
            "/claims/1: expected an object",
            "/key: expected 24 or more characters",
            "/limits/rate: expected 9 or less",
        ]
    );
    assert_eq!(mistakes(json!({})), ["\"claims\" is missing"]);
    assert_eq!(mistakes(json!([])), ["expected an object"]);
    assert_eq!(mistakes(json!({"claims": []})), ["/claims: expected 1 or more items"]);
}

#[test]
fn keys_with_odd_characters_are_escaped_in_pointers() {
    let found = mistakes(json!({"claims": [{"name": "a", "source": "path"}], "a/b~c": 1}));
    assert!(found[0].starts_with("/a~1b~0c: unknown key \"a/b~c\"; known are claims, key, limits"), "{found:?}");
}

#[test]
fn no_message_repeats_a_value() {
    let strict = schema(json!({"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"pattern": "^x$"}, "c": {"const": 1}, "d": {"format": "uri"}, "e": {"uniqueItems": true},
        "f": {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["g"], "properties": {"g": {"type": "integer"}}}]},
        "h": {"oneOf": [{"const": 1}, {"const": 2}]}
    }}));
    let secret = "hunter2";
    let config = json!({"a": secret, "b": secret, "c": secret, "d": secret, "e": [secret, secret], "f": {"g": secret}, "h": secret});
    let found = strict.validate(&config).unwrap_err();
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found.iter().all(|e| !e.message.contains(secret)), "{found:#?}");
}

#[test]
fn of_several_forms_the_one_that_is_meant_is_told() {
    let schema = schema(json!({"type": "object", "properties": {
        "query": {"additionalProperties": {"oneOf": [
            {"type": "object", "required": ["static"], "properties": {"static": {"type": "string"}}, "additionalProperties": false},
            {"type": "string", "minLength": 2}
        ]}},
        "mode": {"oneOf": [{"const": "landing"}, {"const": "resumable"}]},
        "both": {"oneOf": [{"minimum": 1}, {"minimum": 2}]}
    }}));
    let mistakes = |config: Value| -> Vec<String> {
        schema.validate(&config).unwrap_err().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        mistakes(json!({"query": {"a": {"statik": "x"}}})),
        ["/query/a: \"static\" is missing", "/query/a/statik: unknown key \"statik\"; did you mean \"static\"?",]
    );
    assert_eq!(mistakes(json!({"query": {"a": "x"}})), ["/query/a: expected 2 or more characters"]);
    assert_eq!(
        mistakes(json!({"query": {"a": 1}})),
        ["/query/a: fits none of the 2 forms: expected an object; or expected a string"]
    );
    assert_eq!(mistakes(json!({"mode": "x"})), ["/mode: expected one of \"landing\", \"resumable\""]);
    assert_eq!(mistakes(json!({"both": 5})), ["/both: fits several of the forms, and must fit exactly one"]);
}

#[test]
fn a_key_that_may_not_be_named_so_is_pointed_at() {
    let schema = schema(json!({"type": "object", "propertyNames": {"maxLength": 3}}));
    let found = schema.validate(&json!({"abcd": 1})).unwrap_err();
    assert_eq!(found, [Invalid::at("/abcd", "the key: expected at most 3 characters")]);
}

#[test]
fn large_configs_are_refused_and_mistakes_are_bounded() {
    let free = schema(json!({"type": "object"}));
    let found = free.validate(&json!({"a": "x".repeat(70_000)})).unwrap_err();
    assert!(found[0].message.contains("at most 65536"), "{found:?}");
    let closed = schema(json!({"type": "object", "additionalProperties": false}));
    let many: serde_json::Map<String, Value> = (0..500).map(|i| (format!("k{i}"), json!(1))).collect();
    assert_eq!(closed.validate(&Value::Object(many)).unwrap_err().len(), crate::schema::MAX_ERRORS);
}

#[test]
fn an_action_without_a_schema_takes_only_an_empty_config() {
    assert_eq!(validate(None, &json!({})).unwrap(), json!({}));
    assert_eq!(
        validate(None, &json!({"a/b": 1})).unwrap_err()[0].to_string(),
        "/a~1b: unknown key: this Action has no config"
    );
    assert_eq!(validate(None, &json!(null)).unwrap_err()[0].to_string(), "expected {}: this Action has no config");
}

#[test]
fn secret_fields_are_hidden_wherever_they_stand() {
    let schema = schema(json!({"type": "object", "$defs": {"s": {"type": "string", "x-secret": true}}, "properties": {
        "a": {"$ref": "#/$defs/s"}, "b": {"items": {"properties": {"c": {"x-secret": true}}}},
        "d": {"anyOf": [{"type": "integer"}, {"x-secret": true}]}, "e": {"additionalProperties": {"$ref": "#/$defs/s"}}, "f": {}
    }}));
    let shown =
        schema.redact(&json!({"a": "x", "b": [{"c": {"deep": "x"}, "n": 1}], "d": "x", "e": {"k": "x"}, "f": "kept"}));
    let h = "(hidden)";
    assert_eq!(shown, json!({"a": h, "b": [{"c": h, "n": 1}], "d": h, "e": {"k": h}, "f": "kept"}));
}

#[test]
fn a_shown_config_that_comes_back_keeps_its_secrets() {
    let schema = schema(json!({"type": "object", "properties": {
        "token": {"type": "string", "x-secret": true}, "note": {"type": "string"},
        "hooks": {"type": "array", "items": {"properties": {"key": {"type": "string", "x-secret": true}}}}
    }}));
    let stored = json!({"token": "t", "note": "(hidden)", "hooks": [{"key": "k"}]});
    let mut sent = schema.redact(&stored);
    sent["note"] = json!("new");
    schema.unhide(&mut sent, &stored);
    assert_eq!(sent, json!({"token": "t", "note": "new", "hooks": [{"key": "k"}]}));
    assert_eq!(schema.check_unhidden(&sent), []);
    // What was never stored cannot be put back, nor can an item of a list that has changed.
    let mut sent =
        json!({"token": "(hidden)", "note": "(hidden)", "hooks": [{"key": "(hidden)"}, {"key": "(hidden)"}]});
    schema.unhide(&mut sent, &json!({"hooks": [{"key": "k"}]}));
    let pointers: Vec<String> = schema.check_unhidden(&sent).into_iter().map(|wrong| wrong.pointer).collect();
    assert_eq!(pointers, ["/hooks/0/key", "/hooks/1/key", "/token"]);
}
