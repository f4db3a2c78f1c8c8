//! The assembly of an executor: start, serve, finish.

use crate::{
    audit::{Audit, ship::Shipper},
    catalog::Catalog,
    config::ExecutorConfig,
    identity::Identity,
    modules::{Modules, store::Store},
    remote::Remote,
    run::{Runner, ledger::RunsOn},
    service::Execute,
    state::plan::Planner,
    telemetry::{Gauges, Metrics},
    watch::Watcher,
};
use prost::Message as _;
use sluice_api::{
    FILE_DESCRIPTOR_SET, distribution::v1 as distribution,
    executor::v1::execution_service_server::ExecutionServiceServer, types::v1::EngineIdentity,
};
use sluice_model::Slug;
use sluice_sandbox::Engine;
use sluice_serve::{Grpc, Readiness, Telemetry};
use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often revisions are dropped that have expired; until then they only take memory.
const COLLECT_EVERY: Duration = Duration::from_secs(60);

/// Why an executor does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data folder holds what it cannot use, or cannot be written.
    #[error("data: {0}")]
    Data(#[from] io::Error),
    /// The control plane's URL is none.
    #[error("control_url: {0}")]
    ControlUrl(String),
    /// A tenant's name is no slug.
    #[error("subscription.tenants: {0}")]
    Tenant(String),
}

/// What an executor finds around it: the process's own, shared with whatever else runs in it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// A folder that is this executor's alone.
    pub data: &'a Path,
    /// Gets a condition `state`, which holds once there is a state to serve.
    pub readiness: &'a Readiness,
    /// Where its metrics go.
    pub telemetry: &'a Telemetry,
}

/// An executor at work: it watches the control plane and ships audit; [`Executor::service`] makes it answer.
#[derive(Debug)]
pub struct Executor {
    service: Execute,
    identity: Identity,
    audit: Arc<Audit>,
    /// Ends the watch.
    stop: CancellationToken,
    /// Ends the shipper once everything is acknowledged.
    finish: CancellationToken,
    drain_timeout: Duration,
    shipper: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Executor {
    /// Starts an executor's work. Call it inside a tokio runtime. The engine may be shared with the control plane's half of
    /// the same process.
    ///
    /// # Errors
    /// [`StartError`]; nothing has been started then.
    pub async fn start(
        config: &ExecutorConfig,
        engine: Engine,
        around: Surroundings<'_>,
    ) -> Result<Executor, StartError> {
        let meter = around.telemetry.meter();
        let metrics = Metrics::new(&meter);
        let (only, subscription) = subscription(&config.subscription.tenants)?;
        let remote = Remote::new(&config.control_url).map_err(|e| StartError::ControlUrl(crate::chain(&e)))?;

        let folder = around.data.to_owned();
        let (audit_config, modules_config) = (config.audit.clone(), config.modules.clone());
        let (engine_id, for_audit) = (engine.identity().clone(), Arc::clone(&metrics));
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(&folder.join("cache"), &engine_id, modules_config.disk_bytes)?;
            // The epoch is taken before the spool is opened, which belongs to it.
            std::fs::create_dir_all(&folder)?;
            let identity = Identity::next(&folder)?;
            let (audit, left_behind) = Audit::open(&folder, &identity, &audit_config, for_audit)?;
            Ok::<_, io::Error>((store, identity, Arc::new(audit), left_behind))
        });
        let (store, identity, audit, left_behind) = opened.await.map_err(io::Error::other)??;

        let wire_engine = EngineIdentity {
            engine: engine.identity().engine.clone(),
            base_image: engine.identity().base_image.clone(),
        };
        let parallel = match config.modules.parallel {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)),
            n => n,
        };
        let source = Arc::new(remote.clone());
        let memory_bytes = config.modules.memory_bytes;
        let modules = Modules::new(engine.clone(), store, source, memory_bytes, parallel, Arc::clone(&metrics));
        let catalog = Arc::new(Catalog::new(remote.clone(), Planner::new(modules.clone()), only));

        let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
        let watcher = Watcher {
            remote: remote.clone(),
            catalog: Arc::clone(&catalog),
            modules: modules.clone(),
            identity: identity.clone(),
            engine: wire_engine.clone(),
            subscription,
            ready: around.readiness.condition("state", "nothing heard from the control plane yet"),
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
        };
        let shipper = config.audit.ship.then(|| {
            let acked = config.audit.durability == crate::config::Durability::Acked;
            let linger = if acked { Duration::ZERO } else { Duration::from_millis(config.audit.linger_ms) };
            let shipper = Shipper {
                channel: remote.channel(),
                executor: identity.id.clone(),
                epoch: identity.epoch,
                linger,
                finish: finish.clone(),
                metrics: Arc::clone(&metrics),
            };
            tokio::spawn(shipper.run(Arc::clone(&audit), left_behind))
        });
        if shipper.is_none() {
            tracing::warn!("audit.ship is false: nothing goes to the control plane, and the spool fills");
        }
        let collecting = collect(Arc::clone(&catalog));
        let tasks =
            vec![tokio::spawn(watcher.run()), tokio::spawn(Arc::clone(&audit).tend()), tokio::spawn(collecting)];

        show_gauges(&meter, &catalog, &modules, &audit);
        let runner = Runner {
            engine,
            modules,
            audit: Arc::clone(&audit),
            metrics: Arc::clone(&metrics),
            http_localhost: config.redirect.http_localhost,
            standing: catalog.standing(),
        };
        let runs_on = RunsOn { executor: identity.id.clone(), engine: wire_engine };
        let service = Execute::new(catalog, runner, Arc::clone(&audit), metrics, runs_on);
        tracing::info!(
            executor = identity.id,
            epoch = identity.epoch,
            control = config.control_url,
            "executor started"
        );
        let drain_timeout = Duration::from_secs(config.audit.drain_timeout_s);
        Ok(Executor { service, identity, audit, stop, finish, drain_timeout, shipper, tasks })
    }

    /// Who this executor is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Adds Execute to a gRPC server, in front of its router.
    pub fn service(&self, grpc: Grpc) -> Grpc<ExecutionServiceServer<Execute>> {
        grpc.descriptors(&DESCRIPTORS).front(ExecutionServiceServer::new(self.service.clone()))
    }

    /// Ends it, after the server has drained: the watch stops, and what lies in the spool is shipped as far as
    /// `audit.drain_timeout_s` allows. What is left is shipped by the next start.
    pub async fn finish(mut self) {
        self.stop.cancel();
        let audit = Arc::clone(&self.audit);
        // Reported by the runtime where it panics; there is nothing to do about it any more.
        let _told = tokio::task::spawn_blocking(move || audit.tell_gaps()).await;
        self.finish.cancel();
        if let Some(mut shipper) = self.shipper.take()
            && tokio::time::timeout(self.drain_timeout, &mut shipper).await.is_err()
        {
            shipper.abort();
            let waiting = self.audit.log().written() - self.audit.log().acked();
            tracing::warn!(waiting, "audit stays in the spool; the next start ships it");
        }
        if self.audit.log().is_acked() {
            let audit = Arc::clone(&self.audit);
            let removed = tokio::task::spawn_blocking(move || audit.log().remove()).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "the empty spool cannot be removed");
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..).chain(self.shipper.take()) {
            task.abort();
        }
    }
}

/// Drops what has expired, for as long as the executor lives.
async fn collect(catalog: Arc<Catalog>) {
    let mut every = tokio::time::interval(COLLECT_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let catalog = Arc::clone(&catalog);
        // A large state takes a while to look through. A panic in it is reported by the runtime.
        let _joined = tokio::task::spawn_blocking(move || catalog.collect(jiff::Timestamp::now())).await;
    }
}

/// The tenants that are served, none for all, and how the control plane is told.
type Subscription = (Option<HashSet<Slug>>, distribution::hello::Subscription);

fn subscription(tenants: &[String]) -> Result<Subscription, StartError> {
    use distribution::hello::Subscription as Wire;
    if tenants.is_empty() {
        return Ok((None, Wire::All(distribution::AllTenants {})));
    }
    let slugs: Result<HashSet<Slug>, _> = tenants.iter().map(|t| Slug::parse(t)).collect();
    let slugs = slugs.map_err(|invalid| StartError::Tenant(invalid.message))?;
    Ok((Some(slugs), Wire::Tenants(distribution::TenantSet { tenants: tenants.to_vec() })))
}

fn show_gauges(meter: &opentelemetry::metrics::Meter, catalog: &Arc<Catalog>, modules: &Modules, audit: &Arc<Audit>) {
    let (catalog, modules, audit) = (Arc::clone(catalog), modules.clone(), Arc::clone(audit));
    Metrics::show_gauges(meter, move || {
        let applied = catalog.applied();
        let (tenants, revisions) = applied.as_ref().map_or((0, 0), |a| a.state.counts());
        let (in_memory, modules_bytes) = modules.residents();
        Gauges {
            cursor: applied.as_ref().map_or(0, |a| a.state.cursor),
            age_s: applied.as_ref().map_or(0.0, |a| a.at.elapsed().as_secs_f64()),
            tenants,
            revisions,
            executors: catalog.executors().into(),
            modules: in_memory,
            modules_bytes,
            spool_bytes: audit.bytes(),
            spool_waiting: audit.log().written().saturating_sub(audit.log().acked()),
        }
    });
}

/// The descriptors of what an executor serves, with their imports: not of the control plane's services, which reflection
/// would show as though they were here.
static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let Ok(mut all) = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET) else {
        // They were encoded by the build; the server refuses what cannot be read.
        return FILE_DESCRIPTOR_SET.to_vec();
    };
    all.file.retain(|file| file.service.is_empty() || file.package() == "sluice.executor.v1");
    all.encode_to_vec()
});
