//! The story of the product, told over separate processes and sockets: what is pinned runs, whatever is published; a
//! sign-in that has started keeps its revision; tenants do not see each other; audit tells all of it in order.

use serde_json::{Value, json};
use sluice_tests::{Cli, Planes};

/// An Action that says which version of whose it is.
fn says(what: &str) -> String {
    format!(
        "export async function execute(input: Input): Promise<Outcome> {{\n  \
           return {{ kind: 'continue', state: {{ ran: '{what}', for: input.user?.id ?? null }} }}\n}}\n"
    )
}

fn sign_in(cli: &Cli, input: &str, id: &str, revision: Option<u64>) -> Value {
    let revision = revision.map(|r| r.to_string());
    let mut arguments = vec!["execute", "login", "--trigger", "post-login", "--input", input, "--sign-in-id", id];
    if let Some(revision) = &revision {
        arguments.extend(["--revision", revision]);
    }
    cli.run(&arguments)
}

#[test]
fn a_flow_runs_what_is_pinned_and_audit_tells_it_in_order() {
    let planes = Planes::start();
    let (acme, other) = (planes.cli("acme"), planes.cli("other"));
    let input = planes.file("input.json", r#"{"user": {"id": "u1", "email": "ada@example.com"}}"#);
    acme.run(&["tenant", "create", "acme"]);
    acme.run(&["tenant", "create", "other"]);

    // Publish 1.0.0, attach, sign in.
    let package = planes.package("who", "who", "", &says("acme 1.0.0"));
    let published = acme.run(&["action", "publish", &package]);
    assert_eq!(published["results"][0]["version"], "1.0.0");
    assert_eq!(published["results"][0]["created"], true);
    acme.run(&["flow", "create", "login"]);
    let attached = acme.run(&["flow", "attach", "login", "--trigger", "post-login", "--action", "who@1.0.0"]);
    assert_eq!(attached["revision"], 2);
    assert_eq!(attached["rollout"], json!({"have": 1, "waiting": 0}));
    let executors = acme.run(&["executor", "list"])["entries"].clone();
    assert_eq!(executors.as_array().map(Vec::len), Some(1), "{executors}");
    let executor = &executors[0];
    assert_eq!((&executor["subscription"]["kind"], &executor["last_nack"]), (&json!("all"), &Value::Null));
    assert_eq!((&executor["nacks"], &executor["missing_modules"]), (&json!(0), &json!([])));
    assert!(executor["cursor"].as_u64() > Some(0) && executor["lag"]["ms"].is_u64(), "{executor}");
    let attachment = attached["attachment"].as_str().expect("an id").to_owned();
    let first = sign_in(&acme, &input, "s0", None);
    assert_eq!(first["verdict"], "continue");
    assert_eq!(first["state"], json!({"ran": "acme 1.0.0", "for": "u1"}));
    assert_eq!(first["flow_revision"], 2);

    // Publish 1.1.0: the flow still runs 1.0.0.
    let package = planes.package("who", "who", "", &says("acme 1.1.0"));
    let published = acme.run(&["action", "publish", &package, "--bump", "minor"]);
    assert_eq!(published["results"][0]["version"], "1.1.0");
    let again = acme.run(&["action", "publish", &package]);
    assert_eq!(again["results"][0]["version"], "1.1.0", "the same content is the same version");
    assert_eq!(again["results"][0]["created"], false);
    let started = sign_in(&acme, &input, "s1", None);
    assert_eq!(started["state"]["ran"], "acme 1.0.0");

    // The slot is re-pinned: the sign-in that has started goes on with 1.0.0, a new one gets 1.1.0.
    let pinned = acme.run(&["flow", "pin", "login", &attachment, "--version", "1.1.0"]);
    assert_eq!(pinned["revision"], 3);
    assert_eq!(pinned["attachment"], attachment.as_str());
    let goes_on = sign_in(&acme, &input, "s1", started["flow_revision"].as_u64());
    assert_eq!((&goes_on["state"]["ran"], &goes_on["flow_revision"]), (&json!("acme 1.0.0"), &json!(2)));
    let new = sign_in(&acme, &input, "s2", None);
    assert_eq!((&new["state"]["ran"], &new["flow_revision"]), (&json!("acme 1.1.0"), &json!(3)));
    assert_eq!(new["results"][0]["version"], "1.1.0");

    // A second tenant with the same slugs sees none of it.
    let listed = other.run(&["action", "list"]);
    assert!(listed["entries"].as_array().unwrap().iter().all(|entry| entry["kind"] == "template"), "{listed}");
    assert_eq!(other.run(&["flow", "list"])["entries"], json!([]));
    let refused = other.refused(&["execute", "login", "--trigger", "post-login", "--input", &input]);
    assert_eq!(refused["reason"], "FLOW_NOT_FOUND");
    let refused = other.refused(&["flow", "pin", "login", &attachment, "--version", "1.0.0"]);
    assert_eq!(refused["reason"], "FLOW_NOT_FOUND");
    let package = planes.package("whose", "who", "", &says("other 1.0.0"));
    other.run(&["action", "publish", &package]);
    other.run(&["flow", "create", "login"]);
    let refused = other.refused(&["flow", "pin", "login", &attachment, "--version", "1.0.0"]);
    assert_eq!(refused["reason"], "ATTACHMENT_NOT_FOUND");
    other.run(&["flow", "attach", "login", "--trigger", "post-login", "--action", "who@1.0.0"]);
    assert_eq!(sign_in(&other, &input, "s1", None)["state"]["ran"], "other 1.0.0");
    assert_eq!(sign_in(&acme, &input, "s3", None)["state"]["ran"], "acme 1.1.0");

    let listed = acme.run(&["action", "list"]);
    let own: Vec<&Value> = listed["entries"].as_array().unwrap().iter().filter(|e| e["kind"] == "custom").collect();
    assert_eq!(
        json!(own),
        json!([{"slug": "who", "name": "who", "kind": "custom", "triggers": ["post-login", "pre-login"], "attached": 1, "newest": "1.1.0"}])
    );

    // Audit tells it in order, every run included, and to each tenant its own alone.
    let told = audit(&acme, 10);
    let expected = [
        ("flow.action_executed", "s3 1.1.0 r3"),
        ("flow.action_executed", "s2 1.1.0 r3"),
        ("flow.action_executed", "s1 1.0.0 r2"),
        ("flow.action_updated", "- 1.1.0 r3"),
        ("flow.action_executed", "s1 1.0.0 r2"),
        ("flow.action_published", "- 1.1.0 r-"),
        ("flow.action_executed", "s0 1.0.0 r2"),
        ("flow.action_attached", "- 1.0.0 r2"),
        ("flow.created", "- - r1"),
        ("flow.action_published", "- 1.0.0 r-"),
    ];
    let told: Vec<(&str, String)> = told.iter().map(|e| (e["kind"].as_str().unwrap_or("?"), place(e))).collect();
    let told: Vec<(&str, &str)> =
        told.iter().map(|(k, p)| (*k, p.as_str())).filter(|(k, _)| *k != "tenant.created").collect();
    assert_eq!(told, expected);
    let others = audit(&other, 4);
    assert!(others.iter().all(|e| e["tenant"] == "other"), "{others:?}");
    assert_eq!(others.iter().filter(|e| e["kind"] == "flow.action_executed").count(), 1);

    // Both planes end cleanly when asked to.
    let Planes { control, executor, folder: _folder } = planes;
    assert!(executor.terminate().success());
    assert!(control.terminate().success());
}

/// The tenant's audit, newest first, as soon as it holds `at_least` entries besides the tenant's own: an executor's
/// records arrive a moment after its answers.
fn audit(cli: &Cli, at_least: usize) -> Vec<Value> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let page = cli.run(&["audit", "list"]);
        let entries = page["entries"].as_array().expect("entries").clone();
        if entries.iter().filter(|e| e["kind"] != "tenant.created").count() >= at_least {
            return entries;
        }
        assert!(std::time::Instant::now() < until, "audit is incomplete after a minute: {entries:?}");
    }
}

/// An entry's sign-in, version and flow revision.
fn place(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let revision = entry["flow_revision"].as_u64().map_or("-".to_owned(), |r| r.to_string());
    format!("{} {} r{revision}", text("sign_in_id"), text("version"))
}
