//! What needs no server, through the real binary: init, test, bad usage, and servers that are not there.

#![allow(clippy::unwrap_used, reason = "a test")]

use assert_cmd::{Command, assert::Assert};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The binary, without this shell's settings.
fn sluice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    for name in ["SLUICE_CONTROL_URL", "SLUICE_EXECUTOR_URL", "SLUICE_TENANT", "SLUICE_TOKEN", "SLUICE_PROFILE"] {
        command.env_remove(name);
    }
    // Nobody has profiles there.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// One line of JSON.
fn json(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

fn out(assert: &Assert) -> Value {
    json(&assert.get_output().stdout)
}

fn refusal(assert: &Assert) -> Value {
    json(&assert.get_output().stderr)["error"].clone()
}

/// A package made by init, with another source.
fn package(source: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("my-action");
    sluice().arg("init").arg(&dir).assert().success();
    fs::write(dir.join("src/index.ts"), source).unwrap();
    (folder, dir)
}

fn write(dir: &Path, name: &str, value: &Value) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, value.to_string()).unwrap();
    path
}

/// Runs a source once on an input.
fn tried(source: &str, input: &Value) -> Value {
    let (folder, dir) = package(source);
    let input = write(folder.path(), "input.json", input);
    let ran = sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(input).assert();
    // A block or a failed Action exits 0.
    out(&ran.success())
}

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
        let run = tried(&format!("export function execute(): any {{ {body} }}"), &json!({}));
        assert_eq!(run["failure"]["reason"], reason, "{body}: {run}");
    }
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
fn what_this_build_cannot_provide_is_refused_by_name() {
    let (_folder, dir) = package("export function execute() { return { kind: 'continue' } }");
    let manifest = "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\nhosts = [\"api.example.com\"]\n";
    fs::write(dir.join("action.toml"), manifest).unwrap();
    let error = refusal(&sluice().args(["--json", "test"]).arg(&dir).assert().code(1));
    assert_eq!(
        (&error["reason"], &error["fields"][0]["field"]),
        (&json!("UNSUPPORTED_FEATURE"), &json!("hosts")),
        "{error}"
    );
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

#[test]
fn modules_are_those_of_the_package_whatever_their_names() {
    let (folder, dir) = package("export function execute() { return { kind: 'block' } }");
    fs::write(dir.join("src/main.ts"), "export { execute } from './index'\n").unwrap();
    let manifest = fs::read_to_string(dir.join("action.toml")).unwrap();
    fs::write(dir.join("action.toml"), manifest.replace("triggers =", "entry = \"src/main.ts\"\ntriggers =")).unwrap();
    let input = write(folder.path(), "input.json", &json!({}));
    let run = out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(&input).assert().success());
    assert_eq!(run["outcome"]["kind"], "block", "{run}");

    // A cycle through the entry.
    let (folder, dir) = package(
        "import { twice } from './helper'\nexport const LIMIT = 3\n\
         export function execute() { return { kind: 'continue', state: { n: twice() } } }",
    );
    fs::write(dir.join("src/helper.ts"), "import { LIMIT } from './index'\nexport const twice = () => LIMIT * 2\n")
        .unwrap();
    let input = write(folder.path(), "input.json", &json!({}));
    let run = out(&sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(&input).assert().success());
    assert_eq!(run["outcome"]["state"]["n"], 6, "{run}");
}

#[test]
fn stacks_in_logs_and_thrown_dom_exceptions_have_the_authors_places() {
    let source = "interface Padding {\n  a: string\n}\n\n\nexport function execute() {\n  console.error(new Error('seen'))\n  btoa('\u{20ac}')\n}\n";
    let run = tried(source, &json!({}));
    let log = run["logs"][0]["text"].as_str().unwrap();
    assert!(log.contains("Error: seen\n    at execute (src/index.ts:7:"), "{log}");
    let failure = &run["failure"];
    assert!(failure["message"].as_str().unwrap().starts_with("InvalidCharacterError: "), "{failure}");
    assert_eq!((&failure["file"], &failure["line"]), (&json!("src/index.ts"), &json!(8)));
}

#[test]
fn what_the_top_level_prints_is_shown() {
    let (_folder, dir) = package("console.info('once')\nexport function execute() { return { kind: 'continue' } }");
    let tested = out(&sluice().args(["--json", "test"]).arg(&dir).assert().success());
    assert_eq!(tested["logs"][0]["text"], "once");
}

#[test]
fn bad_usage_is_json_where_json_is_asked_for() {
    let refused =
        sluice().args(["--json", "action", "publish", "dir", "--bump", "huge", "--tenant", "a"]).assert().code(2);
    let error = refusal(&refused);
    assert_eq!(
        (&error["code"], &error["reason"], &error["fields"][0]["field"]),
        (&json!("INVALID_ARGUMENT"), &json!("USAGE"), &json!("--bump"))
    );
    let told = sluice().args(["flow", "list"]).assert().code(2);
    let text = String::from_utf8(told.get_output().stderr.clone()).unwrap();
    assert!(
        text.contains("--tenant <TENANT>") && text.contains("next: --tenant NAME names it; sluice config set tenant"),
        "{text}"
    );
}

#[test]
fn profiles_keep_what_is_not_typed_and_never_show_a_token() {
    let home = tempfile::tempdir().unwrap();
    let config = |arguments: &[&str]| {
        let mut command = sluice();
        command.env("XDG_CONFIG_HOME", home.path()).args(["--json", "config"]).args(arguments);
        command
    };
    let set = out(&config(&["set", "tenant", "acme"]).assert().success());
    assert_eq!((&set["profile"], &set["current"], &set["tenant"]), (&json!("default"), &json!(true), &json!("acme")));
    fs::write(home.path().join("token"), "very-secret\n").unwrap();
    let token = home.path().join("token");
    let token = token.to_str().unwrap();
    out(&config(&["set", "token", "--value-file", token, "--profile", "far"]).assert().success());
    out(&config(&["set", "control-url", "http://far:7070", "--profile", "far"]).assert().success());
    let refused = config(&["set", "token", "very-secret"]).assert().code(2);
    assert!(!refusal(&refused).to_string().contains("very-secret"));
    let refused = config(&["set", "control-url", "far"]).assert().code(1);
    assert_eq!(refusal(&refused)["fields"][0]["field"], "control-url");

    let listed = config(&["list"]).assert().success();
    assert!(!String::from_utf8_lossy(&listed.get_output().stdout).contains("very-secret"));
    let names: Vec<Value> = out(&listed)["entries"].as_array().unwrap().iter().map(|e| e["profile"].clone()).collect();
    assert_eq!(names, ["default", "far"]);
    let shown = out(&config(&["show", "--profile", "far"]).assert().success());
    assert_eq!(shown["control_url"], json!({ "value": "http://far:7070", "source": "profile" }));
    assert_eq!((&shown["token"]["value"], &shown["executor_url"]["source"]), (&json!("(set)"), &json!("default")));
    let shown = out(&config(&["show"]).env("SLUICE_TENANT", "other").assert().success());
    assert_eq!(shown["tenant"], json!({ "value": "other", "source": "environment" }));

    // It is used: the server that is not there is the profile's.
    let mut list = sluice();
    list.env("XDG_CONFIG_HOME", home.path()).args(["--json", "flow", "list", "--profile", "far", "--tenant", "acme"]);
    assert!(refusal(&list.assert().code(1))["message"].as_str().unwrap().contains("http://far:7070"));
    let mut list = sluice();
    list.env("XDG_CONFIG_HOME", home.path()).args(["--json", "flow", "list", "--profile", "nowhere"]);
    assert!(refusal(&list.assert().code(2))["message"].as_str().unwrap().contains("there are default, far"));
    assert_eq!(out(&config(&["use", "far"]).assert().success())["current"], true);
    assert_eq!(out(&config(&["unset", "token"]).assert().success())["has_token"], false);
    assert_eq!(out(&config(&["delete", "far"]).assert().success()), json!({ "profile": "far", "deleted": true }));
}

#[test]
fn shells_and_man_get_what_they_read() {
    for shell in ["bash", "zsh", "fish"] {
        let made = sluice().args(["completions", shell]).assert().success();
        let script = String::from_utf8(made.get_output().stdout.clone()).unwrap();
        assert!(script.contains("rollback") && script.contains("redirect-origins"), "{shell}");
        if shell == "bash" {
            Command::new("bash").arg("-n").write_stdin(script).assert().success();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let written = out(&sluice().args(["--json", "man"]).arg(folder.path()).assert().success());
    let files = written["files"].as_array().unwrap();
    assert!(files.len() > 40 && files.contains(&json!("sluice-flow-attach.1")), "{files:?}");
    let page = fs::read_to_string(folder.path().join("sluice-flow-attach.1")).unwrap();
    assert!(page.contains("Examples:") && page.contains("position"), "{page}");
}

#[test]
fn a_saved_package_is_tested_again() {
    use std::io::{BufRead as _, BufReader};
    let (_folder, dir) = package("export function execute() { return { kind: 'continue' } }");
    let mut watching = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["--json", "test", "--watch"])
        .arg(&dir)
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut passed = || {
        let tested: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        tested["cases"][0]["passed"].clone()
    };
    assert_eq!(passed(), true);
    fs::write(dir.join("src/index.ts"), "export function execute() { return { kind: 'block' } }").unwrap();
    assert_eq!(passed(), false);
    // What does not compile is told, and the next save is waited for.
    fs::write(dir.join("src/index.ts"), "export function execute( {").unwrap();
    let mut errors = BufReader::new(watching.stderr.take().unwrap()).lines();
    assert!(errors.next().unwrap().unwrap().contains("INVALID_PACKAGE"));
    fs::write(dir.join("src/index.ts"), "export function execute() { return { kind: 'continue' } }").unwrap();
    assert_eq!(passed(), true);
    watching.kill().unwrap();
    watching.wait().unwrap();
}
