//! `sluice template`

use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    view::{
        Page,
        action::Action,
        template::{TemplateEntry, TemplateShown},
    },
};
use clap::Subcommand;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, json, required},
    types::v1 as wire,
};
use sluice_model::Error;

/// So many entries are asked for at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the Actions that come with the platform
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        control: ControlUrl,
    },
    /// Show a template: the form of its config, its versions and triggers
    Show {
        /// NAME for its highest version, or NAME@VERSION; platform/NAME is the same
        template: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        control: ControlUrl,
    },
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::List { tenant: TenantArg { tenant }, control } => list(tenant, control, screen).await,
        Command::Show { template, tenant: TenantArg { tenant }, control } => {
            show(&template, tenant, control, screen).await
        }
    }
}

async fn list(tenant: String, control: ControlUrl, screen: &Screen) -> Result<(), Stop> {
    let mut catalog = control.catalog().await?;
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = control::ListActionsRequest { tenant: tenant.clone(), page_size: PAGE, page_token };
        let answer = catalog.list_actions(request).await?.into_inner();
        for action in answer.actions.into_iter().filter(is_template) {
            entries.push(TemplateEntry(Action::try_from(action)?));
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    screen.show(&Page { entries, next_page_token: String::new() });
    Ok(())
}

fn is_template(action: &control::Action) -> bool {
    action.kind == i32::from(wire::ActionKind::Template)
}

async fn show(template: &str, tenant: String, control: ControlUrl, screen: &Screen) -> Result<(), Stop> {
    let name = template.strip_prefix("platform/").unwrap_or(template);
    let (slug, version) = name.split_once('@').unwrap_or((name, ""));
    let mut catalog = control.catalog().await?;
    let request = control::GetActionRequest { tenant: tenant.clone(), slug: slug.to_owned() };
    let action = required(catalog.get_action(request).await?.into_inner().action).ctx("action")?;
    if !is_template(&action) {
        let message =
            format!("{slug} is an Action of the tenant's own, and no template: `sluice action show {slug}` shows it");
        return Err(Error::not_found("ACTION_NOT_FOUND", message).about("action", slug).into());
    }
    let request =
        control::GetVersionRequest { tenant: tenant.clone(), slug: slug.to_owned(), version: version.to_owned() };
    let version = required(catalog.get_version(request).await?.into_inner().version).ctx("version")?;
    let (mut versions, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            control::ListVersionsRequest { tenant: tenant.clone(), slug: slug.to_owned(), page_size: PAGE, page_token };
        let answer = catalog.list_versions(request).await?.into_inner();
        versions.extend(answer.versions.into_iter().map(|version| version.version));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    screen.show(&TemplateShown {
        slug: action.slug,
        name: action.name,
        versions,
        triggers: version.triggers,
        schema: version.config_schema.map(json::object).transpose().ctx("config_schema")?,
        version: version.version,
        description: version.description,
    });
    Ok(())
}
