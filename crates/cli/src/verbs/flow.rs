//! `sluice flow`

mod form;
mod past;
mod update;

use super::{PageArgs, RequestId};
use crate::{
    client::{ControlUrl, TenantArg, Wire},
    file,
    screen::{Screen, foreign},
    stop::Stop,
    view::{
        Page,
        flow::{Flow, FlowEntry, Rollout, Saved},
    },
};
use clap::{Args, Subcommand, ValueEnum};
use sluice_api::{
    control::v1::{self as control, flow_service_client::FlowServiceClient},
    convert::{Ctx as _, json, required, to_duration},
    types::v1 as wire,
};
use std::{path::PathBuf, time::Duration};

/// How long a save waits for the last executor.
pub(super) const ROLLOUT_WAIT: Duration = Duration::from_secs(5);
/// What an answer may take besides.
pub(super) const ROLLOUT_SLACK: Duration = Duration::from_secs(3);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a flow; nothing is attached to it
    Create {
        /// Its slug: a to z, 0 to 9 and -, the first a letter
        flow: String,
        #[command(flatten)]
        save: SaveArgs,
    },
    /// Attach an Action to a slot
    Attach(AttachArgs),
    /// Change the version that an attachment runs
    Pin {
        /// The flow's slug
        flow: String,
        /// The attachment's id, as `flow show` and `flow attach` tell it
        attachment: String,
        /// An exact version, or a range such as ^1 that is resolved now
        #[arg(long, value_name = "VERSION")]
        version: String,
        /// A JSON file with its config from now on; - is standard input. Secrets may stand in it as they are shown
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        edit: EditArgs,
    },
    /// Change an attachment's config, place, policy or limit, or turn it on or off; what is not named stays
    Update(update::Args),
    /// Take an attachment out of its slot
    Detach {
        /// The flow's slug
        flow: String,
        /// The attachment's id, as `flow show` and `flow attach` tell it
        attachment: String,
        #[command(flatten)]
        edit: EditArgs,
    },
    /// Change how long a slot's Actions may take together
    Slot {
        /// The flow's slug
        flow: String,
        /// The slot, such as post-login
        #[arg(long, value_name = "TRIGGER")]
        trigger: String,
        /// By the clock, 1 to 10000 milliseconds
        #[arg(long, value_name = "N")]
        budget_ms: u32,
        #[command(flatten)]
        edit: EditArgs,
    },
    /// List the revisions of a flow, the newest first: who changed what, and which can still be executed
    History {
        /// The flow's slug
        flow: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Say what changes from one revision to another
    Diff {
        /// The flow's slug
        flow: String,
        /// The revision to begin with; without it the one before --to
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        from: u64,
        /// The revision to end with; without it the newest
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        to: u64,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Save an earlier revision as the newest
    Rollback {
        /// The flow's slug
        flow: String,
        /// The revision that comes back, as `flow history` tells it
        #[arg(long, value_name = "N")]
        revision: u64,
        #[command(flatten)]
        edit: EditArgs,
    },
    /// Delete a flow; sign-ins that have begun go on with its revisions
    Delete {
        /// The flow's slug
        flow: String,
        #[command(flatten)]
        edit: EditArgs,
    },
    /// Show a flow: its slots, and what is attached to them
    Show {
        /// The flow's slug
        flow: String,
        /// The revision; without it the newest
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        revision: u64,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// List the flows of the tenant
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The flow's slug
    flow: String,
    /// The slot, such as post-login
    #[arg(long, value_name = "TRIGGER")]
    trigger: String,
    /// The Action: SLUG@VERSION; a range such as SLUG@^1, or SLUG alone, is resolved now
    #[arg(long, value_name = "SLUG@VERSION")]
    action: String,
    /// A JSON file with its config; - is standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its place in the slot, from 1; without it the last
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
    /// How long a run may take by the clock, 1 to 5000 milliseconds; without it the version's own limit
    #[arg(long, value_name = "N")]
    wall_ms: Option<u32>,
    #[command(flatten)]
    edit: EditArgs,
}

impl AttachArgs {
    /// The flags that say how it is attached, as they were given, with a space before each.
    fn own_flags(&self) -> String {
        let number = |set: Option<u32>| set.map(|number| number.to_string());
        let flags = [
            ("position", number(self.position)),
            ("on-error", name_of(self.on_error)),
            ("on-unavailable", name_of(self.on_unavailable)),
            ("on-counters-unavailable", name_of(self.on_counters_unavailable)),
            ("wall-ms", number(self.wall_ms)),
        ];
        flags.into_iter().filter_map(|(name, value)| Some(format!(" --{name} {}", value?))).collect()
    }
}

/// A value as it is given.
fn name_of(value: Option<impl ValueEnum>) -> Option<String> {
    Some(value?.to_possible_value()?.get_name().to_owned())
}

/// What every save takes.
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    #[command(flatten)]
    tenant: TenantArg,
    /// Do not wait for the executors
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    control: ControlUrl,
}

/// What every change of a flow that is there takes.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// The etag of the revision to be changed: refused where somebody else was faster
    #[arg(long, value_name = "ETAG", default_value = "", hide_default_value = true)]
    etag: String,
    #[command(flatten)]
    save: SaveArgs,
}

/// What a failure does to the sign-in.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    /// The slot blocks
    Block,
    /// The slot goes on without it
    Continue,
}

impl Policy {
    /// The wire's number; unspecified where nothing is said.
    fn number(policy: Option<Policy>) -> i32 {
        let number = match policy {
            None => wire::OnFailure::Unspecified,
            Some(Policy::Block) => wire::OnFailure::Block,
            Some(Policy::Continue) => wire::OnFailure::Continue,
        };
        number.into()
    }
}

/// What becomes of `counters.take` while the shared counters are away.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CountersPolicy {
    /// Each executor counts for itself, at the limit divided by their number
    Local,
    /// The run ends as unavailable, and --on-unavailable applies
    Fail,
}

impl CountersPolicy {
    /// The wire's number; unspecified where nothing is said.
    fn number(policy: Option<CountersPolicy>) -> i32 {
        let number = match policy {
            None => wire::OnCountersUnavailable::Unspecified,
            Some(CountersPolicy::Local) => wire::OnCountersUnavailable::Local,
            Some(CountersPolicy::Fail) => wire::OnCountersUnavailable::Fail,
        };
        number.into()
    }
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Create { flow, save } => create(flow, save, screen).await,
        Command::Attach(args) => attach(args, screen).await,
        Command::Pin { flow, attachment, version, config, edit } => {
            pin(flow, attachment, version, config, edit, screen).await
        }
        Command::Update(args) => update::update(args, screen).await,
        Command::Detach { flow, attachment, edit } => update::detach(flow, attachment, edit, screen).await,
        Command::Slot { flow, trigger, budget_ms, edit } => update::slot(flow, trigger, budget_ms, edit, screen).await,
        Command::History { flow, tenant, page, control } => past::history(flow, tenant, page, control, screen).await,
        Command::Diff { flow, from, to, tenant, control } => {
            past::diff(flow, (from, to), tenant, control, screen).await
        }
        Command::Rollback { flow, revision, edit } => past::roll_back(flow, revision, edit, screen).await,
        Command::Delete { flow, edit } => past::delete(flow, edit, screen).await,
        Command::Show { flow, revision, tenant, control } => {
            let request = control::GetFlowRequest { tenant: tenant.tenant, flow, revision };
            let answer = control.flows().await?.get_flow(request).await?.into_inner();
            screen.show(&Flow::try_from(answer)?);
            Ok(())
        }
        Command::List { tenant: TenantArg { tenant }, page, control } => {
            let request = control::ListFlowsRequest { tenant, page_size: page.limit, page_token: page.page_token };
            let answer = control.flows().await?.list_flows(request).await?.into_inner();
            let entries = answer.flows.into_iter().map(FlowEntry::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<FlowEntry> { entries, next_page_token: answer.next_page_token });
            Ok(())
        }
    }
}

async fn create(flow: String, save: SaveArgs, screen: &Screen) -> Result<(), Stop> {
    let request = control::CreateFlowRequest {
        tenant: save.tenant.tenant.clone(),
        flow: flow.clone(),
        request_id: save.request.request_id.clone(),
    };
    let mut flows = save.control.flows().await?;
    let saved = flows.create_flow(request).await?.into_inner().saved;
    let next = format!("Next: sluice flow attach {flow} --trigger post-login --action SLUG@VERSION");
    show_saved(saved, format!("flow {flow} made"), next, &save, flows, screen).await
}

async fn attach(args: AttachArgs, screen: &Screen) -> Result<(), Stop> {
    let own_flags = args.own_flags();
    let AttachArgs { flow, trigger, action, config, position, edit, .. } = args;
    let (slug, version) = action.split_once('@').unwrap_or((&action, ""));
    let form = match config {
        None if screen.can_ask() => form::Form::of(&edit, (slug, version), &trigger, screen).await?,
        _ => None,
    };
    let mut config = file::read_config(config.as_deref())?;
    if let Some(form) = &form {
        config = form.fill(config, None).await?;
    }
    // What was asked for is the config of the version whose form it is.
    let version = form.as_ref().map_or(version, |form| &form.version);
    let mut request = control::AttachActionRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow: flow.clone(),
        trigger: trigger.clone(),
        slug: slug.to_owned(),
        version: version.to_owned(),
        config: Some(json::to_struct(config.clone())),
        position,
        on_error: Policy::number(args.on_error),
        on_unavailable: Policy::number(args.on_unavailable),
        on_counters_unavailable: CountersPolicy::number(args.on_counters_unavailable),
        wall_ms: args.wall_ms,
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
    };
    let mut flows = edit.save.control.flows().await?;
    let saved = loop {
        let status = match flows.attach_action(request.clone()).await {
            Ok(answer) => break answer.into_inner().saved,
            Err(status) => status,
        };
        let named = form.as_ref().map(|form| (form, form.refused(&sluice_api::status::from_status(&status))));
        let Some((form, named)) = named.filter(|(_, named)| !named.is_empty()) else { return Err(status.into()) };
        config = form.fill(config, Some(named)).await?;
        request.config = Some(json::to_struct(config.clone()));
    };
    let mut next = format!("Next: sluice execute {flow} --trigger {trigger} --input FILE");
    if let Some(form) = &form {
        let config = form.shown(&config).replace('\'', r"'\''");
        next.push_str(&format!(
            "\nThe same without questions: echo '{config}' | sluice flow attach {flow} --trigger {trigger} --action {slug}@{version} \
             --config -{own_flags}"
        ));
    }
    show_saved(saved, format!("{action} attached to {flow} at {trigger}"), next, &edit.save, flows, screen).await
}

async fn pin(
    flow: String,
    attachment: String,
    version: String,
    config: Option<PathBuf>,
    edit: EditArgs,
    screen: &Screen,
) -> Result<(), Stop> {
    let config = config.map(|file| file::read_config(Some(&file))).transpose()?.map(json::to_struct);
    let request = control::PinAttachmentRequest {
        tenant: edit.save.tenant.tenant.clone(),
        flow: flow.clone(),
        attachment: attachment.clone(),
        version: version.clone(),
        etag: edit.etag.clone(),
        request_id: edit.save.request.request_id.clone(),
        config,
    };
    let mut flows = edit.save.control.flows().await?;
    let saved = flows.pin_attachment(request).await?.into_inner().saved;
    let next = "Sign-ins that have begun go on with the revision that they began with.".to_owned();
    show_saved(saved, format!("{flow} pins {attachment} to {version}"), next, &edit.save, flows, screen).await
}

/// Tells a save, after the executors have it or the wait is over: so that a save followed by Execute runs what was saved.
async fn show_saved(
    saved: Option<control::SavedFlow>,
    done: String,
    next: String,
    args: &SaveArgs,
    flows: FlowServiceClient<Wire>,
    screen: &Screen,
) -> Result<(), Stop> {
    let mut saved = Saved { done, next, ..Saved::from(required(saved).ctx("saved")?) };
    (saved.rollout, saved.waited) = wait(&saved.flow, saved.revision, saved.rollout, args, flows, screen).await;
    screen.show(&saved);
    Ok(())
}

/// Waits until the last executor has heard, but for `--no-wait` and not for ever; how far it is then, and whether it was
/// waited for.
async fn wait(
    flow: &str,
    revision: u64,
    rollout: Rollout,
    args: &SaveArgs,
    mut flows: FlowServiceClient<Wire>,
    screen: &Screen,
) -> (Rollout, bool) {
    if args.no_wait || rollout.waiting == 0 {
        return (rollout, false);
    }
    let all = rollout.have + rollout.waiting;
    let progress = screen.progress(format!("revision {revision} is saved; waiting for {all} executors"));
    let mut request = tonic::Request::new(control::GetRolloutRequest {
        tenant: args.tenant.tenant.clone(),
        flow: flow.to_owned(),
        revision,
        wait: Some(to_duration(ROLLOUT_WAIT)),
    });
    request.set_timeout(ROLLOUT_WAIT + ROLLOUT_SLACK);
    let answer = flows.get_rollout(request).await;
    drop(progress);
    match answer {
        Ok(answer) => (answer.into_inner().rollout.into(), true),
        Err(status) => {
            // The save is done: that its rollout cannot be watched does not undo it.
            screen.warn(&format!("the rollout cannot be watched: {}", foreign(status.message())));
            (rollout, true)
        }
    }
}
