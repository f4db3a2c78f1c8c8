//! Sign-ins in plenty: callers that go on asking, whatever happens to who answers, and that remember every answer.

use sluice_api::{
    executor::v1::{ExecuteRequest, execution_service_client::ExecutionServiceClient},
    types::v1::{Input, User},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// The caller's patience with one call.
const DEADLINE: Duration = Duration::from_secs(2);

/// After a call that failed, so that a dead server is not asked a million times.
const REST: Duration = Duration::from_millis(5);

/// A channel that connects when it is used, and again after a break.
pub fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect_timeout(Duration::from_secs(1)).connect_lazy()
}

/// An answer that a caller got.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its own for each call.
    pub execution_id: String,
    /// Which executor, by its place in the list that the load was started with.
    pub executor: usize,
    /// The flow revision that it says it ran.
    pub revision: u64,
    /// The version that the first result names.
    pub version: String,
    /// What the Action says of itself: `ran` of the state.
    pub ran: String,
    /// When it was asked.
    pub sent: Instant,
    /// When it was answered.
    pub received: Instant,
}

/// What one executor is being asked.
#[derive(Debug, Default)]
struct Line {
    in_flight: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<String>,
}

/// Callers at work. They stop when this is dropped.
pub struct Load {
    lines: Arc<Vec<Line>>,
    answers: Arc<Mutex<Vec<Answered>>>,
    /// Changes with each answer.
    told: watch::Receiver<u64>,
    stop: CancellationToken,
    callers: JoinSet<()>,
}

impl Load {
    /// Starts `callers` callers for each executor, all asking the slot `post-login` of a tenant's flow.
    pub fn start(executors: &[String], callers: usize, tenant: &str, flow: &str) -> Load {
        let lines: Arc<Vec<Line>> = Arc::new(executors.iter().map(|_| Line::default()).collect());
        let answers = Arc::new(Mutex::default());
        let (tell, told) = watch::channel(0);
        let tell = Arc::new(tell);
        let stop = CancellationToken::new();
        let mut set = JoinSet::new();
        for (executor, url) in executors.iter().enumerate() {
            let client = ExecutionServiceClient::new(channel(url));
            for number in 0..callers {
                let caller = Caller {
                    client: client.clone(),
                    name: format!("{executor}-{number}"),
                    request: request(tenant, flow),
                    executor,
                    lines: Arc::clone(&lines),
                    answers: Arc::clone(&answers),
                    tell: Arc::clone(&tell),
                };
                let stop = stop.clone();
                set.spawn(async move {
                    stop.run_until_cancelled_owned(caller.go_on()).await;
                });
            }
        }
        Load { lines, answers, told, stop, callers: set }
    }

    /// Calls that wait for an answer of one executor now.
    pub fn in_flight(&self, executor: usize) -> u64 {
        self.lines[executor].in_flight.load(Relaxed)
    }

    /// How many calls have failed so far.
    pub fn failed(&self) -> u64 {
        self.lines.iter().map(|l| l.failed.load(Relaxed)).sum()
    }

    /// Waits until every executor has answered `more` calls from now on.
    pub async fn answered_by_all(&mut self, more: u64) {
        let goals: Vec<u64> = self.lines.iter().map(|l| l.answered.load(Relaxed) + more).collect();
        let reached = |lines: &[Line]| lines.iter().zip(&goals).all(|(l, goal)| l.answered.load(Relaxed) >= *goal);
        let wait = async {
            while !reached(&self.lines) {
                self.told.changed().await.unwrap();
            }
        };
        let in_time = tokio::time::timeout(crate::PATIENCE, wait).await;
        assert!(in_time.is_ok(), "not every executor answers again: {:#?}", self.lines);
    }

    /// The answers so far.
    pub fn answers(&self) -> Vec<Answered> {
        self.answers.lock().unwrap().clone()
    }

    /// Stops all callers and answers what they got. A call that was under way is given up: it has no answer.
    pub async fn stop(mut self) -> Vec<Answered> {
        self.stop.cancel();
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.answers.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn request(tenant: &str, flow: &str) -> ExecuteRequest {
    let user = User { id: "u1".into(), email: Some("ada@example.com".into()), ..User::default() };
    ExecuteRequest {
        tenant: tenant.into(),
        flow: flow.into(),
        trigger: "post-login".into(),
        input: Some(Input { user: Some(user), ..Input::default() }),
        ..ExecuteRequest::default()
    }
}

struct Caller {
    client: ExecutionServiceClient<Channel>,
    name: String,
    request: ExecuteRequest,
    executor: usize,
    lines: Arc<Vec<Line>>,
    answers: Arc<Mutex<Vec<Answered>>>,
    tell: Arc<watch::Sender<u64>>,
}

impl Caller {
    async fn go_on(mut self) {
        for call in 0_u64.. {
            let execution_id = format!("x{}-{call}", self.name);
            let mut request =
                tonic::Request::new(ExecuteRequest { execution_id: execution_id.clone(), ..self.request.clone() });
            request.set_timeout(DEADLINE);
            let line = &self.lines[self.executor];
            let sent = Instant::now();
            line.in_flight.fetch_add(1, Relaxed);
            let answer = self.client.execute(request).await;
            line.in_flight.fetch_sub(1, Relaxed);
            let answer = match answer {
                Ok(answer) => answer,
                Err(status) => {
                    line.failed.fetch_add(1, Relaxed);
                    *line.last_failure.lock().unwrap() = status.to_string();
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let answer = answer.into_inner();
            let ran = answer.state.as_ref().and_then(|s| s.fields.get("ran")).and_then(|v| v.kind.as_ref());
            let answered = Answered {
                execution_id,
                executor: self.executor,
                revision: answer.flow_revision,
                version: answer.results.first().map(|r| r.version.clone()).unwrap_or_default(),
                ran: match ran {
                    Some(prost_types::value::Kind::StringValue(text)) => text.clone(),
                    _ => String::new(),
                },
                sent,
                received: Instant::now(),
            };
            self.answers.lock().unwrap().push(answered);
            line.answered.fetch_add(1, Relaxed);
            self.tell.send_modify(|n| *n += 1);
        }
    }
}
