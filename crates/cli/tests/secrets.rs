//! Secrets by the command line: set by a file, by standard input and on a terminal; their values are nowhere afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};
use support::{on_a_terminal, out, refusal, sluice};
use tempfile::TempDir;

const CANARY: &str = "canary-9f27c1e4b8d35a60";
const TYPED: &str = "canary-2b61d0f8377ca94e";

/// A `sluice dev` whose log goes to a file.
struct Dev {
    folder: TempDir,
    process: Child,
    url: String,
    executor_url: String,
}

impl Dev {
    fn start() -> Dev {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["--json", "dev", "--control-addr", "127.0.0.1:0", "--executor-addr", "127.0.0.1:0"])
            .args(["--admin-addr", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env("RUST_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let url = |plane: &str| format!("http://{}", addresses[plane].as_str().unwrap());
        Dev { url: url("control"), executor_url: url("executor"), folder, process }
    }

    fn run(&self, line: &str) -> assert_cmd::Command {
        let mut command = sluice();
        command.env("SLUICE_CONTROL_URL", &self.url).env("SLUICE_EXECUTOR_URL", &self.executor_url);
        command.env("SLUICE_TENANT", "acme").current_dir(self.folder.path());
        command.arg("--json").args(line.split_whitespace());
        command
    }

    fn done(&self, line: &str) -> Value {
        out(&self.run(line).assert().success())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Every file under a folder that has this text.
fn with_text(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(with_text(&path, needle));
        } else if fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_value_goes_in_and_is_nowhere_to_be_found() {
    let dev = Dev::start();
    let mut said = vec![dev.done("tenant create acme"), dev.done("init keeper"), dev.done("flow create login")];
    let manifest = "slug = \"keeper\"\nname = \"Keeper\"\ntriggers = [\"post-login\"]\nsecrets = [\"API_KEY\"]\n";
    fs::write(dev.folder.path().join("keeper/action.toml"), manifest).unwrap();
    said.push(dev.done("action publish keeper --no-test"));
    assert_eq!(dev.done("action show keeper")["version"]["grants"]["secrets"], json!(["API_KEY"]));
    let saved = dev.done("flow attach login --trigger post-login --action keeper");
    assert!(saved["warnings"].to_string().contains("secret_not_set"), "{saved}");

    let set = out(&dev.run("secret set API_KEY").write_stdin(format!("{CANARY}\n")).assert().success());
    assert_eq!((&set["name"], &set["version"]), (&json!("API_KEY"), &json!(1)));
    assert_eq!(set["rollout"], json!({ "have": 1, "waiting": 0 }));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), CANARY).unwrap();
    let again = dev.done(&format!("secret set API_KEY --request-id r1 --value-file {}", file.path().display()));
    assert_eq!(again["version"], json!(2));
    let listed = dev.done("secret list");
    assert_eq!((&listed["entries"][0]["version"], &listed["entries"][0]["used_by"]), (&json!(2), &json!(["login"])));
    said.extend([saved, set, again, listed, dev.done("flow show login"), dev.done("audit list")]);
    let audit = said.last().unwrap();
    assert!(audit.to_string().contains("secret.set"), "{audit}");

    // An argument is refused, and not repeated.
    let refused = dev.run(&format!("secret set API_KEY {CANARY}")).assert().code(2);
    let error = refusal(&refused);
    assert_eq!((&error["reason"], &error["fields"][0]["field"]), (&json!("USAGE"), &json!("value")), "{error}");
    said.push(error);
    let error = refusal(&dev.run("secret set API_KEY").write_stdin("").assert().code(1));
    assert_eq!(error["fields"][0]["field"], json!("value"), "{error}");

    let line = format!("{} secret set TYPED --tenant acme --control-url {}", env!("CARGO_BIN_EXE_sluice"), dev.url);
    let answer = format!("{TYPED}\n");
    let (screen, code) = on_a_terminal(&line, &[("Value of TYPED", &answer), ("Once more", &answer)]);
    assert!(code == 0 && screen.contains("is set, version 1") && !screen.contains(TYPED), "{code}: {screen}");

    let removed = dev.done("secret remove API_KEY");
    assert_eq!(removed["warnings"][0]["code"], json!("secret_in_use"));
    let error = refusal(&dev.run("secret remove API_KEY").assert().code(1));
    assert_eq!(error["reason"], json!("SECRET_NOT_FOUND"));
    said.extend([removed, error]);

    for value in [CANARY, TYPED] {
        assert_eq!(with_text(dev.folder.path(), value), [""; 0], "data folders and log");
        assert!(!said.iter().any(|said| said.to_string().contains(value)), "{said:?}");
    }
}
