//! Components are compiled in a child process: this test's own binary, which is why it has a main of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, with a harness of their own")]

#[allow(unreachable_pub, dead_code, reason = "the end-to-end tests have it too, and each uses a part of it")]
#[path = "../../../tests/src/component.rs"]
mod made;
mod support;

use bytes::Bytes;
use serde_json::json;
use sluice_model::{Failure, FailureReason, Limits};
use sluice_sandbox::{
    ComponentCompiler, Engine, EngineOptions, RunRequest, Snapshot, SnapshotError, run_component_child_if_asked,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a name says of the work.
type Test = (&'static str, fn(&Runtime));

const TESTS: &[Test] = &[
    ("a_child_compiles_and_the_code_is_kept", a_child_compiles_and_the_code_is_kept),
    ("code_that_is_damaged_or_anybodys_is_made_anew", code_that_is_damaged_or_anybodys_is_made_anew),
    ("a_snapshot_names_code_and_has_none", a_snapshot_names_code_and_has_none),
    ("a_child_without_memory_or_time_refuses", a_child_without_memory_or_time_refuses),
    ("a_program_that_cannot_be_started_is_the_machines_fault", a_program_that_cannot_be_started_is_the_machines_fault),
    ("half_an_answer_is_none", half_an_answer_is_none),
];

struct Runtime(tokio::runtime::Runtime);

fn main() {
    run_component_child_if_asked();
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let runtime = Runtime(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    for (name, test) in TESTS.iter().filter(|(name, _)| filter.iter().all(|f| name.contains(f.as_str()))) {
        test(&runtime);
        println!("test {name} ... ok");
    }
}

fn bytes() -> Bytes {
    let outcome = r#"{"kind":"continue"}"#;
    made::component("", &[outcome], "(call $answer (i32.const 1024) (i32.const 19))").into()
}

/// An engine whose base image comes from the tests' folder; its components are kept in `dir`.
fn engine(dir: &Path, compiler: ComponentCompiler) -> Engine {
    for entry in fs::read_dir(support::cache_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("base-")) && !dir.join(&name).exists() {
            fs::copy(entry.path(), dir.join(&name)).unwrap();
        }
    }
    let options = EngineOptions {
        cache_dir: Some(dir.to_owned()),
        max_runs_in_flight: 2,
        slow_threads: 1,
        component_compiler: Some(compiler),
    };
    Engine::new(options).unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn this() -> ComponentCompiler {
    ComponentCompiler::this_program().unwrap()
}

/// A compiler that can never be started.
fn nobody() -> ComponentCompiler {
    ComponentCompiler::new("/nonexistent/compiler")
}

fn code(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_code = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "code");
    let found: Vec<PathBuf> = files.filter(is_code).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

impl Runtime {
    fn component(&self, engine: &Engine, bytes: &Bytes) -> Result<Snapshot, Failure> {
        self.0.block_on(engine.component(bytes))
    }

    fn continues(&self, engine: &Engine, snapshot: Snapshot) {
        let limits = Limits { cpu_ms: 500, wall_ms: 5_000 };
        let request = RunRequest { limits, ..support::request(&json!({})) };
        let report = self.0.block_on(engine.run(&Arc::new(snapshot), request));
        assert!(report.outcome.is_ok(), "{report:?}");
    }
}

fn a_child_compiles_and_the_code_is_kept(runtime: &Runtime) {
    let dir = folder();
    let first = engine(dir.path(), this());
    runtime.continues(&first, runtime.component(&first, &bytes()).unwrap());
    assert_eq!(fs::metadata(code(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
    // Nobody compiles it again.
    let second = engine(dir.path(), nobody());
    runtime.continues(&second, runtime.component(&second, &bytes()).unwrap());
}

fn code_that_is_damaged_or_anybodys_is_made_anew(runtime: &Runtime) {
    let dir = folder();
    let engine = engine(dir.path(), this());
    drop(runtime.component(&engine, &bytes()).unwrap());
    let file = code(dir.path());
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut longer = whole.clone();
    longer.push(0);
    for damaged in [&flipped[..], &longer, &whole[..whole.len() / 2], &whole[..7], b""] {
        fs::write(&file, damaged).unwrap();
        runtime.continues(&engine, runtime.component(&engine, &bytes()).unwrap());
        assert!(fs::read(&file).unwrap() == whole, "it is whole again");
    }
    // What others could have written is not believed, whatever it is.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    runtime.continues(&engine, runtime.component(&engine, &bytes()).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

fn a_snapshot_names_code_and_has_none(runtime: &Runtime) {
    let dir = folder();
    let engine = engine(dir.path(), this());
    let snapshot = runtime.component(&engine, &bytes()).unwrap();
    let packed = snapshot.to_bytes(&engine);
    assert!(packed.len() < 100, "{}", packed.len());
    runtime.continues(&engine, Snapshot::from_bytes(&engine, &packed).unwrap());
    // A name is no way to another file.
    let mut elsewhere = packed.clone();
    elsewhere.truncate(8);
    elsewhere.extend_from_slice(b"../../etc/passwd");
    assert!(matches!(Snapshot::from_bytes(&engine, &elsewhere), Err(SnapshotError::Damaged)));
    fs::remove_file(code(dir.path())).unwrap();
    assert!(matches!(Snapshot::from_bytes(&engine, &packed), Err(SnapshotError::OtherEngine)));
}

/// A component that takes some ten seconds to compile: functions of which none is like another.
fn laborious() -> Bytes {
    let mut functions = String::new();
    for function in 0..4_000 {
        let steps: String = (0..200)
            .map(|step| format!("(local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const {})) (i32.load offset={step} (local.get 0))))", function * 200 + step))
            .collect();
        functions.push_str(&format!("(func (param i32) (result i32) {steps} (local.get 0))\n"));
    }
    made::component(&functions, &[], "(unreachable)").into()
}

fn a_child_without_memory_or_time_refuses(runtime: &Runtime) {
    let dir = folder();
    let (small, laborious) = (bytes(), laborious());
    for (compiler, bytes, says) in [
        (ComponentCompiler { memory_bytes: 64 << 20, ..this() }, &small, "120 s of CPU time or 64 MiB of memory"),
        (ComponentCompiler { cpu_s: 1, ..this() }, &laborious, "more than 1 s of CPU time"),
        (ComponentCompiler { wall: Duration::from_millis(1), ..this() }, &laborious, "longer than 1ms"),
    ] {
        let engine = engine(dir.path(), compiler);
        let failure = runtime.component(&engine, bytes).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Threw, "{failure:?}");
        assert!(failure.message.contains(says), "{failure:?}");
    }
}

fn a_program_that_cannot_be_started_is_the_machines_fault(runtime: &Runtime) {
    let dir = folder();
    let failure = runtime.component(&engine(dir.path(), nobody()), &bytes()).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Unavailable, "{failure:?}");
}

fn half_an_answer_is_none(runtime: &Runtime) {
    let dir = folder();
    let program = dir.path().join("program");
    for answer in ["", "slucode", "slucode\\n", "slucode\\n\\020\\000\\000\\000\\000\\000\\000\\000half"] {
        fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\nprintf '{answer}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let engine = engine(dir.path(), ComponentCompiler::new(&program));
        let failure = runtime.component(&engine, &bytes()).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Threw, "{failure:?}");
    }
}
