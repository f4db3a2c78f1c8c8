//! `sluice executor`

use super::PageArgs;
use crate::{
    client::ControlUrl,
    screen::Screen,
    stop::Stop,
    view::{Page, executor::Executor},
};
use clap::Subcommand;
use sluice_api::control::v1 as control;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the executors that are connected, and how far each is
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        control: ControlUrl,
    },
}

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<(), Stop> {
    match command {
        Command::List { page, control } => {
            let request = control::ListExecutorsRequest { page_size: page.limit, page_token: page.page_token };
            let answer = control.executors().await?.list_executors(request).await?.into_inner();
            let entries = answer.executors.into_iter().map(Executor::try_from).collect::<Result<_, _>>()?;
            screen.show(&Page::<Executor> { entries, next_page_token: answer.next_page_token });
        }
    }
    Ok(())
}
