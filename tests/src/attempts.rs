//! A number of attempts, spread over executors: each is made again, elsewhere, until it has its answer, and all are counted.

use crate::load::channel;
use prost_types::value::Kind;
use sluice_api::{
    executor::v1::{ExecuteRequest, ExecuteResponse, execution_service_client::ExecutionServiceClient},
    types::v1::{Input, User},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};
use tonic::transport::Channel;

/// The caller's patience with one call.
const DEADLINE: Duration = Duration::from_secs(10);

/// After a call that failed, so that a dead server is not asked a million times.
const REST: Duration = Duration::from_millis(5);

/// How attempts were answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Those that went on.
    pub allowed: u64,
    /// Those that were blocked with the reason code that was asked for.
    pub refused: u64,
    /// How many each executor answered.
    pub answered_by: Vec<u64>,
    /// Calls that had no answer and were made again.
    pub repeated: u64,
    /// Answers that are neither.
    pub odd: Vec<String>,
}

impl Tally {
    fn answered(&self) -> u64 {
        self.answered_by.iter().sum()
    }
}

/// Attempts under way.
pub struct Attempts {
    tally: watch::Receiver<Tally>,
    callers: JoinSet<()>,
}

impl Attempts {
    /// Starts callers, so many for each executor, who make `count` attempts together, in these flows in turn. Blocked is one
    /// whose reason code is `refusal`.
    pub fn start(
        executors: &[String],
        callers: usize,
        tenant: &str,
        flows: &[&str],
        count: u64,
        refusal: &str,
    ) -> Attempts {
        let tally = Tally { answered_by: vec![0; executors.len()], ..Tally::default() };
        let (tell, tally) = watch::channel(tally);
        let (tell, next) = (Arc::new(tell), Arc::new(AtomicU64::new(0)));
        let clients: Vec<_> = executors.iter().map(|url| ExecutionServiceClient::new(channel(url))).collect();
        let mut set = JoinSet::new();
        for number in 0..callers * executors.len() {
            let caller = Caller {
                clients: clients.clone(),
                executor: number % executors.len(),
                tenant: tenant.to_owned(),
                flows: flows.iter().map(|&flow| flow.to_owned()).collect(),
                refusal: refusal.to_owned(),
                tell: Arc::clone(&tell),
            };
            set.spawn(caller.go_on(Arc::clone(&next), count));
        }
        Attempts { tally, callers: set }
    }

    /// Waits until so many are answered.
    pub async fn answered(&mut self, count: u64) -> Tally {
        let wait = self.tally.wait_for(|tally| tally.answered() >= count);
        let reached = tokio::time::timeout(crate::PATIENCE, wait).await.expect("attempts are answered");
        reached.unwrap().clone()
    }

    /// Waits until all are answered.
    pub async fn finish(mut self) -> Tally {
        let all = async {
            while let Some(ended) = self.callers.join_next().await {
                ended.unwrap();
            }
        };
        tokio::time::timeout(crate::PATIENCE, all).await.expect("every attempt is answered in the end");
        self.tally.borrow().clone()
    }
}

struct Caller {
    clients: Vec<ExecutionServiceClient<Channel>>,
    executor: usize,
    tenant: String,
    flows: Vec<String>,
    refusal: String,
    tell: Arc<watch::Sender<Tally>>,
}

impl Caller {
    async fn go_on(mut self, next: Arc<AtomicU64>, count: u64) {
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count {
                return;
            }
            let flow = &self.flows[usize::try_from(number).unwrap() % self.flows.len()];
            let user = User { id: "u1".into(), ..User::default() };
            let request = ExecuteRequest {
                tenant: self.tenant.clone(),
                flow: flow.clone(),
                trigger: "post-login".into(),
                // Made again, it is the same attempt: it counts once.
                execution_id: format!("attempt-{number}"),
                input: Some(Input { user: Some(user), ..Input::default() }),
                ..ExecuteRequest::default()
            };
            self.until_answered(request).await;
        }
    }

    async fn until_answered(&mut self, request: ExecuteRequest) {
        loop {
            let mut asked = tonic::Request::new(request.clone());
            asked.set_timeout(DEADLINE);
            match self.clients[self.executor].execute(asked).await {
                Ok(answer) => return self.count(answer.get_ref()),
                Err(_) => {
                    self.tell.send_modify(|tally| tally.repeated += 1);
                    self.executor = (self.executor + 1) % self.clients.len();
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn count(&self, answer: &ExecuteResponse) {
        let allowed = answer.state.as_ref().and_then(|state| state.fields.get("allowed"));
        let allowed = allowed.and_then(|value| value.kind.as_ref()) == Some(&Kind::BoolValue(true));
        let reason = answer.decided_by.as_ref().and_then(|by| by.reason_code.as_deref());
        self.tell.send_modify(|tally| {
            tally.answered_by[self.executor] += 1;
            match reason {
                None if allowed => tally.allowed += 1,
                Some(reason) if reason == self.refusal => tally.refused += 1,
                _ => tally.odd.push(format!("{:?}", answer.results)),
            }
        });
    }
}
