#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod compatible;
mod configs;
mod forms;

use super::*;
use serde_json::json;

fn schema(value: Value) -> ConfigSchema {
    ConfigSchema::new(value).unwrap()
}

/// The one mistake of a schema whose only property is `a`.
fn property(of: Value) -> String {
    only(json!({"type": "object", "properties": {"a": of}}))
}

fn only(value: Value) -> String {
    let found = ConfigSchema::new(value).unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].to_string()
}

#[test]
fn a_schema_of_every_keyword_is_taken() {
    let text = r##"{
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": "c", "title": "T", "description": "D",
        "type": "object", "additionalProperties": false, "required": ["domains"], "minProperties": 0, "maxProperties": 20,
        "dependentRequired": {"burst": ["limit"]},
        "$defs": {"source": {"type": "string", "enum": ["static", "path"]}},
        "properties": {
            "domains": {"type": "array", "items": {"type": "string", "maxLength": 253, "pattern": "^[^@]+$"},
                "minItems": 1, "maxItems": 1000, "uniqueItems": true, "x-widget": "textarea"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100000, "default": 20, "examples": [1]},
            "burst": {"type": "integer", "minimum": 1, "x-default-by-trigger": "limit"},
            "verified": {"type": "boolean", "x-default-by-trigger": {"post-login": true}},
            "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.25, "deprecated": true},
            "mail": {"type": ["string", "null"], "format": "email"},
            "source": {"$ref": "#/$defs/source", "title": "Source"},
            "key": {"type": "string", "x-secret": true, "minLength": 1},
            "any": {"description": "any JSON"},
            "mode": {"oneOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]},
            "query": {"type": "object", "propertyNames": {"maxLength": 20}, "additionalProperties":
                {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"path": {"type": "string"}},
                    "required": ["path"], "additionalProperties": false}]}}
        }
    }"##;
    let schema = ConfigSchema::parse(text).unwrap();
    assert_eq!(schema.validate(&json!({"domains": ["x.com"]})).unwrap(), json!({"domains": ["x.com"], "limit": 20}));
}

#[test]
fn mistakes_have_a_place_in_the_text() {
    let found = ConfigSchema::parse("{\n  \"type\": \"object\",\n  \"requird\": []\n}").unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "schema.json:3:3: error: /requird: unknown keyword \"requird\"; did you mean \"required\"?"
    );
    let found = ConfigSchema::parse("{\"type\": }").unwrap_err();
    assert!(found[0].to_string().starts_with("schema.json:1:10: error: not JSON: "), "{}", found[0]);
    let found = ConfigSchema::parse(&" ".repeat(70_000)).unwrap_err();
    assert!(found[0].message.contains("at most 65536"), "{}", found[0]);
    let found = ConfigSchema::parse(&"[".repeat(60_000)).unwrap_err();
    assert!(found[0].message.contains("nested too deeply"), "{}", found[0]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let found = ConfigSchema::new(json!({
        "type": "array", "not": {}, "properties": {"a": {"type": "text"}, "b": 7, "c": {"minLength": -1}},
    }));
    let pointers: Vec<String> = found.unwrap_err().into_iter().map(|e| e.pointer).collect();
    assert_eq!(
        pointers,
        ["/not", "/properties", "/properties/a/type", "/properties/b", "/properties/c/minLength", "/type"]
    );
}

#[test]
fn the_top_level_is_an_object() {
    assert!(only(json!(true)).contains("expected an object"));
    assert!(only(json!({})).starts_with("a config is an object"));
    assert!(only(json!({"type": "string"})).starts_with("/type: a config is an object"));
    assert!(only(json!({"type": ["object", "null"]})).starts_with("/type: a config is an object"));
}

#[test]
fn keywords_that_a_form_cannot_draw_are_refused_by_name() {
    for key in ["if", "then", "else", "not", "allOf", "dependentSchemas", "contains"] {
        assert!(property(json!({key: {}})).contains("rules across fields are for checkConfig"), "{key}");
    }
    for key in ["$id", "$anchor", "$dynamicRef", "definitions"] {
        assert!(property(json!({key: "x"})).contains("is not taken; \"$ref\""), "{key}");
    }
    for key in ["patternProperties", "prefixItems", "unevaluatedProperties", "contentEncoding", "frobnicate"] {
        let found = property(json!({key: {}}));
        assert!(found.starts_with(&format!("/properties/a/{key}: unknown keyword \"{key}\"")), "{found}");
    }
}

#[test]
fn hints_are_let_through_and_the_known_ones_checked() {
    schema(json!({"type": "object", "properties": {"a": {"x-anything": [1], "x-order": 3}}}));
    assert!(property(json!({"x-secret": "yes"})).contains("/x-secret: expected true or false"));
    assert!(property(json!({"x-secret-ref": 1})).contains("expected true or false"));
    assert!(property(json!({"x-secret-generate": "aes"})).contains("expected \"whsec\""));
    assert!(property(json!({"x-default-by-trigger": 1})).contains("expected an object from trigger to value"));
    assert!(property(json!({"x-default-by-trigger": {"post-logon": 1}})).contains("/post-logon: is not a trigger"));
    let found = property(json!({"type": "boolean", "x-default-by-trigger": {"post-login": 1}}));
    assert_eq!(found, "/properties/a/x-default-by-trigger/post-login: expected true or false");
}

#[test]
fn values_of_keywords_are_checked() {
    for (of, says) in [
        (json!({"type": "text"}), "/type: expected one or several of array, boolean"),
        (json!({"type": []}), "/type: expected one or several"),
        (json!({"type": ["string", "string"]}), "/type: expected one or several"),
        (json!({"title": 1}), "/title: expected a string"),
        (json!({"maxLength": 1.5}), "/maxLength: expected a whole number"),
        (json!({"minimum": "1"}), "/minimum: expected a number"),
        (json!({"multipleOf": 0}), "/multipleOf: expected a number over 0"),
        (json!({"enum": []}), "/enum: expected a list of 1 to 1000 values"),
        (json!({"enum": [1, 1]}), "/enum: has the same value twice"),
        (json!({"items": [{}]}), "/items: expected a schema"),
        (json!({"items": true}), "/items: expected a schema"),
        (json!({"additionalProperties": "no"}), "/additionalProperties: expected true, false or a schema"),
        (json!({"oneOf": []}), "/oneOf: expected a list of 1 to 20 schemas"),
        (json!({"anyOf": [true]}), "/anyOf/0: expected a schema"),
        (json!({"properties": {"b": {}}, "required": ["c"]}), "/required/0: is not among the properties"),
        (json!({"properties": {"b": {}}, "required": ["b", "b"]}), "/required/1: stands here twice"),
        (json!({"required": "b"}), "/required: expected a list of property names"),
        (json!({"dependentRequired": {"b": ["c"]}}), "/dependentRequired/b/0: is not among the properties"),
        (json!({"type": "integer", "maxLength": 3}), "/maxLength: has no effect on type integer"),
        (json!({"minLength": 3, "maxLength": 2}), "/minLength: is over maxLength: nothing fits"),
        (json!({"$schema": "https://json-schema.org/draft/2020-12/schema"}), "/$schema: expected"),
        (json!({"$defs": {}}), "/$defs: expected an object of schemas, at the top level"),
        (json!({"items": {"default": 1}}), "/items/default: a default belongs to a property"),
        (json!({"anyOf": [{"properties": {"b": {"default": 1}}}]}), "no defaults inside oneOf and anyOf"),
        (json!({"type": "string", "default": 1}), "/default: expected a string"),
    ] {
        let found = property(of.clone());
        assert!(found.contains(says), "{of}: {found}");
    }
    assert!(only(json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"})).contains("2020-12"));
    assert!(only(json!({"type": "object", "default": {}})).contains("a default belongs to a property"));
}

#[test]
fn formats_that_are_not_known_are_refused_by_name() {
    let at_fault = property(json!({"type": "string", "format": "duration", "default": "60s"}));
    assert!(at_fault.contains("/default: is kept as \"1m\"; write it so"), "{at_fault}");
    assert!(property(json!({"format": "colour"})).contains("/format: expected one of date, date-time, email"));
}

#[test]
fn every_format_that_is_taken_is_checked() {
    let bad = json!("\u{0}not any of them\u{0}");
    for format in FORMATS.iter().filter(|format| !formats::NAMES.contains(*format)) {
        let schema = schema(json!({"type": "object", "properties": {"a": {"format": format}}}));
        let found = schema.validate(&json!({"a": bad})).unwrap_err();
        assert!(found[0].pointer == "/a" && found[0].message.starts_with("expected a"), "{format}: {found:?}");
        assert!(!found[0].message.contains("the format"), "{format} has words of its own");
    }
}

#[test]
fn references_stay_in_the_file() {
    for reference in [
        "http://example.com/schema.json",
        "file:///etc/passwd",
        "other.json",
        "#",
        "#/properties/a",
        "#/$defs/missing",
        "#/$defs/a/properties/b",
    ] {
        let found = property(json!({"$ref": reference}));
        assert!(found.contains("/properties/a/$ref: expected \"#/$defs/NAME\""), "{reference}: {found}");
    }
    let looped = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"properties": {"b": {"$ref": "#/$defs/y"}}}, "y": {"items": {"$ref": "#/$defs/x"}}}});
    assert_eq!(only(looped), "/$defs/y/items/$ref: leads back to itself: a form cannot draw that");
    // Also where nothing uses it: defaults are checked there too.
    let unused = json!({"type": "object", "$defs": {"x": {"$ref": "#/$defs/x"}}});
    assert_eq!(only(unused), "/$defs/x/$ref: leads back to itself: a form cannot draw that");
}

#[test]
fn a_small_text_cannot_stand_for_a_large_schema() {
    let mut defs = Object::new();
    defs.insert("d0".to_owned(), json!({"type": "string"}));
    for i in 1..12 {
        let inner = json!({"$ref": format!("#/$defs/d{}", i - 1)});
        defs.insert(format!("d{i}"), json!({"anyOf": [inner, inner, inner, inner]}));
    }
    let bomb = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d11"}}, "$defs": defs});
    assert!(only(bomb).contains("over 2000 schemas when every $ref is written out"));

    let mut deep = json!({"type": "string"});
    for _ in 0..20 {
        deep = json!({"items": deep});
    }
    assert!(only(json!({"type": "object", "properties": {"a": deep}})).contains("nested more than 16 deep"));
}

#[test]
fn patterns_cost_linear_time() {
    for pattern in ["(?=a)b", "(a)\\1", "(?<!x)y", "[", "(a{1000}){1000}"] {
        assert!(property(json!({"pattern": pattern})).contains("linear time"), "{pattern}");
    }
    assert!(property(json!({"pattern": "a".repeat(513)})).contains("at most 512 characters"));
    let schema = schema(json!({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}));
    let hostile = format!("{}!", "a".repeat(60_000));
    let started = std::time::Instant::now();
    assert!(schema.validate(&json!({"a": hostile})).is_err());
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_schema_that_could_not_travel_to_executors_is_refused() {
    let mut deep = json!({"type": "string"});
    for _ in 0..12 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    let refused = ConfigSchema::new(deep["properties"]["a"].clone());
    assert!(refused.is_ok(), "11 objects inside each other are 23 levels of JSON");
    let refused = ConfigSchema::new(deep).unwrap_err();
    assert!(refused[0].message.contains("nested more than 24 deep"), "{refused:?}");
}
