//! What the stack knows of a call, in one request extension: a lookup and an allocation for all of it, not for each part.

use crate::{methods::Method, principal::Principal};
use http::HeaderValue;
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The longest request id that is taken from a caller, in bytes.
const MAX_ID_BYTES: usize = 64;

/// The header that carries a request id, both ways.
pub(crate) const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// A call as the stack sees it. Every handler finds it in its request's extensions.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) method: Arc<Method>,
    pub(crate) id: CallId,
    pub(crate) received: Instant,
    pub(crate) peer: SocketAddr,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) principal: Option<Arc<Principal>>,
}

impl Call {
    /// The call that this request is. None only where the request did not come through the stack.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Call> {
        request.extensions().get()
    }

    /// The id of this call in logs and in the `x-request-id` of refusals.
    pub fn id(&self) -> &CallId {
        &self.id
    }

    /// When the call's headers were here.
    pub fn received(&self) -> Instant {
        self.received
    }

    /// The address of the caller's end of the connection.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When the caller stops waiting; None where it did not say.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }
}

/// The caller's deadline (`grpc-timeout`), if it set one. The stack ends the call then with DEADLINE_EXCEEDED by dropping
/// the handler's future; a handler that spawned work, or sets limits from the time that is left, looks here.
pub fn deadline<T>(request: &tonic::Request<T>) -> Option<Deadline> {
    Call::of(request)?.deadline
}

/// The moment when a caller stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub(crate) Instant);

impl Deadline {
    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// How long it is until then; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// The id of a call: the caller's own `x-request-id` (up to 64 visible ASCII characters), or 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId(Id);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    Given(HeaderValue),
    Made(u64),
}

impl CallId {
    pub(crate) fn of(headers: &http::HeaderMap, ids: &CallIds) -> CallId {
        let sound = |id: &&HeaderValue| {
            (1..=MAX_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        match headers.get(&REQUEST_ID).filter(sound) {
            Some(id) => CallId(Id::Given(id.clone())),
            None => CallId(Id::Made(ids.next())),
        }
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match &self.0 {
            Id::Given(id) => Some(id.clone()),
            Id::Made(_) => HeaderValue::try_from(self.to_string()).ok(),
        }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Given(id) => f.write_str(id.to_str().unwrap_or_default()),
            Id::Made(number) => write!(f, "{number:016x}"),
        }
    }
}

/// Makes ids: a counter from a random start, so that two processes do not make the same ones. They are no secrets.
#[derive(Debug)]
pub(crate) struct CallIds(AtomicU64);

impl CallIds {
    pub(crate) fn new() -> CallIds {
        use std::hash::{BuildHasher, RandomState};
        CallIds(AtomicU64::new(RandomState::new().hash_one(std::process::id())))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
