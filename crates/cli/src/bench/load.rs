//! The callers: a closed loop, or an open one on a fixed schedule.

use super::{
    codec::{Encoded, Verdict},
    report::{Report, Tally},
};
use crate::{
    client::{self, Wire},
    stop::Stop,
};
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tonic::{Code, transport::Uri};

const PATH: &str = "/sluice.executor.v1.ExecutionService/Execute";
/// What a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Who is called with what.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Uri,
    /// An encoded ExecuteRequest.
    pub(super) request: Bytes,
}

/// How it is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) callers: usize,
    pub(super) connections: usize,
    /// Calls a second; `None`: as fast as the callers get answers.
    pub(super) rate: Option<f64>,
    /// How long it is called before anything counts.
    pub(super) warmup: Duration,
    pub(super) amount: Amount,
}

/// How long, or how often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    Time(Duration),
    Calls(u64),
}

/// What the callers share.
struct Plan {
    start: Instant,
    /// When closed callers begin no more calls.
    end: Option<Instant>,
    /// How many calls there are, where that is given.
    calls: u64,
    next: AtomicU64,
    /// An open loop: the time between calls, and a permit for each call that is due.
    schedule: Option<(Duration, Semaphore)>,
}

impl Load {
    /// Calls, and tells how it went. Calls that began while it was measured count, however they end.
    pub(super) async fn run(&self, target: &Target) -> Result<Report, Stop> {
        let mut wires = Vec::new();
        for _ in 0..self.connections {
            wires.push(client::dial(&target.url, "executor", "SLUICE_EXECUTOR_URL").await?);
        }
        let start = Instant::now() + self.warmup;
        let (end, calls) = match (self.amount, self.rate) {
            (Amount::Calls(calls), _) => (None, calls),
            (Amount::Time(time), None) => (Some(start + time), u64::MAX),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "both are positive and bounded by the flags"
            )]
            (Amount::Time(time), Some(rate)) => (None, (time.as_secs_f64() * rate).ceil() as u64),
        };
        let schedule = self.rate.map(|rate| (Duration::from_secs_f64(1.0 / rate), Semaphore::new(0)));
        let plan = Arc::new(Plan { start, end, calls, next: AtomicU64::new(0), schedule });
        let pacer = plan.schedule.is_some().then(|| {
            let (plan, callers) = (Arc::clone(&plan), self.callers);
            std::thread::Builder::new().name("pacer".into()).spawn(move || pace(&plan, callers))
        });
        if let Some(Err(error)) = &pacer {
            return Err(Stop::local("RUNTIME", format!("no thread for the schedule: {error}")));
        }
        let mut callers = JoinSet::new();
        for number in 0..self.callers {
            let wire = wires[number % wires.len()].clone();
            callers.spawn(Caller { wire, request: target.request.clone(), plan: Arc::clone(&plan) }.run());
        }
        let mut tally = Tally::new();
        while let Some(ended) = callers.join_next().await {
            let ended = ended.map_err(|e| Stop::local("INTERNAL", format!("a caller failed: {e}")))?;
            tally.add(&ended);
        }
        Ok(Report::new(self, target, &tally, tally.last_end.map_or(Duration::ZERO, |at| at - start)))
    }
}

/// Gives a permit for every call when it is due. A thread of its own, since the runtime's clock counts in milliseconds.
#[allow(clippy::disallowed_methods, reason = "it sleeps on a thread of its own, and blocks nobody")]
fn pace(plan: &Plan, callers: usize) {
    let Some((interval, due)) = &plan.schedule else { return };
    for call in 0..plan.calls {
        let at = plan.start + interval.mul_f64(call as f64);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        due.add_permits(1);
    }
    // Every caller wakes up once more, and sees that there is no call left.
    due.add_permits(callers);
}

/// One caller.
struct Caller {
    wire: Wire,
    request: Bytes,
    plan: Arc<Plan>,
}

impl Caller {
    async fn run(self) -> Tally {
        let path = PathAndQuery::from_static(PATH);
        let mut client = tonic::client::Grpc::new(self.wire.clone());
        while Instant::now() < self.plan.start {
            // What fails while warming up fails again when it counts.
            let _warm = call(&mut client, &self.request, &path).await;
        }
        let mut tally = Tally::new();
        while let Some(since) = self.turn().await {
            let answer = call(&mut client, &self.request, &path).await;
            tally.record(since, Instant::now(), answer);
        }
        tally
    }

    /// Waits for the next call; the answer is the moment from which its latency counts.
    async fn turn(&self) -> Option<Instant> {
        let plan = &*self.plan;
        if let Some((interval, due)) = &plan.schedule {
            due.acquire().await.ok()?.forget();
            let call = plan.next.fetch_add(1, Ordering::Relaxed);
            // From when it was due, not from when it was sent: a server that stalls cannot hide its queue.
            return (call < plan.calls).then(|| plan.start + interval.mul_f64(call as f64));
        }
        let now = Instant::now();
        let left = plan.next.fetch_add(1, Ordering::Relaxed) < plan.calls;
        (left && plan.end.is_none_or(|end| now < end)).then_some(now)
    }
}

async fn call(client: &mut tonic::client::Grpc<Wire>, request: &Bytes, path: &PathAndQuery) -> Result<Verdict, Code> {
    client.ready().await.map_err(|_| Code::Unavailable)?;
    let mut message = tonic::Request::new(request.clone());
    message.set_timeout(CALL_TIMEOUT);
    let answer = client.unary(message, path.clone(), Encoded).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.code())
}
