//! Where a failure is, when it comes out of the scripts of the web's APIs: in the author's file, on the author's line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use sluice_model::{Failure, FailureReason};
use sluice_sandbox::{RunReport, RunRequest};
use std::sync::Arc;
use support::ports::World;
use support::*;

/// A run of an `execute` whose body's first line is line 2 of `src/index.ts`.
async fn run(body: &str) -> RunReport {
    let snapshot = snapshot(&format!("export async function execute(input) {{\n{body}\n}}")).await;
    let mut report =
        ENGINE.run(&snapshot, RunRequest { ports: Arc::new(World::default()), ..request(&json!({})) }).await;
    report.logs = snapshot.in_the_authors_places(report.logs);
    report
}

async fn failed(body: &str) -> Failure {
    run(body).await.outcome.map(|outcome| panic!("{body} gave {outcome:?}")).unwrap_err()
}

/// Line 3 is where it is, and nothing of the platform's shows.
async fn is_on_line_3(code: &str, reason: FailureReason, message: &str) {
    let failure = failed(&format!("await null;\n{code}")).await;
    assert_eq!(failure.reason, reason, "{code}: {failure:?}");
    assert!(failure.message.starts_with(message), "{code}: {}", failure.message);
    assert_eq!((failure.file.as_deref(), failure.line), (Some("src/index.ts"), Some(3)), "{code}: {failure:?}");
    assert!(failure.column.is_some(), "{code}");
    let stack = failure.stack.unwrap();
    assert!(stack.contains("at execute (src/index.ts:3:"), "{code}: {stack}");
    assert!(!stack.contains(":web/"), "{code}: {stack}");
}

#[tokio::test]
async fn what_the_apis_throw_is_where_they_were_called() {
    for (code, message) in [
        ("new URL('x')", "TypeError: "),
        ("new URLSearchParams([[1]])", "TypeError: "),
        ("new Headers({ 'a b': 'c' })", "TypeError: Headers: 'a b'"),
        ("new Request('/a')", "TypeError: Request: "),
        ("new Response('', { status: 99 })", "RangeError: Response: "),
        ("Response.redirect('/')", "TypeError: "),
        ("new TextDecoder('none')", "RangeError: "),
        ("new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255]))", "TypeError: "),
        ("atob('*')", "InvalidCharacterError: "),
        ("structuredClone(() => 1)", "DataCloneError: "),
        ("setTimeout('code')", "TypeError: setTimeout"),
        ("crypto.getRandomValues([])", "TypeError"),
        ("new Event()", "TypeError: Event"),
        ("new EventTarget().dispatchEvent({})", "TypeError: dispatchEvent"),
        ("AbortSignal.abort().throwIfAborted()", "AbortError: "),
        ("await crypto.subtle.digest('MD5', new Uint8Array(1))", "NotSupportedError: "),
        ("await new Response('{').json()", "SyntaxError: "),
        ("await fetch('/a')", "TypeError: Request: the URL is none"),
        ("await fetch('https://echo.example/', { headers: { host: 'x' } })", "TypeError: fetch: the header 'host'"),
        ("await fetch('https://refused.example/')", "TypeError: fetch failed: refused.example"),
        ("await fetch('https://echo.example/slow', { signal: AbortSignal.timeout(5) })", "TimeoutError: "),
        ("await counters.take('a')", "TypeError: counters.take"),
        ("await kv.set('a', 1)", "TypeError: kv.set"),
    ] {
        is_on_line_3(code, FailureReason::Threw, message).await;
    }
}

#[tokio::test]
async fn a_denial_that_nobody_catches_ends_the_run_at_its_place() {
    for (code, message) in [
        ("await fetch('https://other.example/')", "CapabilityDeniedError: the host other.example is not declared"),
        ("const { a } = await Promise.all([fetch('https://other.example/')])", "CapabilityDeniedError: the host"),
        ("secrets.get('OTHER')", "CapabilityDeniedError: the secret OTHER is not declared"),
    ] {
        is_on_line_3(code, FailureReason::CapabilityDenied, message).await;
    }
}

#[tokio::test]
async fn a_denial_that_is_caught_ends_nothing() {
    let caught = "try { await fetch('https://other.example/'); } catch (error) {
        return { kind: 'continue', reason_code: 'caught', state: { name: error.name } };
    }";
    let outcome = run(caught).await.outcome.unwrap();
    assert_eq!(outcome.state["name"], "CapabilityDeniedError");
    // What is thrown instead is a failure like any other, and so is an error that only calls itself a denial.
    for code in [
        "try { secrets.get('OTHER'); } catch { throw new Error('mine'); }",
        "throw Object.assign(new Error('x'), { name: 'CapabilityDeniedError', capability: 'fetch' });",
    ] {
        assert_eq!(failed(code).await.reason, FailureReason::Threw, "{code}");
    }
}

#[tokio::test]
async fn what_is_not_there_says_what_there_is_instead() {
    is_on_line_3(
        "Buffer.from('a')",
        FailureReason::Threw,
        "ReferenceError: Buffer is not defined (Actions have no Buffer: use ",
    )
    .await;
    is_on_line_3(
        "new Intl.DateTimeFormat()",
        FailureReason::Threw,
        "ReferenceError: Intl is not defined (Actions have no Intl",
    )
    .await;
    assert_eq!(value("[typeof Buffer, typeof process]").await, json!(["undefined", "undefined"]));
    let top = refused("const a = 1;\nconst b = process.env.B;\nexport function execute() {}").await;
    assert_eq!(top.line, Some(2));
    assert!(
        top.message.ends_with("(Actions have no process: use input.context.config and secrets)"),
        "{}",
        top.message
    );
}

#[tokio::test]
async fn logs_show_nothing_of_the_scripts() {
    let report = run("const f = () => new URL('x');
        try { f(); } catch (error) { console.error(error); console.group('g'); console.warn(error); console.groupEnd(); }
        try { await fetch('https://refused.example/'); } catch (error) { console.error(error); }
        console.trace('here');
        reportError(new Error('reported'));
        new EventTarget().addEventListener('x', () => {});
        const target = new EventTarget();
        target.addEventListener('x', () => { throw new Error('of a listener'); });
        target.dispatchEvent(new Event('x'));
        fetch('https://other.example/');
        await new Promise((resolve) => setTimeout(resolve, 5));
        setTimeout(() => { throw new Error('of a timer'); });
        await new Promise((resolve) => setTimeout(resolve, 5));
        return { kind: 'continue' };")
    .await;
    report.outcome.unwrap();
    let text = report.logs.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
    assert!(!text.contains(":web/"), "{text}");
    for part in ["at f (src/index.ts:2:", "here", "reported", "of a listener", "of a timer", "unhandled rejection: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_top_level_that_an_api_refuses_is_refused_at_its_place() {
    let early = refused("const a = 1;\n\nawait fetch('https://echo.example/');\nexport function execute() {}").await;
    assert_eq!(
        (early.reason, early.file.as_deref(), early.line),
        (FailureReason::CapabilityDenied, Some("src/index.ts"), Some(3))
    );
    let early = refused("const a = 1;\nnew URL('x');\nexport function execute() {}").await;
    assert_eq!((early.reason, early.line), (FailureReason::Threw, Some(2)));
}
