//! The assembly: stores, services, background work, and the services on a gRPC server.

use crate::audit::Audit;
use crate::audit::log::{AuditLog, FileAuditLog, LogError, SEGMENT_BYTES};
use crate::audit::outbox::Outbox;
use crate::catalogue::{Catalogue, Publisher, Templates};
use crate::clock::Clock;
use crate::config::{DeliveriesConfig, PlaneConfig};
use crate::deliveries::{self, Deliveries, Endpoints, Pulse};
use crate::distribution::{Cursors, Distribution, Pace, Roster};
use crate::export::{self, AUDIT, BLOBS, META};
use crate::flows::{Checker, Flows};
use crate::grpc::{
    AuditEdge, CatalogEdge, DeliveryEdge, DistributionEdge, ExecutorEdge, FlowEdge, IngestEdge, SecretEdge, TenantEdge,
};
use crate::metrics::Metrics;
use crate::requests;
use crate::secrets::{self, Secrets};
use crate::shared::Shared;
use crate::store::{BlobError, BlobStore, SledStore, StoreError};
use crate::tenants::Tenants;
use jiff::SignedDuration;
use opentelemetry::metrics::Meter;
use sluice_api::control::v1::{
    audit_service_server::AuditServiceServer, catalog_service_server::CatalogServiceServer,
    delivery_service_server::DeliveryServiceServer, executor_service_server::ExecutorServiceServer,
    flow_service_server::FlowServiceServer, secret_service_server::SecretServiceServer,
    tenant_service_server::TenantServiceServer,
};
use sluice_api::distribution::v1::{
    audit_ingest_service_server::AuditIngestServiceServer, distribution_service_server::DistributionServiceServer,
};
use sluice_compiler::ChildOptions;
use sluice_egress::Egress;
use sluice_model::Error;
use sluice_sandbox::Engine;
use sluice_serve::{AssembleError, Drain, Drained, Grpc, Listener, Readiness, Serving, Telemetry, config::GrpcConfig};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codec::CompressionEncoding;

/// How often what is kept no longer is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// How often it is looked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A journal that has grown so much since the last checkpoint is due for the next, 32 MiB.
const JOURNAL_BYTES: u64 = 32 * 1024 * 1024;

/// What a control plane works with besides its folder and its settings.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Evaluates what is published. In `sluice dev` it is the executor's own.
    pub engine: Engine,
    /// The binary that compiles what is published.
    pub compiler: ChildOptions,
    /// The clock.
    pub clock: Clock,
}

/// Why a control plane does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("data: {0}")]
    Store(#[from] StoreError),
    /// The bundles.
    #[error("data: the bundles: {0}")]
    Blobs(#[from] BlobError),
    /// The audit log.
    #[error("data: {0}")]
    Log(#[from] LogError),
    /// The key of the secrets.
    #[error("secrets.key_file: {0}")]
    Secrets(String),
    /// What deliveries are sent through.
    #[error("{0}")]
    Egress(#[from] sluice_egress::ConfigError),
    /// What is in them.
    #[error("data: {0}")]
    Content(String),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> OpenError {
        OpenError::Content(error.to_string())
    }
}

/// A control plane: it owns what is in its folder and works in the background. [`ControlPlane::services`] puts it on a
/// server; [`ControlPlane::close`] comes after that server's drain.
pub struct ControlPlane {
    tenants: Tenants,
    catalogue: Catalogue,
    publisher: Publisher,
    flows: Flows,
    audit: Audit,
    distribution: Distribution,
    secrets: Secrets,
    deliveries: Deliveries,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Opens what is in `folder` (`meta`, `blobs` and `audit`), or makes it, and begins the background work. The folder
    /// belongs to this process alone. Call it in a tokio runtime.
    ///
    /// # Errors
    /// What cannot be opened, with what to do. Nothing is ever begun anew in silence.
    pub async fn open(
        folder: &Path,
        config: &PlaneConfig,
        tools: Tools,
        meter: &Meter,
    ) -> Result<ControlPlane, OpenError> {
        let Tools { engine, compiler, clock } = tools;
        export::check_whole(folder).map_err(|error| OpenError::Content(error.to_string()))?;
        let sled = SledStore::open(folder.join(META), config.store.changes_kept).await?;
        let blobs = BlobStore::open(folder.join(BLOBS)).await?;
        let log: Arc<dyn AuditLog> = Arc::new(FileAuditLog::open(folder.join(AUDIT), SEGMENT_BYTES).await?);
        let shared = Shared { store: Arc::new(sled.clone()), clock, metrics: Arc::new(Metrics::new(meter)) };
        shared.metrics.recovered(sled.recovery());
        let cursors = Cursors::open(&shared).await?;
        let outbox = Arc::new(Outbox::open(shared.clone(), Arc::clone(&log)).await?);
        let roster = Roster::new();
        roster.observe(meter);

        let tenants = Tenants::new(shared.clone());
        let templates = Templates::open(&shared, &blobs, &engine).await?;
        let catalogue = Catalogue::new(shared.clone(), tenants.clone(), templates);
        let revision_ttl = SignedDuration::try_from(Duration::from_secs(config.flows.revision_ttl_s))
            .map_err(|error| OpenError::Content(format!("flows.revision_ttl_s: {error}")))?;
        let publisher = Publisher::new(
            shared.clone(),
            tenants.clone(),
            catalogue.clone(),
            blobs.clone(),
            engine.clone(),
            compiler,
            config.publish.at_once,
        );
        let sealer = secrets::sealer(&shared, folder, &config.secrets).await?;
        let pulse = Pulse::new(meter, shared.clock.clone());
        let endpoints = Endpoints::new(shared.clone(), Arc::clone(&pulse));
        let overlap = SignedDuration::try_from(Duration::from_secs(config.secrets.rotation_overlap_s))
            .map_err(|error| OpenError::Content(format!("secrets.rotation_overlap_s: {error}")))?;
        let secrets =
            Secrets::new(shared.clone(), tenants.clone(), catalogue.clone(), endpoints.clone(), sealer, overlap);
        let slack_test_hosts = config.deliveries.slack_test_hosts.clone().into();
        let checker = Checker::new(engine, blobs.clone(), secrets.clone(), slack_test_hosts);
        let flows =
            Flows::new(shared.clone(), tenants.clone(), catalogue.clone(), checker, secrets.clone(), revision_ttl);
        let deliveries = Deliveries::new(shared.clone(), tenants.clone(), endpoints, Arc::clone(&pulse));
        let egress = egress(config).await?;
        let worker = deliveries.worker(egress, secrets.clone(), &config.deliveries).await?;
        let audit = Audit::new(shared.clone(), log, Arc::clone(&outbox), deliveries.intake());
        let status_every = Duration::from_millis(config.distribution.status_interval_ms);
        let pace = Pace { revision_ttl, status_every };
        let distribution = Distribution::new(
            shared.clone(),
            flows.clone(),
            secrets.clone(),
            blobs,
            Arc::clone(&roster),
            cursors,
            pace,
        );

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(outbox.run(stop.clone()));
        tasks.spawn(roster.follow(shared.store.watch(), stop.clone()));
        let every = Duration::from_secs(config.store.checkpoint_every_s);
        tasks.spawn(checkpoints(sled, Arc::clone(&shared.metrics), every, stop.clone()));
        tasks.spawn(worker.run(stop.clone()));
        tasks.spawn(sweep(shared, pulse, config.deliveries.clone(), stop.clone()));
        tasks.close();
        Ok(ControlPlane { tenants, catalogue, publisher, flows, audit, distribution, secrets, deliveries, stop, tasks })
    }

    /// Puts the services on a server; `config` bounds their messages, `drain` ends their long streams.
    pub fn services<F>(&self, grpc: Grpc<F>, config: &GrpcConfig, drain: &Drain) -> Grpc<F> {
        // A macro, since each server is a type of its own with the same methods.
        macro_rules! bounded {
            ($server:ident, $edge:expr) => {
                $server::new($edge)
                    .max_decoding_message_size(config.max_message_bytes)
                    .accept_compressed(CompressionEncoding::Zstd)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Zstd)
                    .send_compressed(CompressionEncoding::Gzip)
            };
        }
        let tenants = TenantEdge::new(self.tenants.clone(), self.distribution.clone());
        let catalog = CatalogEdge::new(self.catalogue.clone(), self.publisher.clone(), self.distribution.clone());
        let flows = FlowEdge::new(self.flows.clone(), self.distribution.clone());
        let audit = AuditEdge::new(self.tenants.clone(), self.audit.clone());
        let distribution = DistributionEdge::new(self.distribution.clone(), drain.clone());
        let executors = ExecutorEdge::new(self.distribution.clone());
        let secrets = SecretEdge::new(self.secrets.clone(), self.distribution.clone());
        let deliveries = DeliveryEdge::new(self.deliveries.clone());
        let ingest = IngestEdge::new(self.audit.clone(), drain.clone());
        grpc.descriptors(sluice_api::FILE_DESCRIPTOR_SET)
            .service(bounded!(TenantServiceServer, tenants))
            .service(bounded!(CatalogServiceServer, catalog))
            .service(bounded!(FlowServiceServer, flows))
            .service(bounded!(AuditServiceServer, audit))
            .service(bounded!(SecretServiceServer, secrets))
            .service(bounded!(DeliveryServiceServer, deliveries))
            .service(bounded!(ExecutorServiceServer, executors))
            .service(bounded!(DistributionServiceServer, distribution))
            .service(bounded!(AuditIngestServiceServer, ingest))
    }

    /// Serves on a listener: for `sluice dev` and for tests, which put the parts of a server together by hand.
    ///
    /// # Errors
    /// The services cannot be assembled: a fault of the program.
    pub fn serve(
        self,
        listener: Listener,
        config: &GrpcConfig,
        telemetry: &Telemetry,
        readiness: &Readiness,
        drain: &Drain,
    ) -> Result<Running, AssembleError> {
        let serving = self.services(Grpc::new(config), config, drain).spawn(listener, telemetry, readiness, drain)?;
        Ok(Running { serving, plane: self })
    }

    /// Ends the background work, when nothing is served any more: what is in the audit outbox is moved to the log first.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// A control plane that serves.
#[derive(Debug)]
pub struct Running {
    serving: Serving,
    plane: ControlPlane,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// The control plane itself.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Drains, and ends.
    pub async fn drain(self) -> Drained {
        let drained = self.serving.drain().await;
        self.plane.close().await;
        drained
    }
}

/// Takes a checkpoint of the store now and then, and sooner where the journal grows fast: it is read whole at a start.
async fn checkpoints(store: SledStore, metrics: Arc<Metrics>, every: Duration, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY.min(every));
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = stop.cancelled() => return,
        }
        let journalled = store.journalled();
        if journalled == 0 || (last.elapsed() < every && journalled < JOURNAL_BYTES) {
            continue;
        }
        last = tokio::time::Instant::now();
        let taken = store.checkpoint().await;
        metrics.checkpointed(taken.is_ok());
        match taken {
            Ok(newest) => tracing::debug!(%newest, "a checkpoint of the store was taken"),
            Err(error) => tracing::error!(%error, "no checkpoint of the store could be taken; the journal stays"),
        }
    }
}

/// What deliveries are sent through; it reads the machine's certificates.
async fn egress(config: &PlaneConfig) -> Result<Egress, OpenError> {
    let settings = config.egress.0.clone();
    let made = tokio::task::spawn_blocking(move || Egress::new(&settings)).await;
    Ok(made.map_err(|error| OpenError::Content(format!("the start of egress broke off: {error}")))??)
}

/// Forgets now and then what was kept long enough.
async fn sweep(shared: Shared, pulse: Arc<Pulse>, config: DeliveriesConfig, stop: CancellationToken) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        for (what, forgotten) in [
            ("answers", requests::forget_old(&shared).await),
            ("former secrets", secrets::forget_former(&shared).await),
            ("deliveries", deliveries::sweep::forget_old(&shared, &pulse, &config).await),
        ] {
            match forgotten {
                Ok(0) => {}
                Ok(forgotten) => tracing::debug!(what, forgotten, "what was old was forgotten"),
                Err(error) => tracing::warn!(what, %error, "what is old could not be forgotten"),
            }
        }
    }
}
