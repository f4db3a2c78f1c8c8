//! Counters and kv: what Actions share between runs, in memory or in Redis.
