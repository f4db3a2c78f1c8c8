//! docs/recipes: every page, run exactly as written, all at once on the same two processes, each in a tenant and a folder of its own.

use serde_json::json;
use sluice_tests::{
    Planes, Server, document,
    third_party::{HOST, ThirdParty},
    until,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    thread,
};
use tempfile::TempDir;

/// Where a webhook of Slack leads to here, which is no place of Slack's.
const SLACK_PATH: &str = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXX";

/// A control plane and an executor that may send to `slack`, in Slack's place.
fn planes(slack: &ThirdParty) -> Planes {
    let folder = TempDir::new().expect("a folder");
    let start = |name: &'static str, more: &str, arguments: &[&str]| {
        let file = folder.path().join(format!("{name}.toml"));
        let settings = slack.settings(folder.path(), &["127.0.0.0/8", "::1/128"]) + more;
        std::fs::write(&file, settings).expect("written");
        let file = file.to_str().expect("text");
        let ours = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", file];
        Server::start(name, &[&ours, arguments].concat())
    };
    let test_hosts = format!("[deliveries]\nslack_test_hosts = [\"{HOST}\"]\n");
    let control = start("sluice-control-plane", &test_hosts, &[]);
    let executor = start("sluice-executor", "", &["--control-url", &control.url("control")]);
    Planes { control, executor, folder }
}

/// The pages: each file of the folder, so that none can be forgotten. Answers their file names and texts, the index apart.
fn pages() -> (String, Vec<(String, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut pages: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a page"))
        })
        .collect();
    let index = pages.iter().position(|(name, _)| name == "README.md").expect("an index");
    let (_, index) = pages.remove(index);
    (index, pages)
}

/// The tenant that a page makes.
fn tenant(page: &str) -> &str {
    let made = page.lines().find_map(|line| line.strip_prefix("export SLUICE_TENANT="));
    made.expect("the page says whose its flows are")
}

#[test]
fn the_index_has_every_recipe_and_no_other() {
    let (index, pages) = pages();
    assert!(pages.len() >= 8, "{} recipes", pages.len());
    let linked: BTreeSet<&str> = index
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains('/'))
        .collect();
    let there: BTreeSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(linked, there);
    let tenants: BTreeSet<&str> = pages.iter().map(|(_, text)| tenant(text)).collect();
    assert_eq!(tenants.len(), pages.len(), "each recipe has a tenant of its own");
}

#[test]
fn the_recipes_are_true_as_written() {
    let slack = ThirdParty::start(&json!("ok"), "slack");
    let (planes, (_, pages)) = (planes(&slack), pages());
    // What the page asks its reader to bring.
    planes.file("slack/slack-url.txt", &slack.url(SLACK_PATH));
    thread::scope(|scope| {
        let running: Vec<_> = pages
            .iter()
            .map(|(name, text)| {
                let run = || document::run_in(&planes, tenant(text), text);
                // A page that is wrong is told by the name of its thread.
                thread::Builder::new().name(name.clone()).spawn_scoped(scope, run).expect("a thread")
            })
            .collect();
        for ((name, _), page) in pages.iter().zip(running) {
            let compared = page.join();
            assert!(compared.as_ref().is_ok_and(|lines| *lines > 5), "{name}: not true as written");
        }
    });
    let message =
        until("the message has arrived", || slack.asked().into_iter().find(|asked| asked.target == SLACK_PATH));
    let written = "Ben &lt;!channel&gt; could not sign in to web.";
    assert!(message.body.contains(written) && !message.body.contains("Ada"), "{}", message.body);
}
