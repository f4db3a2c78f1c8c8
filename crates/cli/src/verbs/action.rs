//! `sluice action`

use super::{PageArgs, publish};
use crate::{
    client::{ControlUrl, TenantArg},
    screen::Screen,
    stop::Stop,
    view::{
        Page,
        action::{Action, Version},
    },
};
use clap::Subcommand;
use sluice_api::control::v1 as control;

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

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::Publish(args) => publish::run(args, screen).await?,
        Command::List { tenant: TenantArg { tenant }, page, control } => {
            let request = control::ListActionsRequest { tenant, page_size: page.limit, page_token: page.page_token };
            let answer = control.catalog().await?.list_actions(request).await?.into_inner();
            let entries = answer.actions.into_iter().map(Action::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Action> { entries, next_page_token: answer.next_page_token });
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
