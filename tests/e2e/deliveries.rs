//! Either plane is killed at any moment, while sign-ins emit and a receiver fails, hangs up and holds its answers: every delivery of
//! an execution that was answered arrives, signed so that another implementation of the scheme takes it, and nothing is left over.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

use prost_types::value::Kind;
use serde_json::json;
use sluice_api::{
    executor::v1::{ExecuteRequest, ExecuteResponse, execution_service_client::ExecutionServiceClient},
    types::v1::{Input, User},
};
use sluice_tests::{
    Server,
    cluster::{Cluster, TENANT},
    load::channel,
    receiver::{Did, Received, Receiver},
    rounds, signatures, until,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tonic::transport::Channel;

/// How long anything may take that is waited for: after a start, a connection; and a second attempt, after some 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many ask at once.
const CALLERS: usize = 4;

/// Calls for each kill.
const CALLS: usize = 36;

/// Attempts that are under way, at least, when the control plane is killed.
const UNDER_WAY: usize = 3;

/// The caller's patience with one call.
const DEADLINE: Duration = Duration::from_secs(5);

/// After a call that failed, so that a dead server is not asked a million times.
const REST: Duration = Duration::from_millis(5);

/// The flow, and the Action in it.
const FLOW: &str = "tells";

/// The secret that signs: 32 bytes.
const SECRET: &str = "whsec_c2x1aWNlJ3MgdGVzdHMgc2lnbiBieSB0aGlzIDMyYi4=";

/// An event for each run, with a text that JSON may write in more than one way.
const TELLS: &str = r#"
export function execute(input: Input): Outcome {
  const { execution_id } = input.context
  return {
    kind: 'continue',
    state: { told: execution_id },
    emit: [{
      type: 'user.signed_in',
      data: { execution: execution_id, text: 'Zürich, "née" <&> \u2028 / ½ 🦀' },
      on: 'always',
      to: [{ url: 'URL', signing_secret: 'HOOK_KEY', timeout_ms: 30000 }],
    }],
  }
}
"#;

/// Calls, as many as are asked for, each made again under another id until it is answered.
struct Calls {
    asked: usize,
    more: Arc<Semaphore>,
    answered: watch::Receiver<BTreeSet<String>>,
    callers: JoinSet<()>,
}

impl Calls {
    fn start(url: &str) -> Calls {
        let client = ExecutionServiceClient::new(channel(url));
        let (more, answered) = (Arc::new(Semaphore::new(0)), watch::Sender::default());
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            callers.spawn(call(client.clone(), number, Arc::clone(&more), answered.clone()));
        }
        Calls { asked: 0, more, answered: answered.subscribe(), callers }
    }

    fn ask(&mut self, calls: usize) {
        self.asked += calls;
        self.more.add_permits(calls);
    }

    /// Waits until no more than so many calls are without an answer; answers how many are.
    async fn until_left(&mut self, most: usize) -> usize {
        let goal = self.asked - most;
        let wait = self.answered.wait_for(|answered| answered.len() >= goal);
        let Ok(answered) = tokio::time::timeout(PATIENCE, wait).await else {
            panic!("not within {PATIENCE:?}: {goal} calls are answered");
        };
        self.asked - answered.unwrap().len()
    }

    /// Waits for the last answer; answers the ids of the executions that had one.
    async fn finish(mut self) -> BTreeSet<String> {
        self.until_left(0).await;
        self.more.close();
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        let answered = self.answered.borrow().clone();
        assert_eq!(answered.len(), self.asked);
        answered
    }
}

async fn call(
    mut client: ExecutionServiceClient<Channel>,
    number: usize,
    more: Arc<Semaphore>,
    answered: watch::Sender<BTreeSet<String>>,
) {
    let mut calls = 0_u64;
    while let Ok(permit) = more.acquire().await {
        permit.forget();
        loop {
            calls += 1;
            let execution_id = format!("x{number}-{calls}");
            let user = User { id: "u1".into(), ..User::default() };
            let mut request = tonic::Request::new(ExecuteRequest {
                tenant: TENANT.into(),
                flow: FLOW.into(),
                trigger: "post-login".into(),
                execution_id: execution_id.clone(),
                input: Some(Input { user: Some(user), ..Input::default() }),
                ..ExecuteRequest::default()
            });
            request.set_timeout(DEADLINE);
            let Ok(answer) = client.execute(request).await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let answer = answer.into_inner();
            assert_eq!(told(&answer), execution_id, "a run that failed tells nobody: {answer:?}");
            answered.send_modify(|answered| _ = answered.insert(execution_id));
            break;
        }
    }
}

/// What the Action says that it told.
fn told(answer: &ExecuteResponse) -> &str {
    let told = answer.state.as_ref().and_then(|state| state.fields.get("told")).and_then(|value| value.kind.as_ref());
    match told {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

/// Every signature fits what came with it, and none fits another body, id, time or secret.
fn signatures_fit(received: &[Received]) {
    let mut messages = Vec::new();
    for Received { id, timestamp, signature, body, .. } in received {
        let message = json!({"secret": SECRET, "id": id, "timestamp": timestamp, "signature": signature, "body": body});
        messages.push(message.clone());
        let other_time = timestamp.parse::<u64>().unwrap() + 1;
        let others = [
            ("body", body.replace("user.signed_in", "user.signed_on")),
            ("id", format!("{id}a")),
            ("timestamp", other_time.to_string()),
            ("secret", SECRET.replace("whsec_c", "whsec_d")),
        ];
        for (field, other) in others {
            assert_ne!(message[field], *other, "{field}");
            let mut tampered = message.clone();
            tampered[field] = other.into();
            messages.push(tampered);
        }
    }
    let fits = signatures::fit(&messages);
    assert_eq!(fits.len(), messages.len());
    for (number, (message, fits)) in messages.iter().zip(fits).enumerate() {
        assert_eq!(fits, number % 5 == 0, "{message}");
    }
}

/// The ids of all deliveries in a state, as the control plane lists them.
fn listed(cluster: &Cluster, state: &str) -> BTreeSet<String> {
    let cli = cluster.cli(0);
    let (mut ids, mut token) = (BTreeSet::new(), String::new());
    loop {
        let list = ["delivery", "list", "--state", state, "--limit", "1000"];
        let page_token = ["--page-token", token.as_str()];
        let from: &[&str] = if token.is_empty() { &[] } else { &page_token };
        let page = cli.run(&[list.as_slice(), from].concat());
        let entries = page["entries"].as_array().unwrap();
        ids.extend(entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
        match page["next_page_token"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => return ids,
        }
    }
}

fn execution(received: &Received) -> &str {
    received.message["data"]["execution"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_that_is_killed_loses_no_delivery() {
    let rounds = rounds(4, 25);
    let receiver = Receiver::start().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("control-plane.toml");
    std::fs::write(&file, receiver.settings()).unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let with = ["--config", file.to_str().unwrap()];
    let control = Server::start("sluice-control-plane", &[ports.as_slice(), &with].concat());
    let mut cluster = Cluster::start_with(control, &[receiver.settings()]);
    cluster.cli(0).run_with(&["secret", "set", "HOOK_KEY"], SECRET);
    let extra = format!("hosts = [\"{}\"]\nsecrets = [\"HOOK_KEY\"]", receiver.host());
    cluster.action(FLOW, &extra, &TELLS.replace("URL", &receiver.url()));

    let mut calls = Calls::start(&cluster.urls()[0]);
    for round in 1..=rounds {
        // The control plane, while the receiver has requests of it that it has not answered.
        let held = receiver.count(Did::Held);
        receiver.hold();
        calls.ask(CALLS);
        let holds = |received: &[Received]| received.iter().filter(|r| r.did == Did::Held).count() >= held + UNDER_WAY;
        receiver.until("deliveries are under way", PATIENCE, holds).await;
        cluster.control.kill();
        receiver.go_on();
        // Sign-ins go on without it.
        calls.until_left(0).await;
        println!(
            "round {round}: killed the control plane with {} attempts under way",
            receiver.count(Did::Held) - held
        );
        cluster.control.start_again();

        // The executor, while it is asked.
        calls.ask(CALLS);
        let left = calls.until_left(CALLS / 2).await;
        cluster.executors[0].kill();
        println!("round {round}: killed the executor with {left} calls to be answered");
        cluster.executors[0].start_again();
        calls.until_left(0).await;
    }
    let answered = calls.finish().await;

    // All of them arrive.
    let arrived = |received: &[Received]| {
        let accepted = received.iter().filter(|received| received.did == Did::Accepted);
        answered.is_subset(&accepted.map(|received| execution(received).to_owned()).collect())
    };
    receiver.until("what was answered has arrived", PATIENCE, arrived).await;
    until("nothing is left to be sent", || listed(&cluster, "pending").is_empty().then_some(()));
    assert_eq!(listed(&cluster, "dead"), BTreeSet::new());

    // What an execution emitted is one delivery with one body, however often it came; and the receiver has what the control plane
    // takes for delivered, and nothing else.
    let received = receiver.received();
    let mut by_id: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
    for one in &received {
        by_id.entry(&one.id).or_default().push(one);
        let sent = UNIX_EPOCH + Duration::from_secs(one.timestamp.parse().unwrap());
        let away = one.at.duration_since(sent).unwrap_or_else(|early| early.duration());
        assert!(away < Duration::from_secs(300), "a receiver refuses what is so old: {one:?}");
        assert_eq!(one.message["type"], "user.signed_in", "{one:?}");
    }
    let mut executions = BTreeSet::new();
    for (id, attempts) in &by_id {
        assert!(attempts.iter().all(|attempt| attempt.body == attempts[0].body), "{id}: {attempts:?}");
        assert!(executions.insert(execution(attempts[0])), "two deliveries of {}", execution(attempts[0]));
        assert!(attempts.iter().any(|attempt| attempt.did == Did::Accepted), "{id}: {attempts:?}");
    }
    let accepted: BTreeSet<String> = by_id.keys().map(|&id| id.to_owned()).collect();
    assert_eq!(listed(&cluster, "delivered"), accepted);
    let again = by_id.values().filter(|attempts| attempts.len() > 1).count();
    let did = [Did::Accepted, Did::Failed, Did::HungUp, Did::Held].map(|did| (did, receiver.count(did)));
    println!("{} answered calls, {} deliveries, {again} of them more than once: {did:?}", answered.len(), by_id.len());
    assert!(did.iter().all(|(_, count)| *count > 0), "the receiver did all that it can: {did:?}");
    signatures_fit(&received);
}
