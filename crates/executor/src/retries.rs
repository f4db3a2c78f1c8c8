//! Retries: a caller that asks again by the same execution id gets the same answer, and nothing runs twice.
//!
//! Only ids that callers sent count; a call without one never comes here. An execution that goes on is joined: all who wait
//! for it have it polled together, it goes on when one of them goes away, and ends when all did. An answer is kept for
//! [`KEEP`] and while it is among the newest so many bytes of answers; a refusal (a gRPC error) is kept from nobody who
//! joined, and not after that. Ids are a tenant's own. The same id with another request is INVALID_ARGUMENT
//! `EXECUTION_ID_REUSED`, as long as the id is known.

#[cfg(test)]
mod tests;

use crate::telemetry::{Metrics, Retry};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;
use prost::Message as _;
use sluice_api::executor::v1::{ExecuteRequest, ExecuteResponse};
use sluice_model::{Code, Error, Slug};
use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an answer is kept. Source: DESIGN "In-flight sign-ins", retries.
pub(crate) const KEEP: Duration = Duration::from_secs(300);
/// What an answer takes besides its own bytes and its id's: its places in the table and in the order, at their emptiest.
const OVERHEAD_BYTES: u64 = 384;

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Retries(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_bytes: u64,
    table: Mutex<Table>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<Arc<str>, Entry>,
    /// The ids of answers, in the order in which they were given.
    order: VecDeque<Arc<str>>,
    bytes: u64,
    /// Counts executions, to tell one from a later one of the same id.
    executions: u64,
}

#[derive(Debug)]
struct Entry {
    request: Digest,
    execution: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    GoesOn(WeakShared<Work>),
    Answered { answer: Bytes, at: Instant },
}

type Work = BoxFuture<'static, Result<Arc<ExecuteResponse>, Error>>;

/// The digest of a request: equal for equal requests alone.
pub(crate) type Digest = [u8; 32];

/// A caller's execution id, and what it asked for by it.
#[derive(Debug)]
pub(crate) struct Id {
    name: Arc<str>,
    request: Digest,
}

impl Id {
    /// The digest of a request: of all that the caller said but its deadline. Maps are sorted on the wire, as this host
    /// writes it, so equal requests have equal bytes.
    pub(crate) fn digest(request: &ExecuteRequest) -> Digest {
        blake3::hash(&request.encode_to_vec()).into()
    }

    /// An id of a tenant.
    pub(crate) fn new(tenant: &Slug, execution_id: &str, request: Digest) -> Id {
        // A slug has no slash in it.
        Id { name: format!("{tenant}/{execution_id}").into(), request }
    }
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Answers {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// The age of the oldest, in seconds.
    pub(crate) oldest_s: f64,
}

impl Retries {
    /// Keeps at most `max_bytes` of answers.
    pub(crate) fn new(max_bytes: u64, metrics: Arc<Metrics>) -> Retries {
        Retries(Arc::new(Inner { max_bytes, table: Mutex::default(), metrics }))
    }

    /// The answer of the execution that has this id: of the one before, of the one that goes on, or of `work`, which begins
    /// when there is none.
    ///
    /// # Errors
    /// `EXECUTION_ID_REUSED`; else those of the execution.
    pub(crate) async fn once<F>(&self, id: Id, work: impl FnOnce() -> F) -> Result<ExecuteResponse, Error>
    where
        F: Future<Output = Result<ExecuteResponse, Error>> + Send + 'static,
    {
        let work = match self.find_or_begin(id, work, Instant::now())? {
            Found::Answered(answer) => {
                // These are our own bytes.
                return ExecuteResponse::decode(answer)
                    .map_err(|_| Error::internal("an answer that was kept cannot be read"));
            }
            Found::GoesOn(work) => work,
        };
        work.await.map(Arc::unwrap_or_clone)
    }

    fn find_or_begin<F>(&self, id: Id, work: impl FnOnce() -> F, now: Instant) -> Result<Found, Error>
    where
        F: Future<Output = Result<ExecuteResponse, Error>> + Send + 'static,
    {
        let metrics = &self.0.metrics;
        let mut table = self.0.table.lock();
        table.expire(now);
        if let Some(entry) = table.by_id.get(&id.name) {
            if entry.request != id.request {
                metrics.retried(Retry::Refused);
                return Err(reused());
            }
            match &entry.what {
                What::Answered { answer, .. } => {
                    metrics.retried(Retry::Replayed);
                    return Ok(Found::Answered(answer.clone()));
                }
                // Never dropped under the lock, which its end needs.
                What::GoesOn(weak) => {
                    if let Some(work) = weak.upgrade() {
                        metrics.retried(Retry::Joined);
                        return Ok(Found::GoesOn(work));
                    }
                    // All who waited for it went away just now.
                }
            }
        }
        table.executions += 1;
        let own = Own { retries: self.clone(), name: Arc::clone(&id.name), execution: table.executions };
        let work = work();
        let work = async move {
            let answer = work.await?;
            own.answered(&answer, Instant::now());
            Ok(Arc::new(answer))
        };
        let work = work.boxed().shared();
        // Only a future that has ended has none.
        if let Some(weak) = work.downgrade() {
            let entry = Entry { request: id.request, execution: table.executions, what: What::GoesOn(weak) };
            table.by_id.insert(id.name, entry);
        }
        Ok(Found::GoesOn(work))
    }

    /// What is kept now.
    pub(crate) fn answers(&self, now: Instant) -> Answers {
        let mut table = self.0.table.lock();
        table.expire(now);
        let oldest = table.order.front().and_then(|name| table.by_id.get(name)).and_then(|entry| match &entry.what {
            What::Answered { at, .. } => Some(now.saturating_duration_since(*at)),
            What::GoesOn(_) => None,
        });
        Answers {
            count: table.order.len() as u64,
            bytes: table.bytes,
            oldest_s: oldest.unwrap_or_default().as_secs_f64(),
        }
    }
}

enum Found {
    Answered(Bytes),
    GoesOn(Shared<Work>),
}

/// An execution that goes on. When it is dropped without an answer (it was refused, or all who waited went away), its id is
/// free again.
struct Own {
    retries: Retries,
    name: Arc<str>,
    execution: u64,
}

impl Own {
    fn answered(&self, answer: &ExecuteResponse, at: Instant) {
        let inner = &*self.retries.0;
        let answer: Bytes = answer.encode_to_vec().into();
        let size = size(&self.name, &answer);
        let mut table = inner.table.lock();
        table.expire(at);
        if size > inner.max_bytes {
            return;
        }
        while table.bytes + size > inner.max_bytes {
            table.forget_oldest();
        }
        let Some(entry) = table.by_id.get_mut(&self.name).filter(|entry| entry.execution == self.execution) else {
            return;
        };
        entry.what = What::Answered { answer, at };
        table.bytes += size;
        table.order.push_back(Arc::clone(&self.name));
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut table = self.retries.0.table.lock();
        let entry = table.by_id.get(&self.name).filter(|entry| entry.execution == self.execution);
        if entry.is_some_and(|entry| matches!(entry.what, What::GoesOn(_))) {
            table.by_id.remove(&self.name);
        }
    }
}

impl Table {
    fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            match self.by_id.get(oldest).map(|entry| &entry.what) {
                Some(What::Answered { at, .. }) if now.saturating_duration_since(*at) < KEEP => return,
                _ => self.forget_oldest(),
            }
        }
    }

    fn forget_oldest(&mut self) {
        let Some(name) = self.order.pop_front() else { return };
        if let Some(Entry { what: What::Answered { answer, .. }, .. }) = self.by_id.remove(&name) {
            self.bytes -= size(&name, &answer);
        }
    }
}

/// What an answer is counted as. Its id stands in the table and in the order, but once in memory.
fn size(name: &str, answer: &Bytes) -> u64 {
    (name.len() + answer.len()) as u64 + OVERHEAD_BYTES
}

fn reused() -> Error {
    let message = "execution_id: names another request of the last minutes; every execution takes an id of its own";
    Error::new(Code::InvalidArgument, "EXECUTION_ID_REUSED", message)
        .with_field("execution_id", "names another request of the last minutes; every execution takes an id of its own")
}
