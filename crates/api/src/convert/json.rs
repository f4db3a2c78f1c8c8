//! `google.protobuf.Struct` and `Value` to JSON and back.
//!
//! Numbers on the wire are IEEE 754 doubles. A whole one becomes a whole JSON number, so that 3 is written `3` and not
//! `3.0`; a whole JSON number past 2^53 is rounded to the nearest double, exactly as JavaScript rounds it. Nesting
//! is bounded by [`MAX_JSON_DEPTH`], so that what came in at a shallow place can go on inside a deeper message.

use super::FieldError;
use prost_types::{ListValue, NullValue, Struct, value::Kind};
use serde_json::{Number, Value};
use sluice_model::{Object, limits::MAX_JSON_DEPTH};

/// -2^63, the least number that an `i64` holds.
const MIN_I64: f64 = -9_223_372_036_854_775_808.0;
/// 2^63, one more than an `i64` holds.
const END_I64: f64 = 9_223_372_036_854_775_808.0;
/// 2^64, one more than a `u64` holds.
const END_U64: f64 = 18_446_744_073_709_551_616.0;

/// Reads an object, which is a level of nesting itself. The error names the place of what JSON cannot say.
pub fn object(fields: Struct) -> Result<Object, FieldError> {
    object_within(fields, MAX_JSON_DEPTH)
}

/// Reads a value: any JSON. A value of no kind and a number that is not finite are mistakes.
pub fn value(value: prost_types::Value) -> Result<Value, FieldError> {
    value_within(value, MAX_JSON_DEPTH)
}

/// Levels of what wraps a bounded value: an audit entry's picture of an attachment with its config.
const MAX_WRAPPED_DEPTH: usize = MAX_JSON_DEPTH + 4;

/// Reads a value that may wrap another.
pub(super) fn wrapping_value(value: prost_types::Value) -> Result<Value, FieldError> {
    value_within(value, MAX_WRAPPED_DEPTH)
}

/// One level less for what is inside.
fn deeper(levels: usize) -> Result<usize, FieldError> {
    levels.checked_sub(1).ok_or_else(|| FieldError::here(format!("is nested more than {MAX_JSON_DEPTH} deep")))
}

fn object_within(fields: Struct, levels: usize) -> Result<Object, FieldError> {
    let levels = deeper(levels)?;
    let mut object = Object::new();
    for (key, field) in fields.fields {
        let read = value_within(field, levels).map_err(|e| e.at_key(&key))?;
        object.insert(key, read);
    }
    Ok(object)
}

fn value_within(value: prost_types::Value, levels: usize) -> Result<Value, FieldError> {
    Ok(match value.kind {
        Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(double)) => Value::Number(number(double)?),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::StructValue(fields)) => Value::Object(object_within(fields, levels)?),
        Some(Kind::ListValue(list)) => {
            let levels = deeper(levels)?;
            let items = list.values.into_iter().enumerate();
            let read = items.map(|(i, item)| value_within(item, levels).map_err(|e| e.at_index(i)));
            Value::Array(read.collect::<Result<_, _>>()?)
        }
        None => return Err(FieldError::here("has no kind; null is null_value")),
    })
}

/// A double as a JSON number.
fn number(double: f64) -> Result<Number, FieldError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and in the range of the type")]
    if double.fract() == 0.0 {
        if (MIN_I64..END_I64).contains(&double) {
            return Ok(Number::from(double as i64));
        }
        if (END_I64..END_U64).contains(&double) {
            return Ok(Number::from(double as u64));
        }
    }
    Number::from_f64(double).ok_or_else(|| FieldError::here(format!("expected a finite number, got {double}")))
}

/// The wire's form of an object.
pub fn to_struct(object: Object) -> Struct {
    Struct { fields: object.into_iter().map(|(key, value)| (key, to_value(value))).collect() }
}

/// The wire's form of an object; absent where it is empty.
pub fn to_struct_unless_empty(object: Object) -> Option<Struct> {
    (!object.is_empty()).then(|| to_struct(object))
}

/// The wire's form of a value.
pub fn to_value(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue as i32),
        Value::Bool(flag) => Kind::BoolValue(flag),
        // A JSON number is finite and always has a nearest double.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(to_value).collect() }),
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
