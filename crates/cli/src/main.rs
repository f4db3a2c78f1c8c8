//! `sluice`: the command line, and both planes in one process as `sluice dev`.
//!
//! A verb is a module of [`verbs`]: its arguments, and what it does with them. It speaks to the servers through
//! [`client`], turns their answers into [`view`]s (each has one JSON form, which is documented in docs/cli.md, and one form
//! for people), and hands them to the [`screen`]. What ends a verb early is a [`Stop`]: the exit code is 0 for done, 1 for
//! refused by the service (or a case that failed), 2 for bad usage.
//!
//! It leaves to others: what the servers do, how a package is compiled and run, and what a refusal says.

mod bench;
mod client;
mod file;
mod lessons;
mod next;
mod profile;
#[cfg(test)]
mod reference;
mod screen;
mod starter;
mod stop;
mod trial;
mod usage;
mod verbs;
mod view;
mod watch;

use crate::{profile::Chosen, screen::Screen, stop::Stop, verbs::Cli};
use clap::{CommandFactory as _, FromArgMatches as _};
use std::{ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    // A compiler child is this very binary under a hidden name: it must get its turn before anything else is set up.
    sluice_compiler::run_child_if_asked();
    sluice_sandbox::run_component_child_if_asked();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Before the arguments are read it is not known whether they ask for JSON; whoever writes the flag means it.
    let early = Screen::of_process(arguments.iter().any(|argument| argument == "--json"));
    let chosen = match Chosen::load(&arguments, |name| std::env::var_os(name)) {
        Ok(chosen) => chosen,
        Err(stop) => return early.stopped(&stop),
    };
    let command = chosen.fill(lessons::teach(Cli::command()));
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage::told(&error, &early),
    };
    if let Some(token) = chosen.profile().token {
        client::Bearer::keep(token);
    }
    let screen = Screen::of_process(cli.json);
    match run(cli, chosen, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => screen.stopped(&stop),
    }
}

fn run(cli: Cli, chosen: Chosen, screen: &Screen) -> Result<(), Stop> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.command.worker_threads() {
        builder.worker_threads(threads);
    }
    let runtime =
        builder.enable_all().build().map_err(|e| Stop::local("RUNTIME", format!("no threads to run on: {e}")))?;
    let done = runtime.block_on(cli.command.run(chosen, screen));
    // What still runs (a spinner, a connection that lingers) must not keep a finished command.
    runtime.shutdown_background();
    done
}
