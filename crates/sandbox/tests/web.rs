//! The web's APIs and the platform's own, by the cases in `tests/web`: each case is a run of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_sandbox::RunRequest;
use std::path::Path;
use std::sync::Arc;
use support::ports::World;
use support::*;

/// The fewest that there are to be, so that a folder that is not found cannot pass.
const FEWEST_CASES: usize = 340;

const MAIN: &str = "
    import { run } from 'harness.js';
    import 'cases.js';
    export async function execute(input) {
        const [result] = await run('sluice', input.state.number);
        return { kind: 'continue', state: result === undefined ? {} : { result } };
    }";

/// Runs the cases of a file; answers how many there are, and what is wrong.
async fn run_file(path: &Path) -> (usize, Vec<String>) {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let harness = read(&path.with_file_name("harness.js"));
    // The compiler writes exact paths, and these files have not been through it.
    let cases = read(path).replace("'./harness.js'", "'harness.js'");
    let bundle = bundle_of(&[("main.js", MAIN), ("harness.js", &harness), ("cases.js", &cases)]);
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let snapshot = match ENGINE.snapshot(&bundle).await {
        Ok(snapshot) => Arc::new(snapshot),
        Err(failure) => return (0, vec![format!("{file}: {failure:?}")]),
    };
    let mut wrong = Vec::new();
    for number in 0.. {
        let ports = Arc::new(World::default());
        let report =
            ENGINE.run(&snapshot, RunRequest { ports, ..request(&json!({"state": {"number": number}})) }).await;
        match report.outcome {
            Err(failure) => wrong.push(format!("{file}, case {number}: {failure:?}")),
            Ok(outcome) => match outcome.state.get("result") {
                None => return (number, wrong),
                Some(result) if result["ok"] == true => {}
                Some(result) => {
                    let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
                    wrong.push(format!("{file}: {}: {}", text("name"), text("message")));
                }
            },
        }
    }
    (0, wrong)
}

#[tokio::test]
async fn every_case_of_every_api_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut wrong) = (0, Vec::new());
    for file in files.iter().filter(|file| file.file_name().is_some_and(|name| name != "harness.js")) {
        let (count, found) = run_file(file).await;
        println!("{count:>4} {}", file.file_name().unwrap().to_string_lossy());
        cases += count;
        wrong.extend(found);
    }
    assert!(wrong.is_empty(), "{} of {cases} cases do not hold:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= FEWEST_CASES, "there are only {cases} cases");
}
