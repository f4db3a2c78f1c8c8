//! Callers that are a tenant's own: what they may do elsewhere is nothing.

use crate::support::{TestClock, answered, tools};
use sluice_api::control::v1::{
    self as control, audit_service_client::AuditServiceClient, catalog_service_client::CatalogServiceClient,
    executor_service_client::ExecutorServiceClient, flow_service_client::FlowServiceClient,
    secret_service_client::SecretServiceClient, tenant_service_client::TenantServiceClient,
};
use sluice_api::distribution::v1::{
    self as wire, audit_ingest_service_client::AuditIngestServiceClient,
    distribution_service_client::DistributionServiceClient,
};
use sluice_control_plane::ControlPlane;
use sluice_control_plane::config::PlaneConfig;
use sluice_model::{Code, Error, Slug};
use sluice_serve::config::{DrainConfig, GrpcConfig, TelemetryConfig};
use sluice_serve::{
    About, Authenticate, Caller, Drain, Grpc, Listener, Principal, PrincipalKind, Readiness, Telemetry,
};
use std::net::SocketAddr;
use std::sync::Arc;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Takes the caller's word for which tenant it is of.
#[derive(Debug)]
struct ByHeader;

impl Authenticate for ByHeader {
    fn authenticate(&self, caller: &Caller<'_>) -> Result<Arc<Principal>, Status> {
        let kind = match caller.headers.get("x-tenant") {
            None => PrincipalKind::PlatformOperator,
            Some(tenant) => PrincipalKind::Tenant(Slug::parse(tenant.to_str().unwrap()).unwrap()),
        };
        Ok(Arc::new(Principal { kind, name: "somebody".into() }))
    }
}

type Own = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

fn of_acme(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("x-tenant", MetadataValue::from_static("acme"));
    Ok(request)
}

fn own(channel: &Channel) -> Own {
    InterceptedService::new(channel.clone(), of_acme)
}

#[track_caller]
fn denied<T: std::fmt::Debug>(result: Result<T, Error>, reason: &str) {
    let error = result.expect_err("it is refused");
    assert_eq!((error.code, &*error.reason), (Code::PermissionDenied, reason), "{error:?}");
}

#[tokio::test]
async fn a_tenants_caller_may_act_in_its_own_tenant_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let telemetry = Telemetry::new(&About::new("test", "0.0.0"), &TelemetryConfig::default()).unwrap();
    let readiness = Readiness::new();
    let drain = Drain::new(&DrainConfig::default(), &readiness, "accepting");
    let (clock, bounds) = (TestClock::new(), GrpcConfig::default());
    let (config, tools) = (PlaneConfig::default(), tools(&clock).await);
    let plane = ControlPlane::open(folder.path(), &config, tools, &telemetry.meter()).await.unwrap();
    let grpc = plane.services(Grpc::new(&bounds).authenticate(Arc::new(ByHeader)), &bounds, &drain);
    let listener = Listener::bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let serving = grpc.spawn(listener, &telemetry, &readiness, &drain).unwrap();
    let channel = Channel::from_shared(format!("http://{}", serving.address())).unwrap().connect().await.unwrap();
    let mut operator = TenantServiceClient::new(channel.clone());
    for tenant in ["acme", "other"] {
        operator
            .create_tenant(control::CreateTenantRequest { tenant: tenant.into(), ..Default::default() })
            .await
            .unwrap();
    }

    let other = || "other".to_owned();
    let mut tenants = TenantServiceClient::new(own(&channel));
    denied(answered(tenants.get_tenant(control::GetTenantRequest { tenant: other() }).await), "TENANT_DENIED");
    // Whether the tenant exists makes no difference.
    denied(answered(tenants.get_tenant(control::GetTenantRequest { tenant: "nobody".into() }).await), "TENANT_DENIED");
    let origin = || "https://a.example".to_owned();
    let add = control::AddRedirectOriginRequest { tenant: other(), origin: origin(), ..Default::default() };
    denied(answered(tenants.add_redirect_origin(add).await), "TENANT_DENIED");
    let remove = control::RemoveRedirectOriginRequest { tenant: other(), origin: origin(), ..Default::default() };
    denied(answered(tenants.remove_redirect_origin(remove).await), "TENANT_DENIED");
    let list = control::ListRedirectOriginsRequest { tenant: other(), ..Default::default() };
    denied(answered(tenants.list_redirect_origins(list).await), "TENANT_DENIED");
    let create = control::CreateTenantRequest { tenant: "mine".into(), ..Default::default() };
    denied(answered(tenants.create_tenant(create).await), "OPERATOR_ONLY");
    let listed = tenants.list_tenants(control::ListTenantsRequest::default()).await.unwrap().into_inner().tenants;
    assert_eq!(listed.into_iter().map(|tenant| tenant.tenant).collect::<Vec<_>>(), ["acme"]);

    let turn = control::SetBreakGlassRequest { tenant: other(), on: true, ..Default::default() };
    denied(answered(tenants.set_break_glass(turn).await), "TENANT_DENIED");

    let mut catalog = CatalogServiceClient::new(own(&channel));
    let header = control::PublishHeader { tenant: other(), ..Default::default() };
    let message = Some(control::publish_version_request::Message::Header(header));
    let messages = tokio_stream::iter([control::PublishVersionRequest { message }]);
    denied(answered(catalog.publish_version(messages).await), "TENANT_DENIED");
    let list = control::ListActionsRequest { tenant: other(), ..Default::default() };
    denied(answered(catalog.list_actions(list).await), "TENANT_DENIED");
    let list = control::ListVersionsRequest { tenant: other(), slug: "gate".into(), ..Default::default() };
    denied(answered(catalog.list_versions(list).await), "TENANT_DENIED");
    let get = control::GetVersionRequest { tenant: other(), slug: "gate".into(), ..Default::default() };
    denied(answered(catalog.get_version(get).await), "TENANT_DENIED");

    let (slug, version) = (|| "gate".to_owned(), || "1.0.0".to_owned());
    let get = control::GetActionRequest { tenant: other(), slug: slug() };
    denied(answered(catalog.get_action(get).await), "TENANT_DENIED");
    let mark =
        control::DeprecateVersionRequest { tenant: other(), slug: slug(), version: version(), ..Default::default() };
    denied(answered(catalog.deprecate_version(mark).await), "TENANT_DENIED");
    let mark = control::YankVersionRequest { tenant: other(), slug: slug(), version: version(), ..Default::default() };
    denied(answered(catalog.yank_version(mark).await), "TENANT_DENIED");
    // Not even in its own.
    let mark =
        control::RevokeVersionRequest { tenant: "acme".into(), slug: slug(), version: version(), ..Default::default() };
    denied(answered(catalog.revoke_version(mark).await), "OPERATOR_ONLY");
    let delete = control::DeleteActionRequest { tenant: other(), slug: slug(), ..Default::default() };
    denied(answered(catalog.delete_action(delete).await), "TENANT_DENIED");

    let mut secrets = SecretServiceClient::new(own(&channel));
    let (name, value) = (|| "API_KEY".to_owned(), || "value".to_owned());
    let set = control::SetSecretRequest { tenant: other(), name: name(), value: value(), ..Default::default() };
    denied(answered(secrets.set_secret(set).await), "TENANT_DENIED");
    let remove = control::RemoveSecretRequest { tenant: other(), name: name(), ..Default::default() };
    denied(answered(secrets.remove_secret(remove).await), "TENANT_DENIED");
    let list = control::ListSecretsRequest { tenant: other(), ..Default::default() };
    denied(answered(secrets.list_secrets(list).await), "TENANT_DENIED");

    let mut flows = FlowServiceClient::new(own(&channel));
    let flow = || "login".to_owned();
    let create = control::CreateFlowRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.create_flow(create).await), "TENANT_DENIED");
    let attach = control::AttachActionRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.attach_action(attach).await), "TENANT_DENIED");
    let pin = control::PinAttachmentRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.pin_attachment(pin).await), "TENANT_DENIED");
    let update = control::UpdateAttachmentRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.update_attachment(update).await), "TENANT_DENIED");
    let detach = control::DetachActionRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.detach_action(detach).await), "TENANT_DENIED");
    let slot = control::UpdateSlotRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.update_slot(slot).await), "TENANT_DENIED");
    let rollback = control::RollbackFlowRequest { tenant: other(), flow: flow(), revision: 1, ..Default::default() };
    denied(answered(flows.rollback_flow(rollback).await), "TENANT_DENIED");
    let delete = control::DeleteFlowRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.delete_flow(delete).await), "TENANT_DENIED");
    let history = control::ListFlowRevisionsRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.list_flow_revisions(history).await), "TENANT_DENIED");
    let diff = control::GetFlowDiffRequest { tenant: other(), flow: flow(), from: 1, to: 0 };
    denied(answered(flows.get_flow_diff(diff).await), "TENANT_DENIED");
    let get = control::GetFlowRequest { tenant: other(), flow: flow(), revision: 0 };
    denied(answered(flows.get_flow(get).await), "TENANT_DENIED");
    let list = control::ListFlowsRequest { tenant: other(), ..Default::default() };
    denied(answered(flows.list_flows(list).await), "TENANT_DENIED");
    let rollout = control::GetRolloutRequest { tenant: other(), flow: flow(), ..Default::default() };
    denied(answered(flows.get_rollout(rollout).await), "TENANT_DENIED");

    let mut audit = AuditServiceClient::new(own(&channel));
    let list = control::ListAuditRecordsRequest { tenant: other(), ..Default::default() };
    denied(answered(audit.list_audit_records(list).await), "TENANT_DENIED");

    let mut executors = ExecutorServiceClient::new(own(&channel));
    let list = control::ListExecutorsRequest::default();
    denied(answered(executors.list_executors(list).await), "OPERATOR_ONLY");

    let mut distribution = DistributionServiceClient::new(own(&channel));
    denied(answered(distribution.watch(tokio_stream::pending()).await), "OPERATOR_ONLY");
    let fetch = wire::FetchBundleRequest { tenant: other(), bundle_digest: "0".repeat(64) };
    denied(answered(distribution.fetch_bundle(fetch).await).map(|_| ()), "TENANT_DENIED");
    let fetch = wire::FetchFlowRevisionRequest { tenant: other(), flow: flow(), revision: 0 };
    denied(answered(distribution.fetch_flow_revision(fetch).await), "TENANT_DENIED");
    let mut ingest = AuditIngestServiceClient::new(own(&channel));
    denied(answered(ingest.ingest(tokio_stream::pending()).await), "OPERATOR_ONLY");

    // In its own tenant it may, and audit has its name.
    let create = control::CreateFlowRequest { tenant: "acme".into(), flow: flow(), ..Default::default() };
    flows.create_flow(create).await.unwrap();
    let list =
        control::ListAuditRecordsRequest { tenant: "acme".into(), kind: "flow.created".into(), ..Default::default() };
    let records = audit.list_audit_records(list).await.unwrap().into_inner().records;
    assert_eq!((records.len(), records[0].principal.as_str()), (1, "somebody"));
}
