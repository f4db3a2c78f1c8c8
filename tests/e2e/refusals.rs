//! Bad input through the command line and both real planes: each a specific refusal that names the field, and nothing
//! half done.

use serde_json::Value;
use sluice_tests::Planes;

/// `sluice ...` arguments, the reason, a field that must be named (empty: none), and what a message must say.
type Case<'a> = (Vec<&'a str>, &'a str, &'a str, &'a str);

#[test]
fn bad_input_is_refused_with_the_field_and_nothing_is_half_done() {
    let planes = Planes::start();
    let cli = planes.cli("acme");
    cli.run(&["tenant", "create", "acme"]);
    let good = "export function execute() { return { kind: 'continue' } }";
    let schema = r#"{"type": "object", "additionalProperties": false, "required": ["n"],
        "properties": {"n": {"type": "integer", "title": "N", "description": "A number.", "minimum": 1}}}"#;
    planes.file("strict/schema.json", schema);
    let strict = planes.package("strict", "strict", "schema = \"schema.json\"", good);
    cli.run(&["action", "publish", &strict]);
    cli.run(&["flow", "create", "login"]);

    let one = planes.file("one.json", r#"{"n": 1}"#);
    let zero = planes.file("zero.json", r#"{"n": 0, "m": 1}"#);
    let attached =
        cli.run(&["flow", "attach", "login", "--trigger", "post-login", "--action", "strict@1.0.0", "--config", &one]);
    let attachment = attached["attachment"].as_str().expect("an id").to_owned();
    let before = (cli.run(&["flow", "show", "login"]), cli.run(&["action", "list"]));

    let folder = |name: &str, extra: &str, source: &str| planes.package(name, name, extra, source);
    let no_execute = folder("no-execute", "", "export const x = 1");
    let throws = folder(
        "top-level-throws",
        "",
        "const x: any = null\nx.y\nexport function execute() { return { kind: 'continue' } }",
    );
    let endless =
        folder("top-level-endless", "", "for (;;) {}\nexport function execute() { return { kind: 'continue' } }");
    let syntax = folder("syntax", "", "export function execute( { return");
    let missing = folder("missing-import", "", "import { x } from './nowhere'\nexport function execute() { return x }");
    let unknown_key = folder("unknown-key", "colour = \"red\"", good);
    let fetches = folder("fetches", "hosts = [\"api.example.com\"]", good);
    let counters = folder("counters", "capabilities = [\"counters\"]", good);
    let big = folder("big", "", &format!("export const x = '{}'\n{good}", "x".repeat(2 << 20)));
    let reserved = folder("rate-limit-by-ip", "", good);
    let bad_case = folder("bad-case", "", good);
    planes.file(
        "bad-case/tests/blocks.json",
        r#"{"name": "blocks", "trigger": "post-login", "input": {}, "expect": {"outcome": {"kind": "block"}}}"#,
    );
    let latin = folder("latin", "", good);
    std::fs::write(planes.folder.path().join("latin/src/index.ts"), b"export const x = '\xff'").expect("written");
    let empty = planes.file("empty.json", "{}");
    let typo = planes.file("typo.json", r#"{"user": {"id": "u1", "emial": "x"}}"#);
    let hosts_own = planes.file("hosts-own.json", r#"{"context": {"now": "2026-01-01T00:00:00Z"}}"#);

    let attach = |action: &'static str, trigger: &'static str, config: &'static str| -> Vec<&str> {
        let config = if config == "zero" { zero.as_str() } else { one.as_str() };
        vec!["flow", "attach", "login", "--trigger", trigger, "--action", action, "--config", config]
    };
    let cases: Vec<Case<'_>> = vec![
        (vec!["tenant", "create", "Not A Slug"], "INVALID_FIELD", "tenant", "slug"),
        (vec!["tenant", "create", "acme"], "TENANT_EXISTS", "", "acme"),
        (vec!["tenant", "redirect-origins", "add", "http://example.com"], "INVALID_FIELD", "origin", "https"),
        (vec!["flow", "create", "1login"], "INVALID_FIELD", "flow", "slug"),
        (vec!["flow", "create", "login"], "FLOW_EXISTS", "", "login"),
        (vec!["flow", "show", "nowhere"], "FLOW_NOT_FOUND", "", "nowhere"),
        (vec!["flow", "create", "x", "--tenant", "nobody"], "TENANT_NOT_FOUND", "", "nobody"),
        (attach("strict@1.0.0", "post-lunch", "one"), "INVALID_FIELD", "trigger", "post-login"),
        (attach("strict@1.0.0", "post-logout", "one"), "TRIGGER_NOT_SUPPORTED", "trigger", "post-login"),
        (attach("strict@9.9.9", "post-login", "one"), "VERSION_NOT_FOUND", "", "9.9.9"),
        (attach("nobody@1.0.0", "post-login", "one"), "ACTION_NOT_FOUND", "", "nobody"),
        (attach("strict@1.0.0", "post-login", "zero"), "INVALID_FIELD", "config/n", "1"),
        (attach("strict@1.0.0", "post-login", "zero"), "INVALID_FIELD", "config/m", ""),
        (vec!["flow", "pin", "login", &attachment, "--version", "3.0.0"], "VERSION_NOT_FOUND", "", "3.0.0"),
        (vec!["flow", "pin", "login", "nobody", "--version", "1.0.0"], "ATTACHMENT_NOT_FOUND", "", "nobody"),
        (vec!["flow", "pin", "login", &attachment, "--version", "1.0.0", "--etag", "stale"], "ETAG_MISMATCH", "", ""),
        (vec!["action", "versions", "nobody"], "ACTION_NOT_FOUND", "", "nobody"),
        (vec!["action", "publish", &no_execute], "INVALID_PACKAGE", "src/index.ts", "execute"),
        (vec!["action", "publish", &throws], "INVALID_PACKAGE", "src/index.ts:2", "null"),
        (vec!["action", "publish", &endless], "INVALID_PACKAGE", "src/index.ts", ""),
        (vec!["action", "publish", &syntax], "INVALID_PACKAGE", "src/index.ts:1", ""),
        (vec!["action", "publish", &missing], "INVALID_PACKAGE", "src/index.ts:1", "./nowhere"),
        (vec!["action", "publish", &unknown_key], "INVALID_PACKAGE", "action.toml", "colour"),
        (vec!["action", "publish", &fetches], "UNSUPPORTED_FEATURE", "hosts", ""),
        (vec!["action", "publish", &counters], "UNSUPPORTED_FEATURE", "capabilities", "counters"),
        (vec!["action", "publish", &big], "INVALID_PACKAGE", "", "1048576"),
        (vec!["action", "publish", &reserved], "INVALID_PACKAGE", "action.toml", "template"),
        (vec!["action", "publish", &bad_case], "INVALID_PACKAGE", "tests/blocks.json", "block"),
        (vec!["action", "publish", &latin], "INVALID_PACKAGE", "src/index.ts", "UTF-8"),
        (vec!["action", "publish", &strict, "--version", "1.x"], "INVALID_FIELD", "version", "1.x"),
        (vec!["execute", "nowhere", "--trigger", "post-login", "--input", &empty], "FLOW_NOT_FOUND", "", "nowhere"),
        (
            vec!["execute", "login", "--trigger", "post-lunch", "--input", &empty],
            "INVALID_FIELD",
            "trigger",
            "post-login",
        ),
        (
            vec!["execute", "login", "--trigger", "post-login", "--input", &typo],
            "INVALID_FIELD",
            "input/user/emial",
            "unknown key",
        ),
        (
            vec!["execute", "login", "--trigger", "post-login", "--input", &hosts_own],
            "INVALID_FIELD",
            "input/context/now",
            "host",
        ),
        (
            vec!["execute", "login", "--trigger", "post-login", "--input", &empty, "--revision", "99"],
            "FLOW_REVISION_NOT_FOUND",
            "",
            "99",
        ),
    ];
    let mut wrong = Vec::new();
    for (arguments, reason, field, says) in &cases {
        let error = cli.refused(arguments);
        // One publish answers for each tenant; a refusal of one tenant's is its own.
        let fields = error["fields"].as_array().cloned().unwrap_or_default();
        let text = error.to_string();
        let named =
            field.is_empty() || fields.iter().any(|f| f["field"].as_str().is_some_and(|f| f.starts_with(field)));
        if error["reason"] != *reason || !named || !text.contains(says) {
            wrong.push(format!(
                "sluice {}\n  expected {reason} {field:?} {says:?}\n  got {error:#}",
                arguments.join(" ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let after: (Value, Value) = (cli.run(&["flow", "show", "login"]), cli.run(&["action", "list"]));
    assert_eq!(after, before, "a refusal leaves nothing behind");
}
