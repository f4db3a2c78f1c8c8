//! Components: made here of a core module's text and the world of `proto/wit/action.wit`, as every tool chain makes them in the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(unreachable_pub, dead_code, reason = "the end-to-end tests have it too, and each uses a part of it")]
#[path = "../../../tests/src/component.rs"]
mod made;
mod support;

use made::{PARTS, assembled, component, encoded, place};
use serde_json::json;
use sluice_model::{Artifact, CheckedConfig, Failure, FailureReason, Invalid, Limits, Object, Trigger};
use sluice_sandbox::{NoPorts, RunReport, RunRequest, Snapshot, check_component};
use std::sync::Arc;
use support::{ENGINE, request};

/// One whose `execute` answers a text.
fn answers(text: &str) -> Vec<u8> {
    component("", &[text], &format!("(call $answer (i32.const 1024) (i32.const {}))", text.len()))
}

async fn ready(bytes: &[u8]) -> Arc<Snapshot> {
    check_component(bytes).unwrap();
    Arc::new(ENGINE.component(&bytes.to_vec().into()).await.unwrap())
}

async fn run(bytes: &[u8], limits: Limits) -> RunReport {
    let snapshot = ready(bytes).await;
    ENGINE
        .run(&snapshot, RunRequest { limits, ports: Arc::new(NoPorts), ..request(&json!({"user": {"id": "u1"}})) })
        .await
}

const LONG: Limits = Limits { cpu_ms: 500, wall_ms: 5_000 };

async fn fails(bytes: &[u8], reason: FailureReason) -> Failure {
    let failure = run(bytes, LONG).await.outcome.unwrap_err();
    assert_eq!(failure.reason, reason, "{failure:?}");
    failure
}

#[tokio::test]
async fn an_outcome_is_an_outcome() {
    let report = run(&answers(r#"{"kind":"block","reason_code":"no","user_message":"No."}"#), LONG).await;
    let outcome = report.outcome.unwrap();
    assert_eq!(outcome.reason_code.as_deref(), Some("no"));
    assert!(report.memory_bytes >= 2 << 16);
}

#[tokio::test]
async fn the_input_is_the_json_that_other_actions_get() {
    // It answers its own input as the state.
    let echo = component(
        "",
        &[r#"{"kind":"continue","state":{"input":"#, "}}"],
        "(local $at i32)
         (local.set $at (global.get $heap))
         (memory.copy (local.get $at) (i32.const 1024) (i32.const 36))
         (memory.copy (i32.add (local.get $at) (i32.const 36)) (local.get $in) (local.get $len))
         (memory.copy (i32.add (i32.add (local.get $at) (i32.const 36)) (local.get $len)) (i32.const 2048) (i32.const 2))
         (call $answer (local.get $at) (i32.add (local.get $len) (i32.const 38)))",
    );
    let input =
        json!({"user": {"id": "u1", "name": "Žofia \u{1f511}"}, "n": [1, -2.5, null, true, 9007199254740991_u64]});
    let snapshot = ready(&echo).await;
    let outcome = ENGINE.run(&snapshot, RunRequest { limits: LONG, ..request(&input) }).await.outcome.unwrap();
    assert_eq!(outcome.state["input"], input);
}

#[tokio::test]
async fn each_run_has_memory_of_its_own() {
    let counts = component(
        "",
        &[r#"{"kind":"continue","reason_code":"n0"}"#],
        "(i32.store8 (i32.const 1059) (i32.add (i32.load8_u (i32.const 1059)) (i32.const 1)))
         (call $answer (i32.const 1024) (i32.const 38))",
    );
    let snapshot = ready(&counts).await;
    for _ in 0..20 {
        let report = ENGINE.run(&snapshot, RunRequest { limits: LONG, ..request(&json!({})) }).await;
        assert_eq!(report.outcome.unwrap().reason_code.as_deref(), Some("n1"));
    }
}

#[tokio::test]
async fn what_is_no_outcome_is_told_as_that() {
    for (answer, says) in [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[]", ""),
        (r#"{"kind":"allow"}"#, "allow"),
        (r#"{"kind":"block","reason_code":7}"#, "reason_code"),
    ] {
        let failure = fails(&answers(answer), FailureReason::InvalidOutcome).await;
        let told = format!("{:?} {}", failure.pointer, failure.message);
        assert!(told.contains(says), "{answer}: {failure:?}");
    }
    let large = component("", &[], "(call $answer (i32.const 0) (i32.const 70000))");
    assert!(fails(&large, FailureReason::InvalidOutcome).await.message.contains("at most 65536"));
    let not_text = component(
        "",
        &["x"],
        "(i32.store8 (i32.const 1024) (i32.const 255)) (call $answer (i32.const 1024) (i32.const 1))",
    );
    fails(&not_text, FailureReason::Threw).await;
}

#[tokio::test]
async fn an_error_is_a_failed_run_in_its_words() {
    let failure = fails(
        &component("", &["the directory is closed"], "(call $fail (i32.const 1024) (i32.const 23))"),
        FailureReason::Threw,
    )
    .await;
    assert_eq!(failure.message, "the directory is closed");
}

#[tokio::test]
async fn traps_are_told_with_the_functions_that_they_are_in() {
    let failure = fails(&component("", &[], "(unreachable)"), FailureReason::Threw).await;
    assert!(failure.message.contains("unreachable"), "{failure:?}");
    assert_eq!(failure.stack.as_deref(), Some("at execute"));
    let failure = fails(
        &component("", &[], "(drop (i32.load (i32.const -1))) (call $answer (i32.const 0) (i32.const 0))"),
        FailureReason::Threw,
    )
    .await;
    assert!(failure.message.contains("out of bounds"), "{failure:?}");
    let failure = fails(
        &component(
            "",
            &[],
            "(drop (i32.div_s (i32.const 1) (i32.const 0))) (call $answer (i32.const 0) (i32.const 0))",
        ),
        FailureReason::Threw,
    )
    .await;
    assert!(failure.message.contains("divide by zero"), "{failure:?}");
    let failure =
        fails(&component("", &[], "(call $execute (local.get $in) (local.get $len))"), FailureReason::Threw).await;
    assert!(failure.message.contains("stack overflow"), "{failure:?}");
}

#[tokio::test]
async fn limits_of_time_and_memory_have_their_reasons() {
    let endless = component("", &[], "(loop $on (br $on)) (unreachable)");
    let report = run(&endless, Limits { cpu_ms: 20, wall_ms: 5_000 }).await;
    assert_eq!(report.outcome.unwrap_err().reason, FailureReason::CpuLimit);
    assert!(report.cpu_us >= 20_000, "{}", report.cpu_us);
    let hungry = component(
        "",
        &[],
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
    );
    fails(&hungry, FailureReason::MemoryLimit).await;
    let content = component(
        "",
        &[r#"{"kind":"continue"}"#],
        "(drop (memory.grow (i32.const 2000))) (call $answer (i32.const 1024) (i32.const 19))",
    );
    assert!(run(&content, LONG).await.outcome.is_ok(), "one that can do without goes on");
}

#[tokio::test]
async fn a_log_has_16_kib_and_no_more() {
    let log = r#"(import "sluice:action/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
    let twice = component(
        log,
        &["hello", r#"{"kind":"continue"}"#],
        "(call $log (i32.const 0) (i32.const 1024) (i32.const 4)) (call $log (i32.const 3) (i32.const 1024) (i32.const 5))
         (call $answer (i32.const 2048) (i32.const 19))",
    );
    let report = run(&twice, LONG).await;
    let lines: Vec<String> = report.logs.iter().map(|line| format!("{} {}", line.level, line.text)).collect();
    assert_eq!(lines, ["debug hell", "error hello"]);

    let endless = component(
        log,
        &["hello"],
        "(loop $on (call $log (i32.const 1) (i32.const 1024) (i32.const 5)) (br $on)) (unreachable)",
    );
    let report = run(&endless, Limits { cpu_ms: 50, wall_ms: 5_000 }).await;
    assert_eq!(report.outcome.unwrap_err().reason, FailureReason::CpuLimit);
    let bytes: usize = report.logs.iter().map(|line| line.text.len()).sum();
    assert!((16_000..=16 << 10).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn what_is_not_declared_is_denied_by_name() {
    let secrets = r#"(import "sluice:action/secrets@1.0.0" "get" (func $secret (param i32 i32 i32)))"#;
    // It passes on what it was told: `error` is at 64 + 4, whose text is at 64 + 8.
    let asks = component(
        secrets,
        &["API_KEY"],
        "(call $secret (i32.const 1024) (i32.const 7) (i32.const 64))
         (call $fail (i32.load (i32.const 72)) (i32.load (i32.const 76)))",
    );
    let failure = fails(&asks, FailureReason::CapabilityDenied).await;
    assert!(failure.message.contains("API_KEY"), "{failure:?}");
    // One that gets by without is none the worse.
    let asks = component(
        secrets,
        &["API_KEY", r#"{"kind":"continue"}"#],
        "(call $secret (i32.const 1024) (i32.const 7) (i32.const 64)) (call $answer (i32.const 2048) (i32.const 19))",
    );
    assert!(run(&asks, LONG).await.outcome.is_ok());
}

#[test]
fn what_is_no_component_of_this_world_is_refused_by_what_it_is() {
    let core = assembled("(module)");
    let importing = |name: &str| assembled(&format!("(component (import {name:?} (instance)))"));
    let mut old = assembled("(component)");
    old[4] = 0x0c;
    let mut damaged = answers("{}");
    damaged.truncate(damaged.len() / 2);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "fewer than 8 bytes"),
        (b"\x7fELF\x02\x01\x01\x00".to_vec(), "does not begin as one"),
        (b"export const execute = 1".to_vec(), "does not begin as one"),
        (core, "core module"),
        (old, "older form"),
        (b"\0asm\x01\0\x07\0".to_vec(), "not known"),
        (damaged, "damaged"),
        (vec![0; (24 << 20) + 1], "at most 24 MiB"),
        (assembled("(component)"), "exports nothing, and no function execute"),
        (assembled("(component (instance) (export \"wasi:cli/run@0.2.0\" (instance 0)))"), "it is a command"),
        (assembled("(component (instance) (export \"other\" (instance 0)))"), "exports other, and no function execute"),
        (
            importing("wasi:sockets/tcp@0.2.0"),
            "wasi:sockets/tcp@0.2.0, which Actions do not have: there are no sockets",
        ),
        (importing("wasi:http/outgoing-handler@0.2.0"), "sluice:action/http sends requests"),
        (importing("wasi:keyvalue/store@0.2.0"), "sluice:action/kv"),
        (importing("wasi:config/store@0.2.0"), "the config is in the input"),
        (importing("wasi:logging/logging@0.2.0"), "sluice:action/log"),
        (importing("acme:own/thing@1.0.0"), "acme:own/thing@1.0.0, which Actions do not have"),
        (importing("plain"), "imports plain, which"),
        (importing("wasi:cli/environment@0.3.0"), "of WASI, 0.2 is taken"),
        (importing("wasi:cli/environment"), "of WASI, 0.2 is taken"),
        (importing("sluice:action/files@1.0.0"), "sluice:action has types, log"),
        (importing("sluice:action/log@2.0.0"), "this platform has sluice:action 1.0"),
        (importing("sluice:action/log@1.1.0"), "this platform has sluice:action 1.0"),
        (importing("sluice:action/log"), "this platform has sluice:action 1.0"),
    ];
    for (bytes, says) in cases {
        let refusal = check_component(&bytes).unwrap_err();
        assert!(refusal.contains(says), "{refusal:?} does not say {says:?}");
    }
    check_component(&answers("{}")).unwrap();
}

#[tokio::test]
async fn types_are_compared_when_it_is_compiled() {
    let wrong = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (export "execute" (func $f)))"#;
    let failure = ENGINE.component(&assembled(wrong).into()).await.unwrap_err();
    assert!(failure.message.contains("execute"), "{failure:?}");
    let wrong = r#"(component
        (import "sluice:action/log@1.0.0" (instance (export "write" (func (param "text" string)))))
        (core module $m (func (export "f") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (export "execute" (func $f)))"#;
    let failure = ENGINE.component(&assembled(wrong).into()).await.unwrap_err();
    assert!(failure.message.contains("sluice:action/log@1.0.0"), "{failure:?}");
}

/// A component of the second world runs as one of the first.
#[tokio::test]
async fn a_component_that_checks_configs_is_an_action_too() {
    let text = format!(
        "(module\n{PARTS}\n{}
           (func (export \"execute\") (param i32 i32) (result i32) (call $answer (i32.const 1024) (i32.const 19)))
           (func (export \"check-config\") (param i32 i32) (result i32) (i32.store8 (i32.const 16) (i32.const 0)) (i32.const 16)))",
        place(1024, r#"{"kind":"continue"}"#)
    );
    let bytes = encoded(&text, "action-with-config");
    assert!(run(&bytes, LONG).await.outcome.is_ok());
    let check = |bytes: Vec<u8>| async move {
        ENGINE.check_config(&Artifact::Component(bytes.into()), &Object::new(), Trigger::PostLogin).await
    };
    assert_eq!(check(bytes).await.unwrap(), Some(CheckedConfig::default()));
    // A result without a value: 1, then the text's address and length.
    let words = "(i32.store8 (i32.const 16) (i32.const 1))
                 (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const 19))";
    let refuses = text.replace("(i32.store8 (i32.const 16) (i32.const 0))", words);
    let refused = check(encoded(&refuses, "action-with-config")).await.unwrap().unwrap();
    assert_eq!(refused.errors, [Invalid::here(r#"{"kind":"continue"}"#)]);
    // One of the first world has nothing to say.
    let plain = component("", &[r#"{"kind":"continue"}"#], "(call $answer (i32.const 1024) (i32.const 19))");
    assert_eq!(check(plain).await.unwrap(), None);
}
