//! The assembly of an executor: start, serve, finish.

use crate::{
    audit::{Audit, ship::Shipper},
    catalog::{Catalog, Scope},
    config::{ExecutorConfig, SubscriptionConfig, SubscriptionMode},
    demand::Demand,
    fault::Faults,
    identity::Identity,
    last::{KEPT_STATE, LastState},
    modules::{Modules, store::Store},
    reach::Reach,
    remote::Remote,
    retries::Retries,
    run::{Runner, ledger::RunsOn},
    service::Execute,
    state::plan::Planner,
    telemetry::{Gauges, Metrics},
    upkeep::{self, Upkeep},
    watch::Watcher,
};
use prost::Message as _;
use sluice_api::{
    FILE_DESCRIPTOR_SET, distribution::v1 as distribution,
    executor::v1::execution_service_server::ExecutionServiceServer, types::v1::EngineIdentity,
};
use sluice_model::Slug;
use sluice_sandbox::Engine;
use sluice_serve::{Grpc, Readiness, Telemetry, seal::KeyFile};
use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The folder of what can be had again, in the data folder.
const CACHE: &str = "cache";
/// How long the end waits for a disk that does not answer, each of the two times that it needs it.
pub const END_TIMEOUT: Duration = Duration::from_secs(5);
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
    /// The key that seals secrets in the cache folder.
    #[error("secrets.cache_key_file: {0}")]
    CacheKey(String),
    /// What Actions may reach: a setting that cannot be used, such as a file of certificates that is not there.
    #[error("{0}")]
    Reach(String),
    /// A tenant's name is no slug.
    #[error("subscription.tenants: {0}")]
    Tenant(String),
}

/// What an executor finds around it: the process's own, shared with whatever else runs in it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// A folder that is this executor's alone.
    pub data: &'a Path,
    /// Gets the conditions `state`, which holds once there is a state to serve, and `audit`, which holds while what runs can
    /// be written down.
    pub readiness: &'a Readiness,
    /// Where its metrics go.
    pub telemetry: &'a Telemetry,
}

/// An executor at work: it watches the control plane and ships audit; [`Executor::service`] makes it answer.
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
    last: LastState,
    numbers: Numbers,
}

/// Reads what the executor shows of itself.
type Numbers = Arc<dyn Fn() -> Gauges + Send + Sync>;

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("identity", &self.identity).finish_non_exhaustive()
    }
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
        Executor::start_with(config, engine, around, Faults::default()).await
    }

    /// The same with faults that a test has asked for.
    ///
    /// # Errors
    /// As [`Executor::start`].
    pub async fn start_with(
        config: &ExecutorConfig,
        engine: Engine,
        around: Surroundings<'_>,
        faults: Faults,
    ) -> Result<Executor, StartError> {
        let meter = around.telemetry.meter();
        let metrics = Metrics::new(&meter);
        let (scope, subscription) = subscription(&config.subscription)?;
        let remote = Remote::new(&config.control_url).map_err(|e| StartError::ControlUrl(crate::chain(&e)))?;

        let folder = around.data.to_owned();
        let (audit_config, modules_config) = (config.audit.clone(), config.modules.clone());
        let (engine_id, for_audit) = (engine.identity().clone(), Arc::clone(&metrics));
        let key = config.secrets.cache_key_file.as_deref().map(|path| KeyFile::read(path)?.sealer(KEPT_STATE));
        let sealer = key.transpose().map_err(|error| StartError::CacheKey(error.to_string()))?;
        let last = LastState::new(&folder.join(CACHE), &subscription, sealer, Arc::clone(&metrics));
        let opened = tokio::task::spawn_blocking(move || {
            let (cache, disk_bytes) = (folder.join(CACHE), modules_config.disk_bytes);
            let store = Store::open(&cache, &engine_id, disk_bytes, Arc::clone(&for_audit))?;
            // The epoch is taken before the spool is opened, which belongs to it.
            std::fs::create_dir_all(&folder)?;
            let identity = Identity::next(&folder)?;
            let (audit, left_behind) = Audit::open(&folder, &identity, &audit_config, for_audit)?;
            Ok::<_, io::Error>((store, identity, Arc::new(audit), left_behind))
        });
        let (store, identity, audit, left_behind) = opened.await.map_err(io::Error::other)??;
        if let Some(record) = faults.lose_record {
            audit.lose(record);
        }

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
        let modules = Modules::new(engine.clone(), store.clone(), source, memory_bytes, parallel, Arc::clone(&metrics));
        let catalog = Arc::new(Catalog::new(remote.clone(), Planner::new(modules.clone()), scope));

        let reach = Reach::new(config, catalog.executors_shared()).map_err(StartError::Reach)?;

        let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
        let ready = around.readiness.condition("state", "the state that was kept is being read");
        let mut wants_full = false;
        match upkeep::restore(&last, &catalog).await {
            Ok(lacks_secrets) => {
                wants_full = lacks_secrets;
                ready.holds();
                let load = upkeep::load(modules.clone(), Arc::clone(&catalog), parallel, stop.clone());
                // Whoever asks first does not wait for it.
                let _by_itself = tokio::spawn(load);
            }
            Err(reason) => {
                ready.fails(format!("no state to serve: {reason}, and {} has not sent one yet", config.control_url));
            }
        }
        let watcher = Watcher {
            remote: remote.clone(),
            catalog: Arc::clone(&catalog),
            last: last.clone(),
            modules: modules.clone(),
            identity: identity.clone(),
            engine: wire_engine.clone(),
            subscription,
            silence: Duration::from_millis(config.subscription.silence_ms),
            wants_full: wants_full.into(),
            put_off: 0.into(),
            ready,
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
        let can_audit = around.readiness.condition("audit", "nothing was written yet");
        let upkeep = Upkeep { last: last.clone(), audit: Arc::clone(&audit), can_audit };
        upkeep.look();
        let tasks = vec![
            tokio::spawn(watcher.run()),
            tokio::spawn(Arc::clone(&audit).tend()),
            tokio::spawn(upkeep.run()),
            tokio::spawn(collect(Arc::clone(&catalog), modules.clone())),
        ];

        reach.show(&meter);
        let retries = Retries::new(config.retries.memory_bytes, Arc::clone(&metrics));
        let numbers = numbers(&catalog, &modules, &store, &retries, &audit);
        let shown = Arc::clone(&numbers);
        Metrics::show_gauges(&meter, move || shown());
        let runner = Runner {
            engine,
            modules,
            audit: Arc::clone(&audit),
            metrics: Arc::clone(&metrics),
            http_localhost: config.redirect.http_localhost,
            standing: catalog.standing(),
            reach,
            vault: catalog.vault(),
        };
        let runs_on = RunsOn { executor: identity.id.clone(), engine: wire_engine };
        let service = Execute::new(catalog, runner, Arc::clone(&audit), metrics, retries, runs_on);
        tracing::info!(
            executor = identity.id,
            epoch = identity.epoch,
            control = config.control_url,
            "executor started"
        );
        let drain_timeout = Duration::from_secs(config.audit.drain_timeout_s);
        Ok(Executor { service, identity, audit, stop, finish, drain_timeout, shipper, tasks, last, numbers })
    }

    /// Who this executor is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Adds Execute to a gRPC server, in front of its router.
    pub fn service(&self, grpc: Grpc) -> Grpc<ExecutionServiceServer<Execute>> {
        grpc.descriptors(&DESCRIPTORS).front(ExecutionServiceServer::new(self.service.clone()))
    }

    /// What the health page says of it, whenever it is asked for: who it is, the state that serves (null where there is none)
    /// and its age, and what it holds.
    pub fn about(&self) -> impl Fn() -> serde_json::Value + Send + Sync + use<> {
        let (identity, numbers) = (self.identity.clone(), Arc::clone(&self.numbers));
        move || {
            let n = numbers();
            let state = n.applied_at.map(|at| {
                serde_json::json!({
                    "cursor": n.cursor, "applied_at": at.to_string(), "age_s": n.age_s,
                    "tenants": n.tenants, "revisions": n.revisions,
                })
            });
            serde_json::json!({
                "id": identity.id, "epoch": identity.epoch, "state": state, "modules": n.modules,
                "modules_bytes": n.modules_bytes, "answers": n.answers, "spool_waiting": n.spool_waiting,
            })
        }
    }

    /// Ends it, after the server has drained: the watch stops, and what lies in the spool is shipped as far as
    /// `audit.drain_timeout_s` allows. What is left is shipped by the next start. It never takes longer than that, and
    /// [`END_TIMEOUT`] for a disk that does not answer.
    pub async fn finish(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(self.drain_timeout, self.audit.settled()).await.is_err() {
            tracing::error!("the spool's disk stands still: audit of calls that were given up is not written");
        }
        let (audit, last) = (Arc::clone(&self.audit), self.last.clone());
        // What the disk does not take in time is told by nobody any more.
        within_the_end(move || {
            audit.tell_gaps();
            last.force();
        })
        .await;
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
            within_the_end(move || {
                if let Err(error) = audit.log().remove() {
                    tracing::warn!(%error, "the empty spool cannot be removed");
                }
            })
            .await;
        }
    }
}

/// Does what blocks on the disk, and no longer waits for it when it takes too long.
async fn within_the_end(work: impl FnOnce() + Send + 'static) {
    if tokio::time::timeout(END_TIMEOUT, tokio::task::spawn_blocking(work)).await.is_err() {
        tracing::error!("the disk does not answer; ending without it");
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

/// Drops what has expired, for as long as the executor lives and whether or not it hears the control plane.
async fn collect(catalog: Arc<Catalog>, modules: Modules) {
    let mut every = tokio::time::interval(COLLECT_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (catalog, modules) = (Arc::clone(&catalog), modules.clone());
        // A large state takes a while to look through. A panic in it is reported by the runtime.
        let _joined = tokio::task::spawn_blocking(move || {
            if catalog.drop_expired(jiff::Timestamp::now()) {
                catalog.planner.sweep();
                modules.sweep(false);
            }
        })
        .await;
    }
}

/// The tenants that are served, and how the control plane is told.
type Subscription = (Scope, distribution::hello::Subscription);

fn subscription(config: &SubscriptionConfig) -> Result<Subscription, StartError> {
    use distribution::hello::Subscription as Wire;
    Ok(match config.mode {
        SubscriptionMode::All => (Scope::All, Wire::All(distribution::AllTenants {})),
        SubscriptionMode::Tenants => {
            let slugs: Result<HashSet<Slug>, _> = config.tenants.iter().map(|t| Slug::parse(t)).collect();
            let slugs = slugs.map_err(|invalid| StartError::Tenant(invalid.message))?;
            (Scope::Tenants(slugs), Wire::Tenants(distribution::TenantSet { tenants: config.tenants.clone() }))
        }
        SubscriptionMode::OnDemand => {
            let demand = Arc::new(Demand::new(Duration::from_secs(config.idle_s)));
            (Scope::OnDemand(demand), Wire::OnDemand(distribution::TenantSet::default()))
        }
    })
}

fn numbers(catalog: &Arc<Catalog>, modules: &Modules, store: &Store, retries: &Retries, audit: &Arc<Audit>) -> Numbers {
    let (catalog, audit) = (Arc::clone(catalog), Arc::clone(audit));
    let (modules, store, retries) = (modules.clone(), store.clone(), retries.clone());
    Arc::new(move || {
        let applied = catalog.applied();
        let (tenants, revisions) = applied.as_ref().map_or((0, 0), |a| a.state.counts());
        let (in_memory, modules_bytes) = modules.residents();
        let answers = retries.answers(Instant::now());
        Gauges {
            cursor: applied.as_ref().map_or(0, |a| a.state.cursor),
            applied_at: applied.as_ref().map(|a| a.at),
            age_s: catalog.age().map_or(0.0, |age| age.as_secs_f64()),
            tenants,
            revisions,
            executors: catalog.executors().into(),
            modules: in_memory,
            modules_bytes,
            cache_bytes: store.bytes(),
            answers: answers.count,
            answers_bytes: answers.bytes,
            oldest_answer_s: answers.oldest_s,
            spool_bytes: audit.bytes(),
            spool_waiting: audit.log().written().saturating_sub(audit.log().acked()),
        }
    })
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
