//! Refusals as data: each file in `tests/refusals` is a package and what is said of it.
//!
//! A file begins with lines of what is expected, `>` in front, in their order; then each `=== PATH` starts a file of the
//! package.

use super::*;
use std::fs;

#[test]
fn every_refusal_says_what_its_file_expects() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refusals");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 30, "the folder of cases has only {} of them", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let mut parts = text.split("=== ");
        let expected: Vec<&str> = parts.next().unwrap().lines().filter_map(|line| line.strip_prefix("> ")).collect();
        let files: Vec<(&str, &str)> = parts.map(|part| part.split_once('\n').unwrap()).collect();
        let got: Vec<String> = match compile_sources(&sources(&files)) {
            Ok(_) => vec!["compiled".to_owned()],
            Err(found) => found.iter().flat_map(|d| std::iter::once(d.to_string()).chain(d.help.clone())).collect(),
        };
        if expected.is_empty() || got != expected {
            wrong.push(format!("{}\n  expected {expected:#?}\n  got {got:#?}", path.file_name().unwrap().display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
