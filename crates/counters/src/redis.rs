//! Redis, or Valkey: counters and kv that all executors share.
//!
//! A take is one script call (`take.lua`), one round trip, atomic, by the server's clock. Redis 5 or newer, any Valkey.
//! For a key of which `TENANT:{NAME}` is the text, what is stored is, each with a time to live:
//!
//! | key | value |
//! | --- | --- |
//! | `<prefix>c:TENANT:{NAME}` | a counter's state; see `take.lua` |
//! | `<prefix>a:TENANT:{NAME}:CALL` | the answer to a call, for 60 s |
//! | `<prefix>k:TENANT:{NAME}` | a value of kv: when it expires by a clock that was set (else 0), a space, the JSON |
//!
//! The server should not evict what has a time to live before it ends (`maxmemory-policy noeviction`, or memory enough): a
//! counter that it evicts begins anew.

mod link;

use crate::{
    backend::{Answered, Backend, BackendError, Pending, REMEMBERED_MS, Terms, Why},
    key::{CallId, Key},
    memory::{check_value, ttl_ms},
};
use ::redis::{Cmd, FromRedisValue, Script};
use link::Link;
use sluice_model::counter::{Algorithm, Rule, Taken};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// The script of a take.
const TAKE: &str = include_str!("redis/take.lua");

/// Where Redis is and how it is asked.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/db]`, or `redis+unix:///path[?db=..&user=..&pass=..]`. It may hold a password: it is
    /// never shown, here or in errors. TLS (`rediss`) is not built in.
    pub url: String,
    /// What all keys begin with, so that several installations can share a server; without braces. `sluice:` by default.
    pub prefix: String,
    /// The longest that one operation takes, connecting included; the caller's deadline makes it shorter. 100 ms by default:
    /// it is what a sign-in pays, once, when Redis hangs.
    pub timeout: Duration,
}

impl RedisConfig {
    /// With the defaults.
    pub fn new(url: impl Into<String>) -> RedisConfig {
        RedisConfig { url: url.into(), prefix: "sluice:".to_owned(), timeout: Duration::from_millis(100) }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What happened, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisStats {
    /// Operations that were asked.
    pub operations: u64,
    /// Those that had no answer in time.
    pub timeouts: u64,
    /// Those that failed otherwise.
    pub errors: u64,
    /// Connections that were begun.
    pub connections: u64,
}

/// Counters and kv in Redis.
pub struct Redis {
    link: Link,
    take: Script,
    prefix: String,
    timeout: Duration,
    operations: AtomicU64,
    timeouts: AtomicU64,
    errors: AtomicU64,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Redis {
    /// Does not connect: the first operation does, and each that finds the connection lost.
    ///
    /// # Errors
    /// What is wrong with the configuration and what would fit, with the setting's name and without its value.
    pub fn new(config: &RedisConfig) -> Result<Redis, String> {
        if config.prefix.contains(['{', '}']) || config.prefix.len() > 128 {
            return Err("prefix: takes up to 128 bytes without braces, which mark what belongs together".to_owned());
        }
        if config.timeout.is_zero() {
            return Err("timeout: takes more than 0 ms".to_owned());
        }
        Ok(Redis {
            link: Link::new(&config.url, config.timeout)?,
            take: Script::new(TAKE),
            prefix: config.prefix.clone(),
            timeout: config.timeout,
            operations: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        })
    }

    /// What happened, since the start.
    pub fn stats(&self) -> RedisStats {
        RedisStats {
            operations: self.operations.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            connections: self.link.connections(),
        }
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// What keeps it away.
    pub async fn ping(&self, terms: Terms) -> Result<(), BackendError> {
        self.ask(&::redis::cmd("PING"), None, terms).await
    }

    fn key(&self, kind: &str, key: &Key, call: Option<&CallId>) -> String {
        let mut text = String::with_capacity(self.prefix.len() + 120);
        text.push_str(&self.prefix);
        text.push_str(kind);
        key.write_tagged(&mut text);
        if let Some(call) = call {
            text.push(':');
            call.write(&mut text);
        }
        text
    }

    /// One command within its time; `otherwise` is sent where the server does not know the script.
    async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        otherwise: Option<&Cmd>,
        terms: Terms,
    ) -> Result<T, BackendError> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let ours = Instant::now() + self.timeout;
        let result = self.link.ask(command, otherwise, terms.deadline.min(ours), terms.deadline >= ours).await;
        result.map_err(|why| {
            let count = if why == Why::Timeout { &self.timeouts } else { &self.errors };
            count.fetch_add(1, Ordering::Relaxed);
            BackendError::Unavailable(why)
        })
    }

    async fn taken(
        &self,
        key: &Key,
        call: Option<&CallId>,
        rule: Rule,
        terms: Terms,
    ) -> Result<Answered, BackendError> {
        let counter = self.key("c:", key, None);
        let answer = call.map(|call| self.key("a:", key, Some(call)));
        let command = |name: &str, script: &str| {
            let mut command = Cmd::with_capacity(14, script.len() + 400);
            command.arg(name).arg(script).arg(1 + usize::from(answer.is_some())).arg(&counter);
            if let Some(answer) = &answer {
                command.arg(answer);
            }
            command
                .arg(match rule.algorithm() {
                    Algorithm::SlidingWindow => "s",
                    Algorithm::TokenBucket => "t",
                })
                .arg(rule.limit())
                .arg(rule.window_ms())
                .arg(rule.burst())
                .arg(rule.block_ms())
                .arg(rule.cost())
                .arg(u8::from(rule.reset()))
                .arg(REMEMBERED_MS);
            if let Some(now_ms) = terms.now_ms {
                command.arg(now_ms);
            }
            command
        };
        let known = command("EVALSHA", self.take.get_hash());
        // EVAL makes the script known, and is one round trip too.
        let (allowed, remaining, retry_after_s): (u8, u64, u32) =
            self.ask(&known, Some(&command("EVAL", TAKE)), terms).await?;
        Ok(Answered { taken: Taken { allowed: allowed == 1, remaining, retry_after_s }, fallback: false })
    }

    async fn value(&self, key: &Key, terms: Terms) -> Result<Option<String>, BackendError> {
        let command = Cmd::get(self.key("k:", key, None));
        let Some(stored): Option<String> = self.ask(&command, None, terms).await? else { return Ok(None) };
        let Some((expires_at_ms, value)) = stored.split_once(' ') else { return Ok(None) };
        let expires_at_ms: u64 = expires_at_ms.parse().unwrap_or(0);
        let lives = expires_at_ms == 0 || terms.now_ms.is_none_or(|now_ms| now_ms < expires_at_ms);
        Ok(lives.then(|| value.to_owned()))
    }
}

impl Backend for Redis {
    fn take<'a>(&'a self, key: &'a Key, call: Option<&'a CallId>, rule: Rule, terms: Terms) -> Pending<'a, Answered> {
        Box::pin(self.taken(key, call, rule, terms))
    }

    fn kv_get<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, Option<String>> {
        Box::pin(self.value(key, terms))
    }

    fn kv_set<'a>(&'a self, key: &'a Key, value_json: &'a str, ttl_s: u32, terms: Terms) -> Pending<'a, ()> {
        Box::pin(async move {
            check_value(value_json)?;
            let ttl_ms = ttl_ms(ttl_s);
            let expires_at_ms = terms.now_ms.map_or(0, |now_ms| now_ms + ttl_ms);
            let stored = format!("{expires_at_ms} {value_json}");
            // The server forgets by its own clock, which a clock that was set may be behind.
            let ttl_ms = if terms.now_ms.is_some() { ttl_ms.max(REMEMBERED_MS) } else { ttl_ms };
            let mut command = ::redis::cmd("SET");
            command.arg(self.key("k:", key, None)).arg(stored).arg("PX").arg(ttl_ms);
            self.ask(&command, None, terms).await
        })
    }

    fn kv_delete<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, ()> {
        Box::pin(async move { self.ask(&Cmd::del(self.key("k:", key, None)), None, terms).await })
    }
}

#[cfg(test)]
mod tests;
