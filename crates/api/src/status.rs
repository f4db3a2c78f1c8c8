//! The one table between refusals and gRPC statuses, both ways.
//!
//! Every status carries exactly one `google.rpc.ErrorInfo` whose domain is [`DOMAIN`] and whose reason is documented with
//! the service in `proto/`. Fields at fault come as a BadRequest, what the refusal is about as a ResourceInfo, and a state
//! of things that forbids the request as a PreconditionFailure besides. A status travels in HTTP/2 headers, of which
//! common clients and proxies take 16 KiB: long messages and lists of fields are cut, and say so.

use crate::FieldError;
use sluice_model::{Code, Error, FieldViolation, error::Resource};
use std::collections::HashMap;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "sluice";

/// What tonic says where a client's own time limit has passed.
const LATE: &str = "Timeout expired";
/// A message in bytes; percent-encoding may triple it in the header.
const MAX_MESSAGE_BYTES: usize = 1 << 10;
/// All fields and their messages in bytes; Base64 makes a third more of it in the header.
const MAX_FIELDS_BYTES: usize = 6 << 10;

/// The status of a refusal.
pub fn to_status(error: Error) -> Status {
    let code = to_code(error.code);
    let message = cut(error.message, MAX_MESSAGE_BYTES);
    let mut details = ErrorDetails::with_error_info(error.reason.clone(), DOMAIN, HashMap::new());
    let mut room = MAX_FIELDS_BYTES;
    let total = error.fields.len();
    for (told, field) in error.fields.into_iter().enumerate() {
        let bytes = field.field.len() + field.message.len();
        if bytes > room && told > 0 {
            let rest = total - told;
            details.add_bad_request_violation("", format!("{rest} more are not listed"));
            break;
        }
        room = room.saturating_sub(bytes);
        details
            .add_bad_request_violation(cut(field.field, MAX_MESSAGE_BYTES), cut(field.message, MAX_FIELDS_BYTES / 2));
    }
    if code == tonic::Code::FailedPrecondition {
        let subject = error.resource.as_ref().map_or("", |r| r.name.as_str());
        details.add_precondition_failure_violation(error.reason, subject, message.clone());
    }
    if let Some(resource) = error.resource {
        details.set_resource_info(resource.kind, resource.name, "", "");
    }
    Status::with_error_details(code, message, details)
}

/// The refusal that a status tells of. One that did not come from us (a proxy's, a broken connection's) has its code as
/// its reason.
pub fn from_status(status: &Status) -> Error {
    // The client's own wait is over: it tells so as if the caller had gone away.
    let is_late = status.code() == tonic::Code::Cancelled && status.message() == LATE && status.details().is_empty();
    if is_late {
        return Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "there was no answer in time");
    }
    let code = from_code(status.code());
    let details = status.get_error_details();
    let reason = match details.error_info() {
        Some(info) if info.domain == DOMAIN => info.reason.clone(),
        _ => code.as_str().to_ascii_uppercase(),
    };
    let violations = details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default();
    let mut error = Error::new(code, reason, status.message());
    error.fields =
        violations.iter().map(|v| FieldViolation { field: v.field.clone(), message: v.description.clone() }).collect();
    error.resource =
        details.resource_info().map(|r| Resource { kind: r.resource_type.clone(), name: r.resource_name.clone() });
    error
}

impl From<FieldError> for Status {
    fn from(error: FieldError) -> Status {
        to_status(error.into())
    }
}

/// The gRPC code of a code.
pub const fn to_code(code: Code) -> tonic::Code {
    match code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::Aborted => tonic::Code::Aborted,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::Cancelled => tonic::Code::Cancelled,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Internal => tonic::Code::Internal,
    }
}

/// The code of a gRPC code. Those that Sluice never sends are a fault of somebody's: internal.
pub const fn from_code(code: tonic::Code) -> Code {
    match code {
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Code::InvalidArgument,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::AlreadyExists => Code::AlreadyExists,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::Aborted => Code::Aborted,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        tonic::Code::Cancelled => Code::Cancelled,
        tonic::Code::Unimplemented => Code::Unimplemented,
        tonic::Code::Ok | tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::DataLoss => Code::Internal,
    }
}

/// Text of at most so many bytes, with a mark where it was cut.
fn cut(text: String, max: usize) -> String {
    const MARK: &str = " ... (cut)";
    if text.len() <= max {
        return text;
    }
    let mut end = max - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests;
