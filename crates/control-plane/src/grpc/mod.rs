//! The edge: messages to the domain's types and back, who is calling, and the one tenant check. No rule lives here.

#![allow(clippy::result_large_err, reason = "tonic's own error, which its traits ask for")]

mod audit;
mod catalog;
mod deliveries;
mod distribution;
mod executors;
mod flows;
mod ingest;
mod parts;
mod secrets;
mod tenants;

pub(crate) use audit::AuditEdge;
pub(crate) use catalog::CatalogEdge;
pub(crate) use deliveries::DeliveryEdge;
pub(crate) use distribution::DistributionEdge;
pub(crate) use executors::ExecutorEdge;
pub(crate) use flows::FlowEdge;
pub(crate) use ingest::IngestEdge;
pub(crate) use secrets::SecretEdge;
pub(crate) use tenants::TenantEdge;

use crate::catalogue::{PLATFORM, TEMPLATE_SLUGS};
use crate::distribution::Rollout;
use crate::flows::Warning;
use sluice_api::convert::Ctx as _;
use sluice_api::{FieldError, convert, status, types::v1 as types};
use sluice_model::{Code, Error, Slug};
use sluice_serve::{Principal, PrincipalKind, authorize_tenant};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long a stream may be open before its first message comes.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a caller may wait for executors.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The message of a call, with who sent it.
fn opened<T>(request: Request<T>) -> Result<(Principal, T), Status> {
    let principal = sluice_serve::principal(&request)?.clone();
    Ok((principal, request.into_inner()))
}

/// The answer of a call.
fn answer<T>(done: Result<T, Error>) -> Result<Response<T>, Status> {
    done.map(Response::new).map_err(status::to_status)
}

/// The tenant that a message names, where the caller may act in it.
fn tenant(principal: &Principal, text: &str) -> Result<Slug, Error> {
    let tenant = convert::slug(text).ctx("tenant")?;
    authorize_tenant(principal, &tenant)?;
    Ok(tenant)
}

/// What concerns the platform, or all tenants, is for its operator.
fn operator(principal: &Principal) -> Result<(), Error> {
    if principal.kind == PrincipalKind::PlatformOperator {
        return Ok(());
    }
    let message = format!("{} is not the platform's operator", principal.name);
    Err(Error::new(Code::PermissionDenied, "OPERATOR_ONLY", message))
}

/// An id that a caller made up.
fn id(field: &str, text: &str) -> Result<String, Error> {
    sluice_model::limits::check_id(text).map_err(|invalid| Error::invalid(field, invalid))?;
    Ok(text.to_owned())
}

/// The first message of a stream. Without one the caller waits for us and we for the caller.
async fn first<T>(stream: &mut tonic::Streaming<T>) -> Result<T, Status> {
    let violation = |message: &str| status::to_status(Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", message));
    match tokio::time::timeout(HELLO_TIMEOUT, stream.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(violation("the stream ended before its first message")),
        Ok(Err(status)) => Err(status),
        Err(_late) => Err(violation("the first message did not come in time")),
    }
}

/// The refusal of a server that is ending.
fn draining() -> Status {
    status::to_status(Error::new(Code::Unavailable, "DRAINING", "the control plane is ending; connect to another one"))
}

/// Reads an Action's slug. `platform/SLUG` always names one of the platform's templates.
fn action_slug(text: &str) -> Result<Slug, FieldError> {
    match text.split_once('/') {
        Some((PLATFORM, slug)) if TEMPLATE_SLUGS.contains(&slug) => convert::slug(slug),
        Some((PLATFORM, slug)) => {
            let shown: String = slug.chars().take(80).collect();
            Err(FieldError::here(format!(
                "the platform has no template {shown:?}; it has {}",
                TEMPLATE_SLUGS.join(", ")
            )))
        }
        _ => convert::slug(text),
    }
}

fn to_wire_rollout(rollout: Rollout) -> types::Rollout {
    types::Rollout { have: rollout.have, waiting: rollout.waiting }
}

fn to_wire_warnings(warnings: Vec<Warning>) -> Vec<types::Warning> {
    warnings.into_iter().map(|Warning { code, message, pointer }| types::Warning { code, message, pointer }).collect()
}
