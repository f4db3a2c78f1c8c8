//! What is written down of every attempt, also of one that nobody waits for any more.

use parking_lot::Mutex;
use sluice_model::http::{HttpAttempt, HttpError, HttpFailure};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{Span, field::Empty};

/// Where the attempts of a run's requests are put down. Cheap to clone; clones share what is in it. Each attempt of each hop
/// is in it once, as soon as it has ended: what was refused before anything was sent is one, and a request whose future is
/// dropped half way is there as [`HttpFailure::Canceled`]. In the order in which they ended. One request makes at most
/// twelve (a first hop and five redirects, each tried a second time at most).
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<Vec<HttpAttempt>>>);

impl Attempts {
    /// An empty one.
    pub fn new() -> Attempts {
        Attempts::default()
    }

    /// Takes out what has ended so far.
    pub fn take(&self) -> Vec<HttpAttempt> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Puts down a request of a run that may ask no host at all: it never comes to [`crate::Egress::fetch`].
    pub fn undeclared(&self, host: &str) {
        let failure = Some(HttpFailure::HostNotDeclared);
        self.put(HttpAttempt { host: host.to_owned(), status: None, failure, duration_us: 0 });
    }

    fn put(&self, attempt: HttpAttempt) {
        self.0.lock().push(attempt);
    }
}

/// How far an attempt has come: what is missing when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Place,
    Address,
    Connection,
    Head,
    Body,
}

/// The attempts of one request: one at a time is under way, and ends once, by word or by being dropped.
pub(crate) struct Trail<'a> {
    sink: &'a Attempts,
    began: Instant,
    current: Option<Current>,
    pub(crate) phase: Phase,
}

struct Current {
    host: String,
    status: Option<u16>,
    began: Instant,
    span: Span,
}

impl<'a> Trail<'a> {
    pub(crate) fn new(sink: &'a Attempts) -> Trail<'a> {
        Trail { sink, began: Instant::now(), current: None, phase: Phase::Place }
    }

    /// An attempt to ask `host` begins; the one before it has ended well.
    pub(crate) fn begin(&mut self, host: &str) {
        self.end(None);
        let began = if self.phase == Phase::Place { self.began } else { Instant::now() };
        let span = tracing::info_span!("http_attempt", host, status = Empty, failure = Empty);
        self.current = Some(Current { host: host.to_owned(), status: None, began, span });
    }

    /// The answer's status has come.
    pub(crate) fn status(&mut self, status: u16) {
        if let Some(current) = &mut self.current {
            current.status = Some(status);
        }
    }

    /// The attempt under way, if there is one, has ended.
    pub(crate) fn end(&mut self, failure: Option<HttpFailure>) {
        let Some(Current { host, status, began, span }) = self.current.take() else { return };
        let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(status) = status {
            span.record("status", status);
        }
        if let Some(failure) = failure {
            span.record("failure", failure.as_str());
        }
        tracing::debug!(parent: &span, host, status, failure = failure.map(|failure| failure.as_str()), duration_us, "asked");
        self.sink.put(HttpAttempt { host, status, failure, duration_us });
    }

    /// The error of a request whose time is over.
    pub(crate) fn timed_out(&self) -> HttpError {
        let missing = match self.phase {
            Phase::Place => "no place among the requests under way",
            Phase::Address => "no address",
            Phase::Connection => "no connection",
            Phase::Head => "no answer",
            Phase::Body => "no whole answer",
        };
        let host = self.current.as_ref().map_or("", |current| current.host.as_str());
        let within = Shown(self.began.elapsed());
        HttpError::new(HttpFailure::TimedOut, format!("{host}: {missing} within {within}"))
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        self.end(Some(HttpFailure::Canceled));
    }
}

/// A duration for people: `250 ms`, `2 s`.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms < 1000 { write!(f, "{ms} ms") } else { write!(f, "{} s", (ms / 100) as f64 / 10.0) }
    }
}
