//! The refusals that the stack itself makes, with the ErrorInfo that every gRPC error of Sluice has.

use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Whose reasons these are, in ErrorInfo.
const DOMAIN: &str = "sluice";

/// A refusal with a documented reason.
pub(crate) fn refusal(code: Code, reason: &str, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new()))
}

/// INVALID_ARGUMENT for a header.
pub(crate) fn bad_header(header: &str, takes: impl Into<String>) -> Status {
    let takes = takes.into();
    let mut details = ErrorDetails::with_bad_request_violation(header, takes.clone());
    details.set_error_info("INVALID_FIELD", DOMAIN, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, format!("{header}: {takes}"), details)
}

/// DEADLINE_EXCEEDED.
pub(crate) fn deadline_exceeded() -> Status {
    refusal(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline of the caller (grpc-timeout) has passed")
}

/// INTERNAL, for a handler that panicked: what happened is in the log, under the call's id.
pub(crate) fn panicked() -> Status {
    refusal(Code::Internal, "INTERNAL", "the service failed on this call; its log has more under the x-request-id")
}
