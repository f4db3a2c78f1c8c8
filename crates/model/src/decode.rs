//! Reading JSON strictly: every mistake carries the JSON pointer to where it is, and unknown keys are mistakes.
//!
//! Pointers follow one rule: to the offending key itself, also when it is unknown; to the parent when a key is missing.

use crate::Object;
use crate::diagnostic::nearest;
use serde_json::Value;
use std::fmt;

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("{pointer}: ") })]
pub struct Invalid {
    /// A JSON pointer (RFC 6901) into what was read; empty for the whole.
    pub pointer: String,
    /// What is wrong and what would fit, lower case, without a full stop.
    pub message: String,
}

impl Invalid {
    /// A mistake at a place.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Invalid {
        Invalid { pointer: pointer.into(), message: message.into() }
    }

    /// A mistake of the whole value.
    pub fn here(message: impl Into<String>) -> Invalid {
        Invalid::at("", message)
    }

    /// The same mistake seen from outside: `prefix` is a JSON pointer put before its own.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Invalid {
        self.pointer.insert_str(0, prefix);
        self
    }
}

/// A place in a JSON value. Lives on the stack, so that reading a correct value allocates nothing for it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn invalid(&self, message: impl Into<String>) -> Invalid {
        Invalid::at(self.to_string(), message)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) => write!(f, "/{}", escape(key)),
            Step::Index(index) => write!(f, "/{index}"),
        }
    }
}

/// A key as a token of a JSON pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// What reads itself from JSON.
pub(crate) trait Decode: Sized {
    /// What the value takes, for the message of a wrong type: `a string`.
    fn decode(value: Value, path: Path<'_>) -> Result<Self, Invalid>;
}

/// `expected a string, got a number`.
pub(crate) fn wrong_type(path: Path<'_>, expected: &str, got: &Value) -> Invalid {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    path.invalid(format!("expected {expected}, got {got}"))
}

/// An object that is taken apart key by key; what is left over at the end is unknown.
pub(crate) struct Fields<'a> {
    map: Object,
    path: Path<'a>,
    known: &'static [&'static str],
    null_is_absent: bool,
}

impl<'a> Fields<'a> {
    /// Reads an object with these keys. A key of another name is refused at once, so that nothing is half read.
    pub(crate) fn new(value: Value, path: &'a Path<'a>, known: &'static [&'static str]) -> Result<Fields<'a>, Invalid> {
        let Value::Object(map) = value else {
            return Err(wrong_type(*path, "an object", &value));
        };
        if let Some(unknown) = map.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(path.key(unknown).invalid(unknown_key(unknown, known)));
        }
        Ok(Fields { map, path: *path, known, null_is_absent: false })
    }

    /// From here on null means the same as an absent key, as in protobuf's JSON.
    pub(crate) fn null_is_absent(mut self) -> Fields<'a> {
        self.null_is_absent = true;
        self
    }

    pub(crate) fn optional<T: Decode>(&mut self, key: &'static str) -> Result<Option<T>, Invalid> {
        debug_assert!(self.known.contains(&key), "{key} is not declared");
        match self.map.remove(key) {
            None => Ok(None),
            Some(Value::Null) if self.null_is_absent => Ok(None),
            Some(value) => T::decode(value, self.path.key(key)).map(Some),
        }
    }

    pub(crate) fn or_default<T: Decode + Default>(&mut self, key: &'static str) -> Result<T, Invalid> {
        Ok(self.optional(key)?.unwrap_or_default())
    }

    pub(crate) fn required<T: Decode>(&mut self, key: &'static str) -> Result<T, Invalid> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => Err(self.path.invalid(format!("{key:?} is missing"))),
        }
    }

    /// The value of a key as it stands, null included.
    pub(crate) fn raw(&mut self, key: &'static str) -> Option<Value> {
        self.map.remove(key)
    }

    pub(crate) fn path(&self) -> &Path<'a> {
        &self.path
    }
}

/// What is said of a key that is not known: the near one, where there is one, or all.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    let shown: String = key.chars().take(80).collect();
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key {shown:?}; did you mean {near:?}?"),
        None if known.is_empty() => format!("unknown key {shown:?}; no key is known here"),
        None => format!("unknown key {shown:?}; known are {}", known.join(", ")),
    }
}

impl Decode for String {
    fn decode(value: Value, path: Path<'_>) -> Result<String, Invalid> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(wrong_type(path, "a string", &other)),
        }
    }
}

impl Decode for bool {
    fn decode(value: Value, path: Path<'_>) -> Result<bool, Invalid> {
        match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(wrong_type(path, "a boolean", &other)),
        }
    }
}

impl Decode for f64 {
    fn decode(value: Value, path: Path<'_>) -> Result<f64, Invalid> {
        value.as_f64().ok_or_else(|| wrong_type(path, "a number", &value))
    }
}

/// Whole numbers from 0 to 2^53 - 1, the ones that JavaScript holds exactly; `3.0` is 3.
impl Decode for u64 {
    fn decode(value: Value, path: Path<'_>) -> Result<u64, Invalid> {
        const MAX_SAFE: u64 = (1 << 53) - 1;
        let whole = value.as_u64().or_else(|| match value.as_f64() {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be whole and in range"
            )]
            Some(n) if n.fract() == 0.0 && (0.0..=MAX_SAFE as f64).contains(&n) => Some(n as u64),
            _ => None,
        });
        match whole {
            Some(n) if n <= MAX_SAFE => Ok(n),
            _ if value.is_number() => {
                Err(path.invalid(format!("expected a whole number from 0 to {MAX_SAFE}, got {value}")))
            }
            _ => Err(wrong_type(path, "a whole number", &value)),
        }
    }
}

impl Decode for Object {
    fn decode(value: Value, path: Path<'_>) -> Result<Object, Invalid> {
        match value {
            Value::Object(map) => Ok(map),
            other => Err(wrong_type(path, "an object", &other)),
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(value: Value, path: Path<'_>) -> Result<Vec<T>, Invalid> {
        match value {
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(i, item)| T::decode(item, path.index(i))).collect()
            }
            other => Err(wrong_type(path, "an array", &other)),
        }
    }
}

impl<T: Decode> Decode for std::collections::BTreeMap<String, T> {
    fn decode(value: Value, path: Path<'_>) -> Result<Self, Invalid> {
        let map = Object::decode(value, path)?;
        map.into_iter()
            .map(|(key, value)| {
                let decoded = T::decode(value, path.key(&key))?;
                Ok((key, decoded))
            })
            .collect()
    }
}

/// Times are RFC 3339 text.
impl Decode for jiff::Timestamp {
    fn decode(value: Value, path: Path<'_>) -> Result<jiff::Timestamp, Invalid> {
        let text = String::decode(value, path)?;
        text.parse().map_err(|_| path.invalid("expected an RFC 3339 time such as 2026-01-31T12:00:00Z"))
    }
}

/// One of a few words. `all` pairs each word with its value.
pub(crate) fn word<T: Copy>(value: Value, path: Path<'_>, all: &[(&str, T)]) -> Result<T, Invalid> {
    let expected = || all.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
    match &value {
        Value::String(text) => match all.iter().find(|(w, _)| w == text) {
            Some((_, found)) => Ok(*found),
            None => {
                let shown: String = text.chars().take(80).collect();
                let near = nearest(text, all.iter().map(|(word, _)| *word));
                let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                Err(path.invalid(format!("expected one of {}, got {shown:?}{near}", expected())))
            }
        },
        other => Err(wrong_type(path, &format!("one of {}", expected()), other)),
    }
}

/// Defines an enum of words: its variants, their text, `as_str`, `ALL`, `Display`, `FromStr`, serde and [`Decode`].
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every value with its text, in the order of the definition.
            pub const ALL: &'static [(&'static str, $name)] = &[$(($text, $name::$variant)),+];

            /// The text that JSON, the command line and metrics use.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;

            fn from_str(text: &str) -> Result<$name, $crate::Invalid> {
                $crate::decode::word(text.into(), $crate::decode::Path::ROOT, $name::ALL)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl $crate::decode::Decode for $name {
            fn decode(value: serde_json::Value, path: $crate::decode::Path<'_>) -> Result<$name, $crate::Invalid> {
                $crate::decode::word(value, path, $name::ALL)
            }
        }
    };
}
pub(crate) use words;
