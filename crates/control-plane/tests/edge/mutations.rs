//! What holds of every change: a retry by request id does nothing twice, also past a restart; a stale etag changes nothing;
//! without either it works. The table has to name every RPC that changes something, which the descriptors say.

use crate::deliveries::{Receiver, delivery, emitting, settled};
use crate::ingest::Spool;
use crate::support::{Plane, answered, archive, attachment, gate};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prost::Message as _;
use sluice_api::control::v1 as control;
use sluice_api::types::v1 as types;
use sluice_model::{Code, Error};
use std::collections::BTreeSet;

/// One call of a change.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// A tenant with an Action `gate` at 1.0.0 and a flow `login` that has it (but for the Action that is deleted).
    tenant: &'a str,
    /// The attachment in it.
    attachment: &'a str,
    etag: &'a str,
    request_id: &'a str,
    /// Asks for something else.
    other: bool,
}

/// What an etag of a change is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// The change makes something: there is nothing that could be stale.
    Nothing,
    Tenant,
    Flow,
    Action,
    Version,
    Secret,
    Delivery,
    Endpoint,
}

/// A row of the table.
struct Mutation {
    rpc: &'static str,
    guard: Guard,
    /// The kind of its one record.
    kind: &'static str,
    call: for<'a> fn(&'a Plane, Asked<'a>) -> BoxFuture<'a, Result<String, Error>>,
}

/// A call with the fields that nearly all have.
macro_rules! call {
    ($client:ident.$method:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        |plane, asked| {
            async move {
                #[allow(clippy::needless_update, reason = "some requests have no more fields")]
                let request = control::$request {
                    tenant: asked.tenant.into(),
                    etag: asked.etag.into(),
                    request_id: asked.request_id.into(),
                    $($field: { let f: fn(Asked<'_>) -> _ = $value; f(asked) },)*
                    ..Default::default()
                };
                Ok(format!("{:?}", answered(plane.$client().$method(request).await)?))
            }
            .boxed()
        }
    };
}

fn table() -> Vec<Mutation> {
    use Guard::{Action, Delivery, Endpoint, Flow, Nothing, Secret, Tenant, Version};
    let row = |rpc, guard, kind, call| Mutation { rpc, guard, kind, call };
    vec![
        row("CreateTenant", Nothing, "tenant.created", |plane, asked| {
            async move {
                let tenant = format!("{}-{}", asked.tenant, if asked.other { "b" } else { "a" });
                // Ids of requests that make tenants are the platform's, so each has its own here.
                let request_id = match asked.request_id {
                    "" => String::new(),
                    id => format!("{id}-{}", asked.tenant),
                };
                let request = control::CreateTenantRequest { tenant, request_id };
                Ok(format!("{:?}", answered(plane.tenants().create_tenant(request).await)?))
            }
            .boxed()
        }),
        row("PublishVersion", Nothing, "flow.action_published", |plane, asked| {
            async move {
                let header = control::PublishHeader {
                    tenant: asked.tenant.into(),
                    next: None,
                    request_id: asked.request_id.into(),
                };
                let files = gate(if asked.other { "3" } else { "2" });
                Ok(format!("{:?}", plane.publish_as(header, archive(&files)).await?))
            }
            .boxed()
        }),
        row("CreateFlow", Nothing, "flow.created", |plane, asked| {
            async move {
                let flow = if asked.other { "third" } else { "second" }.into();
                let request = control::CreateFlowRequest {
                    tenant: asked.tenant.into(),
                    flow,
                    request_id: asked.request_id.into(),
                };
                Ok(format!("{:?}", answered(plane.flows().create_flow(request).await)?))
            }
            .boxed()
        }),
        row(
            "AddRedirectOrigin",
            Tenant,
            "tenant.redirect_origins_updated",
            call!(
                tenants.add_redirect_origin,
                AddRedirectOriginRequest {
                    origin: |asked| if asked.other { "https://b.example" } else { "https://a.example" }.into(),
                }
            ),
        ),
        row(
            "RemoveRedirectOrigin",
            Tenant,
            "tenant.redirect_origins_updated",
            call!(
                tenants.remove_redirect_origin,
                RemoveRedirectOriginRequest {
                    origin: |asked| if asked.other { "https://b.example" } else { "https://old.example" }.into(),
                }
            ),
        ),
        row(
            "SetBreakGlass",
            Tenant,
            "tenant.break_glass_updated",
            call!(tenants.set_break_glass, SetBreakGlassRequest { on: |asked| !asked.other }),
        ),
        row(
            "SetSecret",
            Secret,
            "secret.set",
            call!(
                secrets.set_secret,
                SetSecretRequest {
                    name: |_| "API_KEY".into(),
                    value: |asked| if asked.other { "other" } else { "value" }.into(),
                }
            ),
        ),
        row(
            "RemoveSecret",
            Secret,
            "secret.removed",
            call!(
                secrets.remove_secret,
                RemoveSecretRequest { name: |asked| if asked.other { "OTHER" } else { "API_KEY" }.into() }
            ),
        ),
        row(
            "ResendDelivery",
            Delivery,
            "delivery.resent",
            call!(
                deliveries.resend_delivery,
                ResendDeliveryRequest {
                    delivery: |asked| format!("{}-{}", if asked.other { "other" } else { "waits" }, asked.tenant),
                }
            ),
        ),
        row(
            "EnableEndpoint",
            Endpoint,
            "delivery.endpoint_enabled",
            call!(
                deliveries.enable_endpoint,
                EnableEndpointRequest {
                    endpoint: |asked| if asked.other { "secret:OTHER" } else { "secret:HOOK" }.into(),
                }
            ),
        ),
        row(
            "DeprecateVersion",
            Version,
            "action.deprecated",
            call!(
                catalog.deprecate_version,
                DeprecateVersionRequest {
                    slug: |_| "gate".into(),
                    version: |_| "1.0.0".into(),
                    undo: |asked| asked.other,
                }
            ),
        ),
        row(
            "YankVersion",
            Version,
            "action.yanked",
            call!(
                catalog.yank_version,
                YankVersionRequest { slug: |_| "gate".into(), version: |_| "1.0.0".into(), undo: |asked| asked.other }
            ),
        ),
        row(
            "RevokeVersion",
            Version,
            "action.revoked",
            call!(
                catalog.revoke_version,
                RevokeVersionRequest {
                    slug: |_| "gate".into(),
                    version: |asked| if asked.other { "1.0.1" } else { "1.0.0" }.into(),
                }
            ),
        ),
        row(
            "DeleteAction",
            Action,
            "action.deleted",
            call!(
                catalog.delete_action,
                DeleteActionRequest { slug: |asked| if asked.other { "other" } else { "gate" }.into() }
            ),
        ),
        row(
            "AttachAction",
            Flow,
            "flow.action_attached",
            call!(
                flows.attach_action,
                AttachActionRequest {
                    flow: |_| "login".into(),
                    trigger: |asked| if asked.other { "pre-login" } else { "post-login" }.into(),
                    slug: |_| "gate".into(),
                }
            ),
        ),
        row(
            "PinAttachment",
            Flow,
            "flow.action_updated",
            call!(
                flows.pin_attachment,
                PinAttachmentRequest {
                    flow: |_| "login".into(),
                    attachment: |asked| asked.attachment.into(),
                    version: |asked| if asked.other { "^1" } else { "1.0.0" }.into(),
                }
            ),
        ),
        row(
            "UpdateAttachment",
            Flow,
            "flow.action_updated",
            call!(
                flows.update_attachment,
                UpdateAttachmentRequest {
                    flow: |_| "login".into(),
                    attachment: |asked| asked.attachment.into(),
                    enabled: |asked| Some(asked.other),
                }
            ),
        ),
        row(
            "DetachAction",
            Flow,
            "flow.action_detached",
            call!(
                flows.detach_action,
                DetachActionRequest {
                    flow: |_| "login".into(),
                    attachment: |asked| if asked.other { "other".into() } else { asked.attachment.into() },
                }
            ),
        ),
        row(
            "UpdateSlot",
            Flow,
            "flow.slot_updated",
            call!(
                flows.update_slot,
                UpdateSlotRequest {
                    flow: |_| "login".into(),
                    trigger: |_| "post-login".into(),
                    budget_ms: |asked| if asked.other { 200 } else { 100 },
                }
            ),
        ),
        row(
            "RollbackFlow",
            Flow,
            "flow.rolled_back",
            call!(
                flows.rollback_flow,
                RollbackFlowRequest { flow: |_| "login".into(), revision: |asked| if asked.other { 2 } else { 1 } }
            ),
        ),
        row(
            "DeleteFlow",
            Flow,
            "flow.deleted",
            call!(
                flows.delete_flow,
                DeleteFlowRequest { flow: |asked| if asked.other { "other" } else { "login" }.into() }
            ),
        ),
    ]
}

/// A tenant to change; the answer is its attachment.
async fn prepared(plane: &Plane, receiver: &Receiver, tenant: &str, rpc: &str) -> String {
    plane.create_tenant(tenant).await;
    plane.publish(tenant, &gate("1")).await.unwrap();
    plane.create_flow(tenant, "login").await.unwrap();
    let request = control::AddRedirectOriginRequest {
        tenant: tenant.into(),
        origin: "https://old.example".into(),
        ..Default::default()
    };
    plane.tenants().add_redirect_origin(request).await.unwrap();
    let request = control::SetSecretRequest {
        tenant: tenant.into(),
        name: "API_KEY".into(),
        value: "first".into(),
        ..Default::default()
    };
    plane.secrets().set_secret(request).await.unwrap();
    match rpc {
        "ResendDelivery" => deliver(plane, receiver, tenant, "waits", 500).await,
        "EnableEndpoint" => deliver(plane, receiver, tenant, "gone", 410).await,
        _ => {}
    }
    if rpc == "DeleteAction" {
        return String::new();
    }
    let request = control::AttachActionRequest { tenant: tenant.into(), ..attachment("gate", "") };
    plane.attach(request).await.unwrap().attachment
}

/// A delivery that is answered so, once.
async fn deliver(plane: &Plane, receiver: &Receiver, tenant: &str, name: &str, status: u16) {
    let (hook, value) = ("HOOK".into(), format!("{}?status={status}", receiver.url()));
    let request = control::SetSecretRequest { tenant: tenant.into(), name: hook, value, ..Default::default() };
    plane.secrets().set_secret(request).await.unwrap();
    let id = format!("{name}-{tenant}");
    let target = types::EmittedTarget {
        address: Some(types::emitted_target::Address::UrlSecret("HOOK".into())),
        own_host: true,
        max_attempts: 10,
        ..receiver.target(&id)
    };
    let record = types::AuditRecord { tenant: tenant.into(), ..emitting(plane, 1, vec![target]) };
    // An executor's start of its own: the first of its records.
    let epoch = tenant.bytes().map(u64::from).sum();
    Spool::at(plane, epoch, 1, 0).await.sends(1, vec![record]).await.unwrap();
    let state = if status == 410 { control::DeliveryState::Dead } else { control::DeliveryState::Pending };
    settled(plane, tenant, &id, state, 1).await;
}

async fn etag(plane: &Plane, tenant: &str, guard: Guard) -> String {
    let (tenant, slug) = (tenant.to_owned(), "gate".to_owned());
    match guard {
        Guard::Nothing => String::new(),
        Guard::Tenant => {
            let request = control::GetTenantRequest { tenant };
            plane.tenants().get_tenant(request).await.unwrap().into_inner().tenant.unwrap().etag
        }
        Guard::Flow => plane.flow(&tenant, "login", 0).await.unwrap().etag,
        Guard::Delivery => {
            let id = format!("waits-{tenant}");
            delivery(plane, &tenant, &id).await.unwrap().delivery.unwrap().etag
        }
        Guard::Endpoint => {
            let request = control::ListEndpointsRequest { tenant, ..Default::default() };
            plane.deliveries().list_endpoints(request).await.unwrap().into_inner().endpoints.remove(0).etag
        }
        Guard::Secret => secrets(plane, &tenant).await.remove(0).etag,
        Guard::Action => {
            let request = control::GetActionRequest { tenant, slug };
            plane.catalog().get_action(request).await.unwrap().into_inner().action.unwrap().etag
        }
        Guard::Version => {
            let request = control::GetVersionRequest { tenant, slug, version: "1.0.0".into() };
            plane.catalog().get_version(request).await.unwrap().into_inner().version.unwrap().etag
        }
    }
}

async fn secrets(plane: &Plane, tenant: &str) -> Vec<control::Secret> {
    let request = control::ListSecretsRequest { tenant: tenant.into(), ..Default::default() };
    plane.secrets().list_secrets(request).await.unwrap().into_inner().secrets
}

/// Everything that can be seen of a tenant, and of those that a row makes beside it.
async fn picture(plane: &Plane, tenant: &str) -> String {
    let request = control::ListTenantsRequest { page_size: 1000, ..Default::default() };
    let mut tenants = plane.tenants().list_tenants(request).await.unwrap().into_inner().tenants;
    tenants.retain(|found| found.tenant.starts_with(tenant));
    let request = control::ListRedirectOriginsRequest { tenant: tenant.into(), ..Default::default() };
    let origins = plane.tenants().list_redirect_origins(request).await.unwrap().into_inner().origins;
    let request = control::ListVersionsRequest { tenant: tenant.into(), slug: "gate".into(), ..Default::default() };
    let versions = answered(plane.catalog().list_versions(request).await).map(|found| found.versions);
    let request = control::ListFlowsRequest { tenant: tenant.into(), ..Default::default() };
    let flows = plane.flows().list_flows(request).await.unwrap().into_inner().flows;
    let (actions, login) = (plane.actions(tenant).await, plane.flow(tenant, "login", 0).await);
    let secrets = secrets(plane, tenant).await;
    format!(
        "{secrets:?} {tenants:?} {origins:?} {actions:?} {versions:?} {flows:?} {login:?} {:?}",
        plane.kinds(tenant).await
    )
}

/// How many records of a kind a tenant has, and those that a row makes beside it.
async fn count(plane: &Plane, tenant: &str, kind: &str) -> usize {
    let mut kinds = plane.kinds(tenant).await;
    let beside = format!("{tenant}-a");
    if kind == "tenant.created"
        && answered(plane.tenants().get_tenant(control::GetTenantRequest { tenant: beside.clone() }).await).is_ok()
    {
        kinds.extend(plane.kinds(&beside).await);
    }
    kinds.into_iter().filter(|found| found == kind).count()
}

#[tokio::test]
async fn every_change_can_be_sent_again_and_none_overwrites_what_it_has_not_seen() {
    let receiver = Receiver::start().await;
    let mut plane = Plane::with(receiver.config()).await;
    let mut done = Vec::new();
    for (number, row) in table().into_iter().enumerate() {
        let rpc = row.rpc;
        // Without an etag and an id it works, and each call is a call.
        let plain = format!("plain-{number:02}");
        let attachment = prepared(&plane, &receiver, &plain, rpc).await;
        let asked = Asked { tenant: &plain, attachment: &attachment, etag: "", request_id: "", other: false };
        let before = count(&plane, &plain, row.kind).await;
        (row.call)(&plane, asked).await.unwrap_or_else(|error| panic!("{rpc}: {error:?}"));
        assert_eq!(count(&plane, &plain, row.kind).await, before + 1, "{rpc} is in audit, once");

        let tenant = format!("tenant-{number:02}");
        let attachment = prepared(&plane, &receiver, &tenant, rpc).await;
        let asked = Asked { tenant: &tenant, attachment: &attachment, etag: "", request_id: "", other: false };
        let untouched = picture(&plane, &tenant).await;
        if row.guard != Guard::Nothing {
            let stale = (row.call)(&plane, Asked { etag: "stale", ..asked }).await.unwrap_err();
            let fields: Vec<&str> = stale.fields.iter().map(|field| field.field.as_str()).collect();
            assert_eq!(
                (stale.code, &*stale.reason, &fields[..]),
                (Code::Aborted, "ETAG_MISMATCH", &["etag"][..]),
                "{rpc}"
            );
            assert_eq!(picture(&plane, &tenant).await, untouched, "{rpc} with a stale etag changes nothing");
        }
        let etag = etag(&plane, &tenant, row.guard).await;
        let asked = Asked { etag: &etag, request_id: "r1", ..asked };
        let before = count(&plane, &tenant, row.kind).await;
        let answer = (row.call)(&plane, asked).await.unwrap_or_else(|error| panic!("{rpc}: {error:?}"));
        let changed = picture(&plane, &tenant).await;
        assert_ne!(changed, untouched, "{rpc}");
        // The etag is stale by now: what counts is the id.
        assert_eq!((row.call)(&plane, asked).await.unwrap(), answer, "{rpc}");
        let reused = (row.call)(&plane, Asked { other: true, ..asked }).await.unwrap_err();
        let fields: Vec<&str> = reused.fields.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(
            (reused.code, &*reused.reason, &fields[..]),
            (Code::InvalidArgument, "REQUEST_ID_REUSED", &["request_id"][..]),
            "{rpc}"
        );
        assert_eq!(picture(&plane, &tenant).await, changed, "{rpc} is done once");
        assert_eq!(count(&plane, &tenant, row.kind).await, before + 1, "{rpc} is in audit, once");
        done.push((row, tenant, attachment, etag, answer, changed));
    }
    plane.restart().await;
    for (row, tenant, attachment, etag, answer, changed) in &done {
        let asked = Asked { tenant, attachment, etag, request_id: "r1", other: false };
        assert_eq!(&(row.call)(&plane, asked).await.unwrap(), answer, "{} after a restart", row.rpc);
        assert_eq!(&picture(&plane, tenant).await, changed, "{} after a restart", row.rpc);
    }
}

#[test]
fn the_table_names_every_rpc_that_changes_something() {
    let set = prost_types::FileDescriptorSet::decode(sluice_api::FILE_DESCRIPTOR_SET).unwrap();
    let files: Vec<_> = set.file.into_iter().filter(|file| file.package() == "sluice.control.v1").collect();
    let messages: Vec<_> = files.iter().flat_map(|file| &file.message_type).collect();
    let has = |message: &str, field: &str| {
        let found = messages.iter().find(|found| found.name() == message).unwrap();
        found.field.iter().any(|found| found.name() == field)
    };
    let methods = files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let changes: BTreeSet<&str> = methods
        .map(|method| method.name())
        .filter(|name| !["Get", "List", "Check"].iter().any(|reads| name.starts_with(reads)))
        .collect();
    let table = table();
    assert_eq!(changes, table.iter().map(|row| row.rpc).collect::<BTreeSet<_>>());
    for row in &table {
        // A publish streams: what it asks for is in its header.
        let request = if row.rpc == "PublishVersion" { "PublishHeader".into() } else { format!("{}Request", row.rpc) };
        assert!(has(&request, "request_id"), "{request}");
        assert_eq!(has(&request, "etag"), row.guard != Guard::Nothing, "{request}");
    }
}
