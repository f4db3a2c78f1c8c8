//! Calls of the host: a run waits for several at once, gives them up, and is bounded in what it asks and how long it waits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use parking_lot::Mutex;
use serde_json::json;
use sluice_model::counter::{KvSet, Take, Taken};
use sluice_model::http::{HttpRequest, HttpResponse};
use sluice_model::{Failure, FailureReason, Limits, Outcome};
use sluice_sandbox::{Answer, Ports, Refusal, RunReport, RunRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use support::*;

/// A host that answers late: a fetch after as many milliseconds as its path says, or never; all else at once, but that nothing
/// can be had of the counter `gone`, after a while.
#[derive(Debug, Default)]
struct Late {
    begun: AtomicU32,
    given_up: Arc<AtomicU32>,
    bodies: Mutex<Vec<Option<usize>>>,
    /// The threads that calls of kv were made on.
    threads: Mutex<Vec<String>>,
}

impl Late {
    fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }

    fn given_up(&self) -> u32 {
        self.given_up.load(Ordering::SeqCst)
    }
}

/// Counts what is dropped before its end.
struct Guard {
    given_up: Arc<AtomicU32>,
    ended: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.given_up.fetch_add(u32::from(!self.ended), Ordering::SeqCst);
    }
}

impl Ports for Late {
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.bodies.lock().push(request.body.as_ref().map(Vec::len));
        let guard = Guard { given_up: self.given_up.clone(), ended: false };
        Box::pin(async move {
            // The whole of it, and not its field alone, goes with the future.
            let mut guard = guard;
            match request.url.path().trim_start_matches('/').parse() {
                Ok(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Err(_) => std::future::pending().await,
            }
            guard.ended = true;
            Ok(HttpResponse { status: 200, url: request.url.into(), ..HttpResponse::default() })
        })
    }

    fn secret(&self, _: &str) -> Result<String, Refusal> {
        Err(Refusal::Unavailable("the secret is not set".into()))
    }

    fn take(&self, take: Take, _: u32) -> Answer<Taken> {
        Box::pin(async move {
            if take.key == "gone" {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(Refusal::Unavailable("the counters cannot be reached".into()));
            }
            Ok(Taken { allowed: true, remaining: 1, retry_after_s: 0 })
        })
    }

    fn kv_get(&self, _: String) -> Answer<Option<String>> {
        self.threads.lock().push(std::thread::current().name().unwrap_or_default().to_owned());
        Box::pin(std::future::ready(Ok(None)))
    }

    fn kv_set(&self, _: KvSet) -> Answer<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn kv_delete(&self, _: String) -> Answer<()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

const HEAD: &str = "
    const ask = (path, init) => fetch(`https://echo.example/${path}`, init);
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    export async function execute(input) {\n";

async fn run_with(body: &str, limits: Limits, ports: Arc<Late>) -> RunReport {
    let snapshot = snapshot(&format!("{HEAD}{body}\n}}")).await;
    ENGINE.run(&snapshot, RunRequest { limits, ports, ..request(&json!({})) }).await
}

/// Much CPU time, as other tests may have the machine, and all the time by the clock.
const LONG: Limits = Limits { cpu_ms: 1_000, wall_ms: 5_000 };

async fn run(body: &str) -> RunReport {
    run_with(body, LONG, Arc::default()).await
}

async fn gives(body: &str) -> Outcome {
    run(body).await.outcome.map_err(|failure| format!("{body}: {failure:?}")).unwrap()
}

async fn fails(body: &str) -> Failure {
    run(body).await.outcome.map(|outcome| panic!("{body} gave {outcome:?}")).unwrap_err()
}

/// Until it holds; others get the thread meanwhile.
async fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not come to that");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_run_waits_for_several_calls_at_once() {
    let report = run("await Promise.all([ask(300), ask(300), ask(300)]); return { kind: 'continue' }").await;
    report.outcome.unwrap();
    assert!((300_000..800_000).contains(&report.wall_us), "{} us", report.wall_us);
    assert!(report.cpu_us < 100_000, "{} us", report.cpu_us);
}

#[tokio::test]
async fn answers_and_timers_come_in_the_order_of_their_time() {
    let outcome = gives(
        "const seen = [];
        const note = (what) => () => seen.push(what);
        await Promise.all([
            sleep(200).then(note('timer 200')), ask(100).then(note('answer 100')), sleep(0).then(note('timer 0')),
            ask(300).then(note('answer 300')), kv.get('a').then(note('kv')), sleep(400).then(note('timer 400')),
        ]);
        return { kind: 'continue', state: { seen } };",
    )
    .await;
    let expected = json!(["kv", "timer 0", "answer 100", "timer 200", "answer 300", "timer 400"]);
    assert_eq!(outcome.state["seen"], expected);
}

#[tokio::test]
async fn a_signal_gives_up_the_call_in_the_host() {
    let ports = Arc::new(Late::default());
    let code = "const controller = new AbortController();
        const calls = [ask('never', { signal: controller.signal }), ask('never', { signal: AbortSignal.timeout(5) })];
        setTimeout(() => controller.abort('enough'), 1);
        const reasons = (await Promise.allSettled(calls)).map(({ reason }) => reason.name ?? reason);
        await ask(1);
        return { kind: 'continue', state: { reasons } };";
    let report = run_with(code, LONG, ports.clone()).await;
    assert_eq!(report.outcome.unwrap().state["reasons"], json!(["enough", "TimeoutError"]));
    assert_eq!((ports.begun(), ports.given_up()), (3, 2));
}

#[tokio::test]
async fn what_is_under_way_is_given_up_with_its_run() {
    for code in [
        "ask('never'); await sleep(1); return { kind: 'continue' }",
        "ask('never'); await sleep(1); throw new Error('x')",
        "ask('never'); await sleep(1); for (;;) {}",
    ] {
        let ports = Arc::new(Late::default());
        let report = run_with(code, Limits { cpu_ms: 20, wall_ms: 5_000 }, ports.clone()).await;
        drop(report);
        until(|| (ports.begun(), ports.given_up()) == (1, 1)).await;
    }
}

#[tokio::test]
async fn a_run_that_its_caller_drops_drops_its_calls() {
    // The second has moved to the slow lane by the time that it waits.
    for before in ["", "const begun = performance.now(); while (performance.now() - begun < 50);"] {
        let ports = Arc::new(Late::default());
        let code = format!("{before} await Promise.all([ask('never'), ask('never')])");
        let run = tokio::spawn({
            let ports = ports.clone();
            async move { run_with(&code, LONG, ports).await }
        });
        until(|| ports.begun() == 2).await;
        assert_eq!(ports.given_up(), 0);
        run.abort();
        until(|| ports.given_up() == 2).await;
    }
}

#[tokio::test]
async fn time_that_is_over_while_a_run_waits_names_what_it_waits_for() {
    let limits = Limits { cpu_ms: 50, wall_ms: 40 };
    for (code, waiting) in [
        ("await ask('never')", "fetch of echo.example"),
        (
            "await Promise.all([ask('never'), fetch('https://other.example:8443/x')])",
            "fetch of echo.example, fetch of other.example",
        ),
        ("try { await ask('never') } catch { return { kind: 'continue' } }", "fetch of echo.example"),
        ("await sleep(60_000)", "a timer"),
    ] {
        let begun = Instant::now();
        let failure = run_with(code, limits, Arc::default()).await.outcome.unwrap_err();
        assert_eq!(failure.reason, FailureReason::WallLimit, "{code}");
        assert_eq!(failure.message, format!("took longer than 40 ms, waiting for {waiting}"), "{code}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn the_cpu_limit_holds_after_a_wait_and_waiting_does_not_count() {
    let limits = Limits { cpu_ms: 20, wall_ms: 5_000 };
    let report = run_with("await ask(100);\nfor (;;) input.x", limits, Arc::default()).await;
    let failure = report.outcome.unwrap_err();
    assert_eq!(failure.reason, FailureReason::CpuLimit, "{failure:?}");
    assert!((20_000..100_000).contains(&report.cpu_us), "{} us", report.cpu_us);
    assert!(report.wall_us >= 100_000);
    let many = "for (let n = 0; n < 40; n++) await sleep(5); return { kind: 'continue' }";
    run_with(many, limits, Arc::default()).await.outcome.unwrap();
}

#[tokio::test]
async fn a_sixth_fetch_is_refused_and_the_host_never_hears_of_it() {
    let ports = Arc::new(Late::default());
    let code = "const all = await Promise.allSettled(Array.from({ length: 7 }, () => ask(1)));
        const codes = all.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.cause.code);
        return { kind: 'continue', state: { codes } };";
    let report = run_with(code, LONG, ports.clone()).await;
    assert_eq!(report.outcome.unwrap().state["codes"], json!(["request_refused", "request_refused"]));
    assert_eq!(ports.begun(), 5);
}

#[tokio::test]
async fn a_hundred_calls_of_counters_and_kv_are_what_a_run_has() {
    let outcome = gives(
        "const calls = [];
        for (let n = 0; n < 34; n++) {
            calls.push(kv.get('a'), kv.set('a', n, { ttl_s: 1 }), counters.take('a', { limit: 1, window_s: 1 }));
        }
        const all = await Promise.allSettled(calls);
        const reasons = all.filter(({ status }) => status === 'rejected').map(({ reason }) => `${reason}`);
        return { kind: 'continue', state: { reasons } };",
    )
    .await;
    let reasons = outcome.state["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 2);
    assert_eq!(reasons[0], "TypeError: kv.set: a run may call counters and kv 100 times, and this is one more");
}

#[tokio::test]
async fn what_a_run_needs_and_cannot_have_ends_it_whatever_it_answers() {
    for (code, message) in [
        ("await counters.take('gone', { limit: 1, window_s: 1 })", "the counters cannot be reached"),
        ("secrets.get('KEY')", "the secret is not set"),
    ] {
        for code in [
            format!("{code}; return {{ kind: 'continue' }}"),
            format!("try {{ {code} }} catch {{ }} return {{ kind: 'continue' }}"),
        ] {
            let failure = fails(&code).await;
            assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::Unavailable, message), "{code}");
        }
    }
}

#[tokio::test]
async fn an_endless_interval_costs_little_and_ends_with_the_time() {
    for code in [
        "setInterval(() => {}, 1); await new Promise(() => {})",
        "const again = () => setTimeout(again); again(); await new Promise(() => {})",
    ] {
        let report = run_with(code, Limits { cpu_ms: 1_000, wall_ms: 200 }, Arc::default()).await;
        let failure = report.outcome.unwrap_err();
        assert_eq!(failure.reason, FailureReason::WallLimit, "{failure:?}");
        assert!(report.cpu_us < 50_000, "{} us", report.cpu_us);
        assert!(report.wall_us < 2_000_000, "{} us", report.wall_us);
    }
}

#[tokio::test]
async fn a_run_does_not_wait_for_a_time_limit_that_nobody_hears_of() {
    for code in [
        "AbortSignal.timeout(2_000); await new Promise(() => {})",
        "const { signal } = new Request('https://a.example/', { signal: AbortSignal.timeout(2_000) }); await new Promise(() => {})",
        "const signal = AbortSignal.timeout(2_000); signal.onabort = () => {}; signal.onabort = null; await new Promise(() => {})",
        "await ask(1, { signal: AbortSignal.timeout(2_000) }); await new Promise(() => {})",
    ] {
        let report = run(code).await;
        assert_eq!(report.outcome.unwrap_err().reason, FailureReason::NeverSettled, "{code}");
        assert!(report.wall_us < 1_500_000, "{code}: {} us", report.wall_us);
    }
    // While something else is under way it counts, and in time.
    let outcome = gives(
        "const [one, two] = [AbortSignal.timeout(20), AbortSignal.timeout(40)];
        await ask(200);
        const first = [one.aborted, two.aborted];
        const three = AbortSignal.timeout(20);
        await sleep(100);
        return { kind: 'continue', state: { all: [...first, three.aborted] } };",
    )
    .await;
    assert_eq!(outcome.state["all"], json!([true, true, true]));
    let failure =
        fails("await new Promise((_, reject) => { AbortSignal.timeout(5).onabort = () => reject(new Error('late')) })")
            .await;
    assert_eq!(failure.message, "Error: late");
}

#[tokio::test]
async fn garbage_in_calls_ends_as_errors_of_the_action() {
    let ports = Arc::new(Late::default());
    let detached = "const detached = new ArrayBuffer(8); structuredClone(detached, { transfer: [detached] });";
    for call in [
        "kv.get('\\ud800')",
        "kv.get('x'.repeat(1e6))",
        "kv.get('')",
        "kv.set('a', '\\udc00', { ttl_s: 1 })",
        "kv.set('a', 'x'.repeat(1e6), { ttl_s: 1 })",
        "kv.set('a', 1, { ttl_s: 1e308 })",
        "kv.set('a', 1, { ttl_s: 5e-324 })",
        "kv.set('a', [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]], { ttl_s: 1 })",
        "(() => { let v = 1; for (let n = 0; n < 500; n++) v = [v]; return kv.set('a', v, { ttl_s: 1 }); })()",
        "kv.set('a', { toJSON() { throw new Error('mine') } }, { ttl_s: 1 })",
        "kv.set('a', 1n, { ttl_s: 1 })",
        "counters.take('\\ud800', { limit: 1, window_s: 1 })",
        "counters.take('a', { limit: NaN, window_s: -1 })",
        "counters.take('a', { limit: 1e300, window_s: 1.5, cost: -0, scope: '\\ud800', ['\\udc00']: 1 })",
        "counters.take('a', { toJSON: () => 'text' })",
        "counters.take('a', { toJSON: () => undefined })",
        "counters.take('a', Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`k${n}`, n])))",
        "fetch('https://echo.example/1?\\ud800')",
        "fetch('https://echo.example/1', { headers: Array.from({ length: 1000 }, (_, n) => [`x-${n}`, '\\u00ff'.repeat(100)]) })",
        "fetch('https://echo.example/1', { method: 'x'.repeat(1e5) })",
        "fetch(`https://${'a.'.repeat(1e4)}example/1`)",
        "fetch('https://echo.example/1', { method: 'POST', body: detached })",
        "fetch('https://echo.example/1', { method: 'POST', body: new Uint8Array(detached) })",
        "fetch('https://echo.example/1', { method: 'POST', body: new Uint8Array(1 << 20) })",
        "fetch('https://echo.example/1', { method: 'POST', body: new ArrayBuffer(0) })",
        "Promise.reject().catch(() => secrets.get('\\ud800'.repeat(1e5)))",
    ] {
        let code = format!(
            "{detached} let said = 'answered'; try {{ await {call} }} catch (error) {{ said = `${{error}}` }} return {{ kind: 'continue', reason_code: 'ended' }}"
        );
        let report = run_with(&code, LONG, ports.clone()).await;
        // A secret that is not set ends the run by itself; a machine that has no time for it may end it as well.
        if let Err(failure) = report.outcome {
            assert_ne!(failure.reason, FailureReason::Internal, "{call}: {failure:?}");
            assert_ne!(failure.reason, FailureReason::Threw, "{call}: {failure:?}");
        }
    }
    assert!(ports.bodies.lock().contains(&Some(0)));
    assert!(ports.bodies.lock().iter().flatten().all(|len| *len <= 64 << 10));
}

#[tokio::test]
async fn what_the_scripts_stand_on_can_be_bent_and_the_host_stays_whole() {
    let all = "for (const call of [
            () => ask(1), () => ask(1, { method: 'POST', body: 'x', headers: { a: 'b' }, signal: AbortSignal.timeout(5) }),
            () => kv.get('a'), () => kv.set('a', {}, { ttl_s: 1 }), () => kv.delete('a'),
            () => counters.take('a', { limit: 1, window_s: 1 }), () => secrets.get('a'), () => new AbortController().abort(),
            () => console.log([{}]), () => structuredClone([new Map([[1, 2]])]), () => new URL('https://a.example/?a=b').searchParams.sort(),
        ]) {
            try { await Promise.race([call(), sleep(10)]) } catch { }
        }";
    for bent in [
        "Object.prototype.toJSON = () => 'text'",
        "Object.prototype.toJSON = () => undefined",
        "Object.prototype.toJSON = () => ({ url: 1, method: null, headers: [[]], redirect: {}, key: [], name: {} })",
        "Array.prototype.toJSON = () => 'x'.repeat(1e6)",
        "Array.prototype.toJSON = () => [['host', '\\ud800'], ['a']]",
        "Object.prototype.url = Object.prototype.kind = Object.prototype.method = 7",
        "Object.prototype.signal = AbortSignal.abort(); Object.prototype.body = 'x'",
        "Object.defineProperty(Object.prototype, 'ok', { get() { throw 1 }, set() { throw 2 } })",
        "Map.prototype.get = Map.prototype.set = Map.prototype.delete = () => { throw new Error('bent') }",
        "Map.prototype.get = () => ({ resolve() { for (;;) {} } })",
        "Set.prototype.has = () => true",
        "Array.prototype[Symbol.iterator] = function* () { yield* 'abc' }",
        "Array.prototype.push = Array.prototype.splice = Array.prototype.shift = () => 0",
        "Function.prototype.call = Function.prototype.bind = Function.prototype.apply = () => { throw 1 }",
        "Promise.prototype.then = () => 5; Promise.resolve = Promise.reject = () => 5",
        "String.prototype.toLowerCase = String.prototype.startsWith = String.prototype.split = () => '\\ud800'",
        "JSON.stringify = JSON.parse = () => '\\ud800'; Object.defineProperty = () => { throw 1 }",
        "for (const name of Object.getOwnPropertyNames(globalThis)) try { if (!['fetch', 'kv'].includes(name)) globalThis[name] = undefined } catch { }",
        "Error.prepareStackTrace = () => { throw 1 }; Error.stackTraceLimit = 1e9",
    ] {
        let code = format!("{bent};\n{all}\nreturn {{ kind: 'continue' }}");
        let limits = Limits { cpu_ms: 50, wall_ms: 400 };
        let report = run_with(&code, limits, Arc::default()).await;
        if let Err(failure) = report.outcome {
            assert_ne!(failure.reason, FailureReason::Internal, "{bent}: {failure:?}");
        }
    }
    gives("await ask(1); return { kind: 'continue' }").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_runs_wait_at_once_on_few_threads() {
    let snapshot = snapshot(&format!("{HEAD} await ask(50); await sleep(50); return {{ kind: 'continue' }} }}")).await;
    let ports = Arc::new(Late::default());
    let begun = Instant::now();
    let runs: Vec<_> = (0..200)
        .map(|_| {
            let (snapshot, ports) = (snapshot.clone(), ports.clone());
            tokio::spawn(async move {
                ENGINE.run(&snapshot, RunRequest { limits: LONG, ports, ..request(&json!({})) }).await
            })
        })
        .collect();
    for run in runs {
        run.await.unwrap().outcome.unwrap();
    }
    // One after the other they would take twenty seconds.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!((ports.begun(), ports.given_up()), (200, 0));
}

#[tokio::test]
async fn a_run_that_computes_after_it_waited_moves_to_the_slow_lane() {
    let ports = Arc::new(Late::default());
    let code = "await kv.get('a'); await ask(20); await kv.get('a');
        const begun = performance.now();
        while (performance.now() - begun < 100);
        await kv.get('a');
        await ask(20);
        await kv.get('a');
        return { kind: 'continue' };";
    run_with(code, LONG, ports.clone()).await.outcome.unwrap();
    let threads = ports.threads.lock();
    let slow: Vec<_> = threads.iter().map(|name| name.starts_with("sluice-slow")).collect();
    assert_eq!(slow, [false, false, true, true], "{threads:?}");
}
