//! The command line against both planes: `sluice dev` in a process of its own, and every verb that needs a server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
};
use tempfile::TempDir;

/// A `sluice dev` on free ports, with a folder of its own. It is ended as a person would end it.
struct Dev {
    folder: TempDir,
    process: Child,
    addresses: Value,
    /// What it tells after that.
    lines: BufReader<ChildStdout>,
}

impl Dev {
    fn start() -> Dev {
        Dev::start_with(tempfile::tempdir().unwrap(), &[])
    }

    fn start_with(folder: TempDir, more: &[&str]) -> Dev {
        let mut process = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["--json", "dev", "--control-addr", "127.0.0.1:0", "--executor-addr", "127.0.0.1:0"])
            .args(["--admin-addr", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .args(more)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let mut dev = Dev { folder, process, addresses: Value::Null, lines };
        dev.addresses = dev.line();
        dev
    }

    /// The next thing that it tells.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        for (variable, plane) in [("SLUICE_CONTROL_URL", "control"), ("SLUICE_EXECUTOR_URL", "executor")] {
            command.env(variable, format!("http://{}", self.addresses[plane].as_str().unwrap()));
        }
        command.env_remove("SLUICE_TOKEN").env("SLUICE_TENANT", "acme").current_dir(self.folder.path());
        command.arg("--json").args(line.split_whitespace()).output().unwrap()
    }

    /// Runs a verb that must be done, and reads its answer.
    fn done(&self, line: &str) -> Value {
        let output = self.run(line);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{line}: {error}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// Runs a verb that must be refused: the refusal, and what stands on standard output.
    fn refused(&self, line: &str) -> (Value, String) {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|e| panic!("{line}: {e}"));
        (error["error"].clone(), String::from_utf8(output.stdout).unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Ends it by SIGTERM, and waits until it is gone.
    fn end(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ended = self.process.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "the drain is clean");
        assert!(!self.folder.path().join("data/addresses.json").exists(), "nobody finds what is gone");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Where a test has failed; after `end` there is nothing left to kill.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// `a.b.c` of a value.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| key.parse::<usize>().map_or_else(|_| &value[key], |index| &value[index]))
}

#[test]
fn a_sign_in_through_every_verb() {
    let dev = Dev::start();
    let written: Value =
        serde_json::from_slice(&fs::read(dev.folder.path().join("data/addresses.json")).unwrap()).unwrap();
    for plane in ["control", "executor", "admin"] {
        assert_eq!(written[plane], dev.addresses[plane]);
    }

    // Tenants.
    assert_eq!(dev.done("tenant create acme")["tenant"], "acme");
    let (error, out) = dev.refused("tenant create acme");
    assert_eq!(
        (&error["code"], &error["reason"], out.as_str()),
        (&json!("ALREADY_EXISTS"), &json!("TENANT_EXISTS"), "")
    );
    let (error, _) = dev.refused("tenant create Not_A_Slug");
    assert_eq!((at(&error, "reason"), at(&error, "fields.0.field")), (&json!("INVALID_FIELD"), &json!("tenant")));
    dev.done("tenant create zoo");
    let tenants = dev.done("tenant list --limit 1");
    assert_eq!(at(&tenants, "entries.0.tenant"), "acme");
    let token = tenants["next_page_token"].as_str().unwrap();
    assert_eq!(at(&dev.done(&format!("tenant list --page-token {token}")), "entries.0.tenant"), "zoo");
    assert_eq!(dev.done("tenant redirect-origins add https://app.example.com")["origin"], "https://app.example.com");
    assert_eq!(at(&dev.done("tenant redirect-origins list"), "entries.0.origin"), "https://app.example.com");
    dev.done("tenant redirect-origins remove https://app.example.com");
    assert_eq!(dev.done("tenant redirect-origins list")["entries"], json!([]));

    // A package, as init makes it, to two tenants.
    dev.done("init my-action");
    let published = dev.done("action publish my-action --tenant acme --tenant zoo");
    for (number, tenant) in ["acme", "zoo"].iter().enumerate() {
        let result = &published["results"][number];
        assert_eq!((&result["tenant"], &result["version"]), (&json!(tenant), &json!("1.0.0")));
        assert_eq!((&result["created"], &result["error"]), (&json!(true), &Value::Null));
    }
    let again = dev.done("action publish my-action");
    assert_eq!((at(&again, "results.0.created"), at(&again, "results.0.version")), (&json!(false), &json!("1.0.0")));
    let (error, out) = dev.refused("action publish my-action --tenant acme --tenant nobody");
    assert_eq!(error["reason"], "TENANT_NOT_FOUND");
    let results: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (at(&results, "results.0.error"), at(&results, "results.1.error.reason")),
        (&Value::Null, &json!("TENANT_NOT_FOUND"))
    );

    // A flow, and what is refused.
    assert_eq!(dev.done("flow create login")["revision"], 1);
    let saved = dev.done("flow attach login --trigger post-login --action my-action@1.0.0");
    assert_eq!(saved["rollout"], json!({ "have": 1, "waiting": 0 }));
    let attachment = saved["attachment"].as_str().unwrap().to_owned();
    for (line, reason, field) in [
        ("flow attach login --trigger lunch --action my-action@1.0.0", "INVALID_FIELD", "trigger"),
        ("flow attach login --trigger pre-login --action my-action@1.0.0", "TRIGGER_NOT_SUPPORTED", "trigger"),
        ("flow attach login --trigger post-login --action my-action@9.9.9", "VERSION_NOT_FOUND", ""),
        ("flow attach login --trigger post-login --action my-action --etag stale", "ETAG_MISMATCH", ""),
        ("flow show nowhere", "FLOW_NOT_FOUND", ""),
    ] {
        let (error, _) = dev.refused(line);
        assert_eq!(error["reason"], reason, "{line}: {error}");
        if !field.is_empty() {
            assert_eq!(at(&error, "fields.0.field"), field, "{line}");
        }
    }
    let flow = dev.done("flow show login");
    assert_eq!(at(&flow, "slots.0.attachments.0.attachment"), &json!(attachment));
    assert_eq!((at(&flow, "slots.0.attachments.0.position"), at(&flow, "revision")), (&json!(1), &json!(2)));

    // A sign-in, another version, another sign-in; the one that has begun goes on with what it began with.
    dev.file("input.json", r#"{"user": {"id": "u1"}}"#);
    let execute = "execute login --trigger post-login --input input.json";
    let first = dev.done(&format!("{execute} --sign-in-id s1"));
    assert_eq!((&first["verdict"], &first["decided_by"]), (&json!("continue"), &Value::Null));
    assert_eq!((at(&first, "results.0.version"), &first["flow_revision"]), (&json!("1.0.0"), &json!(2)));
    let source = "export function execute() { console.log('no'); return { kind: 'block', reason_code: 'closed' } }";
    fs::write(dev.folder.path().join("my-action/src/index.ts"), source).unwrap();
    fs::remove_file(dev.folder.path().join("my-action/tests/continues.json")).unwrap();
    assert_eq!(at(&dev.done("action publish my-action --bump minor"), "results.0.version"), "1.1.0");
    assert_eq!(dev.done(execute)["verdict"], "continue", "what is published is not what runs");
    assert_eq!(dev.done(&format!("flow pin login {attachment} --version ^1.1"))["revision"], 3);
    let second = dev.done(&format!("{execute} --logs --sign-in-id s2"));
    assert_eq!((&second["verdict"], at(&second, "decided_by.reason_code")), (&json!("block"), &json!("closed")));
    assert_eq!(at(&second, "results.0.logs.0.text"), "no");
    assert_eq!(dev.done(&format!("{execute} --revision 2"))["verdict"], "continue");
    let (error, _) = dev.refused("execute nowhere --trigger post-login --input input.json");
    assert_eq!(error["reason"], "FLOW_NOT_FOUND");
    dev.file("bad.json", r#"{"user": {"id": "u1", "age": 3}}"#);
    let (error, _) = dev.refused("execute login --trigger post-login --input bad.json");
    assert_eq!(at(&error, "fields.0.field"), "input/user/age");

    // What is listed.
    let listed = dev.done("action list");
    let own = listed["entries"].as_array().unwrap().iter().find(|entry| entry["kind"] == "custom").unwrap();
    assert_eq!((&own["slug"], &own["newest"], &own["attached"]), (&json!("my-action"), &json!("1.1.0"), &json!(1)));
    let versions = dev.done("action versions my-action");
    assert_eq!(
        (at(&versions, "entries.0.version"), at(&versions, "entries.1.version")),
        (&json!("1.1.0"), &json!("1.0.0"))
    );
    assert_eq!(at(&dev.done("flow list"), "entries.0.attachments"), 1);

    // The load program finds its target, its floor, and nothing that fails.
    let call = "--flow login --trigger post-login --input input.json --warmup 0";
    let report = dev.done(&format!("bench run {call} --requests 50"));
    assert_eq!(
        (&report["calls"], &report["verdicts"], &report["errors"]),
        (&json!(50), &json!({ "block": 50 }), &json!({}))
    );
    assert!(at(&report, "latency_us.p50").as_f64().unwrap() > 0.0, "{report}");
    let open = dev.done(&format!("bench run {call} --seconds 0.2 --rate 100"));
    assert_eq!(open["calls"], 20);
    let compared = dev.done(&format!("bench compare {call} --rounds 1 --seconds 0.1"));
    assert!(compared["ratio"].as_f64().unwrap() > 0.0, "{compared}");

    // Its drain ships what was run; the next start still has it.
    let audit = "audit list --kind flow.action_executed --sign-in s2";
    wait_for(|| !dev.done(audit)["entries"].as_array().unwrap().is_empty());
    let entry = dev.done(audit)["entries"][0].clone();
    assert_eq!(
        (&entry["outcome"], &entry["reason_code"], &entry["user_id"]),
        (&json!("block"), &json!("closed"), &json!("u1"))
    );
    assert_eq!(dev.done("audit list --tenant zoo --kind flow.action_executed")["entries"], json!([]));
    dev.end();
}

/// Asks again until it is so: audit arrives a moment after its answer.
fn wait_for(so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed().as_secs() < 20, "it never came");
    }
}

#[test]
fn what_is_saved_is_published_and_runs_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let source = |kind: &str| format!("export function execute() {{ return {{ kind: '{kind}' }} }}\n");
    for (path, text) in [
        (
            "actions/gate/action.toml",
            "slug = \"gate\"\nname = \"Gate\"\nversion = \"7.0.0\"\ntriggers = [\"post-login\"]\n",
        ),
        ("actions/gate/src/index.ts", &source("continue")),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut dev = Dev::start_with(folder, &["--watch", "actions", "--tenant", "acme"]);
    let first = dev.line();
    assert_eq!(
        (&first["tenant"], &first["slug"], &first["created"]),
        (&json!("acme"), &json!("gate"), &json!(true)),
        "{first}"
    );
    dev.done("flow create login");
    let attached = dev.done("flow attach login --trigger post-login --action gate");
    dev.file("input.json", "{}");
    let verdict = |dev: &Dev| dev.done("execute login --trigger post-login --input input.json")["verdict"].clone();
    assert_eq!(verdict(&dev), "continue");

    let source_file = dev.folder.path().join("actions/gate/src/index.ts");
    fs::write(&source_file, source("block")).unwrap();
    let saved = dev.line();
    assert_eq!((&saved["created"], &saved["error"]), (&json!(true), &Value::Null), "{saved}");
    assert_eq!(
        (at(&saved, "pinned.0.flow"), at(&saved, "pinned.0.attachment")),
        (&json!("login"), &attached["attachment"])
    );
    assert_eq!(verdict(&dev), "block");

    // A config that the new schema refuses keeps its flow at the version before, and no other flow: the second one has none yet.
    let schema = |least: u32| {
        format!(
            r#"{{"type": "object", "properties": {{"n": {{"type": "integer", "title": "N", "description": "A number.", "minimum": {least}}}}}}}"#
        )
    };
    fs::write(dev.folder.path().join("actions/gate/schema.json"), schema(1)).unwrap();
    assert_eq!(dev.line()["error"], Value::Null);
    dev.file("one.json", r#"{"n": 1}"#);
    dev.done("flow create first");
    dev.done("flow attach first --trigger post-login --action gate --config one.json");
    fs::write(dev.folder.path().join("actions/gate/schema.json"), schema(2)).unwrap();
    let partly = dev.line();
    assert!(at(&partly, "error.message").as_str().unwrap().starts_with("first still runs gate@"), "{partly}");
    assert_eq!(at(&partly, "pinned.0.flow"), "login", "{partly}");

    // A mistake is told, and what ran before runs on.
    fs::write(&source_file, "export function execute( {").unwrap();
    let wrong = dev.line();
    assert_eq!((at(&wrong, "error.reason"), &wrong["pinned"]), (&json!("INVALID_PACKAGE"), &json!([])), "{wrong}");
    assert_eq!(verdict(&dev), "block");
    dev.end();
}

#[test]
fn on_a_terminal_a_version_that_may_do_more_is_asked_for() {
    use std::io::{Read as _, Write as _};
    let dev = Dev::start();
    dev.done("tenant create acme");
    dev.done("init gate");
    dev.done("action publish gate");
    let manifest = dev.folder.path().join("gate/action.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"post-login\"]", "\"post-login\", \"pre-login\"]")).unwrap();
    let answered = |answer: &str| {
        let mut terminal = Command::new("script")
            .args(["-qec", &format!("{} action publish gate", env!("CARGO_BIN_EXE_sluice")), "/dev/null"])
            .env("SLUICE_CONTROL_URL", format!("http://{}", dev.addresses["control"].as_str().unwrap()))
            .env("SLUICE_TENANT", "acme")
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env("TERM", "xterm")
            .current_dir(dev.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut keys, mut shows) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
        let (mut screen, mut piece, mut asked) = (String::new(), [0; 4096], false);
        while let Ok(read @ 1..) = shows.read(&mut piece) {
            screen.push_str(&String::from_utf8_lossy(&piece[..read]));
            if !asked && screen.contains("Publish gate to acme?") {
                keys.write_all(answer.as_bytes()).unwrap();
                asked = true;
            }
        }
        assert!(asked && screen.contains("trigger pre-login"), "{screen}");
        terminal.wait().unwrap().code().unwrap()
    };
    let versions = || dev.done("action versions gate")["entries"].as_array().unwrap().len();
    assert_eq!((answered("n"), versions()), (1, 1));
    assert_eq!((answered("y"), versions()), (0, 2));
}
