//! `FlowService`.

use super::{answer, opened, tenant, to_wire_warnings};
use crate::distribution::{Distribution, Rollout};
use crate::flows::{Attach, FlowHead, Flows, Pinning, Saved};
use crate::{keys, page};
use sluice_api::control::v1::{self as wire, flow_service_server::FlowService};
use sluice_api::convert::{self, Ctx as _, Word as _, json};
use sluice_api::types::v1 as types;
use sluice_model::{Error, Object};
use sluice_serve::Principal;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// The longest that a caller may wait for a rollout.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The service.
pub(crate) struct FlowEdge {
    flows: Flows,
    distribution: Distribution,
}

impl FlowEdge {
    pub(crate) fn new(flows: Flows, distribution: Distribution) -> FlowEdge {
        FlowEdge { flows, distribution }
    }

    async fn create(
        &self,
        principal: Principal,
        asked: wire::CreateFlowRequest,
    ) -> Result<wire::CreateFlowResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let saved = self.flows.create(&principal.name, &tenant, &flow, &asked.request_id).await?;
        Ok(wire::CreateFlowResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn attach(
        &self,
        principal: Principal,
        asked: wire::AttachActionRequest,
    ) -> Result<wire::AttachActionResponse, Error> {
        let attach = Attach {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            trigger: convert::trigger(&asked.trigger).ctx("trigger")?,
            slug: convert::slug(&asked.slug).ctx("slug")?,
            version: asked.version,
            config: asked.config.map_or_else(|| Ok(Object::new()), json::object).ctx("config")?,
            position: asked.position,
            on_error: sluice_model::OnFailure::from_wire_or_none(asked.on_error).ctx("on_error")?,
            on_unavailable: sluice_model::OnFailure::from_wire_or_none(asked.on_unavailable).ctx("on_unavailable")?,
            wall_ms: asked.wall_ms,
            etag: asked.etag,
        };
        let saved = self.flows.attach(&principal.name, &attach, &asked.request_id).await?;
        Ok(wire::AttachActionResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn pin(
        &self,
        principal: Principal,
        asked: wire::PinAttachmentRequest,
    ) -> Result<wire::PinAttachmentResponse, Error> {
        let pin = Pinning {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            attachment: convert::required(Some(asked.attachment).filter(|id| !id.is_empty())).ctx("attachment")?,
            version: asked.version,
            etag: asked.etag,
        };
        let saved = self.flows.pin(&principal.name, &pin, &asked.request_id).await?;
        Ok(wire::PinAttachmentResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn get(&self, principal: Principal, asked: wire::GetFlowRequest) -> Result<wire::GetFlowResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let shown = self.flows.get(&tenant, &flow, asked.revision).await?;
        let flow = types::Flow { etag: shown.etag, ..shown.revision.into() };
        Ok(wire::GetFlowResponse { flow: Some(flow), warnings: to_wire_warnings(shown.warnings) })
    }

    async fn list(
        &self,
        principal: Principal,
        asked: wire::ListFlowsRequest,
    ) -> Result<wire::ListFlowsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let after = page::after(&asked.page_token, &keys::flows(&tenant))?;
        let found = self.flows.list(&tenant, after, page::size(asked.page_size)?).await?;
        Ok(wire::ListFlowsResponse {
            flows: found.entries.into_iter().map(summary).collect(),
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn rollout(
        &self,
        principal: Principal,
        asked: wire::GetRolloutRequest,
    ) -> Result<wire::GetRolloutResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let wait = convert::duration(asked.wait, MAX_WAIT).ctx("wait")?;
        let (revision, rollout) = self.distribution.rollout(&tenant, &flow, asked.revision, wait).await?;
        Ok(wire::GetRolloutResponse { rollout: Some(to_wire(rollout)), revision })
    }

    async fn saved(&self, saved: Saved) -> Result<wire::SavedFlow, Error> {
        let (_, rollout) =
            self.distribution.rollout(&saved.tenant, &saved.flow, saved.revision, Duration::ZERO).await?;
        Ok(wire::SavedFlow {
            flow: saved.flow.to_string(),
            revision: saved.revision,
            etag: saved.etag,
            attachment: saved.attachment.unwrap_or_default(),
            warnings: to_wire_warnings(saved.warnings),
            rollout: Some(to_wire(rollout)),
        })
    }
}

fn to_wire(rollout: Rollout) -> types::Rollout {
    types::Rollout { have: rollout.have, waiting: rollout.waiting }
}

fn summary(head: FlowHead) -> wire::FlowSummary {
    wire::FlowSummary {
        flow: head.flow.to_string(),
        revision: head.revision,
        etag: head.etag,
        triggers: head.triggers.iter().map(ToString::to_string).collect(),
        attachments: head.attachments,
        updated_at: Some(convert::to_timestamp(head.updated_at)),
    }
}

#[tonic::async_trait]
impl FlowService for FlowEdge {
    async fn create_flow(
        &self,
        request: Request<wire::CreateFlowRequest>,
    ) -> Result<Response<wire::CreateFlowResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.create(principal, asked).await)
    }

    async fn attach_action(
        &self,
        request: Request<wire::AttachActionRequest>,
    ) -> Result<Response<wire::AttachActionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.attach(principal, asked).await)
    }

    async fn pin_attachment(
        &self,
        request: Request<wire::PinAttachmentRequest>,
    ) -> Result<Response<wire::PinAttachmentResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.pin(principal, asked).await)
    }

    async fn get_flow(
        &self,
        request: Request<wire::GetFlowRequest>,
    ) -> Result<Response<wire::GetFlowResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.get(principal, asked).await)
    }

    async fn list_flows(
        &self,
        request: Request<wire::ListFlowsRequest>,
    ) -> Result<Response<wire::ListFlowsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.list(principal, asked).await)
    }

    async fn get_rollout(
        &self,
        request: Request<wire::GetRolloutRequest>,
    ) -> Result<Response<wire::GetRolloutResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.rollout(principal, asked).await)
    }
}
