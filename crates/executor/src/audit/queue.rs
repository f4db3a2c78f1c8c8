//! The queue of records whose disk is slow, and the one thread that writes them.
//!
//! The thread lives as long as something waits. It is none of the runtime's: those are few, others need them, and a record must be
//! written also while the runtime ends.

use super::{Audit, Frames, spool::SpoolError};
use parking_lot::Mutex;
use sluice_model::{Error, Slug};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// With so much waiting no execution is begun.
const FULL_BYTES: usize = 8 << 20;
/// More never waits, 16 MiB: what executions in flight bring is far below the difference.
const MAX_BYTES: usize = 16 << 20;
/// When the thread has been at one write for so long no execution is begun: its caller would wait in vain.
const STALLED: Duration = Duration::from_secs(1);

/// How a write ended: the sequence of the last record, none where nothing was written and that was counted.
pub(super) type Written = Result<Option<u64>, Error>;
/// Where that is told.
pub(super) type Reply = oneshot::Sender<Written>;

/// Records that wait.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) frames: Frames,
    pub(super) tenant: Slug,
    /// None where nobody waits for them.
    pub(super) reply: Option<Reply>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// How many wait or are being written.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Handed>,
    bytes: usize,
    at_work: bool,
    /// Since when the thread has been at its write.
    writing_since: Option<Instant>,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { state: Mutex::default(), count: watch::Sender::new(0) }
    }

    /// Whether what would be handed over now would be written soon.
    pub(super) fn keeps_up(&self, now: Instant) -> Result<(), SpoolError> {
        if *self.count.borrow() == 0 {
            return Ok(());
        }
        let state = self.state.lock();
        let stalled = state.writing_since.is_some_and(|since| now.saturating_duration_since(since) >= STALLED);
        if stalled || state.bytes >= FULL_BYTES {
            return Err(SpoolError::Behind { bytes: state.bytes });
        }
        Ok(())
    }

    /// Adds records; they are given back where too much waits.
    pub(super) fn put(&self, handed: Handed) -> Result<(), (Handed, SpoolError)> {
        let mut state = self.state.lock();
        let bytes = state.bytes + handed.frames.size();
        if bytes > MAX_BYTES {
            return Err((handed, SpoolError::Behind { bytes: state.bytes }));
        }
        state.bytes = bytes;
        state.waiting.push_back(handed);
        self.count.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Sees to it that the thread is at work.
    pub(super) fn work(&self, audit: &Arc<Audit>) {
        if std::mem::replace(&mut self.state.lock().at_work, true) {
            return;
        }
        let at_work = Arc::clone(audit);
        let thread = std::thread::Builder::new().name("audit-spool".to_owned());
        if let Err(error) = thread.spawn(move || at_work.queue.write_all(&at_work)) {
            tracing::error!(%error, "no thread for the spool can be begun: its records are written where they are made");
            self.write_all(audit);
        }
    }

    fn write_all(&self, audit: &Audit) {
        let _at_work = AtWork(self);
        loop {
            let handed = {
                let mut state = self.state.lock();
                let Some(handed) = state.waiting.pop_front() else {
                    state.at_work = false;
                    return;
                };
                state.bytes -= handed.frames.size();
                state.writing_since = Some(Instant::now());
                handed
            };
            let told = audit.write_handed(handed);
            self.state.lock().writing_since = None;
            self.count.send_modify(|count| *count -= 1);
            if let Some((reply, written)) = told {
                // Whoever asked may be gone; the record is written all the same.
                let _gone = reply.send(written);
            }
        }
    }

    /// Returns when nothing waits any more.
    pub(super) async fn settled(&self) {
        // The sender lives as long as this.
        let mut count = self.count.subscribe();
        let _settled = count.wait_for(|count| *count == 0).await;
    }
}

/// The thread's turn. A panic ends it too, and what waits is then the next one's.
struct AtWork<'a>(&'a Queue);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().at_work = false;
        }
    }
}
