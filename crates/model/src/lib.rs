//! The vocabulary of Sluice and its rules.
//!
//! What an Action is given ([`Input`]), what it may answer ([`Outcome`]), which trigger allows what ([`Trigger`]), how the
//! answers of several Actions in one slot become one verdict ([`slot`]), what a version, a flow and an audit record are.
//! Everything here is pure: no I/O, no clock, no async, no protobuf. Whoever needs the time or an id is given one.
//!
//! The wire (`sluice-api`) converts into these types and names the field that does not fit; the sandbox hands an
//! [`Input`] to an Action and checks what comes back against [`Outcome`]; the planes store and move the rest.

pub mod audit;
pub mod bundle;
pub mod case;
pub mod checked;
pub mod claim;
pub mod counter;
pub mod cursor;
mod decode;
pub mod delivery;
pub mod diagnostic;
pub mod emit;
pub mod error;
pub mod failure;
pub mod flow;
pub mod grants;
pub mod http;
pub mod input;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod outcome;
pub mod redirect;
pub mod run;
pub mod schema;
pub mod slot;
pub mod trigger;
pub mod version;

pub use audit::{AuditKind, AuditRecord};
pub use bundle::{Artifact, Bundle, BundleModule};
pub use checked::CheckedConfig;
pub use cursor::Cursor;
pub use decode::Invalid;
pub use delivery::Emitted;
pub use diagnostic::Diagnostic;
pub use error::{Code, Error, FieldViolation, Resource};
pub use failure::{Failure, FailureReason};
pub use flow::{Attachment, AttachmentId, FlowRevision, OnCountersUnavailable, OnFailure, Slot};
pub use grants::Grants;
pub use input::{CallerInput, Input};
pub use limits::Limits;
pub use manifest::Manifest;
pub use name::Slug;
pub use outcome::{Outcome, OutcomeKind};
pub use run::{LogLevel, LogLine, RunResult, Skipped};
pub use schema::ConfigSchema;
pub use trigger::Trigger;

/// A JSON object. Its keys are sorted, so that what is digested, compared or printed is the same everywhere.
pub type Object = serde_json::Map<String, serde_json::Value>;
