//! A control plane in this process, and short ways to call it.

use jiff::{SignedDuration, Timestamp};
use sluice_api::control::v1 as control;
use sluice_api::control::v1::{
    audit_service_client::AuditServiceClient, catalog_service_client::CatalogServiceClient,
    delivery_service_client::DeliveryServiceClient, executor_service_client::ExecutorServiceClient,
    flow_service_client::FlowServiceClient, secret_service_client::SecretServiceClient,
    tenant_service_client::TenantServiceClient,
};
use sluice_api::convert::json;
use sluice_api::distribution::v1::{
    audit_ingest_service_client::AuditIngestServiceClient, distribution_service_client::DistributionServiceClient,
};
use sluice_api::{status, types::v1 as types};
use sluice_compiler::ChildOptions;
use sluice_control_plane::config::PlaneConfig;
use sluice_control_plane::{Clock, ControlPlane, Running, Tools};
use sluice_model::{Code, Error};
use sluice_sandbox::{Engine, EngineOptions};
use sluice_serve::config::{DrainConfig, GrpcConfig, TelemetryConfig};
use sluice_serve::{About, Drain, Listener, Readiness, Telemetry};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// The one engine of this process. Its cache is shared with the sandbox's own tests.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("engine-cache"));
    Engine::new(EngineOptions { cache_dir, max_runs_in_flight: 16, ..EngineOptions::default() }).unwrap()
});

/// The program that compiles.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluice-control-plane");

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<Timestamp>>);

impl TestClock {
    pub(crate) fn new() -> TestClock {
        TestClock(Arc::new(Mutex::new("2026-01-31T12:00:00Z".parse().unwrap())))
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    pub(crate) fn advance(&self, by: SignedDuration) {
        *self.0.lock().unwrap() += by;
    }
}

/// A control plane with its folder.
pub(crate) struct Plane {
    pub(crate) clock: TestClock,
    pub(crate) telemetry: Telemetry,
    pub(crate) config: PlaneConfig,
    folder: TempDir,
    address: SocketAddr,
    channel: Channel,
    running: Option<Running>,
}

impl Plane {
    /// A new one.
    pub(crate) async fn start() -> Plane {
        Plane::with(PlaneConfig::default()).await
    }

    /// A new one with these settings.
    pub(crate) async fn with(config: PlaneConfig) -> Plane {
        Plane::on(TempDir::new().unwrap(), config).await
    }

    /// One on what is in a folder: its data is in `data`.
    pub(crate) async fn on(folder: TempDir, config: PlaneConfig) -> Plane {
        let about = About::new("test", "0.0.0");
        let telemetry = Telemetry::new(&about, &TelemetryConfig::default()).unwrap();
        let clock = TestClock::new();
        let (running, address, channel) = serve(&folder, &config, &clock, &telemetry).await;
        Plane { clock, telemetry, config, folder, address, channel, running: Some(running) }
    }

    /// A new one with a tenant `acme`.
    pub(crate) async fn with_acme() -> Plane {
        let plane = Plane::start().await;
        plane.create_tenant("acme").await;
        plane
    }

    /// A new one with a tenant `acme`, an Action `gate` at 1.0.0 and a flow `login`.
    pub(crate) async fn with_gate() -> Plane {
        let plane = Plane::with_acme().await;
        plane.publish("acme", &gate("1")).await.unwrap();
        plane.create_flow("acme", "login").await.unwrap();
        plane
    }

    /// Ends it and begins it again on the same folder.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Ends it.
    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().drain().await;
    }

    /// Begins it again after its end.
    pub(crate) async fn begin(&mut self) {
        let (running, address, channel) = serve(&self.folder, &self.config, &self.clock, &self.telemetry).await;
        (self.running, self.address, self.channel) = (Some(running), address, channel);
    }

    /// Ends it, and puts what it had into another folder.
    pub(crate) async fn end_into(mut self, folder: &Path) {
        self.running.take().unwrap().drain().await;
        std::fs::rename(self.folder.path().join("data"), folder).unwrap();
    }

    /// Begins to end it; the answer comes when it has ended.
    pub(crate) fn drain(&mut self) -> tokio::task::JoinHandle<sluice_serve::Drained> {
        tokio::spawn(self.running.take().unwrap().drain())
    }

    /// Who is connected.
    pub(crate) async fn executors(&self) -> Vec<control::Executor> {
        let request = control::ListExecutorsRequest::default();
        answered(self.roster().list_executors(request).await).unwrap().executors
    }

    pub(crate) fn roster(&self) -> ExecutorServiceClient<Channel> {
        ExecutorServiceClient::new(self.channel.clone())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel.clone())
    }

    pub(crate) fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    pub(crate) fn secrets(&self) -> SecretServiceClient<Channel> {
        SecretServiceClient::new(self.channel.clone())
    }

    pub(crate) fn deliveries(&self) -> DeliveryServiceClient<Channel> {
        DeliveryServiceClient::new(self.channel.clone())
    }

    pub(crate) fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.channel.clone())
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    pub(crate) fn distribution(&self) -> DistributionServiceClient<Channel> {
        DistributionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn ingest(&self) -> AuditIngestServiceClient<Channel> {
        AuditIngestServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn create_tenant(&self, tenant: &str) {
        let request = control::CreateTenantRequest { tenant: tenant.into(), request_id: String::new() };
        self.tenants().create_tenant(request).await.unwrap();
    }

    pub(crate) async fn create_flow(&self, tenant: &str, flow: &str) -> Result<control::SavedFlow, Error> {
        let request =
            control::CreateFlowRequest { tenant: tenant.into(), flow: flow.into(), request_id: String::new() };
        Ok(answered(self.flows().create_flow(request).await)?.saved.unwrap())
    }

    /// Publishes files as the next version.
    pub(crate) async fn publish(
        &self,
        tenant: &str,
        files: &[(&str, &str)],
    ) -> Result<control::PublishVersionResponse, Error> {
        self.publish_as(header(tenant), archive(files)).await
    }

    pub(crate) async fn publish_as(
        &self,
        header: control::PublishHeader,
        archive: Vec<u8>,
    ) -> Result<control::PublishVersionResponse, Error> {
        use control::publish_version_request::Message;
        let mut messages = vec![Message::Header(header)];
        messages.extend(archive.chunks(64 << 10).map(|chunk| Message::Chunk(chunk.to_vec().into())));
        self.publish_messages(messages).await
    }

    pub(crate) async fn publish_messages(
        &self,
        messages: Vec<control::publish_version_request::Message>,
    ) -> Result<control::PublishVersionResponse, Error> {
        let messages = messages.into_iter().map(|message| control::PublishVersionRequest { message: Some(message) });
        answered(self.catalog().publish_version(tokio_stream::iter(messages.collect::<Vec<_>>())).await)
    }

    pub(crate) async fn attach(&self, request: control::AttachActionRequest) -> Result<control::SavedFlow, Error> {
        Ok(answered(self.flows().attach_action(request).await)?.saved.unwrap())
    }

    pub(crate) async fn pin(&self, flow: &str, attachment: &str, version: &str) -> Result<control::SavedFlow, Error> {
        let request = control::PinAttachmentRequest {
            tenant: "acme".into(),
            flow: flow.into(),
            attachment: attachment.into(),
            version: version.into(),
            ..Default::default()
        };
        Ok(answered(self.flows().pin_attachment(request).await)?.saved.unwrap())
    }

    pub(crate) async fn flow(&self, tenant: &str, flow: &str, revision: u64) -> Result<types::Flow, Error> {
        let request = control::GetFlowRequest { tenant: tenant.into(), flow: flow.into(), revision };
        Ok(answered(self.flows().get_flow(request).await)?.flow.unwrap())
    }

    /// The Actions that a tenant has published.
    pub(crate) async fn actions(&self, tenant: &str) -> Vec<control::Action> {
        let request = control::ListActionsRequest { tenant: tenant.into(), ..Default::default() };
        let found = self.catalog().list_actions(request).await.unwrap().into_inner().actions;
        found.into_iter().filter(|action| action.kind() == types::ActionKind::Custom).collect()
    }

    /// All versions of an Action, the highest first.
    pub(crate) async fn versions(&self, tenant: &str, slug: &str) -> Vec<String> {
        let request = control::ListVersionsRequest { tenant: tenant.into(), slug: slug.into(), ..Default::default() };
        let found = answered(self.catalog().list_versions(request).await).unwrap();
        found.versions.into_iter().map(|version| version.version).collect()
    }

    /// What audit has of a tenant, oldest first.
    pub(crate) async fn records(&self, tenant: &str) -> Vec<types::AuditRecord> {
        let request = control::ListAuditRecordsRequest { tenant: tenant.into(), page_size: 1000, ..Default::default() };
        let mut records = self.audit().list_audit_records(request).await.unwrap().into_inner().records;
        records.reverse();
        records
    }

    /// The kinds of what audit has of a tenant, oldest first.
    pub(crate) async fn kinds(&self, tenant: &str) -> Vec<String> {
        self.records(tenant).await.into_iter().map(|record| record.kind).collect()
    }
}

/// What a control plane works with: the real parts, and a clock that stands still.
pub(crate) async fn tools(clock: &TestClock) -> Tools {
    let engine = tokio::task::spawn_blocking(|| ENGINE.clone()).await.unwrap();
    let now = clock.clone();
    Tools { engine, compiler: ChildOptions::new(PROGRAM), clock: Clock::new(move || now.now()) }
}

async fn serve(
    folder: &TempDir,
    config: &PlaneConfig,
    clock: &TestClock,
    telemetry: &Telemetry,
) -> (Running, SocketAddr, Channel) {
    let tools = tools(clock).await;
    let plane = ControlPlane::open(&folder.path().join("data"), config, tools, &telemetry.meter()).await.unwrap();
    let readiness = Readiness::new();
    let drain = Drain::new(&DrainConfig { notice_ms: 0, timeout_s: 10 }, &readiness, "accepting");
    let listener = Listener::bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    // A peer that is cut off is noticed as soon as the settings allow.
    let grpc = GrpcConfig { keep_alive_interval_s: 1, keep_alive_timeout_s: 1, ..GrpcConfig::default() };
    let running = plane.serve(listener, &grpc, telemetry, &readiness, &drain).unwrap();
    let address = running.address();
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (running, address, channel)
}

/// The answer, or the refusal as the model has it.
pub(crate) fn answered<T>(answer: Result<Response<T>, Status>) -> Result<T, Error> {
    answer.map(Response::into_inner).map_err(|status| status::from_status(&status))
}

/// What a refusal says, checked in one line: its code, its reason, and the fields that it names.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, Error>,
    code: Code,
    reason: &str,
    fields: &[&str],
) -> Error {
    let error = result.expect_err("it is refused");
    let named: Vec<&str> = error.fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!((error.code, &*error.reason, named.as_slice()), (code, reason, fields), "{error:?}");
    error
}

pub(crate) fn header(tenant: &str) -> control::PublishHeader {
    control::PublishHeader { tenant: tenant.into(), next: None, request_id: String::new() }
}

pub(crate) fn bump(bump: control::Bump) -> control::PublishHeader {
    control::PublishHeader { next: Some(control::publish_header::Next::Bump(bump.into())), ..header("acme") }
}

pub(crate) fn exactly(version: &str) -> control::PublishHeader {
    control::PublishHeader { next: Some(control::publish_header::Next::Version(version.into())), ..header("acme") }
}

/// Attaches `slug` at `post-login` of `login` in `acme`.
pub(crate) fn attachment(slug: &str, version: &str) -> control::AttachActionRequest {
    control::AttachActionRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        trigger: "post-login".into(),
        slug: slug.into(),
        version: version.into(),
        ..Default::default()
    }
}

pub(crate) fn with_config(
    request: control::AttachActionRequest,
    config: serde_json::Value,
) -> control::AttachActionRequest {
    let serde_json::Value::Object(config) = config else { unreachable!("configs are objects") };
    control::AttachActionRequest { config: Some(json::to_struct(config)), ..request }
}

/// A package of files, as it is sent.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    archive_of_bytes(&files)
}

pub(crate) fn archive_of_bytes(files: &[(&str, &[u8])]) -> Vec<u8> {
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(packed);
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// The manifest of `gate`, made for `post-login` and `pre-login`.
pub(crate) const GATE: &str = "slug = \"gate\"\nname = \"Gate\"\ntriggers = [\"post-login\", \"pre-login\"]\n";

/// The package of `gate`; `reason` makes its content differ.
pub(crate) fn gate(reason: &str) -> Vec<(&'static str, &'static str)> {
    let code =
        format!("export async function execute(input) {{ return {{ kind: 'continue', reason_code: 'r{reason}' }} }}\n");
    vec![("action.toml", GATE), ("src/index.ts", String::leak(code))]
}

/// A package of this manifest and code.
pub(crate) fn package<'a>(manifest: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("action.toml", manifest), ("src/index.ts", code)]
}

/// The package of `domain-check`, whose config is a list of domains.
pub(crate) fn domain_check() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "action.toml",
            "slug = \"domain-check\"\nname = \"Domain check\"\ntriggers = [\"post-login\"]\n[limits]\nwall_ms = 300\n",
        ),
        ("src/index.ts", "export const execute = (input) => ({ kind: 'continue' })\n"),
        (
            "schema.json",
            r#"{"type": "object", "required": ["domains"], "additionalProperties": false, "properties": {
                "domains": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 3}},
                "token": {"type": "string", "x-secret": true},
                "strict": {"type": "boolean", "default": false}}}"#,
        ),
    ]
}
