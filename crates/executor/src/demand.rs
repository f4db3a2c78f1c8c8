//! Demand: tenants that are subscribed to when they are first asked for, and let go when nobody asks any more.
//!
//! However many calls ask for a tenant, the control plane is asked once, and for all such tenants of a moment at once: the
//! next batch goes when the one before was answered. That a tenant does not exist is remembered for a short while. So what
//! callers ask for that does not exist costs the control plane a look-up in a batch, never more than one batch at a time.

use parking_lot::Mutex;
use sluice_model::Slug;
use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// How long it is remembered that a tenant does not exist.
const ABSENT_FOR: Duration = Duration::from_secs(5);
/// Of how many tenants that is remembered.
const MAX_ABSENT: usize = 10_000;
/// Tenants that may be waited for at once.
const MAX_WAITING: usize = 10_000;
/// The most tenants that are asked for in one message.
const MAX_BATCH: usize = 1_000;

/// When something was last used. Coarse, and cheap to write from many threads.
#[derive(Debug)]
pub(crate) struct Used(AtomicU64);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Default for Used {
    fn default() -> Used {
        Used(AtomicU64::new(now_ms()))
    }
}

impl Used {
    /// It is used now.
    pub(crate) fn touch(&self) {
        self.0.store(now_ms(), Ordering::Relaxed);
    }

    /// For how long it was not used.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

/// What has become of a tenant that was asked for; none while it is not known.
type Told = Option<bool>;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Demand {
    inner: Mutex<Inner>,
    wanted: Notify,
    /// A tenant that nobody asked for during this long is let go.
    pub(crate) idle: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    asked: HashMap<Slug, Asked>,
    absent: HashMap<Slug, Instant>,
}

#[derive(Debug)]
struct Asked {
    told: watch::Sender<Told>,
    is_sent: bool,
}

/// Why a tenant is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was not there a moment ago.
    Absent,
    /// Too many others are waited for.
    TooMany,
}

impl Demand {
    pub(crate) fn new(idle: Duration) -> Demand {
        Demand { inner: Mutex::default(), wanted: Notify::new(), idle }
    }

    /// Asks for a tenant that is not here.
    pub(crate) fn ask(&self, tenant: &Slug, now: Instant) -> Result<watch::Receiver<Told>, Refusal> {
        let mut inner = self.inner.lock();
        if inner.absent.get(tenant).is_some_and(|since| now.saturating_duration_since(*since) < ABSENT_FOR) {
            return Err(Refusal::Absent);
        }
        if let Some(asked) = inner.asked.get(tenant) {
            return Ok(asked.told.subscribe());
        }
        if inner.asked.len() >= MAX_WAITING {
            return Err(Refusal::TooMany);
        }
        let (told, waits) = watch::channel(None);
        inner.asked.insert(tenant.clone(), Asked { told, is_sent: false });
        drop(inner);
        self.wanted.notify_one();
        Ok(waits)
    }

    /// Becomes ready when there may be a batch.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// What to ask the control plane for; none while it has not answered the batch before.
    pub(crate) fn batch(&self) -> Option<Vec<Slug>> {
        let mut inner = self.inner.lock();
        if inner.asked.values().any(|asked| asked.is_sent) {
            return None;
        }
        let batch = inner.asked.iter_mut().take(MAX_BATCH);
        let batch: Vec<Slug> = batch.map(|(tenant, asked)| (asked.is_sent = true, tenant.clone()).1).collect();
        (!batch.is_empty()).then_some(batch)
    }

    /// The control plane that was asked is gone: the next one is asked again.
    pub(crate) fn lost(&self) {
        for asked in self.inner.lock().asked.values_mut() {
            asked.is_sent = false;
        }
    }

    /// A state serves: those who wait for a tenant that is in it go on, and those who wait for one in `absent` too.
    pub(crate) fn told(&self, is_here: impl Fn(&Slug) -> bool, absent: &[Slug], now: Instant) {
        let mut inner = self.inner.lock();
        inner.asked.retain(|tenant, asked| {
            let here = is_here(tenant);
            if here {
                asked.told.send_replace(Some(true));
            }
            !here
        });
        for tenant in absent {
            if let Some(asked) = inner.asked.remove(tenant) {
                asked.told.send_replace(Some(false));
                inner.remember_absent(tenant, now);
            }
        }
    }
}

impl Inner {
    fn remember_absent(&mut self, tenant: &Slug, now: Instant) {
        if self.absent.len() >= MAX_ABSENT {
            self.absent.retain(|_, since| now.saturating_duration_since(*since) < ABSENT_FOR);
        }
        if self.absent.len() < MAX_ABSENT {
            self.absent.insert(tenant.clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::slug;

    #[test]
    fn a_tenant_is_asked_for_once_whoever_waits_for_it() {
        let (demand, now) = (Demand::new(Duration::MAX), Instant::now());
        let mut waits: Vec<_> = (0..100).map(|_| demand.ask(&slug("acme"), now).unwrap()).collect();
        assert_eq!(demand.batch(), Some(vec![slug("acme")]));
        waits.push(demand.ask(&slug("acme"), now).unwrap());
        demand.ask(&slug("other"), now).unwrap();
        assert_eq!(demand.batch(), None, "one batch at a time");
        demand.told(|tenant| *tenant == slug("acme"), &[], now);
        assert!(waits.iter().all(|told| *told.borrow() == Some(true)));
        assert_eq!(demand.batch(), Some(vec![slug("other")]));
    }

    #[test]
    fn that_a_tenant_does_not_exist_is_remembered_for_a_while() {
        let (demand, now) = (Demand::new(Duration::MAX), Instant::now());
        let told = demand.ask(&slug("nobody"), now).unwrap();
        demand.batch();
        demand.told(|_| false, &[slug("nobody"), slug("never-asked-for")], now);
        assert_eq!(*told.borrow(), Some(false));
        assert_eq!(demand.ask(&slug("nobody"), now + ABSENT_FOR / 2).unwrap_err(), Refusal::Absent);
        assert_eq!(demand.batch(), None, "and costs nothing");
        demand.ask(&slug("nobody"), now + ABSENT_FOR).unwrap();
        assert!(demand.ask(&slug("never-asked-for"), now).is_ok());
    }

    #[test]
    fn a_lost_control_plane_is_asked_again() {
        let (demand, now) = (Demand::new(Duration::MAX), Instant::now());
        let told = demand.ask(&slug("acme"), now).unwrap();
        assert!(demand.batch().is_some() && demand.batch().is_none());
        demand.lost();
        assert_eq!(demand.batch(), Some(vec![slug("acme")]));
        assert_eq!(*told.borrow(), None);
    }

    #[test]
    fn what_is_waited_for_and_remembered_is_bounded() {
        let (demand, now) = (Demand::new(Duration::MAX), Instant::now());
        let tenants: Vec<Slug> = (0..MAX_WAITING).map(|i| slug(&format!("t{i}"))).collect();
        for tenant in &tenants {
            demand.ask(tenant, now).unwrap();
        }
        assert_eq!(demand.ask(&slug("one-more"), now).unwrap_err(), Refusal::TooMany);
        assert_eq!(demand.batch().unwrap().len(), MAX_BATCH);
        demand.told(|_| false, &tenants, now);
        assert_eq!(demand.inner.lock().absent.len(), MAX_ABSENT);
        demand.ask(&slug("one-more"), now).unwrap();
        demand.told(|_| false, &[slug("one-more")], now + ABSENT_FOR);
        assert_eq!(demand.inner.lock().absent.len(), 1, "what is too old makes room");
    }
}
