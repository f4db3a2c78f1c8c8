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
mod screen;
mod starter;
mod stop;
mod trial;
mod verbs;
mod view;

use crate::{screen::Screen, stop::Stop, verbs::Cli};
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A compiler child is this very binary under a hidden name: it must get its turn before anything else is set up.
    sluice_compiler::run_child_if_asked();
    let cli = Cli::parse();
    let screen = Screen::of_process(cli.json);
    match run(cli, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => screen.stopped(&stop),
    }
}

fn run(cli: Cli, screen: &Screen) -> Result<(), Stop> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.command.worker_threads() {
        builder.worker_threads(threads);
    }
    let runtime =
        builder.enable_all().build().map_err(|e| Stop::local("RUNTIME", format!("no threads to run on: {e}")))?;
    let done = runtime.block_on(cli.command.run(screen));
    // What still runs (a spinner, a connection that lingers) must not keep a finished command.
    runtime.shutdown_background();
    done
}
