//! How far behind an executor is in time: when the commits were made that it does not serve yet.

use crate::store::Revision;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// So many of the newest commits are remembered: who is further behind is at least as late as the oldest of them.
const REMEMBERED: usize = 4096;

/// When the newest commits were made.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    commits: Mutex<VecDeque<(Revision, Instant)>>,
}

impl Lag {
    /// Takes down commits as they are announced, until it is stopped.
    pub(crate) async fn follow(&self, mut newest: watch::Receiver<Revision>, stop: CancellationToken) {
        loop {
            let commit = *newest.borrow_and_update();
            self.made(commit, Instant::now());
            tokio::select! {
                changed = newest.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    fn made(&self, commit: Revision, at: Instant) {
        let mut commits = self.commits.lock();
        if commits.back().is_some_and(|(newest, _)| *newest >= commit) {
            return;
        }
        if commits.len() == REMEMBERED {
            commits.pop_front();
        }
        commits.push_back((commit, at));
    }

    /// How many commits there are past this one, and how long ago the first of them was made.
    pub(crate) fn behind(&self, serves: Revision, now: Instant) -> (u64, Duration) {
        let commits = self.commits.lock();
        let newest = commits.back().map_or(Revision(0), |(newest, _)| *newest);
        let first = commits.partition_point(|(commit, _)| *commit <= serves);
        let age = commits.get(first).map_or(Duration::ZERO, |(_, made)| now.saturating_duration_since(*made));
        (newest.0.saturating_sub(serves.0), age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_counted_from_the_first_commit_that_is_not_served() {
        let (lag, start) = (Lag::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(lag.behind(Revision(0), at(9)), (0, Duration::ZERO));
        // Announcements may skip commits, and come twice.
        for (commit, s) in [(3, 1), (3, 2), (5, 4), (9, 7)] {
            lag.made(Revision(commit), at(s));
        }
        for (serves, commits, s) in [(9, 0, 0), (8, 1, 3), (5, 4, 3), (4, 5, 6), (3, 6, 6), (0, 9, 9)] {
            assert_eq!(lag.behind(Revision(serves), at(10)), (commits, Duration::from_secs(s)), "{serves}");
        }
        // One that is told of a commit before it is announced here is not behind.
        assert_eq!(lag.behind(Revision(12), at(10)), (0, Duration::ZERO));
    }

    #[test]
    fn it_is_bounded() {
        let (lag, start) = (Lag::default(), Instant::now());
        for commit in 1..=REMEMBERED as u64 + 100 {
            lag.made(Revision(commit), start + Duration::from_secs(commit));
        }
        assert_eq!(lag.commits.lock().len(), REMEMBERED);
        let now = start + Duration::from_secs(REMEMBERED as u64 + 100);
        assert_eq!(lag.behind(Revision(0), now), (REMEMBERED as u64 + 100, Duration::from_secs(REMEMBERED as u64 - 1)));
    }
}
