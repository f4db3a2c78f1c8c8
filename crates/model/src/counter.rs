//! Counters: `counters.take`, the rules by which it allows and refuses.

use crate::decode::words;

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
    /// The Action's name for what is counted.
    pub key: String,
    /// How many a window allows.
    pub limit: u64,
    /// The window in seconds.
    pub window_s: u32,
    /// How it counts.
    pub algorithm: Algorithm,
    /// The bucket's size; of a token bucket only.
    pub burst: Option<u64>,
    /// How long a refusal holds, in seconds; 0: no longer than the count is over the limit.
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
    /// How many more would be allowed now.
    pub remaining: u64,
    /// In how many whole seconds one more would be allowed; 0 where it was.
    pub retry_after_s: u32,
}
