//! `sluice-control-plane`: the control plane as a server of its own.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use sluice_compiler::ChildOptions;
use sluice_control_plane::config::Config;
use sluice_control_plane::{Clock, ControlPlane, Tools, export};
use sluice_sandbox::{ComponentCompiler, Engine, EngineOptions};
use sluice_serve::config::{CONTROL_PLANE_PREFIX, LogConfig, LogFormat, ServerArgs, TelemetryConfig};
use sluice_serve::{About, App, Signals, Telemetry};
use std::path::PathBuf;
use std::process::ExitCode;

/// The control plane of Sluice: tenants, Actions, flows and audit
#[derive(Debug, Parser)]
#[command(name = "sluice-control-plane", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is done with a data folder on which no server runs.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write everything that a data folder holds to one file
    ///
    /// The file holds all rows of the store (tenants, catalogue, versions, flows with all their revisions, answered request ids, audit
    /// that is on its way to the log), all bundles, and the whole audit log. Secrets are in it sealed; the key that opens them
    /// (keys/secrets.key in the data folder, or the file that secrets.key_file names) is not: keep a copy of it apart. It holds no settings. The same data is the same
    /// file, byte for byte; every record in it is checked when it is read. No server may run on the folder.
    Export {
        /// The data folder of the control plane
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The file to write; it must not be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Make a data folder of a file that `export` wrote
    ///
    /// The file is read whole and checked before anything is made. The control plane then goes on where the export was taken:
    /// the same etags, request ids, audit and page tokens. Where there are secrets it needs the key that sealed them: put it at
    /// keys/secrets.key, or name it by secrets.key_file. Executors are told everything anew, since they may have heard of more than
    /// the export has.
    Restore {
        /// The data folder to make; it must be empty or not there
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The file that `export` wrote
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
}

fn main() -> ExitCode {
    sluice_compiler::run_child_if_asked();
    sluice_sandbox::run_component_child_if_asked();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("sluice-control-plane: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "there may be no log yet, and whoever starts a server looks here")]
fn tell(message: &str) {
    eprintln!("{message}");
}

#[allow(clippy::print_stdout, reason = "it was asked for")]
fn print(text: &str) {
    print!("{text}");
}

fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(command) = &args.command {
        return on_folder(command);
    }
    let loaded = args.server.load::<Config>(CONTROL_PLANE_PREFIX)?;
    if args.server.print_config {
        print(&loaded.effective().to_string());
        return Ok(());
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(serve(loaded.settings))
}

fn on_folder(command: &Command) -> anyhow::Result<()> {
    // What was found on the way, such as a database that had to be made again, is for whoever is at the terminal.
    let log = LogConfig { level: "warn".to_owned(), format: LogFormat::Text };
    let about = About::new("sluice-control-plane", env!("CARGO_PKG_VERSION"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(async {
        let telemetry = Telemetry::start(&about, &log, &TelemetryConfig::default())?;
        let done = match command {
            Command::Export { data, to } => {
                let contents = export::export(data, to).await.context("export")?;
                format!("exported {contents} to {}\n", to.display())
            }
            Command::Restore { data, from } => {
                let contents = export::restore(data, from).await.context("restore")?;
                format!("restored {contents} to {}\n", data.display())
            }
        };
        telemetry.shutdown().await;
        print(&done);
        Ok(())
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = Signals::listen().context("signals cannot be taken over")?;
    let options = EngineOptions {
        cache_dir: config.engine.cache.clone(),
        max_runs_in_flight: config.engine.max_runs,
        component_compiler: Some(ComponentCompiler::this_program().context("the compiler's binary cannot be found")?),
        ..EngineOptions::default()
    };
    let engine = tokio::task::spawn_blocking(move || Engine::new(options)).await?.context("engine")?;
    let identity = engine.identity();
    let about = About::new("sluice-control-plane", env!("CARGO_PKG_VERSION"))
        .with("engine", identity.engine.clone())
        .with("base_image", identity.base_image.clone());
    let telemetry = Telemetry::start(&about, &config.server.log, &config.server.telemetry)?;
    let app = App::build(about, &config.server)?;
    let compiler = ChildOptions::this_program().context("the compiler's binary cannot be found")?;
    let tools = Tools { engine, compiler, clock: Clock::system() };
    let plane = ControlPlane::open(app.data(), &config.plane, tools, &telemetry.meter()).await?;
    let grpc = plane.services(app.grpc(), &config.server.grpc, app.drain());
    let running = app.spawn("control", grpc, &telemetry)?;
    let (_drained, rest) = running.until_signal(signals).await;
    plane.close().await;
    drop(rest);
    telemetry.shutdown().await;
    Ok(())
}
