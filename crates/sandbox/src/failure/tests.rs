//! Failures in the author's terms.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Places, absent, thrown};
use serde_json::json;
use sluice_model::{Bundle, BundleModule, FailureReason, LogLevel, LogLine};
use std::path::Path;

/// Line 2 of the compiled code is line 10, column 5 of the author's.
const MAP: &str = r#"{"version":3,"sources":["src/index.ts"],"names":[],"mappings":";AASI"}"#;

fn places(source_map: &str) -> Places {
    let module =
        |path: &str, map: &str| BundleModule { path: path.into(), code: String::new(), source_map: map.into() };
    Places::new(&Bundle::new("src/index.ts", vec![module("src/index.ts", source_map), module("src/list.ts", "")]))
}

#[test]
fn a_place_goes_through_its_modules_source_map() {
    let record = json!({
        "name": "Error",
        "message": "no plan",
        "stack": "    at pick (src/index.ts:2:7)\n    at map (native)\n    at execute (src/list.ts:3:4)\n",
    });
    let failure = thrown(FailureReason::Threw, &record, &places(MAP));
    assert_eq!(failure.message, "Error: no plan");
    assert_eq!((failure.file.as_deref(), failure.line, failure.column), (Some("src/index.ts"), Some(10), Some(5)));
    assert_eq!(failure.stack.unwrap(), "at pick (src/index.ts:10:5)\nat map (native)\nat execute (src/list.ts:3:4)");
}

#[test]
fn frames_of_other_files_are_left_out() {
    let record = json!({"name": "Error", "message": "x", "stack": "    at f (glue:1:1)\n    at <eval> (<evalScript>:1:1)\nnoise"});
    let failure = thrown(FailureReason::Threw, &record, &places(""));
    assert_eq!((failure.file, failure.stack), (None, None));
}

#[test]
fn a_syntax_error_has_a_frame_without_a_name() {
    let record = json!({"name": "SyntaxError", "message": "expecting ';'", "stack": "    at src/list.ts:3:5\n"});
    let failure = thrown(FailureReason::Threw, &record, &places(""));
    assert_eq!((failure.file.as_deref(), failure.line, failure.column), (Some("src/list.ts"), Some(3), Some(5)));
}

#[test]
fn long_messages_and_stacks_are_cut_at_a_character() {
    let frames = "    at f (src/list.ts:1:1)\n".repeat(2_000);
    let record = json!({"name": "Error", "message": "ä".repeat(10_000), "stack": frames});
    let failure = thrown(FailureReason::Threw, &record, &places(""));
    assert!(failure.message.len() <= 4 << 10 && failure.message.ends_with("ä…"));
    assert!(failure.stack.unwrap().len() <= 8 << 10);
}

#[test]
fn a_damaged_source_map_leaves_the_place_as_it_is() {
    let record = json!({"name": "Error", "message": "x", "stack": "    at f (src/index.ts:2:7)"});
    let failure = thrown(FailureReason::Threw, &record, &places("{"));
    assert_eq!((failure.line, failure.column), (Some(2), Some(7)));
}

#[test]
fn places_are_read_as_they_were_written() {
    let mut bytes = Vec::new();
    places(MAP).write(&mut bytes);
    let (read, rest) = Places::read(&bytes).unwrap();
    assert!(rest.is_empty());
    assert_eq!(format!("{read:?}"), format!("{:?}", places(MAP)));
    assert!((0..bytes.len()).all(|cut| Places::read(&bytes[..cut]).is_none()));
}

fn message_of(name: &str, message: &str) -> String {
    thrown(FailureReason::Threw, &json!({"name": name, "message": message}), &places("")).message
}

#[test]
fn a_name_that_actions_do_not_have_is_told_with_what_there_is_instead() {
    let of = |name| message_of("ReferenceError", &format!("{name} is not defined"));
    assert_eq!(of("global"), "ReferenceError: global is not defined (Actions have no global: use globalThis)");
    assert_eq!(of("Worker"), "ReferenceError: Worker is not defined (Actions have no Worker)");
    assert!(of("Buffer").contains("(Actions have no Buffer: use Uint8Array"));
    assert_eq!(of("mine"), "ReferenceError: mine is not defined");
    assert_eq!(message_of("Error", "Buffer is not defined"), "Error: Buffer is not defined");
    assert_eq!(message_of("ReferenceError", "Buffer"), "ReferenceError: Buffer");
}

fn repository_file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn the_docs_list_the_names_that_are_absent_as_failures_tell_them() {
    let docs = repository_file("docs/actions.md");
    let (mut rows, mut is_list) = (Vec::new(), false);
    for line in docs.lines() {
        is_list = line == "| not there | instead |" || (is_list && line.starts_with('|'));
        if let Some((names, instead)) =
            line.strip_prefix("| `").and_then(|row| row.split_once("` | ")).filter(|_| is_list)
        {
            rows.push((names.split("`, `").map(str::to_owned).collect::<Vec<_>>(), instead.starts_with("none |")));
        }
    }
    let told =
        absent::ROWS.iter().map(|row| (row.names.iter().map(|n| (*n).to_owned()).collect(), row.instead.is_none()));
    assert_eq!(rows, told.collect::<Vec<_>>());
}

#[test]
fn every_name_that_the_types_leave_out_is_told() {
    let surface: serde_json::Value = serde_json::from_str(&repository_file("tests/types/surface.json")).unwrap();
    let mut declared: Vec<_> = surface["absent"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    let mut told: Vec<_> = absent::ROWS.iter().flat_map(|row| row.names.iter().copied()).collect();
    declared.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, declared);
}

#[test]
fn frames_of_the_scripts_are_left_out_of_logs() {
    let text = "Error: x\n    at new URL (:web/url.js:1:2)\n    at :web/a.js:3:4\n    at f (src/index.ts:2:7)\n      at g (src/list.ts:1:1)\nat home\n    at rest";
    let line = LogLine { level: LogLevel::Error, text: text.into() };
    let [line] = &places(MAP).in_logs(vec![line])[..] else { panic!("one line") };
    assert_eq!(line.text, "Error: x\n    at f (src/index.ts:10:5)\n      at g (src/list.ts:1:1)\nat home\n    at rest");
}
