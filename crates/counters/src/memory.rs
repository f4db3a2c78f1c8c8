//! Memory: counters and kv of one process, bounded in bytes.
//!
//! Keys are spread over shards by their names, which are uniform; each shard has its part of the bytes, its lock, and its
//! account of what each tenant holds. A full shard first lets go of what has expired. If that is not enough, it takes from
//! those tenants that hold more than a fair share of it (the largest bound under which all of them fit, as in max-min
//! fairness), so that a tenant whose keys an attacker makes up by the million pushes out nobody else's. Of such a
//! tenant go, in this order, values of kv (a cache), remembered answers, counters, and blocked counters, each by what
//! would have expired soonest. **A counter that is evicted while it lives begins anew, which weakens its limit**: that is
//! counted ([`Memory::evicted`]), and wants more memory, or Redis.

mod shard;

use crate::{
    backend::{Answered, Backend, BackendError, Pending, Terms},
    key::{CallId, Key},
};
use parking_lot::Mutex;
use shard::Shard;
use sluice_model::counter::{MAX_KV_TTL_S, MAX_KV_VALUE_BYTES, Rule, Taken};
use std::{
    future::ready,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// The least that is taken for `max_bytes`.
const MIN_BYTES: usize = 64 << 10;
/// What a shard should have, so that letting go of a part of it is short, and how many there are at most.
const SHARD_BYTES: usize = 1 << 20;
const MAX_SHARDS: usize = 64;

/// How large the memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// All that is kept, in bytes, the tables' empty places included; at least 64 KiB. 64 MiB by default, which is some
    /// 200,000 counters, remembered answers and small values.
    pub max_bytes: usize,
}

impl Default for MemoryConfig {
    fn default() -> MemoryConfig {
        MemoryConfig { max_bytes: 64 << 20 }
    }
}

/// What was let go of before its time, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Values of kv.
    pub values: u64,
    /// Remembered answers: a call that is repeated counts again.
    pub answers: u64,
    /// Counters, blocked ones included: they begin anew.
    pub counters: u64,
}

/// Counters and kv in memory.
pub struct Memory {
    shards: Box<[Mutex<Shard>]>,
    shard_bytes: usize,
    evicted: [AtomicU64; 3],
}

impl Memory {
    /// An empty one.
    pub fn new(config: MemoryConfig) -> Memory {
        let max_bytes = config.max_bytes.max(MIN_BYTES);
        let shards = (max_bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        Memory {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shard_bytes: max_bytes / shards,
            evicted: Default::default(),
        }
    }

    /// [`Backend::take`], at once.
    pub fn take_now(&self, key: &Key, call: Option<&CallId>, rule: &Rule, now_ms: Option<u64>) -> Taken {
        let now_ms = now_ms.unwrap_or_else(wall_ms);
        self.with(key, now_ms, |shard| shard.take(key, call, rule, now_ms))
    }

    /// What is held, in bytes: at most [`MemoryConfig::max_bytes`]. What has expired counts until its place is needed.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes()).sum()
    }

    /// How many counters, answers and values are held.
    pub fn entries(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// What was let go of before its time, since the start.
    pub fn evicted(&self) -> Evicted {
        let [values, answers, counters] = &self.evicted;
        Evicted {
            values: values.load(Ordering::Relaxed),
            answers: answers.load(Ordering::Relaxed),
            counters: counters.load(Ordering::Relaxed),
        }
    }

    /// Does something in the key's shard, and makes room there if need be.
    fn with<T>(&self, key: &Key, now_ms: u64, act: impl FnOnce(&mut Shard) -> T) -> T {
        // Bytes that the shard's table does not look at.
        let [.., a, b] = *key.name();
        let mut shard = self.shards[usize::from(u16::from_be_bytes([a, b])) % self.shards.len()].lock();
        let done = act(&mut shard);
        if shard.bytes() > self.shard_bytes {
            let gone = shard.make_room(self.shard_bytes, now_ms);
            for (total, count) in self.evicted.iter().zip(gone) {
                total.fetch_add(count, Ordering::Relaxed);
            }
        }
        done
    }
}

impl Backend for Memory {
    fn take<'a>(&'a self, key: &'a Key, call: Option<&'a CallId>, rule: Rule, terms: Terms) -> Pending<'a, Answered> {
        let taken = self.take_now(key, call, &rule, terms.now_ms);
        Box::pin(ready(Ok(Answered { taken, fallback: false })))
    }

    fn kv_get<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, Option<String>> {
        let now_ms = terms.now_ms.unwrap_or_else(wall_ms);
        let found = self.with(key, now_ms, |shard| shard.value(key, now_ms).map(str::to_owned));
        Box::pin(ready(Ok(found)))
    }

    fn kv_set<'a>(&'a self, key: &'a Key, value_json: &'a str, ttl_s: u32, terms: Terms) -> Pending<'a, ()> {
        if let Err(e) = check_value(value_json) {
            return Box::pin(ready(Err(e)));
        }
        let now_ms = terms.now_ms.unwrap_or_else(wall_ms);
        self.with(key, now_ms, |shard| shard.set_value(key, value_json, now_ms + ttl_ms(ttl_s)));
        Box::pin(ready(Ok(())))
    }

    fn kv_delete<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, ()> {
        self.with(key, terms.now_ms.unwrap_or(0), |shard| shard.delete_value(key));
        Box::pin(ready(Ok(())))
    }
}

/// A value that every backend keeps.
pub(crate) fn check_value(value_json: &str) -> Result<(), BackendError> {
    match value_json.len() {
        bytes if bytes > MAX_KV_VALUE_BYTES => Err(BackendError::TooLarge { bytes, max: MAX_KV_VALUE_BYTES }),
        _ => Ok(()),
    }
}

/// A time to live within its bounds, in milliseconds.
pub(crate) fn ttl_ms(ttl_s: u32) -> u64 {
    u64::from(ttl_s.clamp(1, MAX_KV_TTL_S)) * 1_000
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
