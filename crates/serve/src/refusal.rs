//! The refusals that the stack itself makes.

use sluice_model::{Code, Error};
use tonic::Status;

/// A refusal with a documented reason.
pub(crate) fn refusal(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    sluice_api::status::to_status(Error::new(code, reason, message))
}

/// INVALID_ARGUMENT for a header.
pub(crate) fn bad_header(header: &str, takes: &str) -> Status {
    sluice_api::status::to_status(Error::field(header, takes))
}

/// DEADLINE_EXCEEDED.
pub(crate) fn deadline_exceeded() -> Status {
    refusal(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline of the caller (grpc-timeout) has passed")
}

/// INTERNAL, for a handler that panicked: what happened is in the log, under the call's id.
pub(crate) fn panicked() -> Status {
    refusal(Code::Internal, "INTERNAL", "the service failed on this call; its log has more under the x-request-id")
}
