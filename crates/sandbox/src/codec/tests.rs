//! The golden vectors hold the host's two directions; `tests/codec.rs` holds the guest's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::decode::{DecodeError, decode};
use super::{EncodedInput, KEYS};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

const VECTORS: &str = include_str!("../../tests/vectors/values.tsv");
const NO_LIMIT: usize = usize::MAX;

fn vectors() -> impl Iterator<Item = (&'static str, Value, Vec<u8>)> {
    VECTORS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let [name, json, hex] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        (name, serde_json::from_str(json).unwrap(), bytes)
    })
}

/// Numbers as JavaScript has them: two that are the same double are the same.
fn as_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({"double": number.as_f64().unwrap().to_bits()}),
        Value::Array(items) => items.iter().map(as_doubles).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), as_doubles(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_vectors_are_what_the_encoder_writes() {
    for (name, value, bytes) in vectors() {
        assert_eq!(EncodedInput::from_json(&value).unwrap().as_bytes(), bytes, "{name}");
    }
}

#[test]
fn the_vectors_are_what_the_decoder_reads() {
    for (name, value, bytes) in vectors() {
        assert_eq!(as_doubles(&decode(&bytes, NO_LIMIT).unwrap()), as_doubles(&value), "{name}");
    }
}

#[test]
fn whole_numbers_come_out_without_a_fraction() {
    let decoded = |json: &str| {
        let value = serde_json::from_str(json).unwrap();
        decode(EncodedInput::from_json(&value).unwrap().as_bytes(), NO_LIMIT).unwrap().to_string()
    };
    assert_eq!(decoded("5.0"), "5");
    assert_eq!(decoded("9007199254740993"), "9007199254740992");
    assert_eq!(decoded("-0.0"), "-0.0");
    assert_eq!(decoded("1e19"), "1e+19");
}

#[test]
fn the_compiler_numbers_keys_as_the_table_does() {
    for (number, key) in (0..).zip(KEYS.lines()) {
        assert_eq!(super::known_number(key), number, "{key}");
        assert_eq!(super::KEY_NUMBERS.get(key), Some(&number), "{key}");
    }
}

#[test]
fn keys_are_distinct_and_leave_room_for_the_inline_mark() {
    let keys: HashSet<_> = KEYS.lines().collect();
    assert_eq!(keys.len(), KEYS.lines().count());
    assert!(keys.len() < usize::from(super::wire::KEY_INLINE) && !keys.contains(""));
}

#[test]
fn nesting_past_the_bound_is_refused_with_its_pointer() {
    let deep = (0..200).fold(json!(1), |inner, _| json!({ "a": inner }));
    let refused = EncodedInput::from_json(&deep).unwrap_err();
    assert_eq!((refused.pointer, refused.message.as_str()), ("/a".repeat(128), "nested more than 128 deep"));
}

#[test]
fn an_input_of_more_than_4_mib_is_refused() {
    let refused = EncodedInput::from_json(&json!("x".repeat(5 << 20))).unwrap_err();
    assert_eq!(refused.message, "larger than 4 MiB");
}

#[test]
fn what_is_too_large_is_refused_where_it_is() {
    let value = json!({"a": [1, "x".repeat(100)], "b": 1});
    let bytes = EncodedInput::from_json(&value).unwrap();
    let Err(DecodeError::TooLarge(invalid)) = decode(bytes.as_bytes(), 50) else { unreachable!() };
    assert_eq!(invalid.pointer, "/a/1");
}

#[test]
fn text_that_is_not_utf8_and_keys_given_twice_are_corrupt() {
    for bytes in [
        &b"\x05\x03\0\0\0\xed\xa0\x80"[..],
        b"\x07\x02\0\0\0\0\0\0\0\0\0",
        b"\x07\x01\0\0\0\xfe\xff\0",
        b"\x06\xff\xff\xff\xff",
        b"\x04\0\0\0\0\0\0\xf0\x7f",
        b"\x08",
        b"\0\0",
        b"",
    ] {
        assert_eq!(decode(bytes, 1 << 33), Err(DecodeError::Corrupt), "{bytes:?}");
    }
    let deep = [[6, 1, 0, 0, 0].repeat(500), vec![0]].concat();
    assert_eq!(decode(&deep, NO_LIMIT), Err(DecodeError::Corrupt));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("(user|email|state|[a-z~/\"]{0,6})", inner, 0..8).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_value_comes_back_and_its_size_is_that_of_its_json(value in any_json()) {
        let encoded = EncodedInput::from_json(&value).unwrap();
        let decoded = decode(encoded.as_bytes(), NO_LIMIT).unwrap();
        prop_assert_eq!(as_doubles(&decoded), as_doubles(&value));
        let len = decoded.to_string().len();
        prop_assert!(decode(encoded.as_bytes(), len).is_ok());
        prop_assert!(decode(encoded.as_bytes(), len - 1).is_err());
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes, 1 << 20);
    }
}
