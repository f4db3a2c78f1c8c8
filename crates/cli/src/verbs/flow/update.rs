//! `sluice flow update`, `detach` and `slot`

use super::{CountersPolicy, EditArgs, Policy, show_saved};
use crate::{file, screen::Screen, stop::Stop};
use sluice_api::{control::v1 as control, convert::json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The flow's slug
    flow: String,
    /// The attachment's id, as `flow show` and `flow attach` tell it
    attachment: String,
    /// A JSON file with its config from now on; - is standard input. Secrets may stand in it as they are shown
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its place in the slot, from 1
    #[arg(long, value_name = "N")]
    position: Option<u32>,
    /// What a failed run does
    #[arg(long, value_name = "POLICY")]
    on_error: Option<Policy>,
    /// What a run does that cannot be had
    #[arg(long, value_name = "POLICY")]
    on_unavailable: Option<Policy>,
    /// What becomes of counters.take while the counters that executors share cannot be reached
    #[arg(long, value_name = "POLICY")]
    on_counters_unavailable: Option<CountersPolicy>,
    /// How long a run may take by the clock, 1 to 5000 milliseconds; 0 for the version's own limit
    #[arg(long, value_name = "N")]
    wall_ms: Option<u32>,
    /// Whether it is run
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    enabled: Option<bool>,
    #[command(flatten)]
    edit: EditArgs,
}

pub(super) async fn update(args: Args, screen: &Screen) -> Result<(), Stop> {
    let Args { flow, attachment, config, position, wall_ms, enabled, edit, .. } = args;
    let request = control::UpdateAttachmentRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow: flow.clone(),
        attachment: attachment.clone(),
        config: config.map(|file| file::read_config(Some(&file))).transpose()?.map(json::to_struct),
        position,
        on_error: Policy::number(args.on_error),
        on_unavailable: Policy::number(args.on_unavailable),
        on_counters_unavailable: CountersPolicy::number(args.on_counters_unavailable),
        wall_ms,
        enabled,
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
    };
    let mut flows = edit.save.control.flows().await?;
    let saved = flows.update_attachment(request).await?.into_inner().saved;
    let next = format!("Next: sluice flow diff {flow} says what changed");
    show_saved(saved, format!("{flow} has {attachment} updated"), next, &edit.save, flows, screen).await
}

pub(super) async fn detach(flow: String, attachment: String, edit: EditArgs, screen: &Screen) -> Result<(), Stop> {
    let request = control::DetachActionRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow: flow.clone(),
        attachment: attachment.clone(),
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
    };
    let mut flows = edit.save.control.flows().await?;
    let saved = flows.detach_action(request).await?.into_inner().saved;
    let next = "Sign-ins that have begun go on with the revision that they began with.".to_owned();
    show_saved(saved, format!("{attachment} detached from {flow}"), next, &edit.save, flows, screen).await
}

pub(super) async fn slot(
    flow: String,
    trigger: String,
    budget_ms: u32,
    edit: EditArgs,
    screen: &Screen,
) -> Result<(), Stop> {
    let request = control::UpdateSlotRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow: flow.clone(),
        trigger: trigger.clone(),
        budget_ms,
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
    };
    let mut flows = edit.save.control.flows().await?;
    let saved = flows.update_slot(request).await?.into_inner().saved;
    let done = format!("the Actions of {flow} at {trigger} have {budget_ms} ms together");
    show_saved(saved, done, String::new(), &edit.save, flows, screen).await
}
