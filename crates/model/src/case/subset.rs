//! Matches a value against what is expected of it, as a subset.

use crate::decode::escape;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The most differences that are told.
const MAX_DIFFERENCES: usize = 20;
/// The most characters of a value that are shown.
const SHOWN_CHARS: usize = 200;

/// One place where a value is not as expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The JSON pointer to it.
    pub pointer: String,
    /// What was expected there; null also means absent.
    pub expected: Value,
    /// What is there; `None` where there is nothing.
    pub got: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| {
            let text = value.to_string();
            let cut: String = text.chars().take(SHOWN_CHARS).collect();
            if cut.len() < text.len() { cut + "..." } else { cut }
        };
        write!(f, "{}: expected {}, got ", self.pointer, shown(&self.expected))?;
        match &self.got {
            Some(got) => f.write_str(&shown(got)),
            None => f.write_str("nothing"),
        }
    }
}

/// Where `got` lacks what is expected of it; at most 20 places.
///
/// An object must have at least the expected keys, each matching. A list must be as long as expected, each item matching.
/// Numbers are compared by value (1 is 1.0). An expected null matches null, and a key that is absent.
pub fn differences(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(expected, Some(got), &mut String::new(), &mut found);
    found
}

fn compare(expected: &Value, got: Option<&Value>, pointer: &mut String, found: &mut Vec<Difference>) {
    if found.len() >= MAX_DIFFERENCES {
        return;
    }
    let length = pointer.len();
    match (expected, got) {
        (Value::Null, None) => {}
        (Value::Object(expected), Some(Value::Object(got))) => {
            for (key, expected) in expected {
                pointer.push('/');
                pointer.push_str(&escape(key));
                compare(expected, got.get(key), pointer, found);
                pointer.truncate(length);
            }
        }
        (Value::Array(expected), Some(Value::Array(got))) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                pointer.push_str(&format!("/{index}"));
                compare(expected, Some(got), pointer, found);
                pointer.truncate(length);
            }
        }
        (Value::Number(a), Some(Value::Number(b))) if a == b || a.as_f64() == b.as_f64() => {}
        (expected, Some(got)) if expected == got => {}
        _ => found.push(Difference { pointer: pointer.clone(), expected: expected.clone(), got: got.cloned() }),
    }
}
