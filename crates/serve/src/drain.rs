//! The drain: the order in which a server ends, and the moment after which it no longer waits.
//!
//! 1. Readiness turns false, so that balancers send nobody more; accepting goes on for `drain.notice_ms`.
//! 2. Ports close. Every connection is told to open no more calls. Long streams, which watch [`Drain::begun`], end.
//! 3. Calls that are being answered end in their own time, for at most `drain.timeout_s`.
//! 4. What is still open then is cut. A client that reads nothing any more cannot keep a server alive.

use crate::{
    config::DrainConfig,
    readiness::{Condition, Readiness},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The drain of one plane. Cheap to clone; handlers of long streams keep one.
#[derive(Clone, Debug)]
pub struct Drain {
    notice: Duration,
    timeout: Duration,
    condition: Arc<Condition>,
    begun: CancellationToken,
    cut: CancellationToken,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything ended by itself.
    Clean,
    /// The time was up, or a second signal came, and this many connections were cut.
    Cut(usize),
}

impl Drain {
    /// A drain that has not begun. `name` is that of its condition in `/readyz`: `accepting`.
    pub fn new(config: &DrainConfig, readiness: &Readiness, name: &'static str) -> Drain {
        let condition = readiness.condition(name, "starting");
        Drain {
            notice: Duration::from_millis(config.notice_ms),
            timeout: Duration::from_secs(config.timeout_s),
            condition: Arc::new(condition),
            begun: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Becomes ready when the drain has begun: long streams end. The future is owned, so it can be part of a stream.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        self.begun.clone().cancelled_owned()
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Becomes ready when the time is up: whatever still waits (for an acknowledgement, for a disk) stops waiting.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        self.cut.clone().cancelled_owned()
    }

    /// Cuts at once what is open.
    pub fn cut_now(&self) {
        self.begun.cancel();
        self.cut.cancel();
    }

    /// The server serves.
    pub(crate) fn accepting(&self) {
        self.condition.holds();
    }

    /// Drains what `ended` waits for. At the end everything that is left is cut, in any case.
    pub(crate) async fn run(&self, ended: impl Future<Output = ()>) {
        self.condition.fails("draining");
        tokio::select! {
            () = tokio::time::sleep(self.notice) => {}
            () = self.cut.cancelled() => {}
        }
        self.begun.cancel();
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(self.timeout) => {}
            () = self.cut.cancelled() => {}
        }
        self.cut.cancel();
    }
}
