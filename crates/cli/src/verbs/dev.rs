//! `sluice dev`: both planes in one process, with sled and nothing to install.
//!
//! The parts are those of the two servers, on one engine, one data folder and one set of admin pages. The executor talks to
//! the control plane over the same socket as any other would.

mod live;

use crate::{
    client::{ControlUrl, DEFAULT_CONTROL_URL, DEFAULT_EXECUTOR_URL},
    screen::{Look, Screen, View},
    stop::{Stop, without_number},
    trial,
    view::{Cell, Table},
};
use serde::{Deserialize, Serialize};
use sluice_compiler::ChildOptions;
use sluice_control_plane::{Clock, ControlPlane, Tools, config::PlaneConfig};
use sluice_executor::{
    Executor, ExecutorConfig, Surroundings,
    config::{AuditConfig, CountersConfig, EgressSettings, ModulesConfig, RedirectConfig},
};
use sluice_sandbox::{ComponentCompiler, Engine, EngineOptions};
use sluice_serve::{
    About, Admin, DataFolder, Drain, Grpc, Listener, Readiness, Signals, Telemetry,
    addresses::{Addresses, AddressesFile},
    config::{Checks, DEV_PREFIX, DrainConfig, GrpcConfig, LogConfig, Settings, Sources, TelemetryConfig},
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How long the executor may take to hear from the control plane beside it.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at in the meantime.
const START_POLL: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder that everything is kept in; made when it is not there. Default .sluice
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
    /// Serve the control plane on this address; port 0 takes a free one. Default 127.0.0.1:7070
    #[arg(long, value_name = "ADDRESS")]
    control_addr: Option<String>,
    /// Serve Execute on this address. Default 127.0.0.1:7071
    #[arg(long, value_name = "ADDRESS")]
    executor_addr: Option<String>,
    /// Serve health, readiness and metrics on this address. Default 127.0.0.1:7072
    #[arg(long, value_name = "ADDRESS")]
    admin_addr: Option<String>,
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one setting, as in --set log.level=info; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Publish the package of this folder, or those in it, now and whenever they are saved, and pin them where they are attached
    #[arg(long, value_name = "DIR")]
    watch: Option<PathBuf>,
    /// The tenant that --watch publishes to; made when it is not there
    #[arg(long, value_name = "TENANT", env = "SLUICE_TENANT", default_value = "dev")]
    tenant: String,
    /// Print the effective settings, each with its source, and end
    #[arg(long)]
    print_config: bool,
}

/// The settings: the ports and the folder, and those of both planes by their usual names.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DevConfig {
    control_addr: SocketAddr,
    executor_addr: SocketAddr,
    admin_addr: SocketAddr,
    data: PathBuf,
    #[serde(flatten)]
    plane: PlaneConfig,
    modules: ModulesConfig,
    audit: AuditConfig,
    redirect: RedirectConfig,
    counters: CountersConfig,
    grpc: GrpcConfig,
    log: LogConfig,
    telemetry: TelemetryConfig,
    drain: DrainConfig,
}

impl Default for DevConfig {
    fn default() -> DevConfig {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        DevConfig {
            control_addr: local(7070),
            executor_addr: local(7071),
            admin_addr: local(7072),
            data: PathBuf::from(".sluice"),
            plane: PlaneConfig::default(),
            modules: ModulesConfig::default(),
            audit: AuditConfig::default(),
            redirect: RedirectConfig::default(),
            counters: CountersConfig::default(),
            grpc: GrpcConfig::default(),
            // What went wrong, and no line for every call: a person looks at this terminal.
            log: LogConfig { level: "warn".into(), ..LogConfig::default() },
            telemetry: TelemetryConfig::default(),
            drain: DrainConfig::default(),
        }
    }
}

impl Settings for DevConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let loopback = "a loopback address such as 127.0.0.1:7070; others wait until callers can prove who they are";
        at.require("control_addr", self.control_addr.ip().is_loopback(), loopback);
        at.require("executor_addr", self.executor_addr.ip().is_loopback(), loopback);
        at.require("admin_addr", self.admin_addr.ip().is_loopback(), loopback);
        at.require("data", !self.data.as_os_str().is_empty(), "the path of a folder");
        self.plane.check(at);
        at.section("modules", &self.modules);
        at.section("audit", &self.audit);
        at.section("redirect", &self.redirect);
        at.section("counters", &self.counters);
        at.section("grpc", &self.grpc);
        at.section("log", &self.log);
        at.section("telemetry", &self.telemetry);
        at.section("drain", &self.drain);
    }
}

impl Args {
    fn sources(&self) -> Sources {
        let mut sources = Sources::new(DEV_PREFIX).environment(std::env::vars_os());
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        for pair in &self.set {
            // Without `=` there is no key of that name, and the refusal says so.
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            sources = sources.flag("--set", key.trim(), value);
        }
        for (flag, key, value) in [
            ("--data", "data", &self.data),
            ("--control-addr", "control_addr", &self.control_addr),
            ("--executor-addr", "executor_addr", &self.executor_addr),
            ("--admin-addr", "admin_addr", &self.admin_addr),
        ] {
            if let Some(value) = value {
                sources = sources.flag(flag, key, value);
            }
        }
        sources
    }
}

/// Where everything is served: what `addresses.json` says too.
#[derive(Clone, Debug, Serialize)]
struct Up {
    control: SocketAddr,
    executor: SocketAddr,
    admin: SocketAddr,
    data: PathBuf,
}

impl View for Up {
    fn render(&self, look: &Look) -> String {
        let mut text = format!("{} Sluice is up; Ctrl-C ends it\n", look.good("✓"));
        let mut table = Table::new(&[]);
        for (name, place) in [
            ("  control plane", format!("http://{}", self.control)),
            ("  executor", format!("http://{}", self.executor)),
            ("  health and metrics", format!("http://{}", self.admin)),
            ("  data", self.data.display().to_string()),
        ] {
            table.row([name.to_owned(), place].map(Cell::new));
        }
        text.push_str(&table.render(look));
        if look.hints {
            text.push_str(&look.faint("\nIn another terminal:\n"));
            text.push_str(&self.first_steps());
        }
        text
    }
}

impl Up {
    /// What to copy and paste; the variables only where the ports are not the usual ones.
    fn first_steps(&self) -> String {
        let mut steps = String::new();
        for (variable, usual, address) in [
            ("SLUICE_CONTROL_URL", DEFAULT_CONTROL_URL, self.control),
            ("SLUICE_EXECUTOR_URL", DEFAULT_EXECUTOR_URL, self.executor),
        ] {
            let url = format!("http://{address}");
            if url != usual {
                steps.push_str(&format!("    export {variable}={url}\n"));
            }
        }
        steps.push_str(
            "    export SLUICE_TENANT=acme\n    \
                 sluice tenant create acme\n    \
                 sluice init my-action\n    \
                 sluice test my-action\n    \
                 sluice action publish my-action\n    \
                 sluice flow create login\n    \
                 sluice flow attach login --trigger post-login --action my-action\n    \
                 echo '{\"user\": {\"id\": \"u1\"}}' | sluice execute login --trigger post-login --input -\n    \
                 sluice audit list\n",
        );
        steps
    }
}

pub(crate) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let loaded = args.sources().load::<DevConfig>().map_err(|refusal| {
        let wrong = refusal.problems.into_iter().map(|problem| {
            let told = problem.to_string();
            let message = told.strip_prefix(problem.key.as_str()).unwrap_or(&told).trim_start().to_owned();
            (problem.key, message)
        });
        Stop::usage("the configuration is refused", wrong)
    })?;
    if args.print_config {
        screen.print(&loaded.effective().to_string());
        return Ok(());
    }
    let config = loaded.settings;
    let failed = |e: &dyn std::fmt::Display| Stop::local("NOT_STARTED", without_number(&e.to_string()));
    let mut signals = Signals::listen().map_err(|e| failed(&e))?;

    // What others may have is taken first: the folder and the ports.
    let folder = DataFolder::open(&config.data).map_err(|e| failed(&e))?;
    let control_port = Listener::bind("control_addr", config.control_addr).map_err(|e| failed(&e))?;
    let executor_port = Listener::bind("executor_addr", config.executor_addr).map_err(|e| failed(&e))?;
    let admin_port = Listener::bind("admin_addr", config.admin_addr).map_err(|e| failed(&e))?;

    let progress = screen.progress("starting the engine".to_owned());
    let components = ComponentCompiler::this_program().map_err(|e| failed(&e))?;
    let options = EngineOptions {
        cache_dir: trial::engine_cache(),
        component_compiler: Some(components),
        ..EngineOptions::default()
    };
    let engine = tokio::task::spawn_blocking(move || Engine::new(options)).await.map_err(|e| failed(&e))?;
    let engine = engine.map_err(|e| failed(&e))?;
    drop(progress);

    let identity = engine.identity();
    let about = About::new("sluice-dev", env!("CARGO_PKG_VERSION"))
        .with("engine", identity.engine.as_str())
        .with("base_image", identity.base_image.as_str());
    let telemetry = Telemetry::start(&about, &config.log, &config.telemetry).map_err(|e| failed(&e))?;
    let readiness = Readiness::new();
    let control_drain = Drain::new(&config.drain, &readiness, "control");
    let executor_drain = Drain::new(&config.drain, &readiness, "executor");

    let compiler = ChildOptions::this_program().map_err(|e| failed(&e))?;
    let tools = Tools { engine: engine.clone(), compiler, clock: Clock::system() };
    let (control_data, meter) = (folder.path().join("control"), telemetry.meter());
    let plane = ControlPlane::open(&control_data, &config.plane, tools, &meter).await.map_err(|e| failed(&e))?;
    let control =
        plane.serve(control_port, &config.grpc, &telemetry, &readiness, &control_drain).map_err(|e| failed(&e))?;

    let executor_data = folder.path().join("executor");
    let settings = ExecutorConfig {
        control_url: format!("http://{}", control.address()),
        modules: config.modules,
        audit: config.audit,
        redirect: config.redirect,
        // What Actions reach, their deliveries reach: one setting for both planes.
        egress: EgressSettings(config.plane.egress.0),
        counters: config.counters,
        ..ExecutorConfig::default()
    };
    let around = Surroundings { data: &executor_data, readiness: &readiness, telemetry: &telemetry };
    let executor = Executor::start(&settings, engine, around).await.map_err(|e| failed(&e))?;
    let execute = executor.service(Grpc::new(&config.grpc));
    let serving = execute.spawn(executor_port, &telemetry, &readiness, &executor_drain).map_err(|e| failed(&e))?;
    let about = about.showing("executor", executor.about());
    let admin = Admin::new(about, &readiness, telemetry.exposition()).spawn(admin_port);

    ready(&readiness).await;
    let up = Up {
        control: control.address(),
        executor: serving.address(),
        admin: admin.address(),
        data: folder.path().to_owned(),
    };
    let addresses = Addresses::from([("control", up.control), ("executor", up.executor), ("admin", up.admin)]);
    let addresses = AddressesFile::write(folder.path(), &addresses).map_err(|e| failed(&e))?;
    screen.show(&up);

    // Both planes end as they should, whatever becomes of the rest.
    let mut failed_to_watch = None;
    match &args.watch {
        None => drop(signals.next().await),
        Some(folder) => {
            let live = live::Live::begin(folder, &args.tenant, &ControlUrl::at(up.control)).await;
            match live {
                Ok(live) => tokio::select! {
                    () = live.go_on(screen) => {}
                    _signal = signals.next() => {}
                },
                Err(stop) => failed_to_watch = Some(stop),
            }
        }
    }
    screen.warn("ending what runs; another Ctrl-C ends it at once");
    // Nobody finds what is on its way out.
    drop(addresses);
    let second = tokio::spawn(async move {
        signals.next().await;
        executor_drain.cut_now();
        control_drain.cut_now();
    });
    // Sign-ins first, then their audit, which the control plane takes, then the control plane.
    serving.drain().await;
    executor.finish().await;
    control.drain().await;
    second.abort();
    telemetry.shutdown().await;
    drop((admin, folder));
    failed_to_watch.map_or(Ok(()), Err)
}

/// Waits until the executor has heard from the control plane, so that the first call finds both. An executor that does not
/// come up in time is no reason to end: the admin pages say what it waits for.
async fn ready(readiness: &Readiness) {
    let all = async {
        let mut every = tokio::time::interval(START_POLL);
        while !readiness.is_ready() {
            every.tick().await;
        }
    };
    if tokio::time::timeout(START_TIMEOUT, all).await.is_err() {
        tracing::warn!("not ready yet; /readyz on the admin port says why");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<DevConfig, String> {
        let sources = pairs.iter().fold(Sources::new(DEV_PREFIX), |s, (key, value)| s.flag("--set", key, value));
        sources.load::<DevConfig>().map(|loaded| loaded.settings).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn the_defaults_are_accepted_and_bad_settings_are_named() {
        assert_eq!(load(&[]).unwrap().control_addr.port(), 7070);
        assert_eq!(load(&[("executor_addr", "127.0.0.1:0")]).unwrap().executor_addr.port(), 0);
        for (key, value) in [
            ("control_addr", "0.0.0.0:7070"),
            ("admin_addr", "nowhere"),
            ("data", ""),
            ("audit.durability", "hope"),
            ("flows.revision_ttl_s", "1"),
            ("grpc.max_in_flight", "0"),
            ("egress.allow", "[{host = \"LOCAL\", cidr = \"127.0.0.1/32\"}]"),
            ("counters.redis_url", "localhost:6379"),
        ] {
            let refusal = load(&[(key, value)]).unwrap_err();
            assert!(refusal.contains(key), "{key}: {refusal}");
        }
    }

    #[test]
    fn what_actions_may_reach_is_a_setting() {
        let allow = "[{host = \"localhost\", cidr = \"127.0.0.1/32\", port = 9000, http = true}]";
        let config = load(&[("egress.allow", allow)]).unwrap();
        assert_eq!(config.plane.egress.0.allow[0].port, Some(9000));
    }

    #[test]
    fn first_steps_name_the_ports_where_they_are_not_the_usual_ones() {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let up = Up { control: local(7070), executor: local(9999), admin: local(7072), data: ".sluice".into() };
        let steps = up.first_steps();
        assert!(
            !steps.contains("SLUICE_CONTROL_URL") && steps.contains("SLUICE_EXECUTOR_URL=http://127.0.0.1:9999"),
            "{steps}"
        );
    }
}
