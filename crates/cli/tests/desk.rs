//! The author's desk, through the real binary: places, watching, coverage, terminals, profiles, completions.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use assert_cmd::Command;
use serde_json::{Value, json};
use std::fs;
use support::{on_a_terminal, out, package, refusal, sluice, tried, write};

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

#[test]
fn coverage_says_which_lines_the_cases_have_run() {
    let source = "import { name } from './name'\nexport async function execute(input: Input): Promise<Outcome> {\n  \
                  console.log('mine')\n  if (name(input) === 'nobody') return { kind: 'block' }\n  const x: number = 1\n  \
                  if (x > 1) {\n    return { kind: 'block' }\n  }\n  return { kind: 'continue' }\n}\n";
    let (_folder, dir) = package(source);
    fs::write(dir.join("src/name.ts"), "export function name(input: Input) {\n  return input.user?.id\n}\nexport const unused = () => {\n  return 1\n}\n").unwrap();
    let tested = out(&sluice().args(["--json", "test", "--coverage"]).arg(&dir).assert().success());
    assert_eq!(
        tested["coverage"],
        json!({ "lines": 9, "ran": 6, "files": [
            { "file": "src/index.ts", "lines": 6, "ran": 4, "missed": [4, 7] },
            { "file": "src/name.ts", "lines": 3, "ran": 2, "missed": [5] },
        ] })
    );
    assert_eq!(tested["cases"][0]["logs"], json!([{ "level": "info", "text": "mine" }]), "what counts is not shown");
    let without = out(&sluice().args(["--json", "test"]).arg(&dir).assert().success());
    assert!(without.get("coverage").is_none());
}

#[test]
fn on_a_terminal_init_asks_for_what_it_was_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("My Action");
    let line = format!("{} init '{}'", env!("CARGO_BIN_EXE_sluice"), dir.display());
    // The slug, since the folder's name is none; then one down in the list.
    let (screen, code) =
        on_a_terminal(&line, &[("The Action's slug", "ask-once\r"), ("What does it begin as?", "\u{1b}[B\r")]);
    assert_eq!(code, 0, "{screen}");
    let manifest = fs::read_to_string(dir.join("action.toml")).unwrap();
    assert!(manifest.contains("slug = \"ask-once\"") && dir.join("src/fields.ts").exists(), "{manifest}\n{screen}");
}
