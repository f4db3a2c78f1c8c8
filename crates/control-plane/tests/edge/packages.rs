//! Packages that are refused: each names the place, and leaves nothing behind.

use crate::support::{
    GATE, Plane, answered, archive, archive_of_bytes, assert_refused, domain_check, exactly, header, package,
};
use sluice_api::control::v1::{self as control, publish_version_request::Message};
use sluice_model::{Code, Error};

const CONTINUE: &str = "export const execute = () => ({ kind: 'continue' })\n";

/// That a refused publish left nothing: no Action, no audit.
async fn assert_nothing_left(plane: &Plane) {
    assert_eq!(plane.actions("acme").await, []);
    assert_eq!(plane.kinds("acme").await, ["tenant.created"]);
}

/// The refusal of a package as INVALID_PACKAGE, with the places that it names.
async fn refused(plane: &Plane, files: &[(&str, &str)], places: &[&str]) -> Error {
    let error = assert_refused(plane.publish("acme", files).await, Code::InvalidArgument, "INVALID_PACKAGE", places);
    assert_nothing_left(plane).await;
    error
}

#[tokio::test]
async fn a_mistake_in_the_source_is_told_at_its_place_with_an_excerpt() {
    let plane = Plane::with_acme().await;
    let code = "export async function execute(input) {\n  const n = = 1\n  return { kind: 'continue' }\n}\n";
    let error = assert_refused_somewhere(plane.publish("acme", &package(GATE, code)).await, "src/index.ts:2:13");
    assert!(error.fields[0].message.contains("\n2 |   const n = = 1\n  |             ^"), "{:?}", error.fields[0]);
    assert_nothing_left(&plane).await;
}

#[track_caller]
fn assert_refused_somewhere<T: std::fmt::Debug>(result: Result<T, Error>, place: &str) -> Error {
    let error = result.expect_err("it is refused");
    assert_eq!((error.code, &*error.reason), (Code::InvalidArgument, "INVALID_PACKAGE"), "{error:?}");
    assert!(error.fields[0].field.starts_with(place), "{error:?}");
    error
}

#[tokio::test]
async fn all_mistakes_of_action_toml_are_told_at_once() {
    let plane = Plane::with_acme().await;
    let manifest = "slug = \"Gate\"\nname = \"Gate\"\ntriggers = [\"post-logn\"]\ncolour = \"red\"\n";
    let error =
        refused(&plane, &package(manifest, CONTINUE), &["action.toml:1:8", "action.toml:3:13", "action.toml:4:1"])
            .await;
    assert!(
        error.fields[1].message.contains("did you mean \\\"post-login\\\"")
            || error.fields[1].message.contains("post-login")
    );
    assert!(error.fields[2].message.contains("unknown key \"colour\""), "{:?}", error.fields[2]);
}

#[tokio::test]
async fn a_package_without_execute_is_refused() {
    let plane = Plane::with_acme().await;
    let code = "export async function run(input) { return { kind: 'continue' } }\n";
    let error = assert_refused_somewhere(plane.publish("acme", &package(GATE, code)).await, "src/index.ts");
    assert!(error.fields[0].message.contains("execute"), "{error:?}");
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn a_top_level_that_throws_is_refused_at_its_place() {
    let plane = Plane::with_acme().await;
    let code = "export const execute = () => ({ kind: 'continue' })\n\nconst table: string[] = []\ntable[3].trim()\n";
    let error = assert_refused_somewhere(plane.publish("acme", &package(GATE, code)).await, "src/index.ts:4:");
    let told = &error.fields[0].message;
    assert!(told.contains("threw") && told.contains("4 | table[3].trim()"), "{told}");
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn a_top_level_that_never_ends_is_refused() {
    let plane = Plane::with_acme().await;
    let code = format!("{CONTINUE}let n = 0\nwhile (true) {{ n += 1 }}\n");
    let error = plane.publish("acme", &package(GATE, &code)).await.unwrap_err();
    assert_eq!((error.code, &*error.reason), (Code::InvalidArgument, "INVALID_PACKAGE"), "{error:?}");
    assert!(error.fields[0].message.contains("cpu_limit"), "{error:?}");
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn a_top_level_that_waits_for_ever_is_refused() {
    let plane = Plane::with_acme().await;
    let code = format!("{CONTINUE}await new Promise(() => {{}})\n");
    let error = plane.publish("acme", &package(GATE, &code)).await.unwrap_err();
    assert_eq!((error.code, &*error.reason), (Code::InvalidArgument, "INVALID_PACKAGE"), "{error:?}");
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn a_case_that_does_not_pass_is_refused_with_the_difference() {
    let plane = Plane::with_acme().await;
    let case = |kind: &str| {
        format!(
            r#"[{{"name": "outsiders", "trigger": "post-login", "input": {{}}, "expect": {{"outcome": {{"kind": "{kind}"}}}}}}]"#
        )
    };
    let (blocks, continues) = (case("block"), case("continue"));
    let mut files = package(GATE, CONTINUE);
    files.push(("tests/first.json", &blocks));
    let error = refused(&plane, &files, &["tests/first.json:1:62"]).await;
    let told = &error.fields[0].message;
    assert!(
        told.contains("outsiders") && told.contains(r#"/outcome/kind: expected "block", got "continue""#),
        "{told}"
    );
    files[2].1 = &continues;
    assert!(plane.publish("acme", &files).await.unwrap().created);
}

#[tokio::test]
async fn the_steps_of_a_case_share_the_state() {
    let plane = Plane::with_acme().await;
    let code = "export const execute = (input: any) => {\n  const n = (input.state.n ?? 0) + 1\n  \
                return { kind: n > 1 ? 'block' : 'continue', state: { n } }\n}\n";
    let steps = r#"{"name": "twice", "trigger": "post-login", "steps": [
        {"input": {}, "expect": {"outcome": {"kind": "continue"}}},
        {"input": {}, "expect": {"outcome": {"kind": "block"}}}]}"#;
    let mut files = package(GATE, code);
    files.push(("tests/steps.json", steps));
    plane.publish("acme", &files).await.unwrap();
}

#[tokio::test]
async fn a_case_whose_config_the_schema_refuses_is_refused_with_the_pointer() {
    let plane = Plane::with_acme().await;
    let mut files = domain_check();
    files.push((
        "tests/config.json",
        r#"{"name": "short", "trigger": "post-login", "config": {"domains": ["x"]}, "input": {},
            "expect": {"outcome": {"kind": "continue"}}}"#,
    ));
    let error = refused(&plane, &files, &["tests/config.json:1:67"]).await;
    assert!(error.fields[0].message.contains("/config/domains/0"), "{error:?}");
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_what_it_is() {
    let plane = Plane::with_acme().await;
    let manifest = format!("{GATE}component = \"action.wasm\"\n");
    for (wasm, says) in
        [("", "fewer than 8 bytes"), ("\0asm\u{1}\0\0\0", "a core module"), ("(component)", "does not begin as one")]
    {
        let error = refused(&plane, &[("action.toml", &manifest), ("action.wasm", wasm)], &["action.wasm"]).await;
        assert!(error.fields[0].message.contains(says), "{error:?}");
    }
}

#[tokio::test]
async fn the_names_of_the_platforms_templates_are_reserved() {
    let plane = Plane::with_acme().await;
    for slug in ["domain-allowlist", "rate-limit-by-ip", "webhook-emit", "redirect-by-group"] {
        let manifest = format!("name = \"Mine\"\nslug = \"{slug}\"\ntriggers = [\"post-login\"]\n");
        refused(&plane, &package(&manifest, CONTINUE), &["action.toml:2:8"]).await;
    }
}

#[tokio::test]
async fn a_schema_that_is_none_is_refused_at_its_place() {
    let plane = Plane::with_acme().await;
    let mut files = domain_check();
    files[2].1 = "{\n  \"type\": \"object\",\n  \"properties\": { \"a\": { \"type\": \"strin\" } }\n}\n";
    assert_refused_somewhere(plane.publish("acme", &files).await, "schema.json:3:");
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn what_is_no_package_is_refused() {
    let plane = Plane::with_acme().await;
    let not_an_archive = plane.publish_as(header("acme"), b"hello".to_vec()).await;
    assert_refused(not_an_archive, Code::InvalidArgument, "INVALID_PACKAGE", &["package"]);
    let no_manifest = plane.publish("acme", &[("src/index.ts", CONTINUE)]).await;
    assert_refused(no_manifest, Code::InvalidArgument, "INVALID_PACKAGE", &["package"]);
    let not_utf_8 = archive_of_bytes(&[("action.toml", GATE.as_bytes()), ("src/index.ts", b"// ok\n\xff\xfe")]);
    let error = assert_refused_somewhere(plane.publish_as(header("acme"), not_utf_8).await, "src/index.ts:2:1");
    assert!(error.fields[0].message.contains("UTF-8"), "{error:?}");
    let nested = format!("export const execute = () => {}0{}\n", "(".repeat(200_000), ")".repeat(200_000));
    let error = plane.publish("acme", &package(GATE, &nested)).await.unwrap_err();
    assert_eq!(&*error.reason, "INVALID_PACKAGE", "{error:?}");
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_size() {
    let plane = Plane::with_acme().await;
    let large = |bytes: usize| Message::Chunk(vec![7; bytes].into());
    let one_chunk = plane.publish_messages(vec![Message::Header(header("acme")), large((1 << 20) + 1)]).await;
    assert_refused(one_chunk, Code::InvalidArgument, "INVALID_FIELD", &["chunk"]);
    let mut messages = vec![Message::Header(header("acme"))];
    messages.extend((0..29).map(|_| large(1 << 20)));
    assert_refused(plane.publish_messages(messages).await, Code::InvalidArgument, "INVALID_FIELD", &["chunk"]);
    // It packs well, but what it unpacks to counts.
    let code = format!("{CONTINUE}// {}\n", "x".repeat(2 << 20));
    refused(&plane, &package(GATE, &code), &["src/index.ts"]).await;
}

#[tokio::test]
async fn a_stream_that_is_not_a_header_and_chunks_is_refused() {
    let plane = Plane::with_acme().await;
    let chunk = || Message::Chunk(archive(&package(GATE, CONTINUE)).into());
    let no_header = plane.publish_messages(vec![chunk()]).await;
    assert_refused(no_header, Code::InvalidArgument, "PROTOCOL_VIOLATION", &["header"]);
    let two =
        plane.publish_messages(vec![Message::Header(header("acme")), chunk(), Message::Header(header("acme"))]).await;
    assert_refused(two, Code::InvalidArgument, "PROTOCOL_VIOLATION", &["header"]);
    let nothing = plane.publish_messages(vec![Message::Header(header("acme"))]).await;
    assert_refused(nothing, Code::InvalidArgument, "INVALID_FIELD", &["chunk"]);
    let empty = plane.publish_messages(Vec::new()).await.unwrap_err();
    assert_eq!(&*empty.reason, "PROTOCOL_VIOLATION");
    for tenant in ["", "Acme"] {
        let refused = plane.publish_messages(vec![Message::Header(header(tenant)), chunk()]).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELD", &["tenant"]);
    }
    assert_nothing_left(&plane).await;
}

#[tokio::test]
async fn versions_that_are_asked_for_wrongly_are_refused() {
    let plane = Plane::with_gate().await;
    plane.publish_as(exactly("2.0.0-rc.1"), archive(&crate::support::gate("9"))).await.unwrap();
    let show = |slug: &str, version: &str| {
        let request = control::GetVersionRequest { tenant: "acme".into(), slug: slug.into(), version: version.into() };
        let mut catalog = plane.catalog();
        async move { answered(catalog.get_version(request).await) }
    };
    assert_eq!(show("gate", "").await.unwrap().version.unwrap().version, "1.0.0");
    assert_eq!(show("gate", "2.0.0-rc.1").await.unwrap().version.unwrap().version, "2.0.0-rc.1");
    assert_refused(show("gate", "1.0.1").await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert_refused(show("gate", "^2").await, Code::NotFound, "VERSION_NOT_FOUND", &[]);
    assert_refused(show("other", "1.0.0").await, Code::NotFound, "ACTION_NOT_FOUND", &[]);
    assert_refused(show("gate", "one").await, Code::InvalidArgument, "INVALID_FIELD", &["version"]);
    assert_refused(show("gate", "1.0.0+b").await, Code::InvalidArgument, "INVALID_FIELD", &["version"]);
    assert_refused(show("Gate", "1.0.0").await, Code::InvalidArgument, "INVALID_FIELD", &["slug"]);
    let versions = control::ListVersionsRequest { tenant: "acme".into(), slug: "other".into(), ..Default::default() };
    let missing = answered(plane.catalog().list_versions(versions).await);
    assert_refused(missing, Code::NotFound, "ACTION_NOT_FOUND", &[]);
}
