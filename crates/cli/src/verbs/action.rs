//! `sluice action`

use super::{
    Etag, PageArgs, RequestId,
    flow::{ROLLOUT_SLACK, ROLLOUT_WAIT},
    publish,
};
use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    view::{
        Page,
        action::{Action, Version},
        flow::Rollout,
        version::{ActionShown, Deleted, Marked},
    },
};
use clap::{Args, Subcommand};
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, required, to_duration},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a package as a version
    Publish(publish::Args),
    /// List the Actions of the tenant
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Show an Action, and one of its versions
    Show {
        /// SLUG for its highest version, or SLUG@VERSION
        action: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Mark a version as deprecated: it can be attached, with a warning
    Deprecate(MarkArgs),
    /// Yank a version: what is attached stays, it cannot be attached anew, and ranges pass it over
    Yank(MarkArgs),
    /// Revoke a version for good, as the platform's operator: it is never run again, wherever it is attached
    Revoke {
        #[command(flatten)]
        change: ChangeArgs,
        /// Do not wait for the executors
        #[arg(long)]
        no_wait: bool,
    },
    /// Take an Action out of the catalogue; it must not be attached
    Delete {
        /// The Action's slug
        slug: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        etag: Etag,
        #[command(flatten)]
        request: RequestId,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// List the versions of an Action, the highest first
    Versions {
        /// The Action's slug
        slug: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
}

/// A mark that can be taken away again.
#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Take the mark away
    #[arg(long)]
    undo: bool,
}

/// Which version is marked.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The exact version: SLUG@VERSION
    #[arg(value_name = "SLUG@VERSION", value_parser = exact)]
    action: Exact,
    #[command(flatten)]
    tenant: TenantArg,
    #[command(flatten)]
    etag: Etag,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    control: ControlUrl,
}

/// An Action and its version as they were typed; the service checks them.
#[derive(Clone, Debug)]
struct Exact {
    slug: String,
    version: String,
}

fn exact(text: &str) -> Result<Exact, String> {
    match text.split_once('@') {
        Some((slug, version)) if !slug.is_empty() && !version.is_empty() => {
            Ok(Exact { slug: slug.to_owned(), version: version.to_owned() })
        }
        _ => Err("takes SLUG@VERSION, such as domain-check@1.2.0".to_owned()),
    }
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Publish(args) => publish::run(args, screen).await?,
        Command::List { tenant: TenantArg { tenant }, page, control } => {
            let request = control::ListActionsRequest { tenant, page_size: page.limit, page_token: page.page_token };
            let answer = control.catalog().await?.list_actions(request).await?.into_inner();
            let entries = answer.actions.into_iter().map(Action::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Action> { entries, next_page_token: answer.next_page_token });
        }
        Command::Show { action, tenant: TenantArg { tenant }, control } => {
            show(action, tenant, control, screen).await?;
        }
        Command::Deprecate(MarkArgs { change, undo }) => {
            let ChangeArgs { action: Exact { slug, version }, tenant: TenantArg { tenant }, .. } = change;
            let (etag, request_id) = (change.etag.etag, change.request.request_id);
            let request = control::DeprecateVersionRequest { tenant, slug, version, undo, etag, request_id };
            let answer = change.control.catalog().await?.deprecate_version(request).await?.into_inner();
            screen.show(&Marked::new(answer.version, answer.warnings, None)?);
        }
        Command::Yank(MarkArgs { change, undo }) => {
            let ChangeArgs { action: Exact { slug, version }, tenant: TenantArg { tenant }, .. } = change;
            let (etag, request_id) = (change.etag.etag, change.request.request_id);
            let request = control::YankVersionRequest { tenant, slug, version, undo, etag, request_id };
            let answer = change.control.catalog().await?.yank_version(request).await?.into_inner();
            screen.show(&Marked::new(answer.version, answer.warnings, None)?);
        }
        Command::Revoke { change, no_wait } => {
            let ChangeArgs { action: Exact { slug, version }, tenant: TenantArg { tenant }, .. } = change;
            let (etag, request_id) = (change.etag.etag, change.request.request_id);
            let wait = (!no_wait).then(|| to_duration(ROLLOUT_WAIT));
            let request = control::RevokeVersionRequest { tenant, slug, version, etag, request_id, wait };
            let mut request = tonic::Request::new(request);
            request.set_timeout(ROLLOUT_WAIT + ROLLOUT_SLACK);
            let answer = change.control.catalog().await?.revoke_version(request).await?.into_inner();
            let rollout = (Rollout::from(answer.rollout), !no_wait);
            screen.show(&Marked::new(answer.version, answer.warnings, Some(rollout))?);
        }
        Command::Delete { slug, tenant: TenantArg { tenant }, etag, request, control } => {
            let (etag, request_id) = (etag.etag, request.request_id);
            let request = control::DeleteActionRequest { tenant, slug: slug.clone(), etag, request_id };
            let answer = control.catalog().await?.delete_action(request).await?.into_inner();
            screen.show(&Deleted { slug, newest: answer.newest });
        }
        Command::Versions { slug, tenant: TenantArg { tenant }, page, control } => {
            let request =
                control::ListVersionsRequest { tenant, slug, page_size: page.limit, page_token: page.page_token };
            let answer = control.catalog().await?.list_versions(request).await?.into_inner();
            let entries = answer.versions.into_iter().map(Version::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Version> { entries, next_page_token: answer.next_page_token });
        }
    }
    Ok(())
}

/// The Action, and the version that is named or else its highest.
async fn show(action: String, tenant: String, control: ControlUrl, screen: &Screen) -> Result<(), Stop> {
    let (slug, version) = action.split_once('@').unwrap_or((&action, ""));
    let mut catalog = control.catalog().await?;
    let request = control::GetActionRequest { tenant: tenant.clone(), slug: slug.to_owned() };
    let found = required(catalog.get_action(request).await?.into_inner().action).ctx("action")?;
    let version = if version.is_empty() { found.newest.clone() } else { version.to_owned() };
    let request = control::GetVersionRequest { tenant, slug: slug.to_owned(), version };
    let version = required(catalog.get_version(request).await?.into_inner().version).ctx("version")?;
    screen.show(&ActionShown::new(found, version)?);
    Ok(())
}
