//! What a run may use, and what the service accepts. Source: DESIGN "Sandbox: what is promised".

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// CPU time of a run where the version says nothing, in milliseconds of the thread's own CPU time.
pub const DEFAULT_CPU_MS: u32 = 50;
/// The most CPU time that a version may ask for.
pub const MAX_CPU_MS: u32 = 1_000;
/// Time by the clock of a run where nothing says otherwise.
pub const DEFAULT_WALL_MS: u32 = 500;
/// The most time by the clock that a version or an attachment may ask for.
pub const MAX_WALL_MS: u32 = 5_000;
/// Time by the clock of a whole slot where the flow says nothing.
pub const DEFAULT_SLOT_BUDGET_MS: u32 = 2_000;
/// The most time by the clock of a slot.
pub const MAX_SLOT_BUDGET_MS: u32 = 10_000;
/// The memory of a run; fixed.
pub const MEMORY_BYTES: u64 = 64 << 20;
/// An outcome as compact UTF-8 JSON.
pub const MAX_OUTCOME_BYTES: usize = 64 << 10;
/// What a run may log in all; more is cut, with a mark.
pub const MAX_LOG_BYTES: usize = 16 << 10;
/// A bundle: JavaScript of all modules together.
pub const MAX_BUNDLE_BYTES: usize = 1 << 20;
/// A WebAssembly component; a Python interpreter takes 18 (docs/adr/0017-components.md).
pub const MAX_COMPONENT_BYTES: usize = 24 << 20;
/// A key of the state, in characters.
pub const MAX_STATE_KEY_CHARS: usize = 64;
/// A value of the state as compact UTF-8 JSON.
pub const MAX_STATE_VALUE_BYTES: usize = 8 << 10;
/// The merged state as compact UTF-8 JSON.
pub const MAX_STATE_BYTES: usize = 16 << 10;
/// The input of an Execute: what a caller sends.
pub const MAX_INPUT_BYTES: usize = 256 << 10;
/// An id that a caller makes up (sign-in, execution, request id), in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Attachments in one slot.
pub const MAX_ATTACHMENTS_A_SLOT: usize = 50;
/// The config of an attachment as compact UTF-8 JSON.
pub const MAX_CONFIG_BYTES: usize = 64 << 10;

/// How many objects and lists of one JSON value may stand inside each other. Decoders of protobuf stop at 100 messages,
/// and each level of a google.protobuf.Value is up to three of them, inside those that carry it: what is deeper could be
/// saved, and then never be sent to an executor or shown.
pub const MAX_JSON_DEPTH: usize = 24;

/// What one run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU time in milliseconds, 1 to [`MAX_CPU_MS`].
    pub cpu_ms: u32,
    /// Time by the clock in milliseconds, 1 to [`MAX_WALL_MS`].
    pub wall_ms: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { cpu_ms: DEFAULT_CPU_MS, wall_ms: DEFAULT_WALL_MS }
    }
}

/// Checks that a value is nested at most [`MAX_JSON_DEPTH`] deep. The pointer of the error is empty.
pub fn check_depth(value: &Value) -> Result<(), crate::Invalid> {
    if within_depth(value, MAX_JSON_DEPTH) { Ok(()) } else { Err(too_deep()) }
}

/// [`check_depth`] for an object, which itself counts.
pub fn check_object_depth(object: &crate::Object) -> Result<(), crate::Invalid> {
    if object.values().all(|v| within_depth(v, MAX_JSON_DEPTH - 1)) { Ok(()) } else { Err(too_deep()) }
}

/// Stops at the limit itself, so that a hostile value costs no more stack than a sound one.
fn within_depth(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left > 0 && items.iter().all(|v| within_depth(v, left - 1)),
        Value::Object(object) => left > 0 && object.values().all(|v| within_depth(v, left - 1)),
        _ => true,
    }
}

fn too_deep() -> crate::Invalid {
    crate::Invalid::here(format!("is nested more than {MAX_JSON_DEPTH} deep"))
}

/// Checks an id that a caller made up: 1 to [`MAX_ID_BYTES`] visible ASCII characters.
pub fn check_id(id: &str) -> Result<(), crate::Invalid> {
    if (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(crate::Invalid::here(format!("expected 1 to {MAX_ID_BYTES} visible ASCII characters without spaces")))
}
