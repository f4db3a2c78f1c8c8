//! Bounds on what is under way at once: in all, and for each tenant. Whoever waits is served in order; one tenant cannot have
//! more waiting for the shared places than it may have under way, so that it holds up the others by no more than its share.

use parking_lot::Mutex;
use sluice_model::Slug;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout,
};

pub(crate) struct Places {
    all: Arc<Semaphore>,
    per_tenant: usize,
    /// Only tenants that have or want a place, and how many of their requests do.
    tenants: Mutex<HashMap<Slug, (Arc<Semaphore>, usize)>>,
}

/// A place that is held until this is dropped.
pub(crate) struct Place {
    _permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    tenant: Slug,
    places: Arc<Places>,
}

/// Whose places are all taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Tenant,
    All,
}

impl Places {
    pub(crate) fn new(all: usize, per_tenant: usize) -> Arc<Places> {
        let all = Arc::new(Semaphore::new(all));
        Arc::new(Places { all, per_tenant, tenants: Mutex::default() })
    }

    /// Waits its turn, for at most `wait`.
    pub(crate) async fn take(self: &Arc<Places>, tenant: &Slug, wait: Duration) -> Result<Place, Full> {
        let own = self.enter(tenant);
        // Leaves again when it is dropped, whichever way.
        let mut place = Place { _permits: None, tenant: tenant.clone(), places: self.clone() };
        let mut full = Full::Tenant;
        let take = async {
            let own = acquire(own).await;
            full = Full::All;
            (own, acquire(self.all.clone()).await)
        };
        let taken = timeout(wait, take).await;
        match taken {
            Ok((Some(own), Some(all))) => {
                place._permits = Some((own, all));
                Ok(place)
            }
            _ => Err(full),
        }
    }

    fn enter(&self, tenant: &Slug) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        let (semaphore, users) =
            tenants.entry(tenant.clone()).or_insert_with(|| (Arc::new(Semaphore::new(self.per_tenant)), 0));
        *users += 1;
        semaphore.clone()
    }

    #[cfg(test)]
    pub(crate) fn tenants(&self) -> usize {
        self.tenants.lock().len()
    }
}

/// `None` if the semaphore is closed, which none of these is.
async fn acquire(semaphore: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    match semaphore.clone().try_acquire_owned() {
        Ok(permit) => Some(permit),
        Err(TryAcquireError::NoPermits) => semaphore.acquire_owned().await.ok(),
        Err(TryAcquireError::Closed) => None,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Before the tenant is let go of: whoever enters next must find the place free.
        self._permits = None;
        let mut tenants = self.places.tenants.lock();
        if let Entry::Occupied(mut entry) = tenants.entry(self.tenant.clone()) {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;
