//! Publishing: which version a package becomes.

use crate::support::{
    GATE, Plane, archive, assert_refused, attachment, bump, domain_check, exactly, gate, header, package,
};
use sluice_api::control::v1::{self as control, Bump};
use sluice_model::Code;

async fn published(plane: &Plane, header: control::PublishHeader, files: &[(&str, &str)]) -> (String, bool) {
    let published = plane.publish_as(header, archive(files)).await.unwrap();
    (published.version.unwrap().version, published.created)
}

#[tokio::test]
async fn a_published_version_is_shown_as_it_was_published() {
    let plane = Plane::with_acme().await;
    let published = plane.publish("acme", &domain_check()).await.unwrap();
    let version = published.version.unwrap();
    assert!(published.created);
    assert_eq!(
        (version.slug.as_str(), version.version.as_str(), version.name.as_str()),
        ("domain-check", "1.0.0", "Domain check")
    );
    assert_eq!(version.triggers, ["post-login"]);
    let limits = version.limits.unwrap();
    assert_eq!((limits.cpu_ms, limits.wall_ms), (50, 300));
    assert!(version.config_schema.as_ref().unwrap().fields.contains_key("properties"));
    assert_eq!((version.digest.len(), version.bundle_digest.len()), (64, 64));
    assert_eq!(version.published_by, "platform-operator");
    assert!(
        version.published_on.as_ref().is_some_and(|engine| engine.engine.len() == 64 && engine.base_image.len() == 64)
    );
    for pin in ["", "1.0.0", "^1", "*"] {
        let request =
            control::GetVersionRequest { tenant: "acme".into(), slug: "domain-check".into(), version: pin.into() };
        assert_eq!(plane.catalog().get_version(request).await.unwrap().into_inner().version.as_ref(), Some(&version));
    }
    let actions = plane.actions("acme").await;
    assert_eq!(actions.len(), 1);
    let action = &actions[0];
    assert_eq!(
        (action.slug.as_str(), action.name.as_str(), action.newest.as_str()),
        ("domain-check", "Domain check", "1.0.0")
    );
    assert_eq!((action.kind(), action.attached), (sluice_api::types::v1::ActionKind::Custom, 0));
    let records = plane.records("acme").await;
    let record = records.last().unwrap();
    assert_eq!(
        (record.kind.as_str(), record.slug.as_str(), record.version.as_str(), record.principal.as_str()),
        ("flow.action_published", "domain-check", "1.0.0", "platform-operator")
    );
}

#[tokio::test]
async fn the_next_version_is_what_the_caller_asks_for() {
    let plane = Plane::with_acme().await;
    assert_eq!(published(&plane, header("acme"), &gate("1")).await, ("1.0.0".into(), true));
    // The content of the newest is the newest.
    assert_eq!(published(&plane, header("acme"), &gate("1")).await, ("1.0.0".into(), false));
    assert_eq!(published(&plane, bump(Bump::Unspecified), &gate("1")).await, ("1.0.0".into(), false));
    assert_eq!(published(&plane, header("acme"), &gate("2")).await, ("1.0.1".into(), true));
    assert_eq!(published(&plane, bump(Bump::Minor), &gate("2")).await, ("1.1.0".into(), true));
    assert_eq!(published(&plane, bump(Bump::Major), &gate("2")).await, ("2.0.0".into(), true));
    // Older content is new again.
    assert_eq!(published(&plane, header("acme"), &gate("1")).await, ("2.0.1".into(), true));
    assert_eq!(published(&plane, exactly("1.0.7"), &gate("3")).await, ("1.0.7".into(), true));
    assert_eq!(published(&plane, exactly("1.0.7"), &gate("3")).await, ("1.0.7".into(), false));
    assert_eq!(published(&plane, exactly("3.0.0-beta.1"), &gate("3")).await, ("3.0.0-beta.1".into(), true));
    let taken = plane.publish_as(exactly("1.0.7"), archive(&gate("4"))).await;
    assert_refused(taken, Code::AlreadyExists, "VERSION_EXISTS", &["version"]);
    let versions = ["3.0.0-beta.1", "2.0.1", "2.0.0", "1.1.0", "1.0.7", "1.0.1", "1.0.0"];
    assert_eq!(plane.versions("acme", "gate").await, versions);
    assert_eq!(plane.actions("acme").await[0].newest, "3.0.0-beta.1");
    // Nothing that changed nothing is in audit.
    assert_eq!(
        plane.kinds("acme").await.iter().filter(|kind| *kind == "flow.action_published").count(),
        versions.len()
    );
}

#[tokio::test]
async fn a_package_may_name_its_own_version() {
    let plane = Plane::with_acme().await;
    let manifest = format!("{GATE}version = \"1.4.0\"\n");
    let code = "export const execute = () => ({ kind: 'continue' })";
    assert_eq!(published(&plane, header("acme"), &package(&manifest, code)).await, ("1.4.0".into(), true));
    assert_eq!(published(&plane, header("acme"), &package(&manifest, code)).await, ("1.4.0".into(), false));
    let other = "export const execute = () => ({ kind: 'block' })";
    let taken = plane.publish("acme", &package(&manifest, other)).await;
    assert_refused(taken, Code::AlreadyExists, "VERSION_EXISTS", &["version"]);
    // The caller's word goes over the package's.
    assert_eq!(published(&plane, bump(Bump::Patch), &package(&manifest, other)).await, ("1.4.1".into(), true));
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let plane = Plane::with_acme().await;
    for bad in ["", "1", "1.0", "v1.0.0", "1.0.0+build", "latest", "^1.0.0"] {
        let refused = plane.publish_as(exactly(bad), archive(&gate("1"))).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["version"]);
    }
    let unknown = control::PublishHeader { next: Some(control::publish_header::Next::Bump(9)), ..header("acme") };
    assert_refused(
        plane.publish_as(unknown, archive(&gate("1"))).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["bump"],
    );
    assert_eq!(plane.actions("acme").await, []);
    assert_eq!(plane.kinds("acme").await, ["tenant.created"]);
}

#[tokio::test]
async fn a_schema_that_could_refuse_stored_configs_asks_for_a_major_version() {
    let plane = Plane::with_acme().await;
    plane.publish("acme", &domain_check()).await.unwrap();
    let mut stricter = domain_check();
    let schema = stricter[2].1.replace("\"minItems\": 1", "\"minItems\": 2");
    stricter[2].1 = &schema;
    for asked in [header("acme"), bump(Bump::Minor), exactly("1.9.0")] {
        let refused = plane.publish_as(asked, archive(&stricter)).await;
        let field = "schema.json/properties/domains/minItems";
        let error = assert_refused(refused, Code::FailedPrecondition, "MAJOR_VERSION_REQUIRED", &[field]);
        assert!(error.message.contains("1.0.0"), "{error}");
    }
    assert_eq!(plane.versions("acme", "domain-check").await, ["1.0.0"]);
    assert_eq!(published(&plane, bump(Bump::Major), &stricter).await, ("2.0.0".into(), true));
    // What takes more than before is no break.
    let looser = stricter[2].1.replace("\"minItems\": 2", "\"minItems\": 1");
    let mut looser_package = stricter.clone();
    looser_package[2].1 = &looser;
    assert_eq!(published(&plane, header("acme"), &looser_package).await, ("2.0.1".into(), true));
    // The promise is that of the version before it in the same line, not of the newest.
    assert_eq!(published(&plane, exactly("1.1.0"), &domain_check()).await, ("1.1.0".into(), true));
}

#[tokio::test]
async fn versions_that_race_for_one_number_get_different_ones() {
    let plane = Plane::with_acme().await;
    let contents: Vec<_> = ["1", "2", "3", "4"].map(gate).into_iter().collect();
    let publishes = contents.iter().map(|files| plane.publish("acme", files));
    let published = futures_util::future::join_all(publishes).await;
    let mut versions: Vec<_> = published.into_iter().map(|done| done.unwrap().version.unwrap().version).collect();
    versions.sort();
    assert_eq!(versions, ["1.0.0", "1.0.1", "1.0.2", "1.0.3"]);
    assert_eq!(plane.versions("acme", "gate").await, ["1.0.3", "1.0.2", "1.0.1", "1.0.0"]);
}

#[tokio::test]
async fn equal_contents_that_race_become_one_version() {
    let plane = Plane::with_acme().await;
    let files = gate("1");
    let published = futures_util::future::join_all((0..4).map(|_| plane.publish("acme", &files))).await;
    let published: Vec<_> = published.into_iter().map(Result::unwrap).collect();
    assert_eq!(published.iter().filter(|done| done.created).count(), 1);
    assert!(published.iter().all(|done| done.version.as_ref().unwrap().version == "1.0.0"));
    assert_eq!(plane.versions("acme", "gate").await, ["1.0.0"]);
}

#[tokio::test]
async fn a_catalogue_is_the_tenants_own() {
    let plane = Plane::with_gate().await;
    plane.create_tenant("acme-2").await;
    assert_eq!(plane.actions("acme-2").await, []);
    let request = control::GetVersionRequest { tenant: "acme-2".into(), slug: "gate".into(), version: String::new() };
    let missing = crate::support::answered(plane.catalog().get_version(request).await);
    assert_refused(missing, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    plane.create_flow("acme-2", "login").await.unwrap();
    let attach = control::AttachActionRequest { tenant: "acme-2".into(), ..attachment("gate", "1.0.0") };
    assert_refused(plane.attach(attach).await, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    assert_eq!(plane.kinds("acme-2").await, ["tenant.created", "flow.created"]);
}

#[tokio::test]
async fn versions_are_listed_page_by_page_the_highest_first() {
    let plane = Plane::with_acme().await;
    for version in ["1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "1.2.0"] {
        plane.publish_as(exactly(version), archive(&gate(version.split('.').nth(1).unwrap()))).await.unwrap();
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            control::ListVersionsRequest { tenant: "acme".into(), slug: "gate".into(), page_size: 2, page_token };
        let page = plane.catalog().list_versions(request).await.unwrap().into_inner();
        assert!(page.versions.iter().all(|version| version.config_schema.is_none()));
        found.extend(page.versions.into_iter().map(|version| version.version));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["2.0.0-rc.1", "1.10.0", "1.9.0", "1.2.0", "1.0.0"]);
}

/// Prints what a publish of 200 lines costs, by stage. `cargo test --release -p sluice-control-plane -- --ignored split`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn split_of_a_publish_of_200_lines() {
    let plane = Plane::with_acme().await;
    let mut took = Vec::new();
    for round in 0..21 {
        let mut code = String::from("type Input = { user: null | { email?: string } }\n");
        for line in 0..196 {
            code.push_str(&format!(
                "const f{line} = (input: Input): number => (input.user?.email ?? '').length + {line} + {round}\n"
            ));
        }
        code.push_str("export async function execute(input: Input) {\n");
        code.push_str("  return { kind: f0(input) + f195(input) > 0 ? 'continue' : 'block' }\n}\n");
        let archive = archive(&package(GATE, &code));
        let begun = std::time::Instant::now();
        plane.publish_as(header("acme"), archive).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    eprintln!("publish of 200 lines: p50 {:?}, max {:?}", took[took.len() / 2], took[took.len() - 1]);
    for line in plane.telemetry.exposition().text().unwrap().lines() {
        if line.starts_with("sluice_publish_stage") && (line.contains("_sum") || line.contains("_count")) {
            eprintln!("{line}");
        }
    }
}
