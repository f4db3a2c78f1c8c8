//! The circuit breaker of an attachment: what fails so often that trying costs more than it can give is not tried.
//!
//! It opens after [`IN_A_ROW`] failures in a row, or when of the last [`WINDOW`] runs, all within [`WINDOW_TIME`], half or
//! more failed. Open, nothing runs for [`REST`]; then one run is tried: its success closes the breaker, its failure lets it
//! rest again. Time is given, never read. Source: DESIGN "When an Action fails".
//!
//! A breaker belongs to one attachment at one version: a sign-in that still runs the version before must neither open nor
//! close the breaker of the new one.
//!
//! What counts as a failure is what the Action did: see [`counts`]. That a module could not be had, or that the platform
//! failed, does not count: `circuit_open` follows `on_error`, and a breaker opened by unavailability would apply that
//! policy in place of `on_unavailable`.

use parking_lot::Mutex;
use sluice_model::{Failure, FailureReason};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
pub(crate) const IN_A_ROW: u32 = 10;
/// Runs that are looked at together.
pub(crate) const WINDOW: usize = 50;
/// How young all of them have to be.
pub(crate) const WINDOW_TIME: Duration = Duration::from_secs(60);
/// How long it stays open before one run is tried.
pub(crate) const REST: Duration = Duration::from_secs(30);

/// Whether a failure is the Action's own doing. One that was cut by less than its own limit, because the slot's budget or
/// its caller's patience ended, is not.
pub(crate) fn counts(failure: &Failure, had_its_own_time: bool) -> bool {
    match failure.reason {
        FailureReason::WallLimit => had_its_own_time,
        FailureReason::Threw
        | FailureReason::CpuLimit
        | FailureReason::MemoryLimit
        | FailureReason::InvalidOutcome
        | FailureReason::NeverSettled
        | FailureReason::CapabilityDenied => true,
        FailureReason::Unavailable | FailureReason::CircuitOpen | FailureReason::Revoked | FailureReason::Internal => {
            false
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Breaker {
    epoch: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    in_a_row: u32,
    /// One bit a run, the newest lowest; 1 is a failure.
    failed: u64,
    /// When each run of the window ended, in milliseconds since `epoch`, a ring.
    ended_ms: [u32; WINDOW],
    /// Runs seen since it was closed.
    seen: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

const WINDOW_BITS: u64 = (1 << WINDOW) - 1;

impl Breaker {
    /// A closed one. Nothing is ever told to it from before `now`.
    pub(crate) fn new(now: Instant) -> Breaker {
        let inner = Inner { state: State::Closed, in_a_row: 0, failed: 0, ended_ms: [0; WINDOW], seen: 0 };
        Breaker { epoch: now, inner: Mutex::new(inner) }
    }

    /// Asks to run. `None`: it is open. What became of the run is told to the permit; one that is dropped without a word
    /// did not count.
    pub(crate) fn admit(&self, now: Instant) -> Option<Permit<'_>> {
        let mut inner = self.inner.lock();
        let probe = match inner.state {
            State::Closed => false,
            State::Open { until } if now >= until => {
                inner.state = State::Probing;
                true
            }
            State::Open { .. } | State::Probing => return None,
        };
        Some(Permit { breaker: self, probe, told: false })
    }

    /// Whether runs are refused at the moment.
    #[cfg(test)]
    fn is_open(&self) -> bool {
        self.inner.lock().state != State::Closed
    }

    fn ended(&self, failed: bool, probe: bool, now: Instant) {
        let mut inner = self.inner.lock();
        if probe {
            if failed {
                inner.state = State::Open { until: now + REST };
            } else {
                inner.close();
            }
            return;
        }
        if inner.state != State::Closed {
            // It began before the breaker opened, and says nothing about now.
            return;
        }
        // 49 days fit; a wrap after them would only keep a slot that is rarely used from opening by the second rule.
        let now_ms = u32::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u32::MAX);
        let place = inner.seen % WINDOW;
        inner.ended_ms[place] = now_ms;
        inner.seen += 1;
        inner.failed = ((inner.failed << 1) | u64::from(failed)) & WINDOW_BITS;
        if !failed {
            inner.in_a_row = 0;
            return;
        }
        inner.in_a_row += 1;
        // The place after the newest is the oldest.
        let oldest_ms = inner.ended_ms[inner.seen % WINDOW];
        let within = u128::from(now_ms.saturating_sub(oldest_ms)) <= WINDOW_TIME.as_millis();
        let half = inner.seen >= WINDOW && within && inner.failed.count_ones() as usize * 2 >= WINDOW;
        if inner.in_a_row >= IN_A_ROW || half {
            inner.state = State::Open { until: now + REST };
        }
    }

    fn let_go(&self) {
        let mut inner = self.inner.lock();
        if inner.state == State::Probing {
            // Nothing was learnt; the next one may try at once.
            inner.state = State::Open { until: self.epoch };
        }
    }
}

impl Inner {
    fn close(&mut self) {
        (self.state, self.in_a_row, self.failed, self.seen) = (State::Closed, 0, 0, 0);
    }
}

/// One run that may be tried.
#[derive(Debug)]
#[must_use = "a permit wants to hear what became of the run"]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
    told: bool,
}

impl Permit<'_> {
    /// What became of the run.
    pub(crate) fn tell(mut self, failed: bool, now: Instant) {
        self.told = true;
        self.breaker.ended(failed, self.probe, now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe && !self.told {
            self.breaker.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A breaker with a clock.
    struct Bench {
        breaker: Breaker,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            let now = Instant::now();
            Bench { breaker: Breaker::new(now), now }
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }

        fn run(&self, failed: bool) -> bool {
            let permit = self.breaker.admit(self.now);
            let admitted = permit.is_some();
            if let Some(permit) = permit {
                permit.tell(failed, self.now);
            }
            admitted
        }
    }

    #[test]
    fn ten_failures_in_a_row_open_it_and_nine_do_not() {
        let bench = Bench::new();
        for _ in 0..9 {
            assert!(bench.run(true));
        }
        assert!(bench.run(false), "nine in a row");
        for _ in 0..10 {
            assert!(bench.run(true));
        }
        assert!(bench.breaker.is_open());
        assert!(!bench.run(false));
    }

    #[test]
    fn after_its_rest_one_run_is_tried_and_decides() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            bench.run(true);
        }
        bench.wait(REST - Duration::from_millis(1));
        assert!(!bench.run(false), "too early");
        bench.wait(Duration::from_millis(1));
        let probe = bench.breaker.admit(bench.now);
        assert!(probe.is_some());
        assert!(!bench.run(false), "a second run beside the probe");
        probe.unwrap().tell(true, bench.now);
        assert!(!bench.run(false), "the probe failed: it rests again");
        bench.wait(REST);
        assert!(bench.run(false), "the next probe");
        assert!(bench.run(true), "its success closed the breaker");
        assert!(!bench.breaker.is_open());
    }

    #[test]
    fn a_probe_that_nobody_waited_for_lets_the_next_one_try() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            bench.run(true);
        }
        bench.wait(REST);
        drop(bench.breaker.admit(bench.now));
        assert!(bench.run(false));
        assert!(!bench.breaker.is_open());
    }

    #[test]
    fn half_of_fifty_within_a_minute_open_it() {
        let bench = Bench::new();
        for i in 0..50 {
            assert!(!bench.breaker.is_open(), "run {i}");
            assert!(bench.run(i % 2 == 1), "run {i}");
        }
        assert!(bench.breaker.is_open());
    }

    #[test]
    fn half_of_fifty_over_a_longer_time_does_not() {
        let mut bench = Bench::new();
        for i in 0..200 {
            assert!(bench.run(i % 2 == 0), "run {i}");
            bench.wait(Duration::from_millis(1_300));
        }
        assert!(!bench.breaker.is_open());
    }

    #[test]
    fn less_than_half_does_not() {
        let bench = Bench::new();
        for i in 0..300 {
            assert!(bench.run(i % 25 < 12), "run {i}");
            if i % 25 == 11 || i % 25 == 5 {
                // Not ten in a row.
                assert!(bench.run(false));
            }
        }
        assert!(!bench.breaker.is_open());
    }

    #[test]
    fn what_the_platform_failed_at_does_not_count() {
        for (word, reason) in FailureReason::ALL {
            let failure = Failure::new(*reason, "");
            let own = !matches!(*word, "unavailable" | "circuit_open" | "revoked" | "internal");
            assert_eq!(counts(&failure, true), own, "{word}");
            assert_eq!(counts(&failure, false), own && *word != "wall_limit", "{word}");
        }
    }
}
