//! `sluice flow history`, `diff`, `rollback` and `delete`

use super::{EditArgs, show_saved, wait};
use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    verbs::PageArgs,
    view::{
        Page,
        history::{Deleted, Diff, PastEntry},
    },
};
use sluice_api::control::v1 as control;

pub(super) async fn history(
    flow: String,
    TenantArg { tenant }: TenantArg,
    page: PageArgs,
    control: ControlUrl,
    screen: &Screen,
) -> Result<(), Stop> {
    let request =
        control::ListFlowRevisionsRequest { tenant, flow, page_size: page.limit, page_token: page.page_token };
    let answer = control.flows().await?.list_flow_revisions(request).await?.into_inner();
    let entries = answer.revisions.into_iter().map(PastEntry::try_from).collect::<Result<_, _>>()?;
    screen.show(&Page::<PastEntry> { entries, next_page_token: answer.next_page_token });
    Ok(())
}

/// `between` is the revision to begin with and the one to end with, 0 where none is named.
pub(super) async fn diff(
    flow: String,
    between: (u64, u64),
    TenantArg { tenant }: TenantArg,
    control: ControlUrl,
    screen: &Screen,
) -> Result<(), Stop> {
    let (from, to) = between;
    let request = control::GetFlowDiffRequest { tenant, flow: flow.clone(), from, to };
    let answer = control.flows().await?.get_flow_diff(request).await?.into_inner();
    screen.show(&Diff::new(flow, answer)?);
    Ok(())
}

pub(super) async fn roll_back(flow: String, revision: u64, edit: EditArgs, screen: &Screen) -> Result<(), Stop> {
    let request = control::RollbackFlowRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow: flow.clone(),
        revision,
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
    };
    let mut flows = edit.save.control.flows().await?;
    let saved = flows.rollback_flow(request).await?.into_inner().saved;
    let next = format!("Next: sluice flow diff {flow} says what changed");
    show_saved(saved, format!("{flow} runs what revision {revision} ran"), next, &edit.save, flows, screen).await
}

pub(super) async fn delete(flow: String, edit: EditArgs, screen: &Screen) -> Result<(), Stop> {
    let request = control::DeleteFlowRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow,
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
    };
    let mut flows = edit.save.control.flows().await?;
    let mut deleted = Deleted::try_from(flows.delete_flow(request).await?.into_inner())?;
    (deleted.rollout, deleted.waited) =
        wait(&deleted.flow, deleted.revision, deleted.rollout, &edit.save, flows, screen).await;
    screen.show(&deleted);
    Ok(())
}
