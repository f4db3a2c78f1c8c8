//! The port: what a backend is asked, under which terms, and how it fails.

use crate::key::{CallId, Key};
use sluice_model::OnCountersUnavailable;
use sluice_model::counter::{Rule, Taken};
use std::{future::Future, pin::Pin};
use tokio::time::Instant;

/// How long an answer to a call is remembered, in milliseconds: the same [`CallId`] gets it again and counts once. Source:
/// DESIGN "Versions, flows, revisions", "Retries".
pub(crate) const REMEMBERED_MS: u64 = 60_000;

/// What a backend answers with, some time. Of [`Memory`](crate::Memory) it is ready when it is first polled.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// Counters and kv.
///
/// Every operation ends by [`Terms::deadline`], one way or the other. A key is of one kind for good (a [`KeyMaker`]
/// sees to that): a counter's key is never asked of kv. Dropping a future is safe; what it asked may happen all the same.
///
/// [`KeyMaker`]: crate::KeyMaker
pub trait Backend: Send + Sync {
    /// One call of a counter, by [`step`](sluice_model::counter::step). The same `call` of the same counter within 60 s
    /// gets the same answer and counts once, whatever `rule` says then; `None` where nobody could repeat it, which is
    /// cheaper: only ids that a caller sent can come again.
    fn take<'a>(&'a self, key: &'a Key, call: Option<&'a CallId>, rule: Rule, terms: Terms) -> Pending<'a, Answered>;

    /// The value of a key as the JSON text that was set; `None` where there is none, or no more.
    fn kv_get<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, Option<String>>;

    /// Sets a value: JSON text of at most [`MAX_KV_VALUE_BYTES`], for 1 to [`MAX_KV_TTL_S`] seconds. What is longer is
    /// [`BackendError::TooLarge`]; a time out of bounds is cut to them.
    ///
    /// [`MAX_KV_VALUE_BYTES`]: sluice_model::counter::MAX_KV_VALUE_BYTES
    /// [`MAX_KV_TTL_S`]: sluice_model::counter::MAX_KV_TTL_S
    fn kv_set<'a>(&'a self, key: &'a Key, value_json: &'a str, ttl_s: u32, terms: Terms) -> Pending<'a, ()>;

    /// Forgets a value; there need not be one.
    fn kv_delete<'a>(&'a self, key: &'a Key, terms: Terms) -> Pending<'a, ()>;
}

/// The terms of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// When there must be an answer.
    pub deadline: Instant,
    /// What the clock says, in milliseconds since the epoch; `None`: the backend's own, which for Redis is the server's, so
    /// that the clocks of executors do not matter. A clock that is set is for tests and mode `test`.
    pub now_ms: Option<u64>,
    /// What becomes of a take when the backend is away: the attachment's `on_counters_unavailable`.
    pub on_unavailable: OnCountersUnavailable,
}

impl Terms {
    /// By this time, by the backend's own clock, locally where the backend is away.
    pub fn by(deadline: Instant) -> Terms {
        Terms { deadline, now_ms: None, on_unavailable: OnCountersUnavailable::Local }
    }
}

/// What a take is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The counter's answer.
    pub taken: Taken,
    /// Whether it is a local one, because the shared backend is away.
    pub fallback: bool,
}

/// Why there is no answer. Neither names a key, an address or a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The backend is away.
    #[error("counters and kv are unavailable: {0}")]
    Unavailable(Why),
    /// The value is too large, or the whole of the memory is too small for it.
    #[error("the value has {bytes} bytes; at most {max} are kept")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// What keeps a backend away; the text is for logs and a metric's label is [`Why::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, or it was lost.
    #[error("no connection")]
    Connection,
    /// The server does not take our name and password, or does not let us do this.
    #[error("the server refuses our credentials")]
    Credentials,
    /// The server answered with an error: it is loading, out of memory, a replica, or not what it should be.
    #[error("the server answered with an error")]
    Server,
    /// It was away a moment ago, and is not asked again yet.
    #[error("it was away a moment ago")]
    Open,
}

impl Why {
    /// One word: `timeout`, `connection`, `credentials`, `server`, `open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Timeout => "timeout",
            Why::Connection => "connection",
            Why::Credentials => "credentials",
            Why::Server => "server",
            Why::Open => "open",
        }
    }
}
