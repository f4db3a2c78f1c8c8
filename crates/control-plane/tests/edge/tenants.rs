//! Tenants, and where they may send their users.

use crate::support::{Plane, answered, assert_refused};
use sluice_api::control::v1 as control;
use sluice_model::{Code, Error};

async fn create(plane: &Plane, tenant: &str) -> Result<control::Tenant, Error> {
    let request = control::CreateTenantRequest { tenant: tenant.into(), ..Default::default() };
    Ok(answered(plane.tenants().create_tenant(request).await)?.tenant.unwrap())
}

async fn listed(plane: &Plane) -> Vec<String> {
    let request = control::ListTenantsRequest::default();
    let found = plane.tenants().list_tenants(request).await.unwrap().into_inner();
    found.tenants.into_iter().map(|tenant| tenant.tenant).collect()
}

async fn change(plane: &Plane, add: bool, origin: &str) -> Result<String, Error> {
    let (tenant, origin) = ("acme".to_owned(), origin.to_owned());
    if add {
        let request = control::AddRedirectOriginRequest { tenant, origin, ..Default::default() };
        return Ok(answered(plane.tenants().add_redirect_origin(request).await)?.origin);
    }
    let request = control::RemoveRedirectOriginRequest { tenant, origin, ..Default::default() };
    Ok(answered(plane.tenants().remove_redirect_origin(request).await)?.origin)
}

async fn origins(plane: &Plane) -> Vec<String> {
    let request = control::ListRedirectOriginsRequest { tenant: "acme".into(), ..Default::default() };
    plane.tenants().list_redirect_origins(request).await.unwrap().into_inner().origins
}

#[tokio::test]
async fn a_tenant_is_made_once_and_shown() {
    let plane = Plane::start().await;
    let made = create(&plane, "acme").await.unwrap();
    assert_eq!(made.created_at, Some(sluice_api::convert::to_timestamp(plane.clock.now())));
    let shown =
        answered(plane.tenants().get_tenant(control::GetTenantRequest { tenant: "acme".into() }).await).unwrap();
    assert_eq!(shown.tenant, Some(made));
    let again = assert_refused(create(&plane, "acme").await, Code::AlreadyExists, "TENANT_EXISTS", &[]);
    assert_eq!(again.resource.unwrap().name, "acme");
    assert_eq!(listed(&plane).await, ["acme"]);
    assert_eq!(plane.kinds("acme").await, ["tenant.created"]);
}

#[tokio::test]
async fn a_name_that_is_no_slug_or_reserved_is_refused() {
    let plane = Plane::start().await;
    let long = "a".repeat(64);
    for name in ["", "Acme", "1acme", "acme_1", "acme/x", "ümlaut", "a b", "-a", &long, "platform", "sluice"] {
        assert_refused(create(&plane, name).await, Code::InvalidArgument, "INVALID_FIELD", &["tenant"]);
    }
    assert_eq!(listed(&plane).await, [""; 0]);
}

#[tokio::test]
async fn a_tenant_that_is_not_there_is_not_found_by_any_service() {
    let plane = Plane::with_acme().await;
    let tenant = "nobody".to_owned();
    let not_found = |error: Error| {
        assert_eq!((error.code, &*error.reason), (Code::NotFound, "TENANT_NOT_FOUND"), "{error:?}");
    };
    let get = control::GetTenantRequest { tenant: tenant.clone() };
    not_found(answered(plane.tenants().get_tenant(get).await).unwrap_err());
    let actions = control::ListActionsRequest { tenant: tenant.clone(), ..Default::default() };
    not_found(answered(plane.catalog().list_actions(actions).await).unwrap_err());
    let versions = control::ListVersionsRequest { tenant: tenant.clone(), slug: "gate".into(), ..Default::default() };
    not_found(answered(plane.catalog().list_versions(versions).await).unwrap_err());
    let version = control::GetVersionRequest { tenant: tenant.clone(), slug: "gate".into(), version: String::new() };
    not_found(answered(plane.catalog().get_version(version).await).unwrap_err());
    not_found(plane.publish("nobody", &crate::support::gate("1")).await.unwrap_err());
    not_found(plane.create_flow("nobody", "login").await.unwrap_err());
    not_found(plane.flow("nobody", "login", 0).await.unwrap_err());
    let attach = crate::support::attachment("gate", "");
    not_found(plane.attach(control::AttachActionRequest { tenant: tenant.clone(), ..attach }).await.unwrap_err());
    let flows = control::ListFlowsRequest { tenant: tenant.clone(), ..Default::default() };
    not_found(answered(plane.flows().list_flows(flows).await).unwrap_err());
    let rollout = control::GetRolloutRequest { tenant: tenant.clone(), flow: "login".into(), ..Default::default() };
    not_found(answered(plane.flows().get_rollout(rollout).await).unwrap_err());
    let audit = control::ListAuditRecordsRequest { tenant, ..Default::default() };
    not_found(answered(plane.audit().list_audit_records(audit).await).unwrap_err());
}

#[tokio::test]
async fn tenants_are_listed_page_by_page() {
    let plane = Plane::start().await;
    for tenant in ["c", "a", "b", "b-2", "a-1"] {
        plane.create_tenant(tenant).await;
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = control::ListTenantsRequest { page_size: 2, page_token };
        let page = plane.tenants().list_tenants(request).await.unwrap().into_inner();
        assert!(page.tenants.len() <= 2);
        found.extend(page.tenants.into_iter().map(|tenant| tenant.tenant));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["a", "a-1", "b", "b-2", "c"]);
    for (page_size, page_token, field) in [(1001, "", "page_size"), (0, "bm9wZQ", "page_token"), (0, "%", "page_token")]
    {
        let request = control::ListTenantsRequest { page_size, page_token: page_token.into() };
        let refused = answered(plane.tenants().list_tenants(request).await);
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &[field]);
    }
}

#[tokio::test]
async fn redirect_origins_are_kept_as_browsers_write_them() {
    let plane = Plane::with_acme().await;
    assert_eq!(change(&plane, true, "HTTPS://App.Example.com:443/").await.unwrap(), "https://app.example.com");
    assert_eq!(change(&plane, true, "https://app.example.com:8443").await.unwrap(), "https://app.example.com:8443");
    // One that is there changes nothing.
    change(&plane, true, "https://app.example.com").await.unwrap();
    assert_eq!(origins(&plane).await, ["https://app.example.com", "https://app.example.com:8443"]);
    assert_eq!(change(&plane, false, "https://app.example.com/").await.unwrap(), "https://app.example.com");
    assert_eq!(origins(&plane).await, ["https://app.example.com:8443"]);
    let gone = change(&plane, false, "https://app.example.com").await;
    assert_refused(gone, Code::NotFound, "REDIRECT_ORIGIN_NOT_FOUND", &[]);
    for bad in
        ["", "app.example.com", "ftp://a.example", "https://a.example/path", "https://u@a.example", "http://a.example"]
    {
        assert_refused(change(&plane, true, bad).await, Code::InvalidArgument, "INVALID_FIELD", &["origin"]);
    }
    assert_eq!(origins(&plane).await, ["https://app.example.com:8443"]);

    let records = plane.records("acme").await;
    let kinds: Vec<&str> = records.iter().map(|record| record.kind.as_str()).collect();
    let updated = "tenant.redirect_origins_updated";
    assert_eq!(kinds, ["tenant.created", updated, updated, updated]);
    let pictured =
        |value: &Option<prost_types::Value>| sluice_api::convert::json::value(value.clone().unwrap()).unwrap();
    assert_eq!(
        (pictured(&records[3].from), pictured(&records[3].to)),
        (
            serde_json::json!({ "redirect_origins": ["https://app.example.com", "https://app.example.com:8443"] }),
            serde_json::json!({ "redirect_origins": ["https://app.example.com:8443"] }),
        )
    );
}

#[tokio::test]
async fn redirect_origins_have_an_end_and_pages() {
    let plane = Plane::with_acme().await;
    for number in 0..200 {
        change(&plane, true, &format!("https://a{number:03}.example")).await.unwrap();
    }
    let full = change(&plane, true, "https://one-more.example").await;
    assert_refused(full, Code::FailedPrecondition, "TOO_MANY_REDIRECT_ORIGINS", &[]);
    let request = control::ListRedirectOriginsRequest { tenant: "acme".into(), page_size: 150, ..Default::default() };
    let first = plane.tenants().list_redirect_origins(request.clone()).await.unwrap().into_inner();
    let request = control::ListRedirectOriginsRequest { page_token: first.next_page_token.clone(), ..request };
    let second = plane.tenants().list_redirect_origins(request).await.unwrap().into_inner();
    assert_eq!((first.origins.len(), second.origins.len(), second.next_page_token.as_str()), (150, 50, ""));
    assert_eq!(second.origins[0], "https://a150.example");
}
