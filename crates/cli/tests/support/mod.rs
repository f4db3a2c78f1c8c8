//! What the tests of the command line without a server have in common.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "tests; not every file of them uses all of it")]

use assert_cmd::{Command, assert::Assert};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The binary, without this shell's settings.
pub fn sluice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    for name in ["SLUICE_CONTROL_URL", "SLUICE_EXECUTOR_URL", "SLUICE_TENANT", "SLUICE_TOKEN", "SLUICE_PROFILE"] {
        command.env_remove(name);
    }
    // Nobody has profiles there.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// One line of JSON.
pub fn json(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

pub fn out(assert: &Assert) -> Value {
    json(&assert.get_output().stdout)
}

pub fn refusal(assert: &Assert) -> Value {
    json(&assert.get_output().stderr)["error"].clone()
}

/// Runs a line on a terminal of its own: types each answer when what it answers is on the screen. The answer is what was on the
/// screen, and the exit code, which is the line's own: a shell that stays above it would be ended by a Ctrl-C too.
pub fn on_a_terminal(line: &str, answers: &[(&str, &str)]) -> (String, i32) {
    use std::io::{Read as _, Write as _};
    let mut terminal = std::process::Command::new("script")
        .args(["-qec", &format!("exec {line}"), "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut shows) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let (mut screen, mut piece) = (Vec::new(), [0; 4096]);
    let mut answers = answers.iter();
    let mut next = answers.next();
    while let Ok(read @ 1..) = shows.read(&mut piece) {
        screen.extend_from_slice(&piece[..read]);
        if let Some((question, answer)) = next
            && String::from_utf8_lossy(&screen).contains(question)
        {
            keys.write_all(answer.as_bytes()).unwrap();
            next = answers.next();
        }
    }
    let ended = terminal.wait().unwrap();
    let screen = String::from_utf8_lossy(&screen).into_owned();
    assert!(next.is_none(), "it never asked {next:?}:\n{screen}");
    (screen, ended.code().unwrap())
}

/// A package made by init, with another source.
pub fn package(source: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("my-action");
    sluice().arg("init").arg(&dir).assert().success();
    fs::write(dir.join("src/index.ts"), source).unwrap();
    (folder, dir)
}

pub fn write(dir: &Path, name: &str, value: &Value) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, value.to_string()).unwrap();
    path
}

/// Runs a source once on an input.
pub fn tried(source: &str, input: &Value) -> Value {
    let (folder, dir) = package(source);
    let input = write(folder.path(), "input.json", input);
    let ran = sluice().args(["--json", "test"]).arg(&dir).arg("--input").arg(input).assert();
    // A block or a failed Action exits 0.
    out(&ran.success())
}
