//! Which changes ask for a major version.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]

use super::schema;
use crate::{ConfigSchema, schema::compatibility};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What changes between two schemas of one property `a`.
fn change(old: Value, new: Value) -> Vec<String> {
    let of = |a: Value| schema(json!({"type": "object", "additionalProperties": false, "properties": {"a": a}}));
    compatibility(Some(&of(old)), Some(&of(new))).iter().map(ToString::to_string).collect()
}

#[test]
fn harmless_changes_ask_for_nothing() {
    for (old, new) in [
        (
            json!({"type": "string"}),
            json!({"type": "string", "title": "T", "description": "D", "x-widget": "w", "examples": [1]}),
        ),
        (json!({"type": "integer"}), json!({"type": "number"})),
        (json!({"type": "string"}), json!({"type": ["string", "null"]})),
        (json!({"type": "string", "minLength": 3}), json!({"type": "string", "minLength": 2})),
        (json!({"type": "string", "maxLength": 3}), json!({"type": "string"})),
        (json!({"type": "string", "pattern": "^a"}), json!({"type": "string"})),
        (json!({"enum": ["a", "b"]}), json!({"enum": ["b", "c", "a"]})),
        (json!({"const": 1}), json!({"enum": [1, 2]})),
        (json!({"enum": ["a"]}), json!({"type": "string"})),
        (
            json!({"oneOf": [{"const": "a"}]}),
            json!({"oneOf": [{"const": "b", "title": "B"}, {"const": "a", "title": "A"}]}),
        ),
        (json!({"anyOf": [{"type": "string"}]}), json!({"anyOf": [{"type": "integer"}, {"type": "string"}]})),
        (json!({"items": {"maximum": 3}}), json!({"items": {"maximum": 4}})),
        (json!({"uniqueItems": true}), json!({"uniqueItems": false})),
        (
            json!({"properties": {"b": {}}, "required": ["b"], "additionalProperties": false}),
            json!({"properties": {"b": {}, "c": {"type": "string"}}, "additionalProperties": false}),
        ),
        (
            json!({"properties": {"b": {}}, "additionalProperties": false}),
            json!({"properties": {"b": {}, "c": {"default": 1}}, "required": ["c"], "additionalProperties": false}),
        ),
    ] {
        assert_eq!(change(old.clone(), new.clone()), [""; 0], "{old} -> {new}");
    }
}

#[test]
fn changes_that_could_refuse_a_stored_config_are_named() {
    for (old, new, says) in [
        (json!({"type": "number"}), json!({"type": "integer"}), "/properties/a/type: was number, is integer"),
        (json!({}), json!({"type": "string"}), "/properties/a/type: was any type, is string"),
        (json!({"minimum": 1}), json!({"minimum": 2}), "/properties/a/minimum: was 1, is 2"),
        (json!({}), json!({"maxItems": 2}), "/properties/a/maxItems: was not bounded, is 2"),
        (json!({"pattern": "^a"}), json!({"pattern": "^b"}), "/properties/a/pattern: is new or has changed"),
        (json!({}), json!({"format": "email"}), "/properties/a/format: is new"),
        (json!({"enum": ["a", "b"]}), json!({"enum": ["a"]}), "/properties/a/enum: \"b\" is no longer taken"),
        (json!({}), json!({"const": 1}), "/properties/a/const: took any value before"),
        (json!({}), json!({"uniqueItems": true}), "/properties/a/uniqueItems"),
        (json!({"items": {}}), json!({"items": {"type": "string"}}), "/properties/a/items/type"),
        (json!({"anyOf": [{"type": "string"}]}), json!({"anyOf": [{"type": "integer"}]}), "/properties/a/anyOf"),
        (
            json!({"oneOf": [{"type": "string"}]}),
            json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
            "/properties/a/oneOf",
        ),
        (
            json!({"properties": {"b": {}}}),
            json!({"properties": {"b": {}}, "required": ["b"]}),
            "/required: \"b\" may be lacking",
        ),
        (
            json!({"properties": {"b": {"default": 1}}, "required": ["b"]}),
            json!({"properties": {"b": {}}, "required": ["b"]}),
            "/required: \"b\" may be lacking",
        ),
        (json!({}), json!({"additionalProperties": false}), "/additionalProperties: other keys were taken before"),
        (
            json!({"properties": {"b": {}}, "additionalProperties": false}),
            json!({"additionalProperties": false}),
            "/properties/a/properties: \"b\" is gone",
        ),
        (json!({}), json!({"properties": {"b": {"type": "string"}}}), "/properties/a/properties/b/type"),
        (
            json!({"items": {"properties": {"b": {}}}, "uniqueItems": true}),
            json!({"items": {"properties": {"b": {"default": 1}}}, "uniqueItems": true}),
            "/properties/a/uniqueItems: defaults of what it looks at have changed",
        ),
    ] {
        let found = change(old.clone(), new.clone());
        assert!(found.iter().any(|f| f.contains(says)), "{old} -> {new}: {found:#?}");
    }
}

#[test]
fn references_are_looked_through() {
    let of = |max: u32, key: &str| {
        schema(json!({"type": "object", "properties": {"a": {"$ref": format!("#/$defs/{key}")}},
            "$defs": {key: {"type": "integer", "maximum": max}}}))
    };
    assert_eq!(compatibility(Some(&of(3, "x")), Some(&of(3, "y"))), []);
    assert_eq!(compatibility(Some(&of(3, "x")), Some(&of(4, "x"))), []);
    let found = compatibility(Some(&of(4, "x")), Some(&of(3, "x")));
    assert_eq!(found[0].to_string(), "/properties/a/maximum: was 4, is 3");
    let plain = schema(json!({"type": "object", "properties": {"a": {"type": "integer", "maximum": 3}}}));
    assert_eq!(compatibility(Some(&plain), Some(&of(3, "x"))), []);
    assert_eq!(compatibility(Some(&of(3, "x")), Some(&plain)), []);
}

#[test]
fn a_schema_that_comes_or_goes() {
    let free = schema(json!({"type": "object", "properties": {"a": {}}}));
    let needs = schema(json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}));
    let empty = schema(json!({"type": "object", "additionalProperties": false}));
    assert_eq!(compatibility(None, None), []);
    assert_eq!(compatibility(None, Some(&free)), []);
    assert_eq!(compatibility(None, Some(&needs))[0].to_string(), "\"a\" is missing");
    assert_eq!(compatibility(Some(&free), None)[0].to_string(), "the schema is gone: only {} fits now");
    assert_eq!(compatibility(Some(&empty), None), []);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(2.5)),
        Just(json!("")),
        Just(json!("ab")),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(prop_oneof!["p", "q", "r"], inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Keywords with their values; most combinations are schemas.
fn any_schema() -> impl Strategy<Value = Value> {
    let number = 0_u32..3;
    let flat = prop_oneof![
        prop_oneof![Just("string"), Just("integer"), Just("number"), Just("object"), Just("array")]
            .prop_map(|t| json!({"type": t})),
        prop_oneof![
            Just("minLength"),
            Just("maxLength"),
            Just("minimum"),
            Just("exclusiveMaximum"),
            Just("maximum"),
            Just("minItems"),
            Just("maxItems"),
            Just("minProperties"),
            Just("maxProperties")
        ]
        .prop_flat_map(move |key| number.clone().prop_map(move |n| json!({key: n}))),
        prop::collection::vec(value(), 1..3).prop_map(|values| json!({"enum": values})),
        value().prop_map(|value| json!({"const": value})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"multipleOf": 2})),
        Just(json!({"pattern": "^a"})),
        Just(json!({"$ref": "#/$defs/d"})),
        Just(json!({})),
    ];
    flat.prop_recursive(3, 24, 3, |inner| {
        let object = (
            inner.clone(),
            inner.clone(),
            prop::option::of(value()),
            prop::collection::vec(prop_oneof![Just("p"), Just("q")], 0..2),
            prop_oneof![Just(json!(true)), Just(json!(false)), inner.clone()],
        )
            .prop_map(|(p, q, default, required, others)| {
                let mut p = p;
                if let (Some(default), Value::Object(p)) = (default, &mut p) {
                    p.insert("default".to_owned(), default);
                }
                json!({"properties": {"p": p, "q": q}, "required": required, "additionalProperties": others})
            });
        prop_oneof![
            inner.clone().prop_map(|items| json!({"items": items})),
            object,
            prop::collection::vec(inner.clone(), 1..3).prop_map(|forms| json!({"anyOf": forms})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|forms| json!({"oneOf": forms})),
            (inner.clone(), inner).prop_map(|(a, b)| {
                let (mut a, b) = (a, b);
                if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
                    a.extend(b);
                }
                a
            }),
        ]
    })
}

fn with_root(a: &Value, d: &Value) -> Option<ConfigSchema> {
    ConfigSchema::new(json!({"type": "object", "properties": {"a": a}, "$defs": {"d": d}})).ok()
}

/// What is called compatible never refuses what the old schema took. Half of the pairs differ in one nested place only,
/// since two schemas made apart are hardly ever compatible; the counts at the end show that the pairs put the rule to the
/// test: many are compatible, different and used, and many of those that are not do refuse a config that the old one took.
#[test]
fn a_compatible_schema_takes_what_the_old_one_took() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8_000) };
    let pairs = (any_schema(), any_schema(), any_schema(), any_schema(), any::<bool>(), any::<bool>());
    let (kept, broken) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let property = |((old, new, def, new_def, keep, keep_def), values): ((_, _, _, _, bool, bool), Vec<Value>)| {
        let new = if keep { mix(&old, &new) } else { new };
        let new_def = if keep_def { Value::clone(&def) } else { mix(&def, &new_def) };
        let (Some(old), Some(new)) = (with_root(&old, &def), with_root(&new, &new_def)) else { return Ok(()) };
        let compatible = compatibility(Some(&old), Some(&new)).is_empty();
        for value in values {
            let config = json!({"a": value});
            let Ok(filled) = old.validate(&config) else { continue };
            let taken = new.validate(&config).is_ok() && new.validate(&filled).is_ok();
            prop_assert!(taken || !compatible, "{config} fitted {old:?} and does not fit {new:?}");
            kept.set(kept.get() + u32::from(compatible && old != new));
            broken.set(broken.get() + u32::from(!taken));
        }
        Ok(())
    };
    let strategy = (pairs, prop::collection::vec(value(), 12));
    proptest::test_runner::TestRunner::new(config).run(&strategy, property).unwrap_or_else(|found| panic!("{found}"));
    println!("{} configs against compatible changes, {} broken by others", kept.get(), broken.get());
    assert!(kept.get() > 1_000, "only {} configs were tried against a compatible change", kept.get());
    assert!(broken.get() > 2_000, "only {} configs were broken by a change", broken.get());
}

/// The first schema with a part of the second put in.
fn mix(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut mixed = a.clone();
            for (key, value) in b.iter().take(1) {
                let value = mixed.get(key).map_or_else(|| value.clone(), |old| mix(old, value));
                mixed.insert(key.clone(), value);
            }
            Value::Object(mixed)
        }
        (_, b) => b.clone(),
    }
}
