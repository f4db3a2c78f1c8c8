//! Bad input through the command line, and through both real planes where it needs them: each file of `tests/refusals` is one
//! refusal. Scripts and people are told the same, at the place where the mistake is, with what would be right; and nothing
//! is half done.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and tells what is left"
)]

use serde_json::Value;
use sluice_tests::{
    Planes,
    refusal::{Ran, Refusal, Scene},
};
use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// Whom everything is published to that `test` has refused: nothing ever comes of it.
const TWIN: &str = "twin";

/// Files that are run at once: most of their time goes by between processes.
const AT_ONCE: usize = 4;

/// How a value looks that Rust has printed, or what only this program's authors know.
const NOT_FOR_PEOPLE: &[&str] = &[
    "Some(",
    "None)",
    "Err(",
    "Ok(",
    "Error {",
    "Os {",
    "Custom {",
    "\\u{",
    "panicked",
    "RUST_BACKTRACE",
    "called `",
    ".rs:",
    "std::",
    "core::",
    "os error",
    "serde_json",
    "TomlError",
    "oxc",
    "clap::",
    "wasmtime",
];

#[test]
fn every_refusal_says_what_its_file_expects_and_leaves_nothing_behind() {
    let planes = Planes::start();
    planes.cli(TWIN).run(&["tenant", "create", TWIN]);
    let files = Refusal::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("refusals"));
    assert!(files.len() >= 300, "the folder of refusals has only {} of them", files.len());

    let next = AtomicUsize::new(0);
    let told = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Relaxed)) {
                    let wrong = check(file, &planes);
                    told.lock().unwrap().push((&file.name, file, wrong));
                }
            });
        }
    });
    let mut told = told.into_inner().unwrap();
    told.sort_by_key(|(name, ..)| *name);
    let mut wrong = Vec::new();
    for (name, file, found) in told {
        match &file.todo {
            Some(_) if found.is_empty() => wrong.push(format!("{name}: holds; take its mark `todo` away")),
            Some(todo) => eprintln!("todo: {name}: {todo}"),
            None if found.is_empty() => {}
            None => wrong.push(format!("{name}: {}\n    {}", file.about, found.join("\n    "))),
        }
    }
    assert!(wrong.is_empty(), "{} of {} files:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// Runs a file for scripts and for people; answers what is not as it expects.
fn check(file: &Refusal, planes: &Planes) -> Vec<String> {
    let scene = file.lay_out(planes);
    let before = scene.state();
    let (script, people) = (file.run(&scene, true), file.run(&scene, false));
    let after = scene.state();

    let mut wrong = Vec::new();
    for (whom, ran) in [("scripts", &script), ("people", &people)] {
        if ran.code != Some(file.exit) {
            wrong.push(format!("for {whom}: expected exit code {}, got {:?}", file.exit, ran.code));
        }
        for secret in file.never.iter().filter(|never| ran.out.contains(*never) || ran.err.contains(*never)) {
            wrong.push(format!("for {whom}: says {secret:?}"));
        }
    }
    if before != after {
        wrong.push(format!("something is left behind: expected {before:?}, got {after:?}"));
    }
    let (mut in_json, told) = match &file.cases {
        Some(_) => (cases(file, &script), &people.out),
        None => (refusal(file, &scene, &script), &people.err),
    };
    match &file.todo_json {
        Some(_) if in_json.is_empty() => wrong.push("holds as JSON; take its mark `todo_json` away".to_owned()),
        Some(todo) => {
            eprintln!("todo: {}, as JSON: {todo}", file.name);
            in_json.clear();
        }
        None => {}
    }
    wrong.append(&mut in_json);
    wrong.extend(for_people(file, &scene, &people, told));
    if file.is_of_a_package() && file.todo.is_none() && file.todo_json.is_none() {
        let published = scene.publish(planes, TWIN);
        let same = words(&published).is_some() && words(&published) == words(&script);
        match (&file.todo_publish, same) {
            (None, true) => {}
            (None, false) => wrong.push(format!("a publish says something else: {}{}", published.out, published.err)),
            (Some(_), true) => wrong.push("a publish says the same; take its mark `todo_publish` away".to_owned()),
            (Some(todo), false) => eprintln!("todo: {}, published: {todo}", file.name),
        }
    }
    wrong
}

/// What is wrong with a refusal as scripts get it: one line of JSON on standard error, and no answer.
fn refusal(file: &Refusal, scene: &Scene, script: &Ran) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_quiet = script.out.is_empty() || (file.result && results_are_refused(&script.out));
    if !is_quiet {
        wrong.push(format!("standard output: {}", script.out));
    }
    let Some(error) = error(script) else {
        wrong.push(format!("expected one line of JSON on standard error, got {}", script.err));
        return wrong;
    };
    if error["reason"] != file.reason.as_str() {
        wrong.push(format!("expected the reason {}, got {}", file.reason, error["reason"]));
    }
    let message = text(&error, "message");
    for lacks in file.message.iter().map(|says| scene.fill(says)).filter(|says| !message.contains(says.as_str())) {
        wrong.push(format!("the message lacks {lacks:?}: {message:?}"));
    }
    let mut letters = message.chars();
    let is_capital = |letter: Option<char>| letter.is_some_and(char::is_uppercase);
    if !is_told_well(&message) || is_capital(letters.next()) && !is_capital(letters.next()) {
        wrong.push(format!("the message is not written as the house writes: {message:?}"));
    }

    let fields = error["fields"].as_array().cloned().unwrap_or_default();
    let names: Vec<String> = fields.iter().map(|field| text(field, "field")).collect();
    let expected: Vec<&str> = file.fields.iter().map(|field| field.field.as_str()).collect();
    match file.fields_in_all {
        Some(count) if count != names.len() => wrong.push(format!("expected {count} fields, got {}", names.len())),
        None if names != expected => wrong.push(format!("expected the fields {expected:?}, got {names:?}")),
        _ => {}
    }
    for field in &file.fields {
        let says: Vec<String> = field.says.iter().map(|says| scene.fill(says)).collect();
        let of_it = fields.iter().filter(|found| found["field"] == field.field.as_str());
        let messages: Vec<String> = of_it.map(|found| text(found, "message")).collect();
        if !messages.iter().any(|message| says.iter().all(|says| message.contains(says.as_str()))) {
            wrong.push(format!("expected {} to say {says:?}, got {messages:?}", field.field));
        }
    }
    for field in &fields {
        if text(field, "field").is_empty() || !is_told_well(&text(field, "message")) {
            wrong.push(format!("the field is not told as the house does: {field}"));
        }
    }
    wrong
}

/// What is wrong with cases that fail, as scripts get them.
fn cases(file: &Refusal, script: &Ran) -> Vec<String> {
    let expected = file.cases.as_deref().unwrap_or_default();
    let answer: Value = serde_json::from_str(&script.out).unwrap_or_default();
    let all = answer["cases"].as_array().cloned().unwrap_or_default();
    let failed: Vec<Value> = all.into_iter().filter(|case| case["passed"] == false).collect();
    let mut wrong = Vec::new();
    if !script.err.is_empty() {
        wrong.push(format!("standard error: {}", script.err));
    }
    if !failed.iter().map(|case| text(case, "name")).eq(expected.iter().map(|case| case.name.clone())) {
        wrong.push(format!("other cases fail than those that are expected: {}", script.out));
    }
    for (case, expected) in failed.iter().zip(expected) {
        let keys = [("expected", &expected.expected), ("got", &expected.got)];
        let keys = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        for (key, value) in keys.chain(expected.also.iter().map(|(key, value)| (key.as_str(), value))) {
            if case[key] != *value {
                wrong.push(format!("case {:?}: expected {key} {value}, got {}", expected.name, case[key]));
            }
        }
    }
    wrong
}

/// What is wrong with what people are told: every word that a script gets, and nothing that only a program can read.
fn for_people(file: &Refusal, scene: &Scene, people: &Ran, told: &str) -> Vec<String> {
    let fields = file.fields.iter().flat_map(|field| std::iter::once(&field.field).chain(&field.says));
    let cases = file.cases.iter().flatten().flat_map(|case| &case.says);
    let says = file.message.iter().chain(fields).chain(cases).map(|says| scene.fill(says));
    let mut wrong: Vec<String> = says
        .filter(|says| !told.contains(says.as_str()))
        .map(|says| format!("people are not told {says:?}: {told}"))
        .collect();
    // A publish tells what it is about to do, and then no more.
    if file.cases.is_none() && (!people.out.is_empty() && !file.result || people.out.contains('✓')) {
        wrong.push(format!("standard output, for people: {}", people.out));
    }
    for word in NOT_FOR_PEOPLE.iter().filter(|word| told.contains(*word)) {
        wrong.push(format!("people are told {word:?}: {told}"));
    }
    if people.out.chars().chain(people.err.chars()).any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        wrong.push(format!("a terminal is sent control characters: {told:?}"));
    }
    wrong
}

/// The refusal on standard error, where it is one line of JSON.
fn error(ran: &Ran) -> Option<Value> {
    let line = ran.err.strip_suffix('\n').filter(|line| !line.contains('\n'))?;
    serde_json::from_str::<Value>(line).ok()?.get("error").cloned()
}

/// A field, and the lines of its message.
type Told = (String, Vec<String>);

/// The reason of a refusal and what its fields say, however it is indented.
fn words(ran: &Ran) -> Option<(String, Vec<Told>)> {
    let error = error(ran)?;
    let lines = |message: &str| -> Vec<String> { message.lines().map(|line| line.trim().to_owned()).collect() };
    let fields = error["fields"].as_array()?.iter();
    Some((text(&error, "reason"), fields.map(|field| (text(field, "field"), lines(&text(field, "message")))).collect()))
}

/// Whether a message says something, in a line without a full stop, and does not call itself an error.
fn is_told_well(message: &str) -> bool {
    let first = message.lines().next().unwrap_or_default();
    !first.is_empty() && !first.starts_with("error:") && (!first.ends_with('.') || first.ends_with(".."))
}

/// Whether a publish has told of every tenant that it was refused.
fn results_are_refused(out: &str) -> bool {
    let answer: Value = serde_json::from_str(out).unwrap_or_default();
    let refused =
        |result: &Value| result["version"].is_null() && result["created"] == false && result["error"].is_object();
    answer["results"].as_array().is_some_and(|results| !results.is_empty() && results.iter().all(refused))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
