//! Counters and kv: what Actions share between runs, in memory or in Redis (or Valkey).
//!
//! One port, [`Backend`], and three that stand behind it: [`Memory`], which is bounded in bytes and shared out fairly among
//! tenants; [`Redis`], one script call and one round trip a take; and [`WithFallback`], which counts locally, each executor
//! its share of the limit, for as long as Redis is away. The rules by which a counter allows and refuses are
//! [`sluice_model::counter::step`]: memory runs them as they stand, and the script says the same in Lua. One suite of cases
//! (`tests/conformance.rs`) runs over all of them.
//!
//! No backend ever sees an Action's key: a [`KeyMaker`] makes a [`Key`] of it, by HMAC-SHA-256 under the tenant's key.
//! What an Action asks is read and bounded by the model ([`Take::from_json`], [`KvSet::from_json`]); metrics are made by the
//! executor, of the accessors here.
//!
//! [`Take::from_json`]: sluice_model::counter::Take::from_json
//! [`KvSet::from_json`]: sluice_model::counter::KvSet::from_json

mod backend;
mod fallback;
mod key;
mod memory;
mod redis;

pub use backend::{Answered, Backend, BackendError, Pending, Terms, Why};
pub use fallback::{FallbackConfig, WithFallback};
pub use key::{CallId, Key, KeyMaker, Shared};
pub use memory::{Evicted, Memory, MemoryConfig};
pub use redis::{Redis, RedisConfig, RedisStats};
