//! A control plane that does what a test says, over real sockets: states are pushed, acks are held back, revisions are
//! refused. What a true one decides is tested with the true one, in `tests/`.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_api::{
    distribution::v1::{
        audit_ingest_service_server::{AuditIngestService, AuditIngestServiceServer},
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
    collections::{BTreeMap, HashMap},
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

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/test-engine"));
    Engine::new(EngineOptions { cache_dir, max_runs_in_flight: 32, ..EngineOptions::default() }).unwrap()
});

/// What the executor did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Hello(Hello),
    Ack(u64),
    Nack(Nack),
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
}

/// What it knows, shared by its lives.
#[derive(Debug)]
struct Mind {
    states: Mutex<Vec<State>>,
    pushed: watch::Sender<u64>,
    bundles: Mutex<HashMap<String, Bytes>>,
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
            bundles: Mutex::default(),
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a state to whoever watches, now or later.
    pub(crate) fn push(&self, cursor: u64, full: bool, resources: Vec<Resource>) {
        let upserts = resources.into_iter().map(|resource| Resource_ { resource: Some(resource) }).collect();
        let state = State { cursor, full, last: true, upserts, connected_executors: 1, ..State::default() };
        self.mind.states.lock().push(state);
        self.mind.pushed.send_modify(|n| *n += 1);
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

    pub(crate) async fn acked(&mut self, cursor: u64) {
        self.wait_for(|event| (*event == Event::Ack(cursor)).then_some(())).await;
    }

    /// Everything that happened so far and nobody waited for.
    pub(crate) fn happened(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

use sluice_api::distribution::v1::Resource as Resource_;

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
        let mut pushed = self.mind.pushed.subscribe();
        tokio::spawn(async move {
            let mut sent = 0;
            loop {
                let states: Vec<State> = services.mind.states.lock()[sent..].to_vec();
                sent += states.len();
                for state in states.into_iter().filter(|state| state.cursor > resume) {
                    let message = Some(watch_response::Message::State(state));
                    if answers.send(Ok(WatchResponse { message })).is_err() {
                        return;
                    }
                }
                tokio::select! {
                    changed = pushed.changed() => changed.unwrap(),
                    message = said.message() => match message.ok().flatten().and_then(|r| r.message) {
                        Some(watch_request::Message::Ack(ack)) => services.tell(Event::Ack(ack.cursor)),
                        Some(watch_request::Message::Nack(nack)) => services.tell(Event::Nack(nack)),
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

#[tonic::async_trait]
impl AuditIngestService for Services {
    type IngestStream = Answers<IngestResponse>;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Self::IngestStream>, Status> {
        let mut said = request.into_inner();
        let Some(ingest_request::Message::Hello(hello)) = said.message().await?.and_then(|r| r.message) else {
            return Err(Status::invalid_argument("no hello"));
        };
        let epoch = hello.epoch;
        self.tell(Event::IngestHello { epoch, first: hello.first_unacked_sequence });
        let (answers, receiver) = mpsc::unbounded_channel();
        let mut expected =
            self.mind.records.lock().range((epoch, 0)..(epoch + 1, 0)).next_back().map_or(1, |((_, s), _)| s + 1);
        let say = move |message| answers.send(Ok(IngestResponse { message: Some(message) })).is_ok();
        say(ingest_response::Message::Ack(IngestAck { sequence: expected - 1 }));
        let services = self.clone();
        let mut taking = self.mind.taking.subscribe();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    message = said.message() => message.ok().flatten().and_then(|r| r.message),
                    changed = taking.changed() => {
                        changed.unwrap();
                        if *taking.borrow() == Taking::Acked {
                            say(ingest_response::Message::Ack(IngestAck { sequence: expected - 1 }));
                        }
                        continue;
                    }
                    () = services.stop.cancelled() => return,
                };
                let Some(ingest_request::Message::Batch(batch)) = message else { return };
                let now = *services.mind.taking.borrow();
                services.tell(Event::Batch { epoch, first: batch.first_sequence, count: batch.records.len() });
                if let Taking::NackOnce(from) = now {
                    services.mind.taking.send_replace(Taking::Acked);
                    expected = from;
                    say(ingest_response::Message::Nack(IngestNack { expected_sequence: from, reason: "again".into() }));
                    continue;
                }
                if batch.first_sequence > expected {
                    let reason = "a gap".into();
                    say(ingest_response::Message::Nack(IngestNack { expected_sequence: expected, reason }));
                    continue;
                }
                for (record, sequence) in batch.records.into_iter().zip(batch.first_sequence..) {
                    services.mind.records.lock().insert((epoch, sequence), record);
                    expected = expected.max(sequence + 1);
                }
                if now == Taking::Acked {
                    say(ingest_response::Message::Ack(IngestAck { sequence: expected - 1 }));
                }
            }
        });
        Ok(self.until_stopped(receiver))
    }
}

/// A running executor.
pub(crate) struct Running {
    pub(crate) executor: Executor,
    pub(crate) readiness: Readiness,
    serving: Serving,
    _telemetry: Telemetry,
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
    Running { executor, readiness, serving, _telemetry: telemetry }
}

impl Running {
    pub(crate) async fn client(&self) -> ExecutionServiceClient<Channel> {
        ExecutionServiceClient::connect(format!("http://{}", self.serving.address())).await.unwrap()
    }

    /// Executes post-login of flow login of tenant acme.
    pub(crate) async fn execute(&self, change: impl FnOnce(&mut ExecuteRequest)) -> Result<ExecuteResponse, Status> {
        self.client().await.execute(request(change)).await.map(Response::into_inner)
    }

    /// Drains and finishes.
    pub(crate) async fn finish(self) {
        self.serving.drain().await;
        self.executor.finish().await;
    }
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
