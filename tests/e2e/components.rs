//! Components: docs/components.md, run exactly as written, and what it has made in one flow with an Action in TypeScript; and one
//! that asks for everything that the world offers. The part
//! in JavaScript has hundreds of megabytes of npm packages: it is run where `TESTS_FULL` is set.

use serde_json::{Value, json};
use sluice_tests::{Cli, Planes, document, until};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const PAGE: &str = include_str!("../../docs/components.md");
/// Where the part in JavaScript begins.
const IN_JAVASCRIPT: &str = "## One in JavaScript";
/// The page's tenant.
const TENANT: &str = "components";

/// Answers by the address, in TypeScript.
const TAGS: &str = "
export async function execute(input: Input): Promise<Outcome> {
  const email = input.user?.email ?? ''
  return { kind: 'continue', state: { tagged: email.endsWith('@example.com') ? 'ours' : 'other' }, reason_code: 'tagged' }
}
";

/// What became of each Action, in order: its version, and its outcome and reason or why it failed.
fn results(answer: &Value) -> Vec<Value> {
    let of = |result: &Value| {
        let [outcome, failure] = [&result["outcome"], &result["failure"]];
        json!([result["slug"], result["version"], outcome["kind"], outcome["reason_code"], failure["reason"]])
    };
    answer["results"].as_array().into_iter().flatten().map(of).collect()
}

/// What audit has of an answer's runs, in the order of the slot.
fn told(cli: &Cli, answer: &Value) -> Vec<Value> {
    let (id, count) = (answer["execution_id"].as_str().unwrap_or_default(), results(answer).len());
    let mut entries = until("audit has the runs", || {
        let page = cli.run(&["audit", "list", "--execution", id]);
        page["entries"].as_array().filter(|entries| entries.len() >= count).cloned()
    });
    // The newest is first.
    entries.reverse();
    entries
}

/// Builds a component of tests/components; answers its file.
fn built(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("components").join(name);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    target.join(format!("wasm32-wasip2/release/{name}.wasm"))
}

#[test]
fn what_the_world_offers_works_and_nothing_else_is_there() {
    let planes = Planes::start();
    let cli = planes.cli("acme");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("components/reaches");
    for file in ["action.toml", "tests/reaches.json"] {
        planes.file(&format!("reaches/{file}"), &std::fs::read_to_string(source.join(file)).expect("a file"));
    }
    let package = planes.folder.path().join("reaches");
    std::fs::copy(built("reaches"), package.join("action.wasm")).expect("copied");
    let package = package.to_str().expect("text");
    // `run` refuses where a case fails.
    let tested = cli.run(&["test", package]);
    let cases = tested["cases"].as_array().expect("cases");
    assert!(cases.len() >= 18, "{tested}");
    let of = |name: &str| cases.iter().find(|case| case["name"] == name).expect("a case");
    let printed = &of("what is printed is in the log")["logs"];
    let line = |level: &str, text: &str| json!({"level": level, "text": text});
    let lines = [line("info", "one"), line("info", "two"), line("warn", "three"), line("info", "no end")];
    assert_eq!(printed, &json!(lines), "{printed}");
    let gave_up = of("a panic is a failure in its function")["got"]["failure"]["message"].as_str().unwrap_or_default();
    assert!(gave_up.starts_with("it gave up in reaches::panics (unreachable)"), "{gave_up}");

    // An executor runs it as the cases do.
    cli.run(&["tenant", "create", "acme"]);
    cli.run(&["action", "publish", package]);
    cli.run(&["flow", "create", "login"]);
    cli.run(&["flow", "attach", "login", "--trigger", "post-login", "--action", "reaches@1.0.0"]);
    let does = |what: &str| {
        let input = json!({"user": {"id": "u1", "app_metadata": {"do": what, "key": "u1"}}}).to_string();
        cli.run(&["execute", "login", "--trigger", "post-login", "--input", &planes.file("does.json", &input)])
    };
    let counted = does("count");
    assert_eq!(counted["state"]["got"], json!([[true, 1, false], [true, 0, false], [false, 0, true]]), "{counted}");
    // No other run has had what is counted by all, and nothing else is left of one.
    let counted = does("count");
    assert_eq!(counted["state"]["got"][0][0], json!(false), "{counted}");
    assert_eq!(does("surroundings")["state"]["got"]["variables"], json!([]));
    let slept = does("sleep");
    let failure = &slept["results"][0]["failure"];
    assert_eq!((&failure["reason"], &slept["verdict"]), (&"wall_limit".into(), &"block".into()), "{slept}");
}

#[test]
fn the_page_is_true_as_written_and_components_stand_beside_typescript() {
    let full = std::env::var_os("TESTS_FULL").is_some();
    let planes = Planes::start();
    let cli = planes.cli(TENANT);
    let (in_rust, _) = PAGE.split_once(IN_JAVASCRIPT).expect("the page has a part in JavaScript");
    let compared = document::run(&planes, if full { PAGE } else { in_rust });
    assert!(compared > 20, "the page shows what is printed");

    // The flow has the page's components already. TypeScript stands behind them, and asks for what a component cannot see.
    let tags = planes.package("tags", "tags", "", TAGS);
    cli.run(&["action", "publish", &tags]);
    cli.run(&["flow", "attach", "login", "--trigger", "post-login", "--action", "tags@1.0.0"]);
    let sign_in = |email: &str| {
        let input = planes.file("input.json", &json!({"user": {"id": "u1", "email": email}}).to_string());
        cli.run(&["execute", "login", "--trigger", "post-login", "--input", &input])
    };
    let mut actions = vec![json!(["domain-check", "1.0.0", "continue", null, null])];
    if full {
        actions.push(json!(["domain-js", "1.0.0", "continue", null, null]));
    }
    actions.push(json!(["tags", "1.0.0", "continue", "tagged", null]));
    let answer = sign_in("jane@example.com");
    assert_eq!((&answer["verdict"], &answer["state"]["tagged"]), (&"continue".into(), &"ours".into()), "{answer}");
    assert_eq!(results(&answer), actions, "{answer}");
    let entries = told(&cli, &answer);
    let slugs: Vec<Value> = entries.iter().map(|e| json!([e["kind"], e["slug"], e["version"]])).collect();
    let expected: Vec<Value> =
        actions.iter().map(|action| json!(["flow.action_executed", action[0], action[1]])).collect();
    assert_eq!(slugs, expected, "{entries:?}");

    // A block by a component ends the slot for all behind it.
    let answer = sign_in("jane@example.org");
    assert_eq!(
        (&answer["verdict"], &answer["decided_by"]["reason_code"], &answer["state"]["tagged"]),
        (&"block".into(), &"domain_not_allowed".into(), &Value::Null),
        "{answer}"
    );

    // An executor that starts again has the components from its cache folder, and needs no control plane for them.
    let Planes { mut executor, control, folder } = planes;
    executor.kill();
    executor.start_again();
    let planes = Planes { control, executor, folder };
    let input = planes.file("input.json", r#"{"user": {"id": "u1", "email": "jane@example.com"}}"#);
    let answer = planes.cli(TENANT).run(&["execute", "login", "--trigger", "post-login", "--input", &input]);
    assert_eq!(results(&answer), actions, "{answer}");
}
