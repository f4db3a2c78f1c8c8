//! What an Action reaches in `sluice test`, through the real binary: servers, secrets, counters and kv, of cases and of files.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::{out, package, sluice, write};

/// Asks for a plan by a key, once for each user; twice a minute at most.
const SOURCE: &str = "export async function execute(input) {
  const { allowed, remaining } = await counters.take('asked', { limit: 2, window_s: 60 })
  if (!allowed) return { kind: 'block', error: 'rate_limited' }
  const id = input.user.id
  let plan = await kv.get(id)
  if (plan === null) {
    const key = secrets.get('API_KEY')
    const response = await fetch(`https://api.example.com/users/${id}`, { headers: { authorization: `Bearer ${key}` } })
    plan = (await response.json()).plan
    await kv.set(id, plan, { ttl_s: 60 })
  }
  return { kind: 'continue', reason_code: plan, state: { remaining } }
}
";
const REACHES: &str =
    "hosts = [\"api.example.com\"]\nsecrets = [\"API_KEY\"]\ncapabilities = [\"counters\", \"kv\"]\ntriggers =";

fn reaching() -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, dir) = package(SOURCE);
    let manifest = fs::read_to_string(dir.join("action.toml")).unwrap();
    fs::write(dir.join("action.toml"), manifest.replace("triggers =", REACHES)).unwrap();
    (folder, dir)
}

fn run(dir: &Path, input: &Path, more: &[&str]) -> Value {
    let mut command = sluice();
    command.args(["--json", "test", "--trigger", "post-login"]).arg(dir).arg("--input").arg(input).args(more);
    out(&command.assert().success())
}

#[test]
fn a_case_brings_all_that_an_action_reaches() {
    let (_folder, dir) = reaching();
    let step = |id: &str, expect: Value| json!({ "input": { "user": { "id": id } }, "now": "2026-01-31T12:00:00Z", "expect": expect });
    let case = json!({
        "name": "asked once for each user",
        "trigger": "post-login",
        "secrets": { "API_KEY": "k" },
        "http": [
            { "url": "https://api.example.com/users/u1", "json": { "plan": "team" } },
            { "url": "https://api.example.com/users/u1", "failure": "connect_failed" },
        ],
        "steps": [
            step("u1", json!({ "outcome": { "reason_code": "team", "state": { "remaining": 1 } } })),
            step("u1", json!({ "outcome": { "reason_code": "team", "state": { "remaining": 0 } } })),
            step("u1", json!({ "outcome": { "kind": "block" } })),
        ],
    });
    let alone = |name: &str, brings: Value, message: &str| {
        let mut case = json!({
            "name": name,
            "trigger": "post-login",
            "input": { "user": { "id": "u2" } },
            "expect": { "failure": { "message": message } },
        });
        case.as_object_mut().unwrap().extend(brings.as_object().unwrap().clone());
        case
    };
    let cases = json!([
        case,
        alone(
            "no answer",
            json!({ "secrets": { "API_KEY": "k" } }),
            "TypeError: fetch failed: the case has no answer for GET https://api.example.com/users/u2: add it to \"http\"",
        ),
        alone("no secret", json!({}), "the secret API_KEY is not set"),
    ]);
    fs::remove_dir_all(dir.join("tests")).unwrap();
    write(&dir.join("tests"), "reach.json", &cases);
    let tested = out(&sluice().args(["--json", "test"]).arg(&dir).assert().success());
    assert_eq!(tested["cases"].as_array().unwrap().len(), 3, "{tested}");
}

#[test]
fn an_input_finds_what_the_files_of_its_flags_say() {
    let (folder, dir) = reaching();
    let input = write(folder.path(), "input.json", &json!({ "user": { "id": "u1" } }));
    let secrets = write(folder.path(), "secrets.json", &json!({ "API_KEY": "k" }));
    let http = json!([{ "url": "https://api.example.com/users/u1", "json": { "plan": "team" } }]);
    let http = write(folder.path(), "http.json", &http);
    let (secrets, http) = (secrets.to_str().unwrap(), http.to_str().unwrap());

    let ran = run(&dir, &input, &["--secrets", secrets, "--http", http]);
    assert_eq!((&ran["outcome"]["reason_code"], &ran["failure"]), (&json!("team"), &Value::Null), "{ran}");
    let ran = run(&dir, &input, &["--secrets", secrets]);
    let told = ran["failure"]["message"].as_str().unwrap();
    assert!(told.contains("sluice test asks no server: give --http with a file that says what GET https://"), "{told}");
    let ran = run(&dir, &input, &["--http", http]);
    assert_eq!(ran["failure"]["message"], "the secret API_KEY is not set: give it with --secrets", "{ran}");
}

#[test]
fn what_is_not_declared_is_told_with_how_to_declare_it() {
    let (folder, dir) = package("export async function execute() { await fetch('https://api.example.com/') }");
    let input = write(folder.path(), "input.json", &json!({}));
    let ran = run(&dir, &input, &[]);
    assert_eq!(ran["failure"]["reason"], "capability_denied", "{ran}");
    let told = ran["failure"]["message"].as_str().unwrap();
    let says =
        "the host api.example.com is not declared by the version: add \"api.example.com\" to hosts in action.toml";
    assert!(told.contains(says), "{told}");
}
