//! `TenantService`.

use super::{answer, opened, operator, tenant};
use crate::tenants::{OriginChange, Tenant, Tenants};
use crate::{keys, page};
use sluice_api::control::v1::{self as wire, tenant_service_server::TenantService};
use sluice_api::convert::{self, Ctx as _};
use sluice_model::Error;
use sluice_serve::{Principal, PrincipalKind};
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct TenantEdge {
    tenants: Tenants,
}

impl TenantEdge {
    pub(crate) fn new(tenants: Tenants) -> TenantEdge {
        TenantEdge { tenants }
    }

    async fn create(
        &self,
        principal: Principal,
        asked: wire::CreateTenantRequest,
    ) -> Result<wire::CreateTenantResponse, Error> {
        operator(&principal)?;
        let tenant = convert::slug(&asked.tenant).ctx("tenant")?;
        let made = self.tenants.create(&principal.name, &tenant, &asked.request_id).await?;
        Ok(wire::CreateTenantResponse { tenant: Some(to_wire(made)) })
    }

    async fn get(&self, principal: Principal, asked: wire::GetTenantRequest) -> Result<wire::GetTenantResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        Ok(wire::GetTenantResponse { tenant: Some(to_wire(self.tenants.get(&tenant).await?.value)) })
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
            tenants: found.entries.into_iter().map(to_wire).collect(),
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn add(
        &self,
        principal: Principal,
        asked: wire::AddRedirectOriginRequest,
    ) -> Result<wire::AddRedirectOriginResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let (who, id) = (&principal.name, &asked.request_id);
        let origin = self.tenants.change_origin(who, &tenant, OriginChange::Add, &asked.origin, id).await?;
        Ok(wire::AddRedirectOriginResponse { origin })
    }

    async fn remove(
        &self,
        principal: Principal,
        asked: wire::RemoveRedirectOriginRequest,
    ) -> Result<wire::RemoveRedirectOriginResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let (who, id) = (&principal.name, &asked.request_id);
        let origin = self.tenants.change_origin(who, &tenant, OriginChange::Remove, &asked.origin, id).await?;
        Ok(wire::RemoveRedirectOriginResponse { origin })
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

fn to_wire(tenant: Tenant) -> wire::Tenant {
    wire::Tenant { tenant: tenant.tenant.to_string(), created_at: Some(convert::to_timestamp(tenant.created_at)) }
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
}
