//! `TenantService`.

use super::{MAX_WAIT, answer, opened, operator, tenant, to_wire_rollout};
use crate::distribution::Distribution;
use crate::tenants::{BreakGlass, OriginChange, OriginVerb, Tenant, Tenants};
use crate::{keys, page};
use sluice_api::control::v1::{self as wire, tenant_service_server::TenantService};
use sluice_api::convert::{self, Ctx as _};
use sluice_model::Error;
use sluice_serve::{Principal, PrincipalKind};
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct TenantEdge {
    tenants: Tenants,
    distribution: Distribution,
}

impl TenantEdge {
    pub(crate) fn new(tenants: Tenants, distribution: Distribution) -> TenantEdge {
        TenantEdge { tenants, distribution }
    }

    async fn create(
        &self,
        principal: Principal,
        asked: wire::CreateTenantRequest,
    ) -> Result<wire::CreateTenantResponse, Error> {
        operator(&principal)?;
        let tenant = convert::slug(&asked.tenant).ctx("tenant")?;
        let made = self.tenants.create(&principal.name, &tenant, &asked.request_id).await?;
        Ok(wire::CreateTenantResponse { tenant: Some(to_wire(made)?) })
    }

    async fn get(&self, principal: Principal, asked: wire::GetTenantRequest) -> Result<wire::GetTenantResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        Ok(wire::GetTenantResponse { tenant: Some(to_wire(self.tenants.get(&tenant).await?.value)?) })
    }

    async fn list(
        &self,
        principal: Principal,
        asked: wire::ListTenantsRequest,
    ) -> Result<wire::ListTenantsResponse, Error> {
        let only = match &principal.kind {
            PrincipalKind::PlatformOperator => None,
            PrincipalKind::Tenant(own) => Some(own),
            _ => return operator(&principal).map(|()| wire::ListTenantsResponse::default()),
        };
        let after = page::after(&asked.page_token, &keys::tenants())?;
        let found = self.tenants.list(only, after, page::size(asked.page_size)?).await?;
        Ok(wire::ListTenantsResponse {
            tenants: found.entries.into_iter().map(to_wire).collect::<Result<_, _>>()?,
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn add(
        &self,
        principal: Principal,
        asked: wire::AddRedirectOriginRequest,
    ) -> Result<wire::AddRedirectOriginResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let change = OriginChange { tenant, verb: OriginVerb::Add, origin: asked.origin, etag: asked.etag };
        let origin = self.tenants.change_origin(&principal.name, &change, &asked.request_id).await?;
        Ok(wire::AddRedirectOriginResponse { origin })
    }

    async fn remove(
        &self,
        principal: Principal,
        asked: wire::RemoveRedirectOriginRequest,
    ) -> Result<wire::RemoveRedirectOriginResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let change = OriginChange { tenant, verb: OriginVerb::Remove, origin: asked.origin, etag: asked.etag };
        let origin = self.tenants.change_origin(&principal.name, &change, &asked.request_id).await?;
        Ok(wire::RemoveRedirectOriginResponse { origin })
    }

    async fn break_glass(
        &self,
        principal: Principal,
        asked: wire::SetBreakGlassRequest,
    ) -> Result<wire::SetBreakGlassResponse, Error> {
        let wait = convert::duration(asked.wait, MAX_WAIT).ctx("wait")?;
        let change = BreakGlass { tenant: tenant(&principal, &asked.tenant)?, on: asked.on, etag: asked.etag };
        let (tenant, since) = self.tenants.set_break_glass(&principal.name, &change, &asked.request_id).await?;
        let rollout = self.distribution.judged(&tenant.tenant, since, wait).await;
        Ok(wire::SetBreakGlassResponse { tenant: Some(to_wire(tenant)?), rollout: Some(to_wire_rollout(rollout)) })
    }

    /// The origins are few and lie in the tenant's row: a page begins past the origin that its token names.
    async fn origins(
        &self,
        principal: Principal,
        asked: wire::ListRedirectOriginsRequest,
    ) -> Result<wire::ListRedirectOriginsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let size = page::size(asked.page_size)?;
        let prefix = keys::tenant(&tenant);
        let after = page::after(&asked.page_token, &prefix)?;
        let after = after.and_then(|key| key.parts_after(&prefix)?.text());
        let mut origins = self.tenants.get(&tenant).await?.value.redirect_origins;
        origins.retain(|origin| after.as_ref().is_none_or(|after| origin > after));
        let more = origins.len() > size;
        origins.truncate(size);
        let last = origins.last().filter(|_| more).map(|origin| prefix.text(origin));
        Ok(wire::ListRedirectOriginsResponse { origins, next_page_token: page::token(last.as_ref()) })
    }
}

fn to_wire(tenant: Tenant) -> Result<wire::Tenant, Error> {
    Ok(wire::Tenant {
        tenant: tenant.tenant.to_string(),
        created_at: Some(convert::to_timestamp(tenant.created_at)),
        break_glass: tenant.break_glass,
        etag: tenant.etag()?,
    })
}

#[tonic::async_trait]
impl TenantService for TenantEdge {
    async fn create_tenant(
        &self,
        request: Request<wire::CreateTenantRequest>,
    ) -> Result<Response<wire::CreateTenantResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.create(principal, asked).await)
    }

    async fn get_tenant(
        &self,
        request: Request<wire::GetTenantRequest>,
    ) -> Result<Response<wire::GetTenantResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.get(principal, asked).await)
    }

    async fn list_tenants(
        &self,
        request: Request<wire::ListTenantsRequest>,
    ) -> Result<Response<wire::ListTenantsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.list(principal, asked).await)
    }

    async fn add_redirect_origin(
        &self,
        request: Request<wire::AddRedirectOriginRequest>,
    ) -> Result<Response<wire::AddRedirectOriginResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.add(principal, asked).await)
    }

    async fn remove_redirect_origin(
        &self,
        request: Request<wire::RemoveRedirectOriginRequest>,
    ) -> Result<Response<wire::RemoveRedirectOriginResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.remove(principal, asked).await)
    }

    async fn list_redirect_origins(
        &self,
        request: Request<wire::ListRedirectOriginsRequest>,
    ) -> Result<Response<wire::ListRedirectOriginsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.origins(principal, asked).await)
    }

    async fn set_break_glass(
        &self,
        request: Request<wire::SetBreakGlassRequest>,
    ) -> Result<Response<wire::SetBreakGlassResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.break_glass(principal, asked).await)
    }
}
