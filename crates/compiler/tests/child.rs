//! The compiler in a child process: this test's own binary, which is why it has a main of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, with a harness of their own")]

use sluice_compiler::{ChildOptions, CompileError, Package, compile, compile_in_child, run_child_if_asked};
use sluice_model::Diagnostic;
use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

const MANIFEST: &str = "slug = \"a\"\nname = \"A\"\ntriggers = [\"post-login\"]\n";
const EXECUTE: &str = "export async function execute(input) { return { kind: 'continue' } }\n";

const TESTS: &[(&str, fn())] = &[
    ("the_child_makes_the_same_bundle", the_child_makes_the_same_bundle),
    ("mistakes_come_back_from_the_child", mistakes_come_back_from_the_child),
    ("hostile_nesting_ends_as_a_diagnostic", hostile_nesting_ends_as_a_diagnostic),
    ("a_child_without_memory_ends_as_a_diagnostic", a_child_without_memory_ends_as_a_diagnostic),
    ("a_child_that_never_answers_is_killed", a_child_that_never_answers_is_killed),
    ("a_child_that_uses_up_its_cpu_time_is_out_of_time", a_child_that_uses_up_its_cpu_time_is_out_of_time),
    ("a_program_that_is_no_compiler_is_told_apart", a_program_that_is_no_compiler_is_told_apart),
    ("the_file_that_the_child_was_at_is_told", the_file_that_the_child_was_at_is_told),
    ("a_program_that_is_not_there_is_the_machines_fault", a_program_that_is_not_there_is_the_machines_fault),
    ("the_child_gets_an_empty_environment", the_child_gets_an_empty_environment),
    ("a_package_of_200_lines_takes_milliseconds", a_package_of_200_lines_takes_milliseconds),
];

fn main() {
    run_child_if_asked();
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen = TESTS.iter().filter(|(name, _)| filter.iter().all(|f| name.contains(f.as_str())));
    for (name, test) in chosen {
        test();
        println!("test {name} ... ok");
    }
}

fn package(files: &[(&str, &str)]) -> Package {
    let manifest = [("action.toml", MANIFEST)];
    Package::from_files(manifest.iter().chain(files).map(|(p, t)| ((*p).to_owned(), (*t).to_owned()))).unwrap()
}

fn options() -> ChildOptions {
    ChildOptions::this_program().unwrap()
}

fn refused(package: &Package, options: &ChildOptions) -> Vec<Diagnostic> {
    match compile_in_child(package, options) {
        Err(CompileError::Refused(found)) => found,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A program of a few lines of shell in the child's place.
fn script(lines: &str) -> (tempfile::TempDir, ChildOptions) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, ChildOptions::new(path))
}

fn the_child_makes_the_same_bundle() {
    let package = package(&[
        ("src/index.ts", "import { a } from './lib/a'\nexport const execute = (x: number) => a + x"),
        ("src/lib/a.ts", "export enum E { A = 'x' }\nexport const a = E.A"),
    ]);
    let here = compile(&package).unwrap();
    let there = compile_in_child(&package, &options()).unwrap();
    assert_eq!(here, there);
    assert_eq!(here.to_bytes(), there.to_bytes());
}

fn mistakes_come_back_from_the_child() {
    let found = refused(&package(&[("src/index.ts", "import './x'\nexport const execute = 1")]), &options());
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "src/index.ts:1:8: error: cannot find \"./x\": there is no file src/x",
            "src/index.ts:2:14: error: `execute` is a number, and must be a function",
        ]
    );
    assert_eq!(found[1].excerpt.as_deref(), Some("2 | export const execute = 1\n  |              ^^^^^^^^^^^"));
}

fn hostile_nesting_ends_as_a_diagnostic() {
    let around = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let crashes = [
        ("parentheses", format!("const a = {}", around("(", "1", ")", 400_000))),
        ("arrays", format!("const a = {}", around("[", "", "]", 400_000))),
        ("types", format!("type A = {}", around("[", "0", "]", 400_000))),
        ("blocks", around("{", "", "}", 400_000)),
        ("unary operators", format!("const a = {}1", "!".repeat(900_000))),
        ("arrow functions", format!("const a = {}1", "a=>".repeat(200_000))),
        ("generic types", format!("type A = {}", around("A<", "0", ">", 200_000))),
        ("template strings", format!("const a = {}", around("`${", "1", "}`", 150_000))),
        ("templates that are not closed", format!("const a = {}", "`${".repeat(100_000))),
        ("generic types that are not closed", format!("type A = {}", "Array<".repeat(100_000))),
        ("arrays that are not closed", format!("export const deep = {}", "[".repeat(100_000))),
    ];
    for (what, text) in crashes {
        let found = refused(&package(&[("src/index.ts", &format!("{text}\n{EXECUTE}"))]), &options());
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert_eq!(found[0].code, "compiler_crash", "{what}: {}", found[0]);
        assert!(
            found[0].message.starts_with("the compiler ran out of stack or memory on this file"),
            "{what}: {}",
            found[0]
        );
        assert_eq!(found[0].file, "src/index.ts", "{what}: {}", found[0]);
    }
    // Whatever comes of these, it comes as an answer.
    let others = [
        ("objects", format!("const a = {}", around("{a:", "1", "}", 200_000))),
        ("conditions", format!("const a = {}0", "1?2:".repeat(200_000))),
        ("sums", format!("const a = 1{}", "+1".repeat(400_000))),
        ("members", format!("const a = b{}", ".c".repeat(400_000))),
        ("else if", format!("{};", "if(a);else ".repeat(80_000))),
        ("calls", format!("a{}", "()".repeat(400_000))),
        ("groups in a regular expression", format!("const a = /{}/", around("(", "", ")", 400_000))),
        ("open brackets", "[".repeat(1_000_000)),
        ("no line breaks", "a;".repeat(500_000)),
        ("unions", format!("type A = 0{}", "|0".repeat(400_000))),
    ];
    for (what, text) in others {
        match compile_in_child(&package(&[("src/index.ts", &format!("{EXECUTE}{text}"))]), &options()) {
            Ok(_) => {}
            Err(CompileError::Refused(found)) => assert!(!found.is_empty(), "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

fn a_child_without_memory_ends_as_a_diagnostic() {
    let text = format!("{EXECUTE}export const a = [{}]", "{b:[]},".repeat(140_000));
    let small = ChildOptions { memory_bytes: 150 << 20, ..options() };
    let found = refused(&package(&[("src/index.ts", &text)]), &small);
    assert_eq!(found[0].code, "compiler_crash", "{}", found[0]);
}

fn a_child_that_never_answers_is_killed() {
    let (_folder, options) = script("exec sleep 1000");
    let started = Instant::now();
    let options = ChildOptions { wall: Duration::from_millis(50), ..options };
    let found = refused(&package(&[("src/index.ts", EXECUTE)]), &options);
    assert!(found[0].message.starts_with("the compiler ran out of time on this package"), "{}", found[0]);
    assert!(started.elapsed() < Duration::from_secs(100), "{:?}", started.elapsed());
}

fn a_child_that_uses_up_its_cpu_time_is_out_of_time() {
    let (_folder, options) = script("ulimit -S -t 1; while :; do :; done");
    let options = ChildOptions { wall: Duration::from_secs(120), ..options };
    let found = refused(&package(&[("src/index.ts", EXECUTE)]), &options);
    assert_eq!(found[0].code, "compiler_time", "{}", found[0]);
}

fn a_program_that_is_no_compiler_is_told_apart() {
    for lines in [
        "exit 0",
        "exit 3",
        "echo hello",
        "echo file src/nowhere.ts",
        "echo file",
        "printf 'file src/index.ts'",
        "printf 'sluice\\001\\n\\377\\377\\377\\377\\377\\377\\377\\377{}'",
    ] {
        let (_folder, options) = script(lines);
        let found = refused(&package(&[("src/index.ts", EXECUTE)]), &options);
        assert_eq!(found[0].message, "the compiler failed on this package, by a fault of its own", "{lines}");
    }
}

fn the_file_that_the_child_was_at_is_told() {
    let crash = format!("export const deep = {}", "[".repeat(400_000));
    let files = [
        (
            "src/index.ts",
            "import { a } from './a'\nimport { deep } from './deep'\nexport const execute = () => [a, deep]",
        ),
        ("src/a.ts", "export const a = 1"),
        ("src/deep.ts", crash.as_str()),
    ];
    let found = refused(&package(&files), &options());
    assert_eq!((found[0].file.as_str(), found[0].line), ("src/deep.ts", None), "{}", found[0]);

    let at_a = "printf 'file src/index.ts\\nfile src/a.ts\\n'";
    let endings = [
        ("exec sleep 1000", "compiler_time", "the compiler ran out of time on this file"),
        ("kill -ABRT $$", "compiler_crash", "the compiler ran out of stack or memory on this file"),
        ("exit 0", "compiler_crash", "the compiler failed on this file, by a fault of its own"),
        // What is no answer is none, whatever stands before it.
        ("echo file src/nowhere.ts", "compiler_crash", "the compiler failed on this file, by a fault of its own"),
        ("echo hello", "compiler_crash", "the compiler failed on this file, by a fault of its own"),
    ];
    for (ending, code, message) in endings {
        let (_folder, options) = script(&format!("{at_a}\n{ending}"));
        let wall = if code == "compiler_time" { Duration::from_secs(2) } else { options.wall };
        let found = refused(&package(&files), &ChildOptions { wall, ..options });
        assert_eq!((found[0].code.as_ref(), found[0].file.as_str()), (code, "src/a.ts"), "{ending}: {}", found[0]);
        assert!(found[0].message.starts_with(message), "{ending}: {}", found[0]);
    }
}

fn a_program_that_is_not_there_is_the_machines_fault() {
    let result = compile_in_child(&package(&[("src/index.ts", EXECUTE)]), &ChildOptions::new("/nonexistent/program"));
    assert!(matches!(result, Err(CompileError::Unavailable(_))), "{result:?}");
}

fn the_child_gets_an_empty_environment() {
    // The shell makes a few variables of its own.
    let (folder, options) = script("env > \"${0%/*}/environment\"");
    refused(&package(&[("src/index.ts", EXECUTE)]), &options);
    let seen = fs::read_to_string(folder.path().join("environment")).unwrap();
    assert!(
        seen.lines().all(|line| ["PWD=", "_=", "SHLVL=", "OLDPWD="].iter().any(|own| line.starts_with(own))),
        "{seen}"
    );
}

fn a_package_of_200_lines_takes_milliseconds() {
    let mut text = String::from(EXECUTE);
    for i in 0..66 {
        writeln!(text, "interface T{i} {{ a: string; b?: number[] }}\nexport function f{i}(t: T{i}): string {{\n  return t.a.repeat({i})}}").unwrap();
    }
    let package = package(&[("src/index.ts", &text)]);
    assert!(text.lines().count() >= 199);
    let options = options();
    let mut child: Vec<Duration> = Vec::new();
    let mut here: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        compile_in_child(&package, &options).unwrap();
        child.push(started.elapsed());
        let started = Instant::now();
        compile(&package).unwrap();
        here.push(started.elapsed());
    }
    child.sort();
    here.sort();
    println!(
        "200 lines: in a child {:?} at best, {:?} median; in this process {:?} median",
        child[0], child[10], here[10]
    );
    // The best of twenty: other work on the machine must not fail it.
    assert!(child[0] < Duration::from_millis(100), "{:?}", child[0]);
}
