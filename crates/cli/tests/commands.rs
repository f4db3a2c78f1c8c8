//! What needs no server, through the real binary: init, test, bad usage, and servers that are not there.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::{out, package, refusal, sluice, tried, write};

#[test]
fn what_init_makes_passes_its_test_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("my-action");
    let made = out(&sluice().args(["--json", "init"]).arg(&dir).assert().success());
    assert_eq!(made["slug"], "my-action");
    for file in made["files"].as_array().unwrap() {
        assert!(dir.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    let tested = out(&sluice().args(["--json", "test"]).arg(&dir).assert().success());
    let expected = json!({ "outcome": { "kind": "continue" } });
    let case = &tested["cases"][0];
    assert_eq!((&case["name"], &case["passed"]), (&json!("a sign-in continues"), &json!(true)));
    assert_eq!(
        (&case["expected"], &case["got"], &case["file"]),
        (&expected, &expected, &json!("tests/continues.json"))
    );
    assert!(case["cpu_us"].as_u64().unwrap() > 0 && tested["code_bytes"].as_u64().unwrap() > 0, "{tested}");
    sluice().arg("test").arg(&dir).assert().success().stderr("");

    let again = sluice().args(["--json", "init"]).arg(&dir).assert().code(1);
    assert_eq!(refusal(&again)["reason"], "FOLDER_NOT_EMPTY");
}

#[test]
fn a_case_that_fails_says_how_and_exits_1() {
    let (_folder, dir) = package("export function execute(input: Input): Outcome { return { kind: 'block' } }");
    let tested = sluice().args(["--json", "test"]).arg(&dir).assert().code(1).stderr("");
    let case = &out(&tested)["cases"][0];
    assert_eq!((&case["passed"], &case["got"]["outcome"]["kind"]), (&json!(false), &json!("block")));
    let shown = sluice().arg("test").arg(&dir).assert().code(1);
    let text = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert!(
        text.contains("✗ a sign-in continues") && text.contains("/outcome/kind: expected \"continue\", got \"block\""),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colour where nobody sees it");
}

#[test]
fn an_input_is_run_and_told_whole() {
    let source = "export async function execute(input: Input) {
        console.warn('hello', input.context.mode, input.context.tenant.id, input.request.time)
        return { kind: 'continue', state: { user: input.user!.id } }
    }";
    let (folder, dir) = package(source);
    let input = write(folder.path(), "input.json", &json!({ "trigger": "post-login", "user": { "id": "u1" } }));
    let now = "2026-01-31T12:00:00Z";
    let args = ["--json", "test", "--trigger", "post-login", "--now", now];
    let run = out(&sluice().args(args).arg(&dir).arg("--input").arg(input).assert().success());
    assert_eq!(run["outcome"], json!({ "kind": "continue", "state": { "user": "u1" } }));
    assert_eq!((&run["failure"], &run["skipped"], &run["emits"]), (&Value::Null, &Value::Null, &json!([])));
    assert_eq!(run["logs"][0]["level"], "warn");
    let text = run["logs"][0]["text"].as_str().unwrap();
    assert!(text.contains("test test 2026-01-31T12:00:00"), "{text}");
    assert!(run["cpu_us"].as_u64().unwrap() > 0 && run["memory_bytes"].as_u64().unwrap() > 0, "{run}");
}

#[test]
fn a_throw_names_the_authors_line() {
    let run = tried("type T = string\nexport function execute() {\n  throw new Error('boom')\n}\n", &json!({}));
    assert_eq!(run["outcome"], Value::Null);
    let failure = &run["failure"];
    assert_eq!(
        (&failure["reason"], &failure["file"], &failure["line"]),
        (&json!("threw"), &json!("src/index.ts"), &json!(3))
    );
    assert!(failure["message"].as_str().unwrap().contains("boom"));
}

#[test]
fn hostile_actions_end_with_their_reason() {
    for (body, reason) in [
        ("while (true) {}", "cpu_limit"),
        ("const all = []; while (true) all.push(new ArrayBuffer(1 << 23))", "memory_limit"),
        ("const f = (): number => 1 + f(); f()", "threw"),
        ("return new Promise(() => {})", "never_settled"),
        ("return { kind: 'welcome' }", "invalid_outcome"),
        ("return { kind: 'continue', claims: [{ token: 'id', name: 'sub', value: 'root' }] }", "invalid_outcome"),
        ("return { kind: 'redirect', url: 'http://evil.example/' }", "invalid_outcome"),
        (
            "return { kind: 'continue', emit: [{ type: 't', data: 1, to: [{ url: 'https://a.example/' }] }] }",
            "capability_denied",
        ),
    ] {
        let (folder, dir) = package(&format!("export function execute(): any {{ {body} }}"));
        // To fill 64 MiB may take a busy machine more than the 50 ms that a run has unless it asks for more.
        let manifest = fs::read_to_string(dir.join("action.toml")).unwrap();
        fs::write(dir.join("action.toml"), format!("{manifest}\n[limits]\ncpu_ms = 1000\nwall_ms = 5000\n")).unwrap();
        let input = write(folder.path(), "input.json", &json!({}));
        let run = out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(input).assert().success());
        assert_eq!(run["failure"]["reason"], reason, "{body}: {run}");
    }
}

#[test]
fn what_a_run_emits_is_shown_with_its_target() {
    let (folder, dir) = package(
        "export function execute(): Outcome { return { kind: 'continue', emit: [{ type: 't', data: { n: 1 }, to: [{ url: 'https://a.example/hook' }] }] } }",
    );
    let manifest = fs::read_to_string(dir.join("action.toml")).unwrap();
    fs::write(dir.join("action.toml"), format!("hosts = [\"a.example\"]\n{manifest}")).unwrap();
    let input = write(folder.path(), "input.json", &json!({}));
    let run = out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(input).assert().success());
    assert_eq!(run["failure"], Value::Null, "{run}");
    assert_eq!(run["emits"].as_array().unwrap().len(), 1, "{run}");
    let emit = &run["emits"][0];
    assert_eq!((&emit["type"], &emit["data"]), (&json!("t"), &json!({"n": 1})));
    assert_eq!(emit["to"][0]["url"], "https://a.example/hook");
}

#[test]
fn redirects_may_lead_anywhere_unless_origins_are_named() {
    let (folder, dir) =
        package("export function execute() { return { kind: 'redirect', url: 'https://app.example.com/x' } }");
    let input = write(folder.path(), "input.json", &json!({}));
    let run = |args: &[&str]| {
        out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(&input).args(args).assert().success())
    };
    assert_eq!(run(&[])["outcome"]["kind"], "redirect");
    assert_eq!(run(&["--redirect-origin", "https://app.example.com"])["outcome"]["kind"], "redirect");
    let refused = run(&["--redirect-origin", "https://other.example.com"]);
    assert_eq!(
        (&refused["failure"]["reason"], &refused["failure"]["pointer"]),
        (&json!("invalid_outcome"), &json!("/url"))
    );
}

#[test]
fn http_leads_to_localhost_only_where_it_would_in_a_sign_in() {
    let (folder, dir) =
        package("export function execute() { return { kind: 'redirect', url: 'http://localhost:3000/x' } }");
    let input = write(folder.path(), "input.json", &json!({}));
    let run = |args: &[&str]| {
        out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(&input).args(args).assert().success())
    };
    for origin in [&[][..], &["--redirect-origin", "http://localhost:3000"]] {
        let refused = run(origin);
        let message = refused["failure"]["message"].as_str().unwrap();
        assert!(message.contains("redirect.http_localhost"), "the setting is named: {message}");
        assert_eq!(run(&[origin, &["--http-localhost"]].concat())["outcome"]["kind"], "redirect");
    }
    // A package's cases are judged as sign-ins are by default.
    let case = json!({ "name": "home", "trigger": "post-login", "input": {},
                       "expect": { "failure": { "reason": "invalid_outcome", "pointer": "/url" } } });
    fs::write(dir.join("tests/continues.json"), case.to_string()).unwrap();
    sluice().arg("test").arg(&dir).assert().success();
}

#[test]
fn an_outcome_that_is_not_declared_is_invalid() {
    let (folder, dir) = package("export function execute() { return { kind: 'block' } }");
    let manifest = "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\noutcomes = [\"continue\"]\n";
    fs::write(dir.join("action.toml"), manifest).unwrap();
    let input = write(folder.path(), "input.json", &json!({}));
    let run = out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(input).assert().success());
    assert_eq!(run["failure"]["pointer"], "/kind");
}

#[test]
fn mistakes_of_a_package_are_told_with_their_place() {
    let (_folder, dir) = package("export function execute() {\n  return { kind: \n}\n");
    let error = refusal(&sluice().args(["--json", "test"]).arg(&dir).assert().code(1));
    assert_eq!((&error["code"], &error["reason"]), (&json!("INVALID_ARGUMENT"), &json!("INVALID_PACKAGE")));
    let field = error["fields"][0]["field"].as_str().unwrap();
    assert!(field.starts_with("src/index.ts:"), "{field}");

    fs::write(dir.join("src/index.ts"), "throw new Error('at the top')\nexport function execute() {}").unwrap();
    let error = refusal(&sluice().args(["--json", "test"]).arg(&dir).assert().code(1));
    assert!(error["fields"][0]["field"].as_str().unwrap().starts_with("src/index.ts:1"), "{error}");

    fs::write(dir.join("action.toml"), "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\ncolour = 1\n")
        .unwrap();
    let error = refusal(&sluice().args(["--json", "test"]).arg(&dir).assert().code(1));
    assert!(error["fields"][0]["field"].as_str().unwrap().starts_with("action.toml:4"), "{error}");
}

#[test]
fn inputs_and_configs_are_read_strictly() {
    let (folder, dir) = package("export function execute() { return { kind: 'continue' } }");
    let refused = |args: &[&str]| {
        let refused = sluice().args(["--json", "test"]).arg(&dir).args(args).assert().code(1);
        refusal(&refused)["fields"][0]["field"].as_str().unwrap().to_owned()
    };
    let file = |name: &str, value: Value| write(folder.path(), name, &value).display().to_string();
    let unknown = file("unknown.json", json!({ "user": { "id": "u", "shoe_size": 42 } }));
    assert_eq!(refused(&["--input", &unknown]), "input/user/shoe_size");
    let hosts = file("host.json", json!({ "context": { "now": "2026-01-31T12:00:00Z" } }));
    assert_eq!(refused(&["--input", &hosts]), "input/context/now");
    let fine = file("fine.json", json!({}));
    assert_eq!(refused(&["--input", &fine, "--trigger", "pre-login"]), "trigger");
    assert_eq!(refused(&["--input", &fine, "--trigger", "lunch"]), "trigger");
    let config = file("config.json", json!({ "domains": [] }));
    assert_eq!(refused(&["--input", &fine, "--config", &config]), "config/domains");
    assert_eq!(refused(&["--input", "/nowhere/input.json"]), "--input");
    let broken = folder.path().join("broken.json");
    fs::write(&broken, "{\n  \"user\": \n}").unwrap();
    assert_eq!(refused(&["--input", broken.to_str().unwrap()]), "--input");
}

#[test]
fn mistakes_in_cases_are_told_before_anything_runs() {
    let (_folder, dir) = package("export function execute() { return { kind: 'continue' } }");
    let expect = json!({ "outcome": { "kind": "continue" } });
    let cases = json!([
        { "name": "a", "trigger": "post-login", "config": { "x": 1 }, "input": {}, "expect": expect },
        { "name": "b", "trigger": "post-login", "steps": [{ "input": { "user": {} }, "expect": expect }] },
    ]);
    write(&dir, "tests/more.json", &cases);
    let error = refusal(&sluice().args(["--json", "test"]).arg(&dir).assert().code(1));
    let messages: Vec<_> = error["fields"].as_array().unwrap().iter().map(|f| f["message"].as_str().unwrap()).collect();
    assert!(messages.iter().any(|m| m.contains("/0/config/x")), "{messages:?}");
    assert!(messages.iter().any(|m| m.contains("/1/steps/0/input/user")), "{messages:?}");
}

#[test]
fn a_sequence_stops_at_the_step_that_differs() {
    let (_folder, dir) =
        package("export function execute(input: Input) { return { kind: input.user ? 'block' : 'continue' } }");
    let step = |input: Value, kind: &str| json!({ "input": input, "expect": { "outcome": { "kind": kind } } });
    let user = json!({ "user": { "id": "u" } });
    let case = json!({ "name": "steps", "trigger": "post-login", "steps": [step(json!({}), "continue"), step(user, "continue")] });
    fs::remove_file(dir.join("tests/continues.json")).unwrap();
    write(&dir, "tests/steps.json", &case);
    let shown = sluice().arg("test").arg(&dir).assert().code(1);
    let text = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert!(text.contains("✗ steps (step 2)"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_one_clear_line() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let missing = sluice().args(["tenant", "list", "--control-url", &url]).assert().code(1).stdout("");
    let text = String::from_utf8(missing.get_output().stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("cannot reach the control plane") && text.contains("sluice dev"), "{text}");
    let missing = sluice().args(["--json", "tenant", "list"]).env("SLUICE_CONTROL_URL", url).assert().code(1);
    assert_eq!(refusal(&missing)["reason"], "UNREACHABLE");
}

#[test]
fn bad_usage_exits_2() {
    for args in [&["flow", "attach", "login"][..], &["nonsense"], &["action", "list"], &["test", "x", "--frobnicate"]] {
        sluice().args(args).assert().code(2);
    }
    sluice().arg("--version").assert().success();
}
