//! Requests that are sent again under the same id.

use crate::support::{Plane, answered, archive, assert_refused, attachment, gate, header};
use jiff::SignedDuration;
use sluice_api::control::v1 as control;
use sluice_model::Code;

#[tokio::test]
async fn a_save_that_is_sent_again_is_done_once() {
    let plane = Plane::with_gate().await;
    let request = control::AttachActionRequest { request_id: "r1".into(), ..attachment("gate", "") };
    let first = plane.attach(request.clone()).await.unwrap();
    plane.attach(attachment("gate", "")).await.unwrap();
    let again = plane.attach(request.clone()).await.unwrap();
    assert_eq!((&again.attachment, again.revision, &again.etag), (&first.attachment, first.revision, &first.etag));
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().slots[0].attachments.len(), 2);
    let other = control::AttachActionRequest { position: Some(1), ..request };
    assert_refused(plane.attach(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED", &["request_id"]);
    let flow = control::CreateFlowRequest { tenant: "acme".into(), flow: "second".into(), request_id: "r1".into() };
    let refused = answered(plane.flows().create_flow(flow).await);
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED", &["request_id"]);
}

#[tokio::test]
async fn a_save_that_is_sent_twice_at_once_is_done_once() {
    let plane = Plane::with_gate().await;
    let request = control::AttachActionRequest { request_id: "r1".into(), ..attachment("gate", "") };
    let saves = futures_util::future::join_all((0..8).map(|_| plane.attach(request.clone()))).await;
    let saves: Vec<_> = saves.into_iter().map(Result::unwrap).collect();
    assert!(saves.iter().all(|saved| saved.attachment == saves[0].attachment && saved.revision == 2));
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, 2);
}

#[tokio::test]
async fn a_tenant_that_is_made_again_by_the_same_request_is_the_same() {
    let plane = Plane::start().await;
    let request = control::CreateTenantRequest { tenant: "acme".into(), request_id: "r1".into() };
    let first = plane.tenants().create_tenant(request.clone()).await.unwrap().into_inner();
    assert_eq!(plane.tenants().create_tenant(request).await.unwrap().into_inner(), first);
    assert_eq!(plane.kinds("acme").await, ["tenant.created"]);
}

#[tokio::test]
async fn a_publish_that_is_sent_again_gets_its_version_whatever_came_between() {
    let plane = Plane::with_acme().await;
    let request = control::PublishHeader { request_id: "r1".into(), ..header("acme") };
    let first = plane.publish_as(request.clone(), archive(&gate("1"))).await.unwrap();
    plane.publish("acme", &gate("2")).await.unwrap();
    assert_eq!(plane.publish_as(request.clone(), archive(&gate("1"))).await.unwrap(), first);
    assert_eq!(plane.versions("acme", "gate").await, ["1.0.1", "1.0.0"]);
    let other = plane.publish_as(request, archive(&gate("3"))).await;
    assert_refused(other, Code::InvalidArgument, "REQUEST_ID_REUSED", &["request_id"]);
    // One that made nothing new is kept as well.
    let request = control::PublishHeader { request_id: "r2".into(), ..header("acme") };
    let unchanged = plane.publish_as(request.clone(), archive(&gate("2"))).await.unwrap();
    assert!(!unchanged.created);
    plane.publish("acme", &gate("3")).await.unwrap();
    assert_eq!(plane.publish_as(request, archive(&gate("2"))).await.unwrap(), unchanged);
}

#[tokio::test]
async fn origins_that_are_sent_again_are_changed_once() {
    let plane = Plane::with_acme().await;
    let add = control::AddRedirectOriginRequest {
        tenant: "acme".into(),
        origin: "https://a.example".into(),
        request_id: "r1".into(),
        ..Default::default()
    };
    plane.tenants().add_redirect_origin(add.clone()).await.unwrap();
    let remove = control::RemoveRedirectOriginRequest {
        tenant: "acme".into(),
        origin: "https://a.example".into(),
        request_id: "r2".into(),
        ..Default::default()
    };
    plane.tenants().remove_redirect_origin(remove.clone()).await.unwrap();
    // Both answers come again, and neither is done again.
    plane.tenants().add_redirect_origin(add).await.unwrap();
    plane.tenants().remove_redirect_origin(remove).await.unwrap();
    let list = control::ListRedirectOriginsRequest { tenant: "acme".into(), ..Default::default() };
    assert_eq!(plane.tenants().list_redirect_origins(list).await.unwrap().into_inner().origins, [""; 0]);
    let updates =
        plane.kinds("acme").await.into_iter().filter(|kind| kind == "tenant.redirect_origins_updated").count();
    assert_eq!(updates, 2);
}

#[tokio::test]
async fn an_id_is_forgotten_after_24_hours_and_is_the_tenants_own() {
    let plane = Plane::with_acme().await;
    plane.create_tenant("acme-2").await;
    let create = |tenant: &str, flow: &str| {
        let request = control::CreateFlowRequest { tenant: tenant.into(), flow: flow.into(), request_id: "r1".into() };
        let mut flows = plane.flows();
        async move { answered(flows.create_flow(request).await) }
    };
    create("acme", "one").await.unwrap();
    create("acme-2", "two").await.unwrap();
    plane.clock.advance(SignedDuration::from_hours(24) - SignedDuration::from_nanos(1));
    assert_refused(create("acme", "two").await, Code::InvalidArgument, "REQUEST_ID_REUSED", &["request_id"]);
    plane.clock.advance(SignedDuration::from_nanos(1));
    create("acme", "two").await.unwrap();
    create("acme", "two").await.unwrap();
}

#[tokio::test]
async fn an_id_that_is_none_is_refused() {
    let plane = Plane::with_gate().await;
    for bad in ["a b", "ü", "x\u{7f}", &"x".repeat(129)] {
        let request = control::AttachActionRequest { request_id: bad.into(), ..attachment("gate", "") };
        assert_refused(plane.attach(request).await, Code::InvalidArgument, "INVALID_FIELD", &["request_id"]);
    }
    assert_eq!(plane.flow("acme", "login", 0).await.unwrap().revision, 1);
}
