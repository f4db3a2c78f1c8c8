//! What is told of something that was thrown.

use crate::js::{Value, clear};
use crate::wire::MAX_REPORT_TEXT;
use crate::writer::Record;
use crate::{inspect, web};
use alloc::string::String;
use alloc::vec::Vec;

/// `{name, message, stack}` of an Error, and `denied` where it says that a capability was denied, `{value}` with the JSON text of anything else, `{}` of null where memory is so
/// short that no error could be made.
///
/// Reading an Error may run author code (its properties can be getters); what that throws in turn is left out.
pub(crate) fn describe(thrown: &Value) -> Vec<u8> {
    let mut record = Record::new();
    if thrown.is_error() {
        for key in [c"name", c"message"] {
            if let Ok(value) = thrown.get(key).or_else(clear) {
                // A message may be any value; only text is told.
                if let Some(text) = value.as_text() {
                    record.text(key.to_bytes(), &text.lossy(MAX_REPORT_TEXT));
                }
            }
        }
        if let Some(denied) = web::denial(thrown) {
            record.text(b"denied", &denied);
        }
        if let Some(stack) = inspect::stack_of(thrown) {
            record.text(b"stack", &stack);
        }
    } else if !thrown.is_null() {
        record.text(b"value", &shown(thrown));
    }
    record.finish()
}

/// JSON text, or what the console would show where JSON has no such value.
fn shown(value: &Value) -> String {
    if !value.is_function()
        && let Some(json) = value.json()
    {
        return json.lossy(MAX_REPORT_TEXT);
    }
    inspect::to_string(value)
}
