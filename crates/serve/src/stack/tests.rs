//! The parts of the stack that need no socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{CODES, deadline::timeout, trailers};
use crate::principal::{Principal, PrincipalKind, authorize_tenant};
use http::{HeaderMap, HeaderValue};
use sluice_model::{Code, Slug};
use std::time::Duration;

#[test]
fn a_timeout_is_read_in_every_unit() {
    for (text, expected) in [
        ("2H", Duration::from_secs(7200)),
        ("3M", Duration::from_secs(180)),
        ("4S", Duration::from_secs(4)),
        ("5m", Duration::from_millis(5)),
        ("6u", Duration::from_micros(6)),
        ("7n", Duration::from_nanos(7)),
        ("99999999S", Duration::from_secs(365 * 24 * 60 * 60)),
    ] {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static("grpc-timeout"), HeaderValue::from_static(text))]);
        assert_eq!(timeout(&headers).unwrap(), Some(expected), "{text}");
    }
    assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
}

#[test]
fn the_codes_are_where_grpc_numbers_them() {
    for (number, name) in (0_i32..).zip(CODES) {
        let spoken = format!("{:?}", tonic::Code::from_i32(number)).to_uppercase();
        assert_eq!(name.replace('_', ""), spoken);
    }
}

#[test]
fn a_status_becomes_trailers() {
    let trailers = trailers(&tonic::Status::unavailable("gone\nfor good"));
    assert_eq!(trailers.get("grpc-status").unwrap(), "14");
    assert_eq!(trailers.get("grpc-message").unwrap(), "gone%0Afor%20good");
}

#[test]
fn the_tenant_check_keeps_tenants_apart() {
    let (acme, other) = (Slug::parse("acme").unwrap(), Slug::parse("other").unwrap());
    let operator = Principal { kind: PrincipalKind::PlatformOperator, name: "op".into() };
    let member = Principal { kind: PrincipalKind::Tenant(acme.clone()), name: "deployer".into() };
    assert_eq!(authorize_tenant(&operator, &other), Ok(()));
    assert_eq!(authorize_tenant(&member, &acme), Ok(()));
    let refused = authorize_tenant(&member, &other).unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::PermissionDenied, "TENANT_DENIED"));
}
