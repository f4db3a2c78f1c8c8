//! What a run has used of its CPU and wall time, and whether it has to stop.
//!
//! CPU time is the thread's own, counted a poll, since a run can change threads between polls; so a busy machine kills no
//! innocent. It is read when the epoch ticks (1 ms), not at each instruction.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Which limit stops a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// CPU time.
    Cpu,
    /// Time by the clock.
    Wall,
}

/// The meter of one run. Only the thread that polls the run writes to it.
#[derive(Debug)]
pub(crate) struct Meter {
    started: Instant,
    deadline: Instant,
    cpu_budget_ns: u64,
    /// CPU time of the polls that are over.
    cpu_ns: AtomicU64,
    /// The thread's CPU time when the current poll began.
    poll_began_ns: AtomicU64,
    /// 0, or which limit was met.
    stop: AtomicU8,
    /// How often it gave way because the epoch ticked.
    yields: AtomicU64,
}

const RUNNING: u8 = 0;
const STOPPED_BY_CPU: u8 = 1;
const STOPPED_BY_WALL: u8 = 2;

impl Meter {
    /// A meter that starts now.
    pub(crate) fn new(cpu: Duration, wall: Duration) -> Meter {
        let started = Instant::now();
        Meter {
            started,
            deadline: started + wall,
            cpu_budget_ns: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
            cpu_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            stop: AtomicU8::new(RUNNING),
            yields: AtomicU64::new(0),
        }
    }

    /// The run gives way because the epoch ticked, and could go on at once.
    pub(crate) fn gives_way(&self) {
        self.yields.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it gave way so far.
    pub(crate) fn yields(&self) -> u64 {
        self.yields.load(Ordering::Relaxed)
    }

    /// When the run began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// When the run must be over by the clock.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time by the clock so far.
    pub(crate) fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    /// CPU time so far; only during a poll.
    fn cpu_ns_in_poll(&self) -> u64 {
        let poll = thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Ordering::Relaxed));
        self.cpu_ns.load(Ordering::Relaxed) + poll
    }

    /// CPU time of the polls that are over, in microseconds.
    pub(crate) fn cpu_us(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed) / 1_000
    }

    /// Whether the run has to stop, as the last [`Meter::check`] found.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Relaxed) {
            STOPPED_BY_CPU => Some(Stop::Cpu),
            STOPPED_BY_WALL => Some(Stop::Wall),
            _ => None,
        }
    }

    /// Looks at both clocks; only during a poll.
    pub(crate) fn check(&self) -> Option<Stop> {
        if self.stopped().is_none() {
            if self.cpu_ns_in_poll() >= self.cpu_budget_ns {
                self.stop.store(STOPPED_BY_CPU, Ordering::Relaxed);
            } else if Instant::now() >= self.deadline {
                self.stop.store(STOPPED_BY_WALL, Ordering::Relaxed);
            }
        }
        self.stopped()
    }
}

/// A future whose polls are metered.
pub(crate) struct Metered<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F> Metered<F> {
    pub(crate) fn new(future: F, meter: Arc<Meter>) -> Metered<F> {
        Metered { future: Box::pin(future), meter }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.poll_began_ns.store(thread_cpu_ns(), Ordering::Relaxed);
        let poll = self.future.as_mut().poll(context);
        let used = self.meter.cpu_ns_in_poll();
        self.meter.cpu_ns.store(used, Ordering::Relaxed);
        poll
    }
}

/// This thread's CPU time.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Both parts are positive, and 2^64 ns are 584 years.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
