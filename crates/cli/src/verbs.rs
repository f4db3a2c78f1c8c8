//! The verbs. Each is a module: its arguments, and what it does with them.

mod action;
mod audit;
mod completions;
mod config;
mod delivery;
mod dev;
mod execute;
mod executor;
mod flow;
mod init;
mod man;
mod publish;
mod secret;
mod template;
mod tenant;
mod test;
#[cfg(test)]
mod tests;

use crate::{bench, profile::Chosen, screen::Screen, stop::Stop};
use clap::{Args, Parser, Subcommand};

pub(crate) use execute::SignIn;

/// Tenants' custom logic in sign-in flows: write Actions, publish them, attach them, watch them.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Start here:
  sluice dev                    both planes on this machine; it prints what to do next
  sluice init my-action         a package that passes its test
  sluice VERB --help            what a verb takes, with examples

Exit codes: 0 done, 1 refused or a case failed, 2 bad usage.")]
pub(crate) struct Cli {
    /// Print JSON, one line, in a form that stays
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Use this profile of `sluice config`
    #[arg(long, global = true, value_name = "NAME", env = "SLUICE_PROFILE")]
    pub(crate) profile: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a control plane and an executor on this machine
    Dev(dev::Args),
    /// Make a package for a new Action
    Init(init::Args),
    /// Compile a package and run it, or its cases, without a server
    Test(test::Args),
    /// Publish Actions and see what is published
    #[command(subcommand)]
    Action(action::Command),
    /// See the Actions that come with the platform
    #[command(subcommand)]
    Template(template::Command),
    /// Say what runs where
    #[command(subcommand)]
    Flow(flow::Command),
    /// Run a flow's slot, as the auth engine does
    Execute(execute::Args),
    /// See what was changed and what was run
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make tenants, and say where they may send their users
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Keep secrets for Actions to read
    #[command(subcommand)]
    Secret(secret::Command),
    /// See what was delivered, and send it again
    #[command(subcommand)]
    Delivery(delivery::Command),
    /// See the executors that are connected
    #[command(subcommand)]
    Executor(executor::Command),
    /// Measure Execute
    #[command(subcommand)]
    Bench(bench::Command),
    /// Keep where the servers are and who asks, by profile
    #[command(subcommand)]
    Config(config::Command),
    /// Print the script that completes verbs and flags in a shell
    Completions(completions::Args),
    /// Write the man pages
    Man(man::Args),
}

impl Command {
    /// How many threads the verb runs on; `None`: one a core.
    pub(crate) fn worker_threads(&self) -> Option<usize> {
        match self {
            Command::Bench(command) => command.worker_threads(),
            _ => None,
        }
    }

    pub(crate) async fn run(self, chosen: Chosen, screen: &Screen) -> Result<(), Stop> {
        match self {
            Command::Dev(args) => dev::run(args, screen).await,
            Command::Init(args) => init::run(args, screen),
            Command::Test(args) => test::run(args, screen).await,
            Command::Action(command) => action::run(command, screen).await,
            Command::Template(command) => template::run(command, screen).await,
            Command::Flow(command) => flow::run(command, screen).await,
            Command::Execute(args) => execute::run(args, screen).await,
            Command::Audit(command) => audit::run(command, screen).await,
            Command::Tenant(command) => tenant::run(command, screen).await,
            Command::Secret(command) => secret::run(command, screen).await,
            Command::Delivery(command) => delivery::run(command, screen).await,
            Command::Executor(command) => executor::run(command, screen).await,
            Command::Bench(command) => bench::run(command, screen).await,
            Command::Config(command) => config::run(command, chosen, screen),
            Command::Completions(args) => {
                completions::run(&args, screen);
                Ok(())
            }
            Command::Man(args) => man::run(args, screen),
        }
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Args)]
pub(crate) struct PageArgs {
    /// How many entries at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Where the page begins: the next_page_token of the page before
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
}

/// Guards a change against the changes of others.
#[derive(Clone, Debug, Args)]
pub(crate) struct Etag {
    /// The etag of what is to be changed: refused where somebody else was faster
    #[arg(long, value_name = "ETAG", default_value = "", hide_default_value = true)]
    etag: String,
}

/// Makes a retry of a change safe.
#[derive(Clone, Debug, Args)]
pub(crate) struct RequestId {
    /// The same id with the same request gets the same answer, so that a retry is safe
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}
