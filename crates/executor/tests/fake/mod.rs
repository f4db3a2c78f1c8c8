//! A control plane that does what a test says, over real sockets: states are pushed, acks are held back, revisions are
//! refused. What a true one decides is tested with the true one, in `tests/`.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ingest;
pub(crate) mod proxy;

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_api::{
    distribution::v1::{
        audit_ingest_service_server::AuditIngestServiceServer,
        distribution_service_server::{DistributionService, DistributionServiceServer},
        resource::Resource,
        *,
    },
    executor::v1::{ExecuteRequest, ExecuteResponse, execution_service_client::ExecutionServiceClient},
    types::v1 as types,
};
use sluice_executor::{Executor, ExecutorConfig, Surroundings};
use sluice_model::{Bundle, BundleModule};
use sluice_sandbox::{Engine, EngineOptions};
use sluice_serve::{About, Drain, Grpc, Listener, Readiness, Serving, Telemetry, config::TelemetryConfig};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/test-engine"));
    Engine::new(EngineOptions { cache_dir, max_runs_in_flight: 32, ..EngineOptions::default() }).unwrap()
});

/// What the executor did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Hello(Hello),
    Ack(u64),
    Nack(Nack),
    Subscription(ChangeSubscription),
    Missing(MissingModules),
    FetchedBundle(String),
    FetchedRevision(u64),
    IngestHello { epoch: u64, first: u64 },
    Batch { epoch: u64, first: u64, count: usize },
}

/// How audit is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    Acked,
    /// Batches are kept but not acknowledged.
    Silent,
    /// The next batch is dropped, and asked for again from here.
    NackOnce(u64),
    /// The next batch is kept, and what is acknowledged is this.
    AckOnce(u64),
}

/// What was pushed.
#[derive(Clone, Debug)]
enum Pushed {
    /// A state, which changes the one that was acknowledged before, and waits for its answer.
    State(State),
    /// Parts as they are.
    AsIs(Vec<State>),
}

/// What it knows, shared by its lives.
#[derive(Debug)]
struct Mind {
    states: Mutex<Vec<Pushed>>,
    /// What the last status said: where the executor is, and how many are connected.
    standing: watch::Sender<(u64, u32)>,
    pushed: watch::Sender<u64>,
    bundles: Mutex<HashMap<String, Bytes>>,
    /// Bundles that cannot be had for now.
    withheld: Mutex<HashSet<String>>,
    revisions: Mutex<HashMap<u64, Option<Result<FetchFlowRevisionResponse, Status>>>>,
    taking: watch::Sender<Taking>,
    records: Mutex<BTreeMap<(u64, u64), types::AuditRecord>>,
    events: mpsc::UnboundedSender<Event>,
}

/// A control plane.
pub(crate) struct Fake {
    mind: Arc<Mind>,
    events: mpsc::UnboundedReceiver<Event>,
    address: SocketAddr,
    life: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let (sender, events) = mpsc::unbounded_channel();
        let mind = Mind {
            states: Mutex::default(),
            pushed: watch::Sender::new(0),
            standing: watch::Sender::new((0, 1)),
            bundles: Mutex::default(),
            withheld: Mutex::default(),
            revisions: Mutex::default(),
            taking: watch::Sender::new(Taking::Acked),
            records: Mutex::default(),
            events: sender,
        };
        let mut fake = Fake { mind: Arc::new(mind), events, address: ([127, 0, 0, 1], 0).into(), life: None };
        fake.come_back().await;
        fake
    }

    /// Listens, on the address that it had before.
    pub(crate) async fn come_back(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let services = Services { mind: Arc::clone(&self.mind), stop: stop.clone() };
        let server = tonic::transport::Server::builder()
            .add_service(DistributionServiceServer::new(services.clone()))
            .add_service(AuditIngestServiceServer::new(services));
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), ended.cancelled()).await.unwrap();
        });
        self.life = Some((stop, task));
    }

    /// Is gone: streams end, nobody listens.
    pub(crate) async fn go_away(&mut self) {
        let (stop, task) = self.life.take().unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a state to whoever watches, now or later.
    pub(crate) fn push(&self, cursor: u64, full: bool, resources: Vec<Resource>) {
        let upserts = resources.into_iter().map(|resource| Resource_ { resource: Some(resource) }).collect();
        let state = State { cursor, full, last: true, upserts, connected_executors: 1, ..State::default() };
        self.mind.states.lock().push(Pushed::State(state));
        self.mind.pushed.send_modify(|n| *n += 1);
    }

    /// The same, with tenants that are gone or replaced.
    pub(crate) fn push_with(&self, cursor: u64, gone: &[&str], resources: Vec<Resource>) {
        let upserts = resources.into_iter().map(|resource| Resource_ { resource: Some(resource) }).collect();
        let name = |tenant: &&str| resource_name::Name::Tenant(TenantName { tenant: tenant.to_string() });
        let removals = gone.iter().map(|tenant| ResourceName { name: Some(name(tenant)) }).collect();
        let state = State { cursor, last: true, upserts, removals, connected_executors: 1, ..State::default() };
        self.mind.states.lock().push(Pushed::State(state));
        self.mind.pushed.send_modify(|n| *n += 1);
    }

    /// Sends parts as they are, whatever they are.
    pub(crate) fn push_parts(&self, parts: Vec<State>) {
        self.mind.states.lock().push(Pushed::AsIs(parts));
        self.mind.pushed.send_modify(|n| *n += 1);
    }

    /// Says where the executor is.
    pub(crate) fn stand(&self, cursor: u64) {
        self.mind.standing.send_replace((cursor, 1));
    }

    /// Says how many executors are connected.
    pub(crate) fn count(&self, connected: u32) {
        self.mind.standing.send_replace((0, connected));
    }

    /// Puts an Action on the shelf; the answer is its bundle's digest.
    pub(crate) fn bundle(&self, expression: &str) -> String {
        let code = format!("export function execute(input) {{ return {expression} }}");
        let module = BundleModule { path: "src/index.js".into(), code, source_map: String::new() };
        let bytes = Bundle::new("src/index.js", vec![module]).to_bytes();
        let digest = Bundle::digest(&bytes);
        self.mind.bundles.lock().insert(digest.clone(), bytes.into());
        digest
    }

    /// Whether a bundle can be had for now.
    pub(crate) fn withhold(&self, digest: &str, withheld: bool) {
        if withheld {
            self.mind.withheld.lock().insert(digest.to_owned());
        } else {
            self.mind.withheld.lock().remove(digest);
        }
    }

    /// Has other bytes sent under the digest of a bundle.
    pub(crate) fn corrupt(&self, digest: &str) {
        self.mind.bundles.lock().insert(digest.to_owned(), Bytes::from_static(b"{}"));
    }

    /// What FetchFlowRevision answers; `None` is never.
    pub(crate) fn revision(&self, revision: u64, answer: Option<Result<FetchFlowRevisionResponse, Status>>) {
        self.mind.revisions.lock().insert(revision, answer);
    }

    pub(crate) fn taking(&self, taking: Taking) {
        self.mind.taking.send_replace(taking);
    }

    /// The records that it has, by epoch and sequence.
    pub(crate) fn records(&self) -> BTreeMap<(u64, u64), types::AuditRecord> {
        self.mind.records.lock().clone()
    }

    /// The next event that fits; others before it are dropped.
    pub(crate) async fn wait_for<T>(&mut self, fits: impl Fn(&Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if let Some(found) = fits(&event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the event came in time")
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        self.wait_for(|event| if let Event::Hello(hello) = event { Some(hello.clone()) } else { None }).await
    }

    pub(crate) async fn nacked(&mut self) -> Nack {
        self.wait_for(|event| if let Event::Nack(nack) = event { Some(nack.clone()) } else { None }).await
    }

    pub(crate) async fn subscription(&mut self) -> ChangeSubscription {
        self.wait_for(|event| if let Event::Subscription(change) = event { Some(change.clone()) } else { None }).await
    }

    pub(crate) async fn acked(&mut self, cursor: u64) {
        self.wait_for(|event| (*event == Event::Ack(cursor)).then_some(())).await;
    }

    /// Everything that happened so far and nobody waited for.
    pub(crate) fn happened(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

use sluice_api::distribution::v1::{Resource as Resource_, Status as Status_};

/// How often it says how things stand.
const STATUS_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Services {
    mind: Arc<Mind>,
    stop: CancellationToken,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Services {
    fn tell(&self, event: Event) {
        let _nobody_listens = self.mind.events.send(event);
    }

    /// The answers, until this life ends.
    fn until_stopped<T: Send + 'static>(
        &self,
        answers: mpsc::UnboundedReceiver<Result<T, Status>>,
    ) -> Response<Answers<T>> {
        let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(answers);
        let stopped = self.stop.clone().cancelled_owned();
        Response::new(Box::pin(futures_util::StreamExt::take_until(stream, stopped)))
    }
}

#[tonic::async_trait]
impl DistributionService for Services {
    type WatchStream = Answers<WatchResponse>;
    type FetchBundleStream = Answers<FetchBundleResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Answers<WatchResponse>>, Status> {
        let mut said = request.into_inner();
        let Some(watch_request::Message::Hello(hello)) = said.message().await?.and_then(|r| r.message) else {
            return Err(Status::invalid_argument("no hello"));
        };
        let resume = hello.resume_cursor;
        self.tell(Event::Hello(hello));
        let (answers, receiver) = mpsc::unbounded_channel();
        let services = self.clone();
        let (mut pushed, mut standing) = (self.mind.pushed.subscribe(), self.mind.standing.subscribe());
        let mut beat = tokio::time::interval(STATUS_EVERY);
        tokio::spawn(async move {
            let send = |message| answers.send(Ok(WatchResponse { message: Some(message) })).is_ok();
            let (mut sent, mut acked, mut waits) = (0, resume, false);
            loop {
                // In the order in which a test says them.
                if standing.has_changed().unwrap() {
                    let (cursor, connected_executors) = *standing.borrow_and_update();
                    acked = if cursor > 0 { cursor } else { acked };
                    send(watch_response::Message::Status(Status_ { connected_executors, cursor }));
                }
                let next = services.mind.states.lock().get(sent).cloned();
                match next {
                    Some(Pushed::State(state)) if state.cursor <= resume => {
                        sent += 1;
                        continue;
                    }
                    Some(Pushed::State(state)) if !waits => {
                        let base_cursor = if state.full { 0 } else { acked };
                        if !send(watch_response::Message::State(State { base_cursor, ..state })) {
                            return;
                        }
                        (sent, waits) = (sent + 1, true);
                        continue;
                    }
                    Some(Pushed::AsIs(parts)) => {
                        // Once, whatever stream comes after this one.
                        services.mind.states.lock()[sent] = Pushed::AsIs(Vec::new());
                        for part in parts {
                            send(watch_response::Message::State(part));
                        }
                        sent += 1;
                        continue;
                    }
                    _ => {}
                }
                tokio::select! {
                    changed = pushed.changed() => changed.unwrap(),
                    changed = standing.changed() => {
                        changed.unwrap();
                        standing.mark_changed();
                    }
                    _ = beat.tick() => {
                        let status = Status_ { connected_executors: standing.borrow().1, cursor: 0 };
                        if !send(watch_response::Message::Status(status)) {
                            return;
                        }
                    }
                    message = said.message() => match message.ok().flatten().and_then(|r| r.message) {
                        Some(watch_request::Message::Ack(ack)) => {
                            (acked, waits) = (ack.cursor, false);
                            services.tell(Event::Ack(ack.cursor));
                        }
                        Some(watch_request::Message::Nack(nack)) => {
                            waits = false;
                            services.tell(Event::Nack(nack));
                        }
                        Some(watch_request::Message::ChangeSubscription(change)) => {
                            services.tell(Event::Subscription(change));
                        }
                        Some(watch_request::Message::MissingModules(missing)) => services.tell(Event::Missing(missing)),
                        _ => return,
                    },
                    () = services.stop.cancelled() => return,
                }
            }
        });
        Ok(self.until_stopped(receiver))
    }

    async fn fetch_bundle(
        &self,
        request: Request<FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        let digest = request.into_inner().bundle_digest;
        self.tell(Event::FetchedBundle(digest.clone()));
        if self.mind.withheld.lock().contains(&digest) {
            return Err(Status::unavailable("later"));
        }
        let Some(bytes) = self.mind.bundles.lock().get(&digest).cloned() else {
            return Err(Status::not_found("no such bundle"));
        };
        let (answers, receiver) = mpsc::unbounded_channel();
        for chunk in bytes.chunks(64) {
            answers.send(Ok(FetchBundleResponse { chunk: Bytes::copy_from_slice(chunk) })).unwrap();
        }
        Ok(self.until_stopped(receiver))
    }

    async fn fetch_flow_revision(
        &self,
        request: Request<FetchFlowRevisionRequest>,
    ) -> Result<Response<FetchFlowRevisionResponse>, Status> {
        let revision = request.into_inner().revision;
        self.tell(Event::FetchedRevision(revision));
        let answer = self.mind.revisions.lock().get(&revision).cloned();
        match answer {
            Some(Some(answer)) => answer.map(Response::new),
            Some(None) => std::future::pending().await,
            None => {
                let gone = sluice_model::Error::not_found("FLOW_REVISION_NOT_FOUND", "there is no such revision");
                Err(sluice_api::status::to_status(gone))
            }
        }
    }
}

/// A running executor.
pub(crate) struct Running {
    pub(crate) executor: Executor,
    pub(crate) readiness: Readiness,
    serving: Serving,
    telemetry: Telemetry,
}

/// Starts an executor on a data folder.
pub(crate) async fn start(fake: &Fake, data: &Path, change: impl FnOnce(&mut ExecutorConfig)) -> Running {
    let mut config = ExecutorConfig { control_url: fake.url(), ..ExecutorConfig::default() };
    config.server.drain.timeout_s = 5;
    config.audit.linger_ms = 1;
    change(&mut config);
    let telemetry = Telemetry::new(&About::new("test", "0"), &TelemetryConfig::default()).unwrap();
    let readiness = Readiness::new();
    let around = Surroundings { data, readiness: &readiness, telemetry: &telemetry };
    let executor = Executor::start(&config, ENGINE.clone(), around).await.unwrap();
    let drain = Drain::new(&config.server.drain, &readiness, "accepting");
    let listener = Listener::bind("listen", ([127, 0, 0, 1], 0).into()).unwrap();
    let grpc = executor.service(Grpc::new(&config.server.grpc));
    let serving = grpc.spawn(listener, &telemetry, &readiness, &drain).unwrap();
    Running { executor, readiness, serving, telemetry }
}

impl Running {
    pub(crate) async fn client(&self) -> ExecutionServiceClient<Channel> {
        ExecutionServiceClient::connect(format!("http://{}", self.serving.address())).await.unwrap()
    }

    /// Executes post-login of flow login of tenant acme.
    pub(crate) async fn execute(&self, change: impl FnOnce(&mut ExecuteRequest)) -> Result<ExecuteResponse, Status> {
        self.client().await.execute(request(change)).await.map(Response::into_inner)
    }

    /// A number among its metrics: the sum of all that have this name and, where it is not empty, this label.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        metric(&self.telemetry.exposition().text().unwrap(), name, label)
    }

    /// Waits until a metric has this value.
    pub(crate) async fn until(&self, name: &str, label: &str, value: f64) {
        until(async || (self.metric(name, label) - value).abs() < 1e-9).await;
    }

    /// Drains and finishes.
    pub(crate) async fn finish(self) {
        self.serving.drain().await;
        self.executor.finish().await;
    }
}

/// A number in the text that Prometheus reads.
pub(crate) fn metric(text: &str, name: &str, label: &str) -> f64 {
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        let rest = rest.strip_prefix("_seconds").unwrap_or(rest);
        let rest = rest.strip_prefix("_total").unwrap_or(rest);
        rest.starts_with(['{', ' ']) && rest.contains(label)
    });
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Looks again and again until something is so.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let mut every = tokio::time::interval(Duration::from_millis(2));
    let looking = async {
        while !is_so().await {
            every.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it became so in time");
}

pub(crate) fn request(change: impl FnOnce(&mut ExecuteRequest)) -> ExecuteRequest {
    let mut request = ExecuteRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        trigger: "post-login".into(),
        ..ExecuteRequest::default()
    };
    change(&mut request);
    request
}

/// The reason in a status.
pub(crate) fn reason(status: &Status) -> String {
    sluice_api::status::from_status(status).reason.into_owned()
}

pub(crate) fn tenant(name: &str) -> Resource {
    Resource::Tenant(TenantState { tenant: name.into(), ..Default::default() })
}

pub(crate) fn version(tenant: &str, version: &str, bundle_digest: &str) -> VersionState {
    VersionState {
        tenant: tenant.into(),
        slug: "check".into(),
        version: version.into(),
        digest: "1".repeat(64),
        bundle_digest: bundle_digest.into(),
        limits: Some(types::VersionLimits { cpu_ms: 200, wall_ms: 2_000 }),
        ..VersionState::default()
    }
}

pub(crate) fn flow(tenant: &str, revision: u64, pins: &str) -> FlowRevision {
    let attachment = types::Attachment {
        attachment: "att-1".into(),
        slug: "check".into(),
        version: pins.into(),
        position: 1,
        enabled: true,
        on_error: types::OnFailure::Block as i32,
        on_unavailable: types::OnFailure::Continue as i32,
        ..Default::default()
    };
    let slot = types::Slot { trigger: "post-login".into(), budget_ms: 2_000, attachments: vec![attachment] };
    let flow = types::Flow {
        tenant: tenant.into(),
        flow: "login".into(),
        revision,
        slots: vec![slot],
        created_at: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    FlowRevision { flow: Some(flow), newest: true, expires_at: None }
}

/// A tenant `acme` whose flow `login` runs this at post-login, as revision 1 at version 1.0.0.
pub(crate) fn story(fake: &Fake, expression: &str) -> Vec<Resource> {
    let digest = fake.bundle(expression);
    vec![
        tenant("acme"),
        Resource::Version(version("acme", "1.0.0", &digest)),
        Resource::FlowRevision(flow("acme", 1, "1.0.0")),
    ]
}

/// The slug and reason code of each result's outcome, or its failure's message.
pub(crate) fn codes(response: &ExecuteResponse) -> Vec<String> {
    use types::run_result::Result as How;
    let code = |result: &types::RunResult| match result.result.clone().unwrap() {
        How::Outcome(outcome) => outcome.reason_code.unwrap_or_default(),
        How::Failure(failure) => failure.message,
        How::Skipped(skipped) => format!("skipped {skipped}"),
    };
    response.results.iter().map(code).collect()
}
