#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;

/// Sends a status as the wire does: through headers.
fn over_the_wire(status: &Status) -> Status {
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    let bytes: usize = headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 32).sum();
    assert!(bytes < 16 << 10, "{bytes} bytes of headers are more than common clients take");
    Status::from_header_map(&headers).unwrap()
}

#[test]
fn every_code_comes_back_as_it_went() {
    for (word, code) in Code::ALL {
        let error = Error::new(*code, "FLOW_NOT_FOUND", "there is no flow \"größe\" here")
            .with_field("tenant", "is required")
            .with_field("input.user.id", "is required where there is a user")
            .about("flow", "größe");
        assert_eq!(from_status(&over_the_wire(&to_status(error.clone()))), error, "{word}");
        let bare = Error::new(*code, "INTERNAL", "x");
        assert_eq!(from_status(&over_the_wire(&to_status(bare.clone()))), bare, "{word}");
    }
}

#[test]
fn a_wait_that_is_over_is_no_call_that_was_given_up() {
    let late = from_status(&Status::from_error(Box::new(tonic::TimeoutExpired(()))));
    assert_eq!((late.code, &*late.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(from_status(&Status::cancelled("the caller went away")).code, Code::Cancelled);
}

#[test]
fn a_refusal_carries_exactly_one_error_info_and_what_helps() {
    let error = Error::precondition("FLOW_REVISION_EXPIRED", "revision 3 has expired").about("flow_revision", "main@3");
    let status = over_the_wire(&to_status(error));
    let details = status.get_error_details_vec();
    let infos = details.iter().filter(|d| matches!(d, tonic_types::ErrorDetail::ErrorInfo(_))).count();
    assert_eq!(infos, 1);
    let all = status.get_error_details();
    assert_eq!(all.error_info().unwrap().domain, "sluice");
    let violation = &all.precondition_failure().unwrap().violations[0];
    assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), ("FLOW_REVISION_EXPIRED", "main@3"));
    assert_eq!(all.resource_info().unwrap().resource_name, "main@3");
    assert!(all.bad_request().is_none());
}

#[test]
fn a_field_error_becomes_invalid_argument_that_names_the_field() {
    let status = Status::from(FieldError::here("is required").under("id").under("user").under("input"));
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let error = from_status(&status);
    assert_eq!(error.reason, "INVALID_FIELD");
    assert_eq!(error.fields[0].field, "input.user.id");
    assert_eq!(error.message, "input.user.id: is required");
}

#[test]
fn more_than_headers_can_carry_is_cut_and_says_so() {
    let mut error = Error::new(Code::InvalidArgument, "INVALID_PACKAGE", "ü".repeat(4_000));
    for i in 0..400 {
        error = error.with_field(format!("src/index.ts:{i}:1"), "expected something else ".repeat(20));
    }
    let read = from_status(&over_the_wire(&to_status(error)));
    assert!(read.message.ends_with("(cut)"));
    assert!(read.fields.len() > 5);
    let last = read.fields.last().unwrap();
    assert_eq!(last.message, format!("{} more are not listed", 400 - (read.fields.len() - 1)));
    // One field that alone is too long is cut, not dropped.
    let read = from_status(&over_the_wire(&to_status(Error::field("config", "x".repeat(100_000)))));
    assert_eq!(read.fields.len(), 1);
    assert!(read.fields[0].message.ends_with("(cut)"));
}

#[test]
fn a_status_of_somebody_else_has_its_code_as_reason() {
    let error = from_status(&Status::unavailable("tcp connect error"));
    assert_eq!(
        (error.code, &*error.reason, error.message.as_str()),
        (Code::Unavailable, "UNAVAILABLE", "tcp connect error")
    );
    assert_eq!(from_status(&Status::unknown("?")).code, Code::Internal);
    let foreign = ErrorDetails::with_error_info("QUOTA", "googleapis.com", HashMap::new());
    let status = Status::with_error_details(tonic::Code::ResourceExhausted, "x", foreign);
    assert_eq!(from_status(&status).reason, "RESOURCE_EXHAUSTED");
}
