//! How long to wait before the next attempt: longer each time, and never for all executors alike.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// The first wait is at most this.
const FIRST: Duration = Duration::from_millis(100);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Attempts that failed so far.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { attempts: 0 }
    }

    /// Something worked.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Waits. Half of the time is fixed, half is random: when a control plane comes back, its executors do not come at
    /// one moment.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next(RandomState::new().hash_one(self.attempts))).await;
    }

    fn next(&mut self, random: u64) -> Duration {
        let most = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let half = most / 2;
        half + half * u32::try_from(random % 1001).unwrap_or(0) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_seconds_and_begin_anew() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.next(1000)).collect();
        assert_eq!(waits[0], FIRST);
        assert_eq!(waits[3], FIRST * 8);
        assert_eq!(waits[11], LONGEST);
        assert_eq!(backoff.next(0), LONGEST / 2, "half of it is random");
        backoff.reset();
        assert!(backoff.next(500) <= FIRST);
    }
}
