//! What happens while the shared backend is away: counters act locally, each executor its share of the limit.
//!
//! A breaker stands in front, so that a Redis that is dead or hangs costs one sign-in in a while its timeout, and not every
//! one: a failure opens it, and while it is open nobody asks. After [`FallbackConfig::retry_after`] one operation goes
//! through as a probe, on the side of which all others stay local; if it is answered, the breaker is closed. A timeout of a caller in a
//! hurry says little of the server: of those it takes five in a row.
//!
//! What it promises: with n executors, of which each counts at most `max(1, limit / n)`, no more than `max(n, limit)` are
//! let through together, beside what was counted in Redis before. What it does not: a call that Redis counted and whose
//! answer came too late counts locally once more; a call that is repeated after Redis went away, or came back, too;
//! counts made locally are not carried back.

use crate::{
    backend::{Answered, Backend, BackendError, Pending, Terms, Why},
    key::{CallId, Key},
    memory::Memory,
};
use sluice_model::{OnCountersUnavailable, counter::Rule};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A timeout of less than this says little of the server.
const TELLING: Duration = Duration::from_millis(50);
/// So many of them in a row say enough.
const FEW: u32 = 5;

/// How the fallback acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallbackConfig {
    /// How long a backend that failed is left alone before one operation tries it; 1 s by default. A smaller one finds it
    /// sooner, and costs a sign-in its timeout more often.
    pub retry_after: Duration,
}

impl Default for FallbackConfig {
    fn default() -> FallbackConfig {
        FallbackConfig { retry_after: Duration::from_secs(1) }
    }
}

/// A shared backend, and memory for when it is away.
pub struct WithFallback {
    shared: Arc<dyn Backend>,
    local: Arc<Memory>,
    executors: Arc<AtomicU32>,
    breaker: Breaker,
    fallbacks: AtomicU64,
}

impl WithFallback {
    /// `executors`: how many are connected, kept up to date by the caller; 0 is 1.
    pub fn new(
        shared: Arc<dyn Backend>,
        local: Arc<Memory>,
        executors: Arc<AtomicU32>,
        config: FallbackConfig,
    ) -> WithFallback {
        WithFallback {
            shared,
            local,
            executors,
            breaker: Breaker::new(config.retry_after),
            fallbacks: AtomicU64::new(0),
        }
    }

    /// How many operations the shared backend did not answer, since the start: counted locally, absent, or unavailable.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    /// Whether the shared backend is taken to be away.
    pub fn is_away(&self) -> bool {
        self.breaker.open_until_ms.load(Ordering::Acquire) != 0
    }

    /// Asks the shared backend, if it is worth it. `Err` is why it did not answer.
    async fn ask<'a, T>(
        &self,
        terms: Terms,
        ask: impl FnOnce(Terms) -> Pending<'a, T>,
    ) -> Result<Result<T, BackendError>, Why> {
        if !self.breaker.lets_through() {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            return Err(Why::Open);
        }
        let begun = Instant::now();
        match ask(terms).await {
            Err(BackendError::Unavailable(why)) => {
                self.fallbacks.fetch_add(1, Ordering::Relaxed);
                self.breaker.failed(why, why != Why::Timeout || begun.elapsed() >= TELLING);
                Err(why)
            }
            answered => {
                self.breaker.answered();
                Ok(answered)
            }
        }
    }
}

/// The terms for an operation after which there must be time for something else: half of what is left.
fn half(terms: Terms) -> Terms {
    let now = Instant::now();
    Terms { deadline: now + terms.deadline.saturating_duration_since(now) / 2, ..terms }
}

impl Backend for WithFallback {
    fn take<'a>(&'a self, key: &'a Key, call: Option<&'a CallId>, rule: Rule, terms: Terms) -> Pending<'a, Answered> {
        Box::pin(async move {
            let fail = terms.on_unavailable == OnCountersUnavailable::Fail;
            let asked =
                self.ask(if fail { terms } else { half(terms) }, |terms| self.shared.take(key, call, rule, terms));
            match asked.await {
                Ok(answered) => answered,
                Err(why) if fail => Err(BackendError::Unavailable(why)),
                Err(_) => {
                    let rule = rule.divided(self.executors.load(Ordering::Relaxed));
                    Ok(Answered { taken: self.local.take_now(key, call, &rule, terms.now_ms), fallback: true })
                }
            }
        })
    }

    /// Absent while the shared backend is away: kv is a cache.
    fn kv_get<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, Option<String>> {
        Box::pin(async move { self.ask(half(terms), |terms| self.shared.kv_get(key, terms)).await.unwrap_or(Ok(None)) })
    }

    fn kv_set<'a>(&'a self, key: &'a Key, value_json: &'a str, ttl_s: u32, terms: Terms) -> Pending<'a, ()> {
        Box::pin(async move {
            let asked = self.ask(half(terms), |terms| self.shared.kv_set(key, value_json, ttl_s, terms));
            asked.await.unwrap_or_else(|why| Err(BackendError::Unavailable(why)))
        })
    }

    fn kv_delete<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, ()> {
        Box::pin(async move {
            let asked = self.ask(half(terms), |terms| self.shared.kv_delete(key, terms));
            asked.await.unwrap_or_else(|why| Err(BackendError::Unavailable(why)))
        })
    }
}

/// Closed, or open until some time, at which one operation is let through and the time is moved on: a probe that is dropped
/// midway leaves nothing behind.
struct Breaker {
    retry_after: Duration,
    origin: Instant,
    /// In milliseconds since the origin; 0: closed.
    open_until_ms: AtomicU64,
    hurried: AtomicU32,
}

impl Breaker {
    fn new(retry_after: Duration) -> Breaker {
        Breaker { retry_after, origin: Instant::now(), open_until_ms: AtomicU64::new(0), hurried: AtomicU32::new(0) }
    }

    fn since_origin_ms(&self, more: Duration) -> u64 {
        u64::try_from((self.origin.elapsed() + more).as_millis()).unwrap_or(u64::MAX)
    }

    fn lets_through(&self) -> bool {
        let until = self.open_until_ms.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        self.since_origin_ms(Duration::ZERO) >= until
            && self
                .open_until_ms
                .compare_exchange(until, self.next_try_ms(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    fn next_try_ms(&self) -> u64 {
        self.since_origin_ms(self.retry_after).max(1)
    }

    fn answered(&self) {
        self.hurried.store(0, Ordering::Relaxed);
        if self.open_until_ms.load(Ordering::Acquire) != 0 && self.open_until_ms.swap(0, Ordering::AcqRel) != 0 {
            tracing::info!("counters and kv are shared again");
        }
    }

    fn failed(&self, why: Why, telling: bool) {
        if !telling && self.hurried.fetch_add(1, Ordering::Relaxed) + 1 < FEW {
            return;
        }
        if self.open_until_ms.swap(self.next_try_ms(), Ordering::AcqRel) == 0 {
            tracing::warn!(%why, "the shared backend of counters and kv is away; counters act locally");
        }
    }
}

#[cfg(test)]
mod tests;
