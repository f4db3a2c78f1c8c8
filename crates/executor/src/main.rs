//! `sluice-executor`: settings, engine, app, drain.

use anyhow::Context as _;
use clap::Parser;
use sluice_executor::{
    Executor, ExecutorConfig, Surroundings,
    fault::{self, Faults},
};
use sluice_sandbox::{ComponentCompiler, Engine, EngineOptions};
use sluice_serve::{
    About, App, Signals, Telemetry,
    config::{EXECUTOR_PREFIX, ServerArgs, Sources},
};
use std::{io::Write as _, process::ExitCode, time::Duration};

/// The binary's name.
const NAME: &str = "sluice-executor";

/// See the workspace's Cargo.toml for why.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the Actions of tenants' flows and answers Execute.
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// The control plane, such as http://127.0.0.1:7070
    #[arg(long, value_name = "URL", env = "SLUICE_CONTROL_URL")]
    control_url: Option<String>,
}

/// How long the end waits for what blocks on a disk or a resolver that does not answer.
const LAST_WAIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // A compiler's child is this very binary: it has its turn before anything else is set up.
    sluice_sandbox::run_component_child_if_asked();
    let args = Args::parse();
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(args));
            // Dropping it would wait for ever.
            runtime.shutdown_timeout(LAST_WAIT);
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There may be no log yet, or none that somebody reads.
            let _unread = writeln!(std::io::stderr(), "{NAME}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut sources = Sources::new(EXECUTOR_PREFIX).environment(std::env::vars_os());
    if let Some(url) = &args.control_url {
        sources = sources.flag("--control-url", "control_url", url);
    }
    let loaded = args.server.apply(sources).load::<ExecutorConfig>()?;
    if args.server.print_config {
        write!(std::io::stdout(), "{}", loaded.effective())?;
        return Ok(());
    }
    let config = loaded.settings;
    let about = About::new(NAME, env!("CARGO_PKG_VERSION"));
    let telemetry = Telemetry::start(&about, &config.server.log, &config.server.telemetry)?;
    let signals = Signals::listen()?;

    let options = EngineOptions {
        cache_dir: config.engine.cache.clone(),
        max_runs_in_flight: config.engine.max_runs,
        component_compiler: Some(ComponentCompiler::this_program().context("the compiler's binary cannot be found")?),
        ..EngineOptions::default()
    };
    let engine =
        tokio::task::spawn_blocking(move || Engine::new(options)).await?.context("the sandbox cannot start")?;
    let identity = engine.identity();
    let about = about.with("engine", identity.engine.as_str()).with("base_image", identity.base_image.as_str());

    let app = App::build(about, &config.server)?;
    let around = Surroundings { data: app.data(), readiness: app.readiness(), telemetry: &telemetry };
    let faults = Faults::asked(std::env::var_os(fault::VARIABLE).as_deref())?;
    let executor = Executor::start_with(&config, engine, around, faults).await?;
    let grpc = executor.service(app.grpc());
    let running = app.showing("executor", executor.about()).spawn("executor", grpc, &telemetry)?;
    let (_drained, mut rest) = running.until_signal(signals).await;
    tokio::select! {
        () = executor.finish() => {}
        // What is in the spool stays there, and the next start ships it.
        () = rest.hurried() => {}
    }
    drop(rest);
    telemetry.shutdown().await;
    Ok(())
}
