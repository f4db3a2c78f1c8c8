//! The reasons of refusals: what the code refuses with, what docs/errors.md documents and what the services' comments in
//! proto/ name are one set.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// gRPC's own names: where a status that is not ours is told, they stand for the reason.
const CODES: &[&str] = &[
    "ALREADY_EXISTS",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
];
/// Environment variables begin so, or are one of these.
const VARIABLES: &[&str] = &["SLUICE_", "CARGO_", "FAULT_INJECTION_", "XDG_", "RAYON_", "NO_COLOR", "OUT_DIR"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files under a folder that end so.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

fn is_word(text: &str) -> bool {
    text.len() > 2
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The words between two marks, each with the text before it.
fn words(text: &str, mark: char) -> Vec<(&str, &str)> {
    let places: Vec<usize> = text.match_indices(mark).map(|(at, _)| at).collect();
    let between = places.windows(2).map(|pair| (&text[..pair[0]], &text[pair[0] + 1..pair[1]]));
    between.filter(|(_, word)| is_word(word)).collect()
}

/// Whether a word in quotes is a reason: words of several parts are, but for gRPC's own and variables; single ones are where
/// a refusal is made.
fn is_reason(before: &str, word: &str) -> bool {
    let line: String = before.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
    let made = line.trim_end();
    let made = (made.ends_with(',') && made.contains("Code::")) || made.ends_with("local(");
    match word.contains('_') {
        true if VARIABLES.iter().any(|variable| word.starts_with(variable)) => false,
        true => made || !CODES.contains(&word),
        false => made,
    }
}

/// What the code refuses with, and where.
fn used() -> BTreeMap<String, PathBuf> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let source = entry.unwrap().path().join("src");
        if source.is_dir() && !source.to_string_lossy().contains("guest") {
            files(&source, ".rs", &mut sources);
        }
    }
    assert!(sources.len() > 100, "the sources are found");
    let mut found = BTreeMap::new();
    for path in sources {
        let name = path.to_string_lossy().into_owned();
        if name.contains("/tests/") || name.ends_with("tests.rs") || name.ends_with("testing.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (before, word) in words(text, '"') {
            if is_reason(before, word) {
                found.insert(word.to_owned(), path.clone());
            }
        }
    }
    found
}

/// What a heading of docs/errors.md documents.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let reasons: Vec<String> = rows.map(|(reason, _)| reason.to_owned()).collect();
    let set: BTreeSet<String> = reasons.iter().cloned().collect();
    assert_eq!(reasons.len(), set.len(), "each has one row");
    set
}

#[test]
fn every_reason_in_the_code_is_documented_and_every_documented_one_is_in_the_code() {
    let mut documented_all = documented("Of the services");
    documented_all.extend(documented("Of the command line alone"));
    let used = used();
    let undocumented: Vec<_> = used.iter().filter(|(reason, _)| !documented_all.contains(*reason)).collect();
    assert!(undocumented.is_empty(), "not in docs/errors.md: {undocumented:?}");
    let unused: Vec<_> = documented_all.iter().filter(|reason| !used.contains_key(*reason)).collect();
    assert!(unused.is_empty(), "in docs/errors.md and nowhere in the code: {unused:?}");
}

#[test]
fn every_reason_that_a_service_names_is_documented_and_the_other_way_round() {
    // What any call may be told, whichever service it is of.
    let common = ["DEADLINE_EXCEEDED", "IDENTITY_NOT_CONFIGURED", "INTERNAL", "SERVER_BUSY", "SERVICE_NOT_FOUND"];
    let mut protos = Vec::new();
    files(&root().join("proto"), ".proto", &mut protos);
    let mut named = BTreeSet::new();
    for path in protos {
        let text = fs::read_to_string(&path).unwrap();
        named.extend(
            words(&text, '`')
                .into_iter()
                .map(|(_, word)| word.to_owned())
                .filter(|word| word.contains('_') || word.len() > 7),
        );
    }
    named.retain(|word| !word.starts_with("FAILURE_REASON_") && !word.ends_with("_UNSPECIFIED"));
    let documented = documented("Of the services");
    let undocumented: Vec<_> = named.difference(&documented).collect();
    assert!(undocumented.is_empty(), "named in proto and not in docs/errors.md: {undocumented:?}");
    let unnamed: Vec<_> = documented.difference(&named).filter(|reason| !common.contains(&reason.as_str())).collect();
    assert!(unnamed.is_empty(), "in docs/errors.md and named by no service in proto: {unnamed:?}");
}
