//! Which field is at fault, named from the outside in.

use sluice_model::{Error, Invalid};
use std::fmt;

/// A field that does not take what was sent. Becomes `INVALID_ARGUMENT` with the field in a BadRequest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct FieldError {
    /// The path of the field: names joined by dots, places in lists in brackets, such as `user.emails[0].address`. Empty
    /// for the message itself.
    pub field: String,
    /// What is wrong and what it takes, lower case, without a full stop.
    pub message: String,
}

impl FieldError {
    /// A mistake of the message or value itself.
    pub fn here(message: impl Into<String>) -> FieldError {
        FieldError { field: String::new(), message: message.into() }
    }

    /// The same mistake seen from the message that has it in `field`.
    #[must_use]
    pub fn under(mut self, field: impl fmt::Display) -> FieldError {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{field}{dot}{}", self.field);
        self
    }

    /// The same mistake seen from the list that has it at `index`, from 0.
    #[must_use]
    pub fn at_index(self, index: usize) -> FieldError {
        self.under(format_args!("[{index}]"))
    }

    /// The same mistake seen from the map that has it under `key`.
    #[must_use]
    pub fn at_key(self, key: &str) -> FieldError {
        self.under(key_step(key))
    }
}

/// A key of a map as a step of a path: `state.step`, but `headers["x-a"]` where a bare name would be hard to read.
fn key_step(key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain && !key.is_empty() && key.len() <= 80 {
        return key.to_owned();
    }
    // Hostile keys must not fill logs and answers.
    let shown: String = key.chars().take(80).collect();
    format!("[{shown:?}]")
}

impl From<String> for FieldError {
    fn from(message: String) -> FieldError {
        FieldError::here(message)
    }
}

/// The model names places by JSON pointers.
impl From<Invalid> for FieldError {
    fn from(invalid: Invalid) -> FieldError {
        let mut error = FieldError::here(invalid.message);
        for token in invalid.pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
            error = match token.parse() {
                Ok(index) => error.at_index(index),
                Err(_) => error.at_key(&token.replace("~1", "/").replace("~0", "~")),
            };
        }
        error
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Error {
        Error::field(error.field, error.message)
    }
}

/// Names the field that a failed conversion is of.
pub trait Ctx<T> {
    /// The same result, seen from the message that has it in `field`.
    fn ctx(self, field: &str) -> Result<T, FieldError>;
}

impl<T, E: Into<FieldError>> Ctx<T> for Result<T, E> {
    fn ctx(self, field: &str) -> Result<T, FieldError> {
        self.map_err(|e| e.into().under(field))
    }
}

/// A message field that must be there.
pub fn required<T>(field: Option<T>) -> Result<T, FieldError> {
    field.ok_or_else(|| FieldError::here("is required"))
}
