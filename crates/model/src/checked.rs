//! What an Action's own `checkConfig` says of a config that its schema takes.

use crate::{
    Invalid, Object,
    decode::{Decode, Fields, Path},
};
use serde_json::Value;

/// The most mistakes, and the most warnings, of one answer.
pub const MAX_FOUND: usize = 100;
/// The most bytes of one message.
const MAX_MESSAGE_BYTES: usize = 1 << 10;

/// The answer: the config as it is kept, and what speaks against it. An answer with errors keeps nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckedConfig {
    /// The config as it is to be kept; `None` where the answer has none: as it is.
    pub config: Option<Object>,
    /// What is wrong, each with its pointer into the config.
    pub errors: Vec<Invalid>,
    /// What is likely not what was meant.
    pub warnings: Vec<Invalid>,
}

impl CheckedConfig {
    /// Reads `{ config?, errors?, warnings? }`, where the last two are lists of `{ pointer, message }`.
    ///
    /// # Errors
    /// Where it is something else, with the pointer into the answer.
    pub fn from_json(value: Value) -> Result<CheckedConfig, Invalid> {
        CheckedConfig::decode(value, Path::ROOT)
    }

    /// The answer of a check that only says what is wrong, in words.
    pub fn refused(message: String) -> CheckedConfig {
        CheckedConfig { errors: vec![Invalid::here(message)], ..CheckedConfig::default() }
    }
}

impl Decode for CheckedConfig {
    fn decode(value: Value, path: Path<'_>) -> Result<CheckedConfig, Invalid> {
        let mut f = Fields::new(value, &path, &["config", "errors", "warnings"])?.null_is_absent();
        let mut found = |key| {
            let found: Vec<Found> = f.or_default(key)?;
            match found.len() > MAX_FOUND {
                true => Err(path.key(key).invalid(format!("{} entries; at most {MAX_FOUND}", found.len()))),
                false => Ok(found.into_iter().map(|Found(invalid)| invalid).collect()),
            }
        };
        let (errors, warnings) = (found("errors")?, found("warnings")?);
        Ok(CheckedConfig { config: f.optional("config")?, errors, warnings })
    }
}

/// A mistake as it is answered.
struct Found(Invalid);

impl Decode for Found {
    fn decode(value: Value, path: Path<'_>) -> Result<Found, Invalid> {
        let mut f = Fields::new(value, &path, &["pointer", "message"])?;
        let (pointer, message): (String, String) = (f.required("pointer")?, f.required("message")?);
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(path.key("pointer").invalid(format!("{pointer:?} is not a JSON pointer such as /domains/0")));
        }
        if !(1..=MAX_MESSAGE_BYTES).contains(&message.len()) {
            return Err(path.key("message").invalid(format!("a message has 1 to {MAX_MESSAGE_BYTES} bytes")));
        }
        Ok(Found(Invalid::at(pointer, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_read_or_refused_at_its_place() {
        let read = CheckedConfig::from_json(json!({
            "config": {"n": 1}, "errors": [{"pointer": "/n", "message": "too small"}], "warnings": []
        }));
        let read = read.unwrap();
        assert_eq!(read.config.unwrap()["n"], 1);
        assert_eq!(read.errors, [Invalid::at("/n", "too small")]);
        assert_eq!(CheckedConfig::from_json(json!({})).unwrap(), CheckedConfig::default());
        for (answer, pointer) in [
            (json!(null), ""),
            (json!({"error": []}), "/error"),
            (json!({"config": 1}), "/config"),
            (json!({"errors": [{"pointer": "n", "message": "x"}]}), "/errors/0/pointer"),
            (json!({"errors": [{"pointer": "/n"}]}), "/errors/0"),
            (json!({"warnings": [{"pointer": "", "message": ""}]}), "/warnings/0/message"),
            (json!({"errors": vec![json!({"pointer": "", "message": "x"}); 101]}), "/errors"),
        ] {
            assert_eq!(CheckedConfig::from_json(answer.clone()).unwrap_err().pointer, pointer, "{answer}");
        }
    }
}
