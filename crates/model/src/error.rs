//! Refusals: the small public set of codes, each with a documented reason and the fields that are at fault.

use crate::{Invalid, decode::words};
use serde::Serialize;
use std::borrow::Cow;

words! {
    /// The code of a refusal; the names are those of gRPC.
    Code {
        /// A field does not take what was sent.
        InvalidArgument = "invalid_argument",
        /// What was named does not exist, or not for this caller.
        NotFound = "not_found",
        /// What was to be made exists.
        AlreadyExists = "already_exists",
        /// The request is sound, the state of things forbids it.
        FailedPrecondition = "failed_precondition",
        /// Somebody else was faster: read again and retry.
        Aborted = "aborted",
        /// The caller may not do this.
        PermissionDenied = "permission_denied",
        /// The caller is not known.
        Unauthenticated = "unauthenticated",
        /// A limit or a quota is used up; retry later.
        ResourceExhausted = "resource_exhausted",
        /// A part that is needed cannot be reached now; retry.
        Unavailable = "unavailable",
        /// The caller's deadline has passed.
        DeadlineExceeded = "deadline_exceeded",
        /// The caller went away.
        Cancelled = "cancelled",
        /// What was asked for is not built.
        Unimplemented = "unimplemented",
        /// A fault of the service itself; the log has more.
        Internal = "internal",
    }
}

/// A field that is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldViolation {
    /// The field's name as the caller knows it: `tenant`, `input.user.id`, `config/domains/0`.
    pub field: String,
    /// What is wrong with it and what it takes.
    pub message: String,
}

/// A refusal. `message` is for people; `reason` is documented, upper case, and stable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The code.
    pub code: Code,
    /// The reason, such as `FLOW_NOT_FOUND`. Borrowed where it is made, owned where it came over the wire.
    pub reason: Cow<'static, str>,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// The fields that are at fault; empty where none is.
    pub fields: Vec<FieldViolation>,
    /// What the refusal is about: what was not found, exists, or is in the wrong state.
    pub resource: Option<Resource>,
}

/// A thing that a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// What it is: `tenant`, `flow`, `flow_revision`, `attachment`, `action`, `version`, `bundle`.
    pub kind: String,
    /// Its name as the caller knows it: a slug, a revision, `SLUG@VERSION`.
    pub name: String,
}

impl Error {
    /// A refusal without fields.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Error {
        Error { code, reason: reason.into(), message: message.into(), fields: Vec::new(), resource: None }
    }

    /// A field that does not take what was sent: `INVALID_ARGUMENT`, reason `INVALID_FIELD`.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Error {
        let violation = FieldViolation { field: field.into(), message: message.into() };
        let message = format!("{}: {}", violation.field, violation.message);
        Error { fields: vec![violation], ..Error::new(Code::InvalidArgument, "INVALID_FIELD", message) }
    }

    /// A mistake inside a field that holds JSON: `input` and `/user/id` make `input/user/id`.
    pub fn invalid(field: &str, invalid: Invalid) -> Error {
        Error::field(format!("{field}{}", invalid.pointer), invalid.message)
    }

    /// Something that does not exist: `NOT_FOUND`, reason such as `FLOW_NOT_FOUND`.
    pub fn not_found(reason: &'static str, message: impl Into<String>) -> Error {
        Error::new(Code::NotFound, reason, message)
    }

    /// A state of things that forbids the request.
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Error {
        Error::new(Code::FailedPrecondition, reason, message)
    }

    /// A fault of the service. Only what a caller may see goes into the message.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(Code::Internal, "INTERNAL", message)
    }

    /// The same refusal, with one more field named.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, message: impl Into<String>) -> Error {
        self.fields.push(FieldViolation { field: field.into(), message: message.into() });
        self
    }

    /// The same refusal, saying what it is about.
    #[must_use]
    pub fn about(mut self, kind: impl Into<String>, name: impl Into<String>) -> Error {
        self.resource = Some(Resource { kind: kind.into(), name: name.into() });
        self
    }
}
