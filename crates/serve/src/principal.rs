//! Who is calling, and the one check that keeps tenants apart.

use crate::{call::Call, refusal::refusal};
use sluice_model::{Code, Error, Slug};
use std::{net::SocketAddr, sync::Arc};
use tonic::Status;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What it may do.
    pub kind: PrincipalKind,
    /// Its name in audit, at most 128 characters: `platform-operator`.
    pub name: String,
}

/// What a principal may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// May act in every tenant, and on the platform.
    PlatformOperator,
    /// May act in one tenant.
    Tenant(Slug),
}

/// The principal of this call. The error is INTERNAL: the request did not come through the stack.
#[allow(clippy::result_large_err, reason = "the error is tonic's own, and handlers return it as it is")]
pub fn principal<T>(request: &tonic::Request<T>) -> Result<&Principal, Status> {
    Call::of(request)
        .and_then(|call| call.principal.as_deref())
        .ok_or_else(|| refusal(Code::Internal, "INTERNAL", "the call has no principal"))
}

/// The one tenant check: every handler that names a tenant passes it before it looks anything up. The refusal is the same
/// whether the tenant exists or not.
pub fn authorize_tenant(principal: &Principal, tenant: &Slug) -> Result<(), Error> {
    match &principal.kind {
        PrincipalKind::PlatformOperator => Ok(()),
        PrincipalKind::Tenant(own) if own == tenant => Ok(()),
        PrincipalKind::Tenant(_) => {
            let message = format!("tenant: {} may not act in tenant {tenant}", principal.name);
            Err(Error::new(Code::PermissionDenied, "TENANT_DENIED", message))
        }
    }
}

/// What is known of a caller before it is known who it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Caller<'a> {
    /// The headers of the call.
    pub headers: &'a http::HeaderMap,
    /// The address of its end of the connection.
    pub peer: SocketAddr,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(headers: &'a http::HeaderMap, peer: SocketAddr) -> Caller<'a> {
        Caller { headers, peer }
    }
}

/// Finds out who is calling. It is asked for every call and must not block.
pub trait Authenticate: Send + Sync + std::fmt::Debug {
    /// The principal, shared since most callers come again; or UNAUTHENTICATED.
    #[allow(clippy::result_large_err, reason = "the error is tonic's own, and is the answer as it is")]
    fn authenticate(&self, caller: &Caller<'_>) -> Result<Arc<Principal>, Status>;
}

/// As long as there is no identity: whoever reaches the loopback address is the platform operator.
///
/// A caller that sends an `authorization` header is refused. It believes that it acts with that token's rights; to ignore
/// the token would silently give it all rights.
#[derive(Debug)]
pub struct LoopbackOperator {
    operator: Arc<Principal>,
}

impl Default for LoopbackOperator {
    fn default() -> LoopbackOperator {
        let operator = Principal { kind: PrincipalKind::PlatformOperator, name: "platform-operator".into() };
        LoopbackOperator { operator: Arc::new(operator) }
    }
}

impl Authenticate for LoopbackOperator {
    fn authenticate(&self, caller: &Caller<'_>) -> Result<Arc<Principal>, Status> {
        let refused = |reason, message| Err(refusal(Code::Unauthenticated, reason, message));
        if caller.headers.contains_key(http::header::AUTHORIZATION) {
            return refused(
                "IDENTITY_NOT_CONFIGURED",
                "authorization: this server cannot check tokens yet and takes calls without one (unset SLUICE_TOKEN)",
            );
        }
        // The listener is bound to loopback alone; this holds it where it matters, too.
        if !caller.peer.ip().to_canonical().is_loopback() {
            return refused("IDENTITY_NOT_CONFIGURED", "this server takes calls from its own machine alone");
        }
        Ok(Arc::clone(&self.operator))
    }
}
