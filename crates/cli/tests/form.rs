//! The form of a config on a terminal: `sluice flow attach` without --config, against `sluice dev` in a process of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};
use support::{json, on_a_terminal, sluice};
use tempfile::TempDir;

const MANIFEST: &str =
    "slug = \"zone-check\"\nname = \"Zone check\"\ntriggers = [\"post-login\"]\nsecrets_from_config = [\"/hook\"]\n";

const SCHEMA: &str = r#"{
    "type": "object", "additionalProperties": false, "required": ["zones"],
    "properties": {
        "zones": {"type": "array", "title": "Zones", "description": "Who may come in.", "minItems": 1,
            "items": {"type": "string", "format": "domain-pattern"}},
        "limit": {"type": "integer", "title": "Limit", "minimum": 1, "maximum": 100, "default": 5},
        "mode": {"type": "string", "enum": ["tight", "loose"], "default": "tight"},
        "strict": {"type": "boolean"},
        "hook": {"type": "string", "x-secret-ref": true},
        "rules": {"type": "array", "items": {"type": "object", "required": ["group"], "additionalProperties": false,
            "properties": {"group": {"type": "string", "minLength": 2}}}}
    }
}"#;

/// A `sluice dev` with the Action `zone-check` and a flow `login`.
struct Dev {
    folder: TempDir,
    process: Child,
    control: String,
}

impl Dev {
    fn start() -> Dev {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["--json", "dev", "--control-addr", "127.0.0.1:0", "--executor-addr", "127.0.0.1:0"])
            .args(["--admin-addr", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let control = format!("http://{}", addresses["control"].as_str().unwrap());
        let dev = Dev { folder, process, control };
        let package = dev.folder.path().join("zone-check");
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("action.toml"), MANIFEST).unwrap();
        fs::write(package.join("schema.json"), SCHEMA).unwrap();
        fs::write(package.join("src/index.ts"), "export const execute = () => ({ kind: 'continue' })\n").unwrap();
        dev.done(&["tenant", "create", "acme"]);
        dev.done(&["action", "publish", package.to_str().unwrap(), "--tenant", "acme", "--yes"]);
        dev.done(&["flow", "create", "login", "--tenant", "acme"]);
        dev
    }

    fn done(&self, line: &[&str]) -> Value {
        let done = sluice().arg("--json").args(line).env("SLUICE_CONTROL_URL", &self.control).assert().success();
        json(&done.get_output().stdout)
    }

    /// The line that asks.
    fn attach(&self) -> String {
        let (sluice, control) = (env!("CARGO_BIN_EXE_sluice"), &self.control);
        format!(
            "{sluice} flow attach login --trigger post-login --action zone-check --tenant acme --control-url {control}"
        )
    }

    /// The newest revision's number, and the configs that it has.
    fn configs(&self) -> (u64, Vec<Value>) {
        let flow = self.done(&["flow", "show", "login", "--tenant", "acme"]);
        let attachments =
            flow["slots"].as_array().unwrap().iter().flat_map(|slot| slot["attachments"].as_array().unwrap());
        (flow["revision"].as_u64().unwrap(), attachments.map(|attachment| attachment["config"].clone()).collect())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[test]
fn on_a_terminal_attach_asks_the_forms_questions_and_checks_each_answer() {
    let dev = Dev::start();
    let (screen, code) = on_a_terminal(
        &format!("{} --on-error continue --wall-ms 300", dev.attach()),
        &[
            ("zones[0]> ", "who@a.example\r"),
            ("without the part before the @", "BÜCHER.de, *.a.example\r"),
            ("zones[2]> ", "\r"),
            ("limit> ", "999\r"),
            ("expected 100 or less", "\r"),
            ("mode> ", "2\r"),
            ("strict> ", "maybe\r"),
            ("expected y or n", "y\r"),
            ("hook> ", "not a name\r"),
            ("Add entry 1 to rules?", "y\r"),
            ("rules/0/group> ", "x\r"),
            ("expected 2 or more characters", "staff\r"),
            ("Add entry 2 to rules?", "\r"),
            ("Save this config?", "\r"),
            // What only the service knows is asked again.
            ("refused: ", "HOOK\r"),
            ("HOOK is not set yet", "y\r"),
        ],
    );
    assert_eq!(code, 0, "{screen}");
    for told in ["Zones (required)", "Who may come in.", "takes a whole number from 1 to 100 [default 5]"] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
    assert!(screen.contains("The same without questions: echo "), "{screen}");
    let again = screen.replace(['\r', '\n'], "");
    assert!(again.contains("--config - --on-error continue --wall-ms 300"), "{screen}");
    let config = json!({
        "zones": ["xn--bcher-kva.de", "*.a.example"],
        "mode": "loose",
        "strict": true,
        "hook": "HOOK",
        "rules": [{"group": "staff"}],
    });
    assert_eq!(dev.configs(), (2, vec![config]), "what is left out takes the default when it runs");
}

#[test]
fn who_leaves_the_form_has_saved_nothing() {
    let dev = Dev::start();
    let (ctrl_c, ctrl_d) = ("\u{3}", "\u{4}");
    let answered = [("zones[0]> ", "a.example\r"), ("zones[1]> ", "\r"), ("limit> ", ctrl_d)];
    let declined = [
        ("zones[0]> ", "a.example\r"),
        ("zones[1]> ", "\r"),
        ("limit> ", "\r"),
        ("mode> ", "\r"),
        ("strict> ", "\r"),
        ("hook> ", "\r"),
        ("Add entry 1 to rules?", "\r"),
        ("Save this config?", "n\r"),
    ];
    for answers in [&[("zones[0]> ", ctrl_d)][..], &[("zones[0]> ", ctrl_c)], &answered, &declined] {
        let (screen, code) = on_a_terminal(&dev.attach(), answers);
        assert_eq!(code, 1, "{screen}");
        assert!(screen.contains("the form was left, and nothing is saved"), "{screen}");
    }
    assert_eq!(dev.configs(), (1, Vec::new()));
}

#[test]
fn off_a_terminal_nothing_is_asked() {
    let dev = Dev::start();
    let refused = sluice()
        .args(["flow", "attach", "login", "--trigger", "post-login", "--action", "zone-check", "--tenant", "acme"])
        .env("SLUICE_CONTROL_URL", &dev.control)
        .write_stdin("a.example\n\n")
        .assert()
        .code(1);
    let told = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(told.contains("zones") && told.contains("is missing") && !told.contains("zones[0]>"), "{told}");
    assert_eq!(dev.configs(), (1, Vec::new()));
}

#[test]
fn an_action_is_shown_as_its_form_in_the_order_of_its_author() {
    let dev = Dev::start();
    let shown = sluice()
        .args(["action", "show", "zone-check", "--tenant", "acme"])
        .env("SLUICE_CONTROL_URL", &dev.control)
        .assert()
        .success();
    let text = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    let places: Vec<Option<usize>> = ["zones", "limit", "mode", "strict", "hook", "rules"]
        .iter()
        .map(|name| text.find(&format!("\n  {name}")))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{text}");
    assert!(text.contains("a list of 1 or more, each a domain such as example.com or *.example.com"), "{text}");
    let refused = sluice()
        .args(["template", "show", "zone-check", "--tenant", "acme"])
        .env("SLUICE_CONTROL_URL", &dev.control)
        .assert()
        .code(1);
    let told = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(told.contains("is an Action of the tenant's own, and no template"), "{told}");
}
