//! Where runs happen: first on the worker that asks, and what does not end there at once in a slow lane.
//!
//! Almost every Action ends within a millisecond, and a hand-over to another thread would cost it more than it uses. So a
//! run is polled on the calling worker until it has used two milliseconds of its processor; what is still running then goes on
//! as a task of a small second runtime, whose threads give way to all others. `while (true) {}` costs its neighbours 2 ms, once.
//! A run that waits for the host stays with its caller meanwhile, and holds no thread.
//! Source: DESIGN "Serving", with what was measured.

use crate::meter::{Meter, Metered};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// How the slow lane's threads rank: 0 is normal, 19 gives way to everything.
const SLOW_LANE_NICE: i32 = 15;

/// CPU time after which a run is no longer asked again on the worker that it began on, in microseconds: two ticks, as the
/// design has it, but of its own time.
const FAST_LANE_CPU_US: u64 = 2_000;

/// How much longer than its wall limit a run may take to end by itself, with a stack to show, before it is cut off.
const WALL_GRACE: Duration = Duration::from_millis(20);

/// The epoch's tick.
const TICK: Duration = Duration::from_millis(1);

/// Why a run came to no end of its own.
pub(crate) enum Cut {
    /// The wall limit passed while it was waiting for its turn.
    Wall,
    /// It panicked, or its lane is closing.
    Lost,
}

/// The slow lane.
pub(crate) struct Lane {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Lane {
    /// A lane of `threads` threads.
    pub(crate) fn new(threads: usize) -> std::io::Result<Lane> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("sluice-slow")
            // Each run yields at every tick; looking at the queue after each poll lets them take turns.
            .event_interval(1)
            // A run that waits there, for the host or for a timer of its own, is woken there.
            .enable_all()
            .on_thread_start(give_way)
            .build()?;
        Ok(Lane { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs `work` to its end, or cuts it off at the meter's deadline. Dropping the answer cuts it off as well.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        meter: &Arc<Meter>,
    ) -> Result<T, Cut> {
        let mut work = Metered::new(work, meter.clone());
        let patience = (meter.deadline() + WALL_GRACE).into();
        // Whether it waits for something else than its turn: only then somebody has to wake it.
        let mut waits = false;
        let here = poll_fn(|context| {
            loop {
                let yields = meter.yields();
                let mut nobody = Context::from_waker(Waker::noop());
                let polled = pin!(&mut work).poll(if waits { context } else { &mut nobody });
                if let Poll::Ready(done) = polled {
                    return Poll::Ready(Some(done));
                }
                let gave_way = meter.yields() != yields;
                // The epoch ticks by the clock. A run that was only kept from its processor meanwhile has used no time of its
                // neighbours', and must not be sent where it would starve for that.
                if gave_way && meter.cpu_us() >= FAST_LANE_CPU_US {
                    return Poll::Ready(None);
                }
                if !gave_way && waits {
                    return Poll::Pending;
                }
                waits = !gave_way;
            }
        });
        match tokio::time::timeout_at(patience, here).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            Err(_) => return Err(Cut::Wall),
        }
        let mut task = CutOnDrop(self.handle.spawn(work));
        match tokio::time::timeout_at(patience, &mut task.0).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(Cut::Lost),
            Err(_) => Err(Cut::Wall),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime may be dropped inside another only so.
            runtime.shutdown_background();
        }
    }
}

struct CutOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for CutOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn give_way() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), SLOW_LANE_NICE) {
        // It still works, only less considerate.
        tracing::warn!(%error, "the slow lane keeps the priority of the other threads");
    }
}

/// The thread that makes the epoch tick; it ends when this is dropped.
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Calls `tick` once a millisecond.
    #[allow(clippy::disallowed_methods, reason = "it is a thread of its own, whose work is to wait")]
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Ticker> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("sluice-ticker".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                tick();
            }
        })?;
        Ok(Ticker { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It sleeps a millisecond at most. A panic in it would have been reported by then.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
