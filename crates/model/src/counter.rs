//! Counters and kv: what Actions share between runs, and the rules by which a counter allows and refuses.
//!
//! Source: DESIGN "Sandbox: what is promised". The rules are one pure function, [`step`], over a small [`State`] and a time
//! that the caller brings. The memory backend of `crates/counters` runs it as it stands; the script that Redis runs is the
//! same arithmetic in Lua and is held against it by tests. All of it is whole numbers below 2^53, which Lua's numbers hold
//! exactly: the bounds here are what makes that so.
//!
//! What the sentence of DESIGN means, exactly:
//!
//! - **Sliding window.** Windows are aligned to the Unix epoch. A call is allowed where `previous x rest / window + current +
//!   cost <= limit`, `rest` being what is left of the current window. A call of cost 1 is counted whether it was allowed
//!   or refused, by the limit or by a block: who goes on hammering stays out. [`MAX_COUNT`] is where counting ends.
//! - **Token bucket.** GCRA, as its equivalent, the leaky bucket: `owed` grows by a window's worth for each call and shrinks
//!   by `limit` a millisecond; a call is allowed where it still fits `burst` windows' worth. A refused call leaves it alone.
//! - **`cost: 0`** asks whether the count is over the limit, by the same formula; it writes nothing, and a refusal of it
//!   begins no block. Whether one more would fit is what `remaining` says.
//! - **`block_s`**: a refusal of a call that costs blocks the counter for that long, whatever later calls ask. Refusals while
//!   it is blocked do not make the block longer, so that its end is known; in a sliding window they count.
//! - **`reset`** clears the counter in the same step where the call was allowed. A call is never allowed during a block.
//! - A clock that goes back stands still for the counter until it has caught up.

use crate::{
    Invalid,
    decode::{Decode, Fields, Path, words, wrong_type},
    limits::check_depth,
};
use serde_json::Value;

/// A key of a counter or of kv, in bytes of UTF-8; at least 1.
pub const MAX_KEY_BYTES: usize = 256;
/// The largest `limit`, and the largest `burst`; at least 1.
pub const MAX_LIMIT: u64 = 1_000_000;
/// The longest window, and the longest block: 30 days.
pub const MAX_WINDOW_S: u32 = 30 * 86_400;
/// Where a sliding window stops counting. Three times the largest limit: far enough over it that a key which is hammered
/// stays refused for the whole next window but a third of it, and small enough that a count times a window is below 2^53.
pub const MAX_COUNT: u64 = 3 * MAX_LIMIT;
/// A value of kv, as compact UTF-8 JSON.
pub const MAX_KV_VALUE_BYTES: usize = 8 << 10;
/// The longest time to live of a value of kv: 24 h. It is required, and at least 1 s.
pub const MAX_KV_TTL_S: u32 = 86_400;

words! {
    /// How a counter counts.
    Algorithm {
        /// The previous window's count, times the part of it that is still in the window, plus the current count.
        SlidingWindow = "sliding_window",
        /// GCRA: a bucket of `burst` tokens that `limit` a window refill.
        TokenBucket = "token_bucket",
    }
}

words! {
    /// Who shares a counter.
    CounterScope {
        /// The runs of one attachment.
        Attachment = "attachment",
        /// The runs of one flow.
        Flow = "flow",
        /// The runs of one tenant.
        Tenant = "tenant",
    }
}

/// What `counters.take` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The Action's name for what is counted, 1 to [`MAX_KEY_BYTES`].
    pub key: String,
    /// How many a window allows, 1 to [`MAX_LIMIT`].
    pub limit: u64,
    /// The window in seconds, 1 to [`MAX_WINDOW_S`].
    pub window_s: u32,
    /// How it counts.
    pub algorithm: Algorithm,
    /// The bucket's size, 1 to [`MAX_LIMIT`]; of a token bucket only. `None`: as large as the limit.
    pub burst: Option<u64>,
    /// How long a refusal holds, in seconds, up to [`MAX_WINDOW_S`]; 0: no longer than the count is over the limit.
    pub block_s: u32,
    /// Who shares it.
    pub scope: CounterScope,
    /// 1, or 0 to ask without counting.
    pub cost: u32,
    /// Whether the key is cleared where it was allowed.
    pub reset: bool,
}

/// What `counters.take` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it is within the limit.
    pub allowed: bool,
    /// How many more would be allowed now, each of cost 1.
    pub remaining: u64,
    /// The smallest number of whole seconds after which one more (of cost 1) would be allowed, provided that nobody else
    /// calls meanwhile; 0 where this one was allowed.
    pub retry_after_s: u32,
}

impl Take {
    /// Reads what an Action asks: `{key, limit, window_s, algorithm?, burst?, block_s?, scope?, cost?, reset?}`.
    ///
    /// # Errors
    /// The first mistake, with its pointer: an unknown key, a wrong type, a value out of the bounds of its field, a `burst`
    /// where there is no bucket.
    pub fn from_json(value: Value) -> Result<Take, Invalid> {
        let root = Path::ROOT;
        let mut f = Fields::new(
            value,
            &root,
            &["key", "limit", "window_s", "algorithm", "burst", "block_s", "scope", "cost", "reset"],
        )?;
        let key = f.required::<Key>("key")?.0;
        let limit = bounded(f.required("limit")?, 1, MAX_LIMIT, root.key("limit"))?;
        let window_s = bounded_u32(f.required("window_s")?, 1, MAX_WINDOW_S, root.key("window_s"))?;
        let algorithm = f.optional("algorithm")?.unwrap_or(Algorithm::SlidingWindow);
        let burst = match f.optional("burst")? {
            Some(_) if algorithm != Algorithm::TokenBucket => {
                let message = format!("is of algorithm token_bucket only; the algorithm is {algorithm}");
                return Err(root.key("burst").invalid(message));
            }
            Some(burst) => Some(bounded(burst, 1, MAX_LIMIT, root.key("burst"))?),
            None => None,
        };
        let block_s = bounded_u32(f.optional("block_s")?.unwrap_or(0), 0, MAX_WINDOW_S, root.key("block_s"))?;
        let scope = f.optional("scope")?.unwrap_or(CounterScope::Attachment);
        let cost = bounded_u32(f.optional("cost")?.unwrap_or(1), 0, 1, root.key("cost"))?;
        Ok(Take { key, limit, window_s, algorithm, burst, block_s, scope, cost, reset: f.or_default("reset")? })
    }

    /// What a backend needs of it: no key, no scope.
    pub fn rule(&self) -> Rule {
        let limit = self.limit.clamp(1, MAX_LIMIT);
        Rule {
            algorithm: self.algorithm,
            limit,
            window_s: self.window_s.clamp(1, MAX_WINDOW_S),
            burst: self.burst.unwrap_or(limit).clamp(1, MAX_LIMIT),
            block_s: self.block_s.min(MAX_WINDOW_S),
            cost: self.cost.min(1),
            reset: self.reset,
        }
    }
}

/// The rule of one call: a [`Take`] without its name. Its numbers are within the bounds of their fields, whatever it was
/// made of: [`step`] rests on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    algorithm: Algorithm,
    limit: u64,
    window_s: u32,
    burst: u64,
    block_s: u32,
    cost: u32,
    reset: bool,
}

impl Rule {
    /// How it counts.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many a window allows, 1 to [`MAX_LIMIT`].
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The window in milliseconds.
    pub fn window_ms(&self) -> u64 {
        u64::from(self.window_s) * 1_000
    }

    /// The bucket's size, 1 to [`MAX_LIMIT`]; the limit where nothing was said.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// How long a refusal holds, in milliseconds.
    pub fn block_ms(&self) -> u64 {
        u64::from(self.block_s) * 1_000
    }

    /// 1, or 0 to ask without counting.
    pub fn cost(&self) -> u64 {
        u64::from(self.cost)
    }

    /// Whether the counter is cleared where the call is allowed.
    pub fn reset(&self) -> bool {
        self.reset
    }

    /// The rule of one of `shares` places that count on their own: limit and burst divided, at least 1.
    #[must_use]
    pub fn divided(mut self, shares: u32) -> Rule {
        let shares = u64::from(shares.max(1));
        self.limit = (self.limit / shares).max(1);
        self.burst = (self.burst / shares).max(1);
        self
    }
}

/// What a counter remembers between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// How it was counted: a rule of another algorithm begins anew, though a block goes on.
    pub algorithm: Algorithm,
    /// The window in milliseconds: a rule of another window begins anew, though a block goes on.
    pub window_ms: u64,
    /// When it was last written, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The current window's count, up to [`MAX_COUNT`]; of a bucket what is owed, in calls times the window's milliseconds.
    pub used: u64,
    /// The previous window's count; 0 of a bucket.
    pub previous: u64,
    /// Until when every call is refused, in milliseconds since the epoch; 0: it is not blocked.
    pub blocked_until_ms: u64,
    /// From when it is as if it were not there, in milliseconds since the epoch: a backend may forget it then.
    pub expires_at_ms: u64,
}

/// What a call does to the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// This is what it remembers from now on.
    Set(State),
    /// It is forgotten.
    Clear,
}

/// One call of a counter: what is answered, and what the counter remembers. `now_ms` is in milliseconds since the epoch and
/// below 2^52 (the year 144,000).
pub fn step(rule: &Rule, state: Option<&State>, now_ms: u64) -> (Taken, Change) {
    let before = state.filter(|state| state.expires_at_ms > now_ms);
    // A clock that goes back stands still.
    let now_ms = before.map_or(now_ms, |state| state.at_ms.max(now_ms));
    let blocked_until_ms = before.map_or(0, |state| state.blocked_until_ms);
    let counted = before.filter(|state| state.algorithm == rule.algorithm && state.window_ms == rule.window_ms());
    let meter = match rule.algorithm {
        Algorithm::SlidingWindow => Meter::window(counted, rule.window_ms(), now_ms),
        Algorithm::TokenBucket => Meter::bucket(counted, rule.limit, now_ms),
    };
    let allowed = blocked_until_ms <= now_ms && meter.allows(rule, rule.cost(), now_ms);
    if allowed && rule.reset {
        let change = if before.is_some() { Change::Clear } else { Change::Keep };
        return (Taken { allowed, remaining: Meter::empty(rule).remaining(rule, now_ms), retry_after_s: 0 }, change);
    }
    let after = if rule.cost == 0 { meter } else { meter.after(rule, allowed) };
    let begins_block = !allowed && rule.cost > 0 && rule.block_s > 0 && blocked_until_ms <= now_ms;
    let blocked_until_ms = if begins_block { now_ms + rule.block_ms() } else { blocked_until_ms };
    let taken = if allowed {
        Taken { allowed, remaining: after.remaining(rule, now_ms), retry_after_s: 0 }
    } else {
        let remaining = if blocked_until_ms > now_ms { 0 } else { after.remaining(rule, now_ms) };
        let wait_ms = after.opens_at_ms(rule, now_ms).max(blocked_until_ms) - now_ms;
        Taken { allowed, remaining, retry_after_s: u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX) }
    };
    if rule.cost == 0 || (after == meter && !begins_block) {
        return (taken, Change::Keep);
    }
    let (used, previous) = match after {
        Meter::Window { current, previous } => (current, previous),
        Meter::Bucket { owed } => (owed, 0),
    };
    let state = State {
        algorithm: rule.algorithm,
        window_ms: rule.window_ms(),
        at_ms: now_ms,
        used,
        previous,
        blocked_until_ms,
        expires_at_ms: after.expires_at_ms(rule, now_ms).max(blocked_until_ms),
    };
    (taken, Change::Set(state))
}

/// A count at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meter {
    Window { current: u64, previous: u64 },
    Bucket { owed: u64 },
}

impl Meter {
    fn empty(rule: &Rule) -> Meter {
        match rule.algorithm {
            Algorithm::SlidingWindow => Meter::Window { current: 0, previous: 0 },
            Algorithm::TokenBucket => Meter::Bucket { owed: 0 },
        }
    }

    fn window(state: Option<&State>, window_ms: u64, now_ms: u64) -> Meter {
        let passed = state.map_or(u64::MAX, |state| now_ms / window_ms - state.at_ms / window_ms);
        let (current, previous) = match (state, passed) {
            (Some(state), 0) => (state.used, state.previous),
            (Some(state), 1) => (0, state.used),
            _ => (0, 0),
        };
        Meter::Window { current, previous }
    }

    fn bucket(state: Option<&State>, limit: u64, now_ms: u64) -> Meter {
        let owed = state.map_or(0, |state| state.used.saturating_sub((now_ms - state.at_ms).saturating_mul(limit)));
        Meter::Bucket { owed }
    }

    /// Whether a call that costs this much is within the limit.
    fn allows(self, rule: &Rule, cost: u64, now_ms: u64) -> bool {
        let window_ms = rule.window_ms();
        match self {
            Meter::Window { current, previous } => {
                current + cost <= rule.limit
                    && previous * rest_ms(window_ms, now_ms) <= (rule.limit - current - cost) * window_ms
            }
            Meter::Bucket { owed } => owed + cost * window_ms <= rule.burst * window_ms,
        }
    }

    /// After a call of cost 1.
    fn after(self, rule: &Rule, allowed: bool) -> Meter {
        match self {
            Meter::Window { current, previous } => Meter::Window { current: (current + 1).min(MAX_COUNT), previous },
            Meter::Bucket { owed } if allowed => Meter::Bucket { owed: owed + rule.window_ms() },
            Meter::Bucket { owed } => Meter::Bucket { owed },
        }
    }

    /// How many more of cost 1 would be allowed.
    fn remaining(self, rule: &Rule, now_ms: u64) -> u64 {
        let window_ms = rule.window_ms();
        let room = match self {
            Meter::Window { current, previous } => {
                let free = rule.limit.saturating_sub(current) * window_ms;
                free.saturating_sub(previous * rest_ms(window_ms, now_ms))
            }
            Meter::Bucket { owed } => (rule.burst * window_ms).saturating_sub(owed),
        };
        room / window_ms
    }

    /// The first millisecond from now on at which one more of cost 1 would be allowed, if nobody called.
    fn opens_at_ms(self, rule: &Rule, now_ms: u64) -> u64 {
        let window_ms = rule.window_ms();
        match self {
            Meter::Window { current, previous } => {
                let start_ms = now_ms - now_ms % window_ms;
                if current >= rule.limit {
                    // In the next window, when so little is left of it that what is counted now weighs less than the limit.
                    return start_ms + 2 * window_ms - (rule.limit - 1) * window_ms / current;
                }
                let room = (rule.limit - current - 1) * window_ms;
                if previous * rest_ms(window_ms, now_ms) <= room {
                    return now_ms;
                }
                start_ms + window_ms - room / previous
            }
            Meter::Bucket { owed } => {
                now_ms + (owed + window_ms).saturating_sub(rule.burst * window_ms).div_ceil(rule.limit)
            }
        }
    }

    fn expires_at_ms(self, rule: &Rule, now_ms: u64) -> u64 {
        let window_ms = rule.window_ms();
        match self {
            Meter::Window { .. } => now_ms - now_ms % window_ms + 2 * window_ms,
            Meter::Bucket { owed } => now_ms + owed.div_ceil(rule.limit),
        }
    }
}

/// What is left of the window that now is in: 1 to the whole of it.
fn rest_ms(window_ms: u64, now_ms: u64) -> u64 {
    window_ms - now_ms % window_ms
}

/// What `kv.set` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvSet {
    /// The Action's name for it, 1 to [`MAX_KEY_BYTES`].
    pub key: String,
    /// The value as compact JSON, up to [`MAX_KV_VALUE_BYTES`]. Null is a value.
    pub value_json: String,
    /// How long it is kept, in seconds, 1 to [`MAX_KV_TTL_S`]; required: kv is a cache.
    pub ttl_s: u32,
}

impl KvSet {
    /// Reads what an Action asks: `{key, value, ttl_s}`.
    ///
    /// # Errors
    /// The first mistake, with its pointer: an unknown key, a wrong type, a value out of the bounds of its field.
    pub fn from_json(value: Value) -> Result<KvSet, Invalid> {
        let root = Path::ROOT;
        let mut f = Fields::new(value, &root, &["key", "value", "ttl_s"])?;
        let key = f.required::<Key>("key")?.0;
        let value = f.raw("value").ok_or_else(|| root.invalid("\"value\" is missing"))?;
        check_depth(&value).map_err(|e| root.key("value").invalid(e.message))?;
        let value_json = value.to_string();
        if value_json.len() > MAX_KV_VALUE_BYTES {
            let message = format!("has {} bytes as JSON; at most {MAX_KV_VALUE_BYTES}", value_json.len());
            return Err(root.key("value").invalid(message));
        }
        let ttl_s = bounded_u32(f.required("ttl_s")?, 1, MAX_KV_TTL_S, root.key("ttl_s"))?;
        Ok(KvSet { key, value_json, ttl_s })
    }
}

/// Reads the key that `kv.get` and `kv.delete` are asked for: 1 to [`MAX_KEY_BYTES`] of text.
///
/// # Errors
/// What it is instead; the pointer is empty.
pub fn key_from_json(value: Value) -> Result<String, Invalid> {
    Key::decode(value, Path::ROOT).map(|key| key.0)
}

/// A key of a counter or of kv.
struct Key(String);

impl Decode for Key {
    fn decode(value: Value, path: Path<'_>) -> Result<Key, Invalid> {
        let Value::String(key) = value else {
            return Err(wrong_type(path, "a string", &value));
        };
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Err(path.invalid(format!("has {} bytes; a key takes 1 to {MAX_KEY_BYTES}", key.len())));
        }
        Ok(Key(key))
    }
}

fn bounded(value: u64, min: u64, max: u64, path: Path<'_>) -> Result<u64, Invalid> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(path.invalid(format!("is {value}; it takes {min} to {max}")))
    }
}

fn bounded_u32(value: u64, min: u32, max: u32, path: Path<'_>) -> Result<u32, Invalid> {
    match u32::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(path.invalid(format!("is {value}; it takes {min} to {max}"))),
    }
}

#[cfg(test)]
mod tests;
