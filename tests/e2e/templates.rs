//! The templates over separate processes: their data files through a real executor, and their limits over two executors and Redis.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it ran"
)]

use serde_json::{Value, json};
use sluice_api::{
    executor::v1::{ExecuteRequest, execution_service_client::ExecutionServiceClient},
    types::v1::{Input, OutcomeKind, Request, User},
};
use sluice_tests::{
    Cli,
    cluster::{Cluster, TENANT},
    load::channel,
    redis::Redis,
    signatures,
    third_party::{HANG_UP, SILENCE, STATUS, ThirdParty},
};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The templates, and how many cases of each can be run as they are, at least: those without a clock that stands still, steps far apart,
/// or what a caller may not send.
const TEMPLATES: [(&str, usize); 10] = [
    ("block-by-risk-score", 40),
    ("decorate-token", 40),
    ("demand-mfa-by-risk-score", 40),
    ("domain-allowlist", 40),
    ("domain-blocklist", 40),
    ("rate-limit-by-ip", 40),
    ("rate-limit-by-user", 40),
    ("redirect-by-group", 40),
    ("slack-notify", 40),
    ("webhook-emit", 40),
];

fn released(slug: &str, file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/templates/released");
    std::fs::read_to_string(root.join(slug).join("1.0.0").join(file)).unwrap()
}

fn cases(slug: &str) -> Vec<Value> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/templates/released").join(slug).join("1.0.0/tests");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let read = |file: &std::ffi::OsString| {
        let text = released(slug, &format!("tests/{}", file.to_str().unwrap()));
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    };
    files.iter().flat_map(read).collect()
}

/// What is expected is there; null, or an empty list, is what is absent.
fn holds(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected.iter().all(|(key, value)| match got.get(key) {
            Some(got) => holds(value, got),
            None => value.is_null() || value.as_array().is_some_and(Vec::is_empty),
        }),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| holds(expected, got))
        }
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    }
}

fn milliseconds(text: &str) -> i64 {
    let time: jiff::Timestamp = text.parse().unwrap();
    time.as_millisecond()
}

/// The times of an input, and the settings that bound their ages, with what they are unless they are set.
const TIMES: [(&str, &str, f64); 2] =
    [("/context/risk/assessed_at", "max_score_age_s", 300.0), ("/context/session/mfa/at", "max_age_s", 0.0)];

/// What is no time is a case's point.
fn moment(value: Option<&Value>) -> Option<jiff::Timestamp> {
    value.and_then(Value::as_str)?.parse().ok()
}

/// Moves the times of the input as far as the case's own now is away from now.
fn shift(input: &mut Value, now: Option<&Value>) {
    let Some(now) = moment(now) else { return };
    for (pointer, _, _) in TIMES {
        let Some(was) = moment(input.pointer(pointer)) else { continue };
        let moved = jiff::Timestamp::now() + was.duration_since(now);
        *input.pointer_mut(pointer).unwrap() = json!(moved.to_string());
    }
}

/// Whether a time is so near to the edge of what is too old, or from the future, that the moment of the run decides: such cases need a
/// clock that stands still.
fn is_on_an_edge(case: &Value, config: &Value) -> bool {
    let Some(now) = moment(case.get("now")) else { return false };
    TIMES.into_iter().any(|(pointer, setting, unset)| {
        let Some(was) = moment(case.pointer("/input").and_then(|input| input.pointer(pointer))) else { return false };
        let age_s = now.duration_since(was).as_secs_f64();
        let most_s = config.get(setting).and_then(Value::as_f64).unwrap_or(unset);
        [most_s, -60.0, 0.0].into_iter().any(|edge| (age_s - edge).abs() < 15.0 && age_s != 0.0)
    })
}

/// A message that a run sent itself: the path that it was sent to, and the secret that signs it.
type Message = (String, String);

/// Has the server on loopback answer a case that asks one: its URL goes into the config, and its secret is set under a name of its own.
/// `None` for what nobody here can answer.
fn answered(cli: &Cli, number: usize, case: &Value, config: &mut Value, api: &ThirdParty) -> Option<Option<Message>> {
    let (secrets, http) = (case.get("secrets"), case.get("http"));
    if config["mode"] != "sync" {
        return (secrets.is_none() && http.is_none()).then_some(None);
    }
    let answer = &http?[0];
    let path = match (answer["status"].as_u64(), answer["failure"].as_str()) {
        (Some(status), _) => format!("{STATUS}{status}/{number}"),
        (None, Some("timed_out")) => format!("{SILENCE}{number}"),
        (None, Some("connect_failed")) => format!("{HANG_UP}{number}"),
        _ => return None,
    };
    config["url"] = api.url(&path).into();
    let name = format!("HOOK_{number}");
    config["secret_ref"] = name.clone().into();
    let value = secrets?.get("HOOK").and_then(Value::as_str);
    if let Some(value) = value {
        cli.run_with(&["secret", "set", &name], value);
    }
    Some(Some((path, value.unwrap_or_default().to_owned())))
}

/// Every message that arrived is signed by its own secret, and each case whose answer has a status has sent one.
fn signatures_fit(api: &ThirdParty, messages: &[Message]) {
    let asked = api.asked();
    let signed: Vec<Value> = asked
        .iter()
        .map(|asked| {
            let header = |name: &str| asked.header(name).unwrap();
            let (_, secret) = messages.iter().find(|(path, _)| *path == asked.target).unwrap();
            json!({
                "secret": secret,
                "id": header("webhook-id"),
                "timestamp": header("webhook-timestamp"),
                "signature": header("webhook-signature"),
                "body": asked.body,
            })
        })
        .collect();
    assert!(signed.len() >= 15, "{} messages came", signed.len());
    for (fits, message) in signatures::fit(&signed).into_iter().zip(&signed) {
        assert!(fits, "{message}");
    }
}

/// What a caller may send of a context.
const SENT: [&str; 5] = ["organization", "risk", "credential", "session", "token"];

/// Runs a case in a flow of its own; whether it could be, and what it sent itself.
fn run(
    cli: &Cli,
    slug: &str,
    number: usize,
    case: &Value,
    api: &ThirdParty,
) -> Option<Result<Option<Message>, String>> {
    let steps = match case.get("steps") {
        Some(steps) => steps.as_array().unwrap().clone(),
        None => vec![case.clone()],
    };
    let sendable = |step: &Value| {
        let context = step.pointer("/input/context").and_then(Value::as_object);
        context.is_none_or(|context| context.keys().all(|key| SENT.contains(&key.as_str())))
    };
    let first = steps[0].get("now").and_then(Value::as_str).map(milliseconds);
    let soon = |step: &Value| match (first, step.get("now").and_then(Value::as_str).map(milliseconds)) {
        (Some(first), Some(now)) => (now - first).abs() < 500,
        (None, None) => true,
        _ => false,
    };
    let mut config = case.get("config").cloned().unwrap_or_else(|| json!({}));
    // What shares a counter with other flows has no flow of its own.
    if config["scope"] == "tenant" || !sendable(&steps[0]) || is_on_an_edge(case, &config) {
        return None;
    }
    let message = answered(cli, number, case, &mut config, api)?;
    let trigger = case["trigger"].as_str().unwrap();
    let flow = format!("{slug}-{number}");
    let config = config.to_string();
    cli.run(&["flow", "create", &flow]);
    let attach = ["flow", "attach", &flow, "--trigger", trigger, "--action", slug, "--config", "-"];
    let attached = cli.raw_with(&attach, &config);
    // What no save takes is for the sandbox's own run of the cases.
    if !attached.status.success() {
        return None;
    }
    // A case's attachment is called test; what a run leaves in the state of a sign-in has the attachment's own name.
    let saved: Value = serde_json::from_slice(&attached.stdout).unwrap();
    let own = format!("redirect_by_group.{}", saved["attachment"].as_str().unwrap());
    let named = |step: &Value| step.to_string().replace("redirect_by_group.test", &own).parse::<Value>().unwrap();
    let steps: Vec<Value> = steps.iter().map(named).collect();
    // As the runner of cases does, the state goes from step to step.
    let mut state = Value::Null;
    for step in steps.iter().take_while(|step| soon(step) && sendable(step)) {
        let mut input = step.get("input").cloned().unwrap_or_else(|| json!({}));
        shift(&mut input, step.get("now"));
        if state.is_object() && input.get("state").is_none() {
            input["state"] = state;
        }
        let ran = cli.raw_with(&["execute", &flow, "--trigger", trigger, "--input", "-"], &input.to_string());
        if !ran.status.success() {
            return None;
        }
        let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let result = &answer["results"][0];
        state = answer["state"].clone();
        let mut expected = step["expect"].clone();
        if let Some(outcome) = expected.get_mut("outcome").and_then(Value::as_object_mut) {
            // What is sent is told by audit and not by the answer; a wait depends on the moment.
            outcome.retain(|key, _| !["emit", "retry_after_s"].contains(&key.as_str()));
        }
        if !holds(&expected, result) {
            return Some(Err(format!("{slug}: {}: expected {expected}, got {result}", case["name"])));
        }
    }
    Some(Ok(message))
}

/// The data files of all templates, through a real control plane and a real executor.
#[test]
fn the_cases_pass_through_the_real_executor() {
    let api = ThirdParty::start(&json!({}), "yes");
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&[api.settings(folder.path(), &["127.0.0.1/32", "::1/128"])]);
    let cli = cluster.cli(0);
    for origin in ["https://example.com", "https://app.example.com"] {
        cli.run(&["tenant", "redirect-origins", "add", origin, "--tenant", TENANT]);
    }
    let api = &api;
    let ran = std::thread::scope(|scope| {
        let run_all = |slug: &'static str| {
            let cli = cluster.cli(0);
            let all = cases(slug);
            let results = all.iter().enumerate().filter_map(|(n, case)| run(&cli, slug, n, case, api));
            let (sent, wrong): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
            let sent: Vec<Option<Message>> = sent.into_iter().filter_map(Result::ok).collect();
            let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
            (slug, all.len(), sent, wrong)
        };
        let runs = TEMPLATES.map(|(slug, _)| scope.spawn(move || run_all(slug)));
        runs.map(|run| run.join().unwrap())
    });
    for ((slug, all, passed, wrong), (_, least)) in ran.iter().zip(TEMPLATES) {
        println!("{slug}: {} of {all} cases", passed.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(passed.len() >= least, "{slug}: {} cases ran", passed.len());
    }
    let messages: Vec<Message> = ran.iter().flat_map(|(_, _, sent, _)| sent.iter().flatten().cloned()).collect();
    signatures_fit(api, &messages);
}

/// Two executors count together through Redis: what passes is the limit, to within one in a hundred.
#[test]
fn two_executors_keep_one_limit() {
    const LIMIT: usize = 100;
    const WINDOW_S: u64 = 86_400;
    let redis = Redis::start();
    let cluster = Cluster::start(&[redis.settings(), redis.settings()]);
    let (cli, other) = (cluster.cli(0), cluster.cli(1));
    let window = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / WINDOW_S;
    for (round, slug) in
        [(1, "rate-limit-by-ip"), (2, "rate-limit-by-user"), (3, "rate-limit-by-ip"), (4, "rate-limit-by-user")]
    {
        let (flow, began) = (format!("limit-{round}"), window());
        cli.run(&["flow", "create", &flow]);
        let config = json!({"limit": LIMIT, "window_s": WINDOW_S}).to_string();
        let attach = ["flow", "attach", &flow, "--trigger", "pre-login", "--action", slug, "--config", "-"];
        cli.run_with(&attach, &config);
        let input = json!({"user": {"id": "u1"}, "request": {"ip": "203.0.113.9", "identifier": "jane@example.com"}})
            .to_string();
        let execute = ["execute", &flow, "--trigger", "pre-login", "--input", "-"];
        let ask = |cli: &Cli| (0..LIMIT).map(|_| cli.run_with(&execute, &input)).collect::<Vec<Value>>();
        let verdicts: Vec<Value> = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(|| ask(&cli)), scope.spawn(|| ask(&other)));
            [one.join().unwrap(), two.join().unwrap()].concat()
        });
        // Midnight is the edge of a window: another round is all within one.
        if window() != began {
            continue;
        }
        let passed = verdicts.iter().filter(|answer| answer["verdict"] == "continue").count();
        assert!(passed.abs_diff(LIMIT) * 100 <= LIMIT, "{slug}: {passed} of {} passed", verdicts.len());
        for blocked in verdicts.iter().filter(|answer| answer["verdict"] == "block") {
            let by = &blocked["decided_by"];
            assert_eq!(by["error"], "rate_limited", "{blocked}");
            assert!(by["retry_after_s"].as_u64().is_some_and(|wait| wait > 0), "{blocked}");
        }
        println!("{slug}: {passed} of {} passed, the limit is {LIMIT}", verdicts.len());
    }
}

/// A call, the milliseconds of the Unix epoch between which it was counted, and whether it passed.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sent: u64,
    answered: u64,
    passed: bool,
}

const LIMIT: u64 = 10;
const WINDOW_MS: u64 = 1_000;
const BURST: u64 = 5;

/// What a formula says of a call whose moment is known to within its two times: whether it passes, unless that depends on the moment.
trait Replay {
    fn says(&mut self, asked: Asked) -> Option<bool>;
}

/// `previous x rest / window + current + 1 <= limit`; all calls count, and windows begin with the Unix epoch's.
#[derive(Default)]
struct SlidingWindow {
    window: u64,
    /// How many calls were counted in it, and in the one before: at least and at most.
    current: [u64; 2],
    previous: [u64; 2],
}

impl SlidingWindow {
    fn turn_to(&mut self, window: u64) {
        while self.window < window {
            self.previous = std::mem::take(&mut self.current);
            self.window = if self.previous == [0, 0] { window } else { self.window + 1 };
        }
    }

    fn says_at(&self, at: u64, [previous, current]: [u64; 2]) -> bool {
        previous * (WINDOW_MS - at % WINDOW_MS) + (current + 1) * WINDOW_MS <= LIMIT * WINDOW_MS
    }
}

impl Replay for SlidingWindow {
    fn says(&mut self, Asked { sent, answered, .. }: Asked) -> Option<bool> {
        self.turn_to(sent / WINDOW_MS);
        if answered / WINDOW_MS > self.window {
            // It was counted in one of the two.
            self.current[1] += 1;
            self.turn_to(answered / WINDOW_MS);
            self.current[1] += 1;
            return None;
        }
        let least = self.says_at(sent, [self.previous[1], self.current[1]]);
        let most = self.says_at(answered, [self.previous[0], self.current[0]]);
        self.current = self.current.map(|count| count + 1);
        (least == most).then_some(least)
    }
}

/// GCRA: each call that passes costs `window / limit`, of `burst` of them.
#[derive(Default)]
struct TokenBucket {
    /// When it is full again: at the earliest and at the latest.
    full: [u64; 2],
}

impl Replay for TokenBucket {
    fn says(&mut self, Asked { sent, answered, passed }: Asked) -> Option<bool> {
        const COST_MS: u64 = WINDOW_MS / LIMIT;
        let room = (BURST - 1) * COST_MS;
        let least = self.full[1].saturating_sub(sent) <= room;
        let most = self.full[0].saturating_sub(answered) <= room;
        if passed {
            self.full = [self.full[0].max(sent) + COST_MS, self.full[1].max(answered) + COST_MS];
        }
        (least == most).then_some(least)
    }
}

/// One executor keeps to the formula: it is replayed with the moments of the calls, over some windows, and every answer is what it says.
#[tokio::test]
async fn one_executor_keeps_to_the_formula() {
    const ROUND: Duration = Duration::from_millis(6_000);
    let cluster = Cluster::start(&[String::new()]);
    let cli = cluster.cli(0);
    let mut client = ExecutionServiceClient::new(channel(&cluster.urls()[0]));
    let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for slug in ["rate-limit-by-ip", "rate-limit-by-user"] {
        for algorithm in ["sliding_window", "token_bucket"] {
            let flow = format!("{slug}-{algorithm}").replace('_', "-");
            let mut config = json!({"limit": LIMIT, "window_s": WINDOW_MS / 1_000, "algorithm": algorithm});
            let mut replay: Box<dyn Replay> = Box::new(SlidingWindow::default());
            if algorithm == "token_bucket" {
                config["burst"] = BURST.into();
                replay = Box::new(TokenBucket::default());
            }
            cli.run(&["flow", "create", &flow]);
            let attach = ["flow", "attach", &flow, "--trigger", "pre-login", "--action", slug, "--config", "-"];
            cli.run_with(&attach, &config.to_string());
            let began = now();
            let (mut passed, mut blocked, mut open) = (0, 0, 0);
            // A burst, a pace over the limit, one under it, and quiet for longer than a window.
            let pauses = [vec![0; 30], vec![10, 10, 20, 20, 30, 60, 60, 90, 1_300]].concat();
            for pause in pauses.into_iter().cycle() {
                let sent = now();
                if u128::from(sent - began) > ROUND.as_millis() {
                    break;
                }
                let answer = client.execute(ExecuteRequest {
                    tenant: TENANT.into(),
                    flow: flow.clone(),
                    trigger: "pre-login".into(),
                    input: Some(Input {
                        user: Some(User { id: "u1".into(), ..User::default() }),
                        request: Some(Request { ip: Some("203.0.113.9".into()), ..Request::default() }),
                        ..Input::default()
                    }),
                    ..ExecuteRequest::default()
                });
                let verdict = answer.await.unwrap().into_inner().verdict();
                let asked = Asked { sent, answered: now(), passed: verdict == OutcomeKind::Continue };
                match replay.says(asked) {
                    Some(says) => assert_eq!(says, asked.passed, "{flow}: {asked:?}"),
                    None => open += 1,
                }
                passed += usize::from(asked.passed);
                blocked += usize::from(!asked.passed);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            println!("{flow}: {passed} passed, {blocked} blocked, {open} of them where the moment decides");
            assert!(passed >= 10 && blocked >= 10 && open * 4 < passed + blocked, "{flow}: {passed} {blocked} {open}");
        }
    }
}
