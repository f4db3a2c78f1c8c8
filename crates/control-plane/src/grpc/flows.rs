//! `FlowService`.

use super::{MAX_WAIT, action_slug, answer, opened, tenant, to_wire_rollout, to_wire_warnings};
use crate::distribution::Distribution;
use crate::flows::{
    Attach, Detach, FlowDeletion, FlowHead, Flows, Past, Pinning, Rollback, Saved, ShownChange, SlotBudget, Trial,
    Update,
};
use crate::{keys, page};
use sluice_api::control::v1::{self as wire, flow_service_server::FlowService};
use sluice_api::convert::{self, Ctx as _, Word as _, json};
use sluice_api::types::v1 as types;
use sluice_model::{Error, Object, Trigger};
use sluice_serve::Principal;
use std::time::Duration;
use tonic::{Request, Response, Status};

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

    async fn check_config(
        &self,
        principal: Principal,
        asked: wire::CheckConfigRequest,
    ) -> Result<wire::CheckConfigResponse, Error> {
        let trial = Trial {
            tenant: tenant(&principal, &asked.tenant)?,
            slug: action_slug(&asked.slug).ctx("slug")?,
            version: asked.version,
            trigger: convert::trigger(&asked.trigger).ctx("trigger")?,
            config: asked.config.map_or_else(|| Ok(Object::new()), json::object).ctx("config")?,
            wall_ms: asked.wall_ms,
        };
        let tried = self.flows.check_config(&trial).await?;
        Ok(wire::CheckConfigResponse {
            version: tried.version.version.to_string(),
            config_schema: tried.version.schema.map(json::to_struct),
            config: Some(json::to_struct(tried.config)),
            effective_config: Some(json::to_struct(tried.effective)),
            warnings: to_wire_warnings(tried.warnings),
        })
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
            slug: action_slug(&asked.slug).ctx("slug")?,
            version: asked.version,
            config: asked.config.map_or_else(|| Ok(Object::new()), json::object).ctx("config")?,
            position: asked.position,
            on_error: sluice_model::OnFailure::from_wire_or_none(asked.on_error).ctx("on_error")?,
            on_unavailable: sluice_model::OnFailure::from_wire_or_none(asked.on_unavailable).ctx("on_unavailable")?,
            on_counters_unavailable: sluice_model::OnCountersUnavailable::from_wire_or_none(
                asked.on_counters_unavailable,
            )
            .ctx("on_counters_unavailable")?,
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
            attachment: attachment(asked.attachment)?,
            version: asked.version,
            config: asked.config.map(json::object).transpose().ctx("config")?,
            etag: asked.etag,
        };
        let saved = self.flows.pin(&principal.name, &pin, &asked.request_id).await?;
        Ok(wire::PinAttachmentResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn update(
        &self,
        principal: Principal,
        asked: wire::UpdateAttachmentRequest,
    ) -> Result<wire::UpdateAttachmentResponse, Error> {
        let update = Update {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            attachment: attachment(asked.attachment)?,
            config: asked.config.map(json::object).transpose().ctx("config")?,
            position: asked.position,
            on_error: sluice_model::OnFailure::from_wire_or_none(asked.on_error).ctx("on_error")?,
            on_unavailable: sluice_model::OnFailure::from_wire_or_none(asked.on_unavailable).ctx("on_unavailable")?,
            on_counters_unavailable: sluice_model::OnCountersUnavailable::from_wire_or_none(
                asked.on_counters_unavailable,
            )
            .ctx("on_counters_unavailable")?,
            wall_ms: asked.wall_ms,
            enabled: asked.enabled,
            etag: asked.etag,
        };
        let saved = self.flows.update(&principal.name, &update, &asked.request_id).await?;
        Ok(wire::UpdateAttachmentResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn detach(
        &self,
        principal: Principal,
        asked: wire::DetachActionRequest,
    ) -> Result<wire::DetachActionResponse, Error> {
        let detach = Detach {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            attachment: attachment(asked.attachment)?,
            etag: asked.etag,
        };
        let saved = self.flows.detach(&principal.name, &detach, &asked.request_id).await?;
        Ok(wire::DetachActionResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn slot(
        &self,
        principal: Principal,
        asked: wire::UpdateSlotRequest,
    ) -> Result<wire::UpdateSlotResponse, Error> {
        let slot = SlotBudget {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            trigger: convert::trigger(&asked.trigger).ctx("trigger")?,
            budget_ms: asked.budget_ms,
            etag: asked.etag,
        };
        let saved = self.flows.update_slot(&principal.name, &slot, &asked.request_id).await?;
        Ok(wire::UpdateSlotResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn roll_back(
        &self,
        principal: Principal,
        asked: wire::RollbackFlowRequest,
    ) -> Result<wire::RollbackFlowResponse, Error> {
        let rollback = Rollback {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            revision: asked.revision,
            etag: asked.etag,
        };
        let saved = self.flows.roll_back(&principal.name, &rollback, &asked.request_id).await?;
        Ok(wire::RollbackFlowResponse { saved: Some(self.saved(saved).await?) })
    }

    async fn delete(
        &self,
        principal: Principal,
        asked: wire::DeleteFlowRequest,
    ) -> Result<wire::DeleteFlowResponse, Error> {
        let deletion = FlowDeletion {
            tenant: tenant(&principal, &asked.tenant)?,
            flow: convert::slug(&asked.flow).ctx("flow")?,
            etag: asked.etag,
        };
        let deleted = self.flows.delete(&principal.name, &deletion, &asked.request_id).await?;
        let (_, rollout) =
            self.distribution.rollout(&deleted.tenant, &deleted.flow, deleted.revision, Duration::ZERO).await?;
        Ok(wire::DeleteFlowResponse {
            flow: deleted.flow.to_string(),
            revision: deleted.revision,
            executable_until: Some(convert::to_timestamp(self.flows.executable_until(deleted.deleted_at))),
            rollout: Some(to_wire_rollout(rollout)),
        })
    }

    async fn history(
        &self,
        principal: Principal,
        asked: wire::ListFlowRevisionsRequest,
    ) -> Result<wire::ListFlowRevisionsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let after = page::after(&asked.page_token, &keys::saves(&tenant, &flow))?;
        let found = self.flows.history(&tenant, &flow, after, page::size(asked.page_size)?).await?;
        Ok(wire::ListFlowRevisionsResponse {
            revisions: found.entries.into_iter().map(past).collect(),
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn diff(
        &self,
        principal: Principal,
        asked: wire::GetFlowDiffRequest,
    ) -> Result<wire::GetFlowDiffResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let found = self.flows.diff(&tenant, &flow, asked.from, asked.to).await?;
        Ok(wire::GetFlowDiffResponse {
            from: found.from,
            to: found.to,
            changes: found.changes.into_iter().map(change).collect(),
        })
    }

    async fn get(&self, principal: Principal, asked: wire::GetFlowRequest) -> Result<wire::GetFlowResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let shown = self.flows.get(&tenant, &flow, asked.revision).await?;
        let flow = types::Flow { etag: shown.etag, ..shown.revision.into() };
        let worst_case =
            |(trigger, ms): (Trigger, u32)| wire::SlotWorstCase { trigger: trigger.to_string(), worst_case_ms: ms };
        Ok(wire::GetFlowResponse {
            flow: Some(flow),
            warnings: to_wire_warnings(shown.warnings),
            worst_cases: shown.worst_cases.into_iter().map(worst_case).collect(),
        })
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
        Ok(wire::GetRolloutResponse { rollout: Some(to_wire_rollout(rollout)), revision })
    }

    async fn saved(&self, saved: Saved) -> Result<wire::SavedFlow, Error> {
        let (_, rollout) =
            self.distribution.rollout(&saved.tenant, &saved.flow, saved.revision, Duration::ZERO).await?;
        let made = self.flows.generated(&saved.tenant, &saved.generated).await?.into_iter();
        let generated_secrets = made
            .map(|made| wire::GeneratedSecret {
                field: made.field,
                name: made.name,
                value: made.value.expose().to_owned(),
            })
            .collect();
        Ok(wire::SavedFlow {
            flow: saved.flow.to_string(),
            revision: saved.revision,
            etag: saved.etag,
            attachment: saved.attachment.unwrap_or_default(),
            warnings: to_wire_warnings(saved.warnings),
            rollout: Some(to_wire_rollout(rollout)),
            generated_secrets,
        })
    }
}

/// The id of an attachment.
fn attachment(text: String) -> Result<String, Error> {
    Ok(convert::required(Some(text).filter(|id| !id.is_empty())).ctx("attachment")?)
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

fn past(past: Past) -> wire::FlowRevisionSummary {
    fn text<T: ToString>(of: Option<T>) -> String {
        of.map(|t| t.to_string()).unwrap_or_default()
    }
    let Past { save, replaced_at, executable_until, executable } = past;
    wire::FlowRevisionSummary {
        revision: save.revision,
        saved_at: Some(convert::to_timestamp(save.saved_at)),
        principal: save.principal,
        kind: save.kind.to_string(),
        trigger: text(save.trigger),
        attachment: save.attachment.unwrap_or_default(),
        slug: text(save.slug),
        version: text(save.version),
        rolled_back_to: save.rolled_back_to.unwrap_or_default(),
        replaced_at: replaced_at.map(convert::to_timestamp),
        executable_until: executable_until.map(convert::to_timestamp),
        executable,
    }
}

fn change(change: ShownChange) -> types::FlowChange {
    let placed = |(attachment, position): (sluice_model::Attachment, u32)| types::Attachment {
        position,
        ..types::Attachment::from(attachment)
    };
    let (from_budget_ms, to_budget_ms) = change.budget_ms.unwrap_or_default();
    types::FlowChange {
        kind: change.kind.to_wire(),
        trigger: change.trigger.to_string(),
        from: change.from.map(placed),
        to: change.to.map(placed),
        fields: change.fields,
        from_budget_ms,
        to_budget_ms,
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

    async fn check_config(
        &self,
        request: Request<wire::CheckConfigRequest>,
    ) -> Result<Response<wire::CheckConfigResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.check_config(principal, asked).await)
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

    async fn update_attachment(
        &self,
        request: Request<wire::UpdateAttachmentRequest>,
    ) -> Result<Response<wire::UpdateAttachmentResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.update(principal, asked).await)
    }

    async fn detach_action(
        &self,
        request: Request<wire::DetachActionRequest>,
    ) -> Result<Response<wire::DetachActionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.detach(principal, asked).await)
    }

    async fn update_slot(
        &self,
        request: Request<wire::UpdateSlotRequest>,
    ) -> Result<Response<wire::UpdateSlotResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.slot(principal, asked).await)
    }

    async fn rollback_flow(
        &self,
        request: Request<wire::RollbackFlowRequest>,
    ) -> Result<Response<wire::RollbackFlowResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.roll_back(principal, asked).await)
    }

    async fn delete_flow(
        &self,
        request: Request<wire::DeleteFlowRequest>,
    ) -> Result<Response<wire::DeleteFlowResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.delete(principal, asked).await)
    }

    async fn list_flow_revisions(
        &self,
        request: Request<wire::ListFlowRevisionsRequest>,
    ) -> Result<Response<wire::ListFlowRevisionsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.history(principal, asked).await)
    }

    async fn get_flow_diff(
        &self,
        request: Request<wire::GetFlowDiffRequest>,
    ) -> Result<Response<wire::GetFlowDiffResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.diff(principal, asked).await)
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
