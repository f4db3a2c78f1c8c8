//! `sluice-control-plane`: the control plane as a server of its own.

use anyhow::Context as _;
use clap::Parser;
use sluice_compiler::ChildOptions;
use sluice_control_plane::config::Config;
use sluice_control_plane::{Clock, ControlPlane, Tools};
use sluice_sandbox::{Engine, EngineOptions};
use sluice_serve::config::{CONTROL_PLANE_PREFIX, ServerArgs};
use sluice_serve::{About, App, Signals, Telemetry};
use std::process::ExitCode;

/// The control plane of Sluice: tenants, Actions, flows and audit
#[derive(Debug, Parser)]
#[command(name = "sluice-control-plane", version)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> ExitCode {
    sluice_compiler::run_child_if_asked();
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
    let loaded = args.server.load::<Config>(CONTROL_PLANE_PREFIX)?;
    if args.server.print_config {
        print(&loaded.effective().to_string());
        return Ok(());
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(serve(loaded.settings))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = Signals::listen().context("signals cannot be taken over")?;
    let options = EngineOptions {
        cache_dir: config.engine.cache.clone(),
        max_runs_in_flight: config.engine.max_runs,
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
