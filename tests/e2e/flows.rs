//! Flows in full, over separate processes and the command line: what is changed, brought back, deleted, revoked or turned
//! off reaches the next sign-in, and those that have begun end as they began, but for what must never run again.

use serde_json::{Value, json};
use sluice_tests::{Cli, Planes};

/// An Action that says which version it is.
fn says(what: &str) -> String {
    format!("export function execute() {{ return {{ kind: 'continue', state: {{ ran: '{what}' }} }} }}\n")
}

struct Stage {
    planes: Planes,
    acme: Cli,
    input: String,
}

impl Stage {
    /// Both planes, a tenant, an Action `who` at 1.0.0 and 1.1.0, and an empty flow `login`.
    fn set() -> Stage {
        let planes = Planes::start();
        let acme = planes.cli("acme");
        let input = planes.file("input.json", r#"{"user": {"id": "u1"}}"#);
        acme.run(&["tenant", "create", "acme"]);
        for version in ["1.0.0", "1.1.0"] {
            let package = planes.package("who", "who", "", &says(version));
            acme.run(&["action", "publish", &package, "--version", version]);
        }
        acme.run(&["flow", "create", "login"]);
        Stage { planes, acme, input }
    }

    fn attach(&self, arguments: &[&str]) -> String {
        let saved = self.acme.run(&[&["flow", "attach", "login", "--trigger", "post-login"], arguments].concat());
        assert_eq!(saved["rollout"], json!({"have": 1, "waiting": 0}));
        saved["attachment"].as_str().expect("an id").to_owned()
    }

    fn execute(&self, revision: &str) -> Value {
        self.acme.run(&["execute", "login", "--trigger", "post-login", "--input", &self.input, "--revision", revision])
    }

    /// What a sign-in ran: of the newest revision (0) or of one that it began with.
    fn ran(&self, revision: &str) -> Value {
        self.execute(revision)["state"]["ran"].clone()
    }

    /// What people see.
    fn shown(&self, arguments: &[&str]) -> String {
        let output = self.acme.raw(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "sluice {}: {out}{err}", arguments.join(" "));
        out.into_owned()
    }
}

#[test]
fn what_has_begun_ends_as_it_began_through_every_change_of_its_flow() {
    let stage = Stage::set();
    let id = stage.attach(&["--action", "who@1.0.0"]);
    let begun = stage.execute("0");
    assert_eq!((&begun["flow_revision"], &begun["state"]["ran"]), (&json!(2), &json!("1.0.0")));

    let off = stage.acme.run(&["flow", "update", "login", &id, "--enabled", "false"]);
    assert_eq!((&off["revision"], &off["attachment"], &off["warnings"]), (&json!(3), &json!(id), &json!([])));
    assert_eq!(stage.execute("0")["results"][0]["skipped"], "disabled");
    stage.acme.run(&[
        "flow",
        "update",
        "login",
        &id,
        "--enabled",
        "true",
        "--on-error",
        "continue",
        "--wall-ms",
        "300",
    ]);
    stage.acme.run(&["flow", "pin", "login", &id, "--version", "1.1.0"]);
    assert_eq!(stage.ran("0"), "1.1.0");
    stage.acme.run(&["flow", "slot", "login", "--trigger", "post-login", "--budget-ms", "1500"]);
    // Twice with one id is done once.
    let detach = ["flow", "detach", "login", &id, "--request-id", "d1"];
    let detached = stage.acme.run(&detach);
    assert_eq!((stage.acme.run(&detach), &detached["revision"]), (detached.clone(), &json!(7)));
    let other = stage.acme.refused(&["flow", "detach", "login", "at-other", "--request-id", "d1"]);
    assert_eq!(other["reason"], "REQUEST_ID_REUSED");
    assert_eq!(stage.execute("0")["results"], json!([]));
    assert_eq!((stage.ran("2"), stage.ran("6")), (json!("1.0.0"), json!("1.1.0")), "what has begun goes on");

    let diff = stage.acme.run(&["flow", "diff", "login", "--from", "2", "--to", "6"]);
    let kinds: Vec<&Value> =
        diff["changes"].as_array().expect("changes").iter().map(|change| &change["kind"]).collect();
    assert_eq!(kinds, ["slot_updated", "updated"]);
    let updated = &diff["changes"][1];
    assert_eq!(updated["fields"], json!(["version", "on_error", "wall_ms"]));
    assert_eq!((&updated["from"]["version"], &updated["to"]["version"]), (&json!("1.0.0"), &json!("1.1.0")));
    let shown = stage.shown(&["flow", "diff", "login"]);
    assert!(shown.contains("revision 6 → 7") && shown.contains(&format!("- who@1.1.0 {id}")), "{shown}");

    let stale = stage.acme.refused(&["flow", "rollback", "login", "--revision", "2", "--etag", "stale"]);
    assert_eq!(stale["reason"], "ETAG_MISMATCH");
    let back = stage.acme.run(&["flow", "rollback", "login", "--revision", "2"]);
    assert_eq!((&back["revision"], &back["attachment"]), (&json!(8), &Value::Null));
    assert_eq!(stage.ran("0"), "1.0.0");
    let history = stage.acme.run(&["flow", "history", "login", "--limit", "3"]);
    let told: Vec<(&Value, &Value, &Value)> = history["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|past| (&past["revision"], &past["kind"], &past["rolled_back_to"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!(8), &json!("flow.rolled_back"), &json!(2)),
            (&json!(7), &json!("flow.action_detached"), &Value::Null),
            (&json!(6), &json!("flow.slot_updated"), &Value::Null),
        ]
    );
    assert!(history["next_page_token"].as_str().is_some_and(|token| !token.is_empty()));
    let shown = stage.shown(&["flow", "history", "login"]);
    assert!(shown.contains("rolled back to 2") && shown.contains("+ who@1.0.0 at post-login"), "{shown}");

    // Gone for who comes, there for who has begun; made again it is another flow that counts on.
    let deleted = stage.acme.run(&["flow", "delete", "login"]);
    assert_eq!((&deleted["revision"], &deleted["rollout"]), (&json!(8), &json!({"have": 1, "waiting": 0})));
    let execute = ["execute", "login", "--trigger", "post-login", "--input", &stage.input];
    assert_eq!(stage.acme.refused(&execute)["reason"], "FLOW_NOT_FOUND");
    assert_eq!(stage.acme.refused(&["flow", "show", "login"])["reason"], "FLOW_NOT_FOUND");
    assert_eq!((stage.ran("2"), stage.ran("8")), (json!("1.0.0"), json!("1.0.0")));
    assert_eq!(stage.acme.run(&["flow", "create", "login"])["revision"], 9);
    assert_eq!((stage.execute("0")["flow_revision"].clone(), stage.ran("2")), (json!(9), json!("1.0.0")));

    // All of it is in audit.
    let kinds: Vec<String> =
        ["flow.action_updated", "flow.action_detached", "flow.slot_updated", "flow.rolled_back", "flow.deleted"]
            .iter()
            .map(|kind| {
                let found = stage.acme.run(&["audit", "list", "--kind", kind]);
                format!("{kind} {}", found["entries"].as_array().expect("entries").len())
            })
            .collect();
    let expected = [
        "flow.action_updated 3",
        "flow.action_detached 2",
        "flow.slot_updated 2",
        "flow.rolled_back 1",
        "flow.deleted 1",
    ];
    assert_eq!(kinds, expected, "a rollback's and a deletion's parts count");
}

#[test]
fn a_revoked_version_never_runs_again_whichever_revision_pins_it() {
    let stage = Stage::set();
    let open = stage.attach(&["--action", "who@1.0.0", "--on-unavailable", "continue"]);
    stage.attach(&["--action", "who@1.1.0"]);
    assert_eq!(stage.ran("0"), "1.1.0");
    let revoked = stage.acme.run(&["action", "revoke", "who@1.0.0"]);
    assert_eq!((&revoked["revoked"], &revoked["rollout"]), (&json!(true), &json!({"have": 1, "waiting": 0})));
    assert_eq!(revoked["warnings"][0]["code"], "attached");
    for revision in ["0", "2", "3"] {
        let answer = stage.execute(revision);
        assert_eq!(answer["verdict"], "continue", "its on_unavailable says so");
        assert_eq!(answer["results"][0]["failure"]["reason"], "revoked", "revision {revision}");
    }
    assert_eq!(stage.ran("2"), Value::Null);
    // An executor that starts later knows it too.
    let control = stage.planes.control.url("control");
    let arguments = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--control-url", &control];
    let second = sluice_tests::Server::start("sluice-executor", &arguments);
    let url = second.url("executor");
    let execute = ["execute", "login", "--trigger", "post-login", "--input", &stage.input, "--executor-url", &url];
    let answer = stage.acme.eventually(&execute, "NOT_READY");
    assert_eq!(answer["results"][0]["failure"]["reason"], "revoked");
    assert!(second.terminate().success());

    // By block it ends the slot; and it comes back by no way.
    stage.acme.run(&["flow", "update", "login", &open, "--on-unavailable", "block"]);
    let answer = stage.execute("0");
    assert_eq!(
        (&answer["verdict"], &answer["decided_by"]["reason_code"]),
        (&json!("block"), &json!("action_unavailable"))
    );
    stage.acme.run(&["flow", "detach", "login", &open]);
    assert_eq!(stage.ran("0"), "1.1.0");
    let refused = stage.acme.refused(&["flow", "rollback", "login", "--revision", "2"]);
    assert_eq!(refused["reason"], "VERSION_REVOKED");
    let attach = ["flow", "attach", "login", "--trigger", "post-login", "--action", "who@1.0.0"];
    assert_eq!(stage.acme.refused(&attach)["reason"], "VERSION_REVOKED");
}

#[test]
fn the_break_glass_switch_turns_custom_actions_off_and_on() {
    let stage = Stage::set();
    let package = stage.planes.package("no", "no", "", "export function execute() { return { kind: 'block' } }\n");
    stage.acme.run(&["action", "publish", &package]);
    stage.attach(&["--action", "no@1.0.0"]);
    assert_eq!(stage.execute("0")["verdict"], "block");
    let on = stage.acme.run(&["tenant", "break-glass", "on"]);
    assert_eq!((&on["break_glass"], &on["rollout"]), (&json!(true), &json!({"have": 1, "waiting": 0})));
    // The newest, and one that a sign-in has begun with.
    for revision in ["0", "2"] {
        let answer = stage.execute(revision);
        assert_eq!((&answer["verdict"], &answer["results"][0]["skipped"]), (&json!("continue"), &json!("break_glass")));
    }
    assert_eq!(stage.acme.run(&["tenant", "show", "acme"])["break_glass"], true);
    assert!(stage.shown(&["tenant", "show", "acme"]).contains("off: the break-glass switch is on"));
    // What the operator does meanwhile passes no Action.
    stage.acme.run(&["flow", "slot", "login", "--trigger", "post-login", "--budget-ms", "900"]);
    stage.acme.run(&["tenant", "break-glass", "off"]);
    assert_eq!(stage.execute("0")["verdict"], "block");
    let turned = stage.acme.run(&["audit", "list", "--kind", "tenant.break_glass_updated"]);
    let turned = turned["entries"].as_array().expect("entries").clone();
    assert_eq!(turned.iter().map(|entry| &entry["to"]["break_glass"]).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn versions_are_deprecated_yanked_and_brought_back_and_actions_deleted() {
    let stage = Stage::set();
    let attach = |action: &'static str| ["flow", "attach", "login", "--trigger", "post-login", "--action", action];
    stage.acme.run(&["action", "deprecate", "who@1.1.0"]);
    let saved = stage.acme.run(&attach("who@^1"));
    assert_eq!(saved["warnings"][0]["code"], "version_deprecated");
    let yanked = stage.acme.run(&["action", "yank", "who@1.1.0"]);
    assert_eq!(
        (&yanked["deprecated"], &yanked["yanked"], &yanked["rollout"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    assert_eq!(stage.acme.refused(&attach("who@1.1.0"))["reason"], "VERSION_YANKED");
    assert_eq!(stage.ran("0"), "1.1.0", "what is attached stays");
    stage.acme.run(&attach("who@^1"));
    let flow = stage.acme.run(&["flow", "show", "login"]);
    assert_eq!(flow["slots"][0]["attachments"][1]["version"], "1.0.0", "ranges pass it over");
    assert_eq!(flow["warnings"][0]["code"], "version_yanked");
    stage.acme.run(&["flow", "detach", "login", saved["attachment"].as_str().expect("an id")]);
    let back = stage.acme.run(&["flow", "rollback", "login", "--revision", "2"]);
    let codes: Vec<&Value> = back["warnings"].as_array().expect("warnings").iter().map(|w| &w["code"]).collect();
    assert_eq!(codes, ["version_yanked", "version_deprecated"]);
    let shown = stage.acme.run(&["action", "show", "who"]);
    assert_eq!(
        (&shown["newest"], &shown["attached"], &shown["version"]["yanked"]),
        (&json!("1.1.0"), &json!(1), &json!(true))
    );
    assert!(stage.shown(&["action", "show", "who@1.0.0"]).contains("1.0.0"));
    assert!(stage.shown(&["action", "versions", "who"]).contains("yanked"));
    stage.acme.run(&["action", "yank", "who@1.1.0", "--undo"]);
    stage.acme.run(&attach("who@1.1.0"));

    // In use it is not deleted; deleted, its slug counts on.
    assert_eq!(stage.acme.refused(&["action", "delete", "who"])["reason"], "ACTION_IN_USE");
    stage.acme.run(&["flow", "rollback", "login", "--revision", "1"]);
    assert_eq!(stage.acme.run(&["action", "delete", "who"])["newest"], "1.1.0");
    let left = stage.acme.run(&["action", "list"]);
    let own = left["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "custom").count();
    assert_eq!(own, 0, "{left}");
    assert_eq!(stage.acme.refused(&["action", "versions", "who"])["reason"], "ACTION_NOT_FOUND");
    assert_eq!(stage.ran("2"), "1.1.0", "what has begun goes on");
    let refused = stage.acme.refused(&["flow", "rollback", "login", "--revision", "2"]);
    assert_eq!(refused["reason"], "ACTION_DELETED");
    let package = stage.planes.package("who", "who", "", &says("again"));
    let published = stage.acme.run(&["action", "publish", &package]);
    assert_eq!(published["results"][0]["version"], "1.1.1");
    assert_eq!(stage.acme.refused(&attach("who@1.0.0"))["reason"], "VERSION_NOT_FOUND");
    stage.acme.run(&attach("who"));
    assert_eq!(stage.ran("0"), "again");
}
