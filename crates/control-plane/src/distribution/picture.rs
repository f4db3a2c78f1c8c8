//! The picture: everything that executors are told of, read once for all who need all of it.
//!
//! When a control plane comes back, all of its executors come back with it. Reading the whole store for each of them would
//! cost the store as many times its content as there are executors, at the worst of moments. So it is read once, whoever
//! comes meanwhile or soon after is told the same picture, and what was committed since comes to each as a change.

use super::resources::{Also, Resource, Resources, Told};
use crate::shared::Shared;
use crate::store::{Changes, Revision};
use sluice_model::{Error, Slug};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a picture is kept for others. It takes memory: some 2 KiB a version and a revision.
const KEPT: Duration = Duration::from_secs(60);
/// A picture that is so many commits behind is not used any more: its changes would cost as much as another one.
const MAX_BEHIND: u64 = 1000;

/// Everything that executors are told of.
#[derive(Debug)]
pub(super) struct Picture {
    /// It has everything up to this commit, and some of what came after it.
    pub(super) through: Revision,
    /// By tenant: itself, and then its versions and revisions, each version before the first revision that pins it.
    pub(super) tenants: BTreeMap<Slug, Vec<Arc<Resource>>>,
}

/// The newest picture, while it is of use.
pub(super) struct Pictures {
    /// Held while one is made: who comes meanwhile waits for it.
    newest: Mutex<Option<(Instant, Arc<Picture>)>>,
}

impl Pictures {
    pub(super) fn new() -> Arc<Pictures> {
        Arc::new(Pictures { newest: Mutex::default() })
    }

    /// The next who needs a picture gets one that is made from now on: something was said that nobody must begin without.
    pub(super) async fn forget(&self) {
        *self.newest.lock().await = None;
    }

    /// A picture that has everything up to `floor` at least.
    pub(super) async fn get(
        self: &Arc<Pictures>,
        shared: &Shared,
        resources: &Resources,
        floor: Revision,
    ) -> Result<Arc<Picture>, Error> {
        let mut newest = self.newest.lock().await;
        let commit = shared.store.newest().await?;
        if let Some((made, picture)) = &*newest
            && made.elapsed() < KEPT
            && picture.through >= floor
            && commit.0.saturating_sub(picture.through.0) <= MAX_BEHIND
            // What came after it must be known still, or nobody could go on from there.
            && matches!(shared.store.changes(picture.through, 1).await?, Changes::Entries { .. })
        {
            return Ok(Arc::clone(picture));
        }
        // The one before goes first, or there would be two of them.
        *newest = None;
        let begun = Instant::now();
        let tenants = read(resources).await?;
        let told: usize = tenants.values().map(Vec::len).sum();
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(commit = commit.0, tenants = tenants.len(), resources = told, took_ms, "everything was read");
        shared.metrics.pictured();
        let picture = Arc::new(Picture { through: commit, tenants });
        *newest = Some((Instant::now(), Arc::clone(&picture)));
        let (pictures, made) = (Arc::downgrade(self), Arc::downgrade(&picture));
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let Some(pictures) = pictures.upgrade() {
                let mut newest = pictures.newest.lock().await;
                newest.take_if(|(_, picture)| made.as_ptr() == Arc::as_ptr(picture));
            }
        });
        Ok(picture)
    }
}

async fn read(resources: &Resources) -> Result<BTreeMap<Slug, Vec<Arc<Resource>>>, Error> {
    let (mut found, mut after) = (BTreeMap::new(), None);
    loop {
        let page = resources.tenants(after).await?;
        for tenant in page.entries {
            let slug = tenant.tenant.clone();
            found.insert(slug.clone(), whole(resources, resources.of_tenant(tenant), &slug).await?);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// Everything of a tenant, itself first.
pub(super) async fn whole(resources: &Resources, tenant: Resource, slug: &Slug) -> Result<Vec<Arc<Resource>>, Error> {
    let (mut after, mut told) = (None, Told::default());
    let mut found = vec![Arc::new(tenant)];
    loop {
        let page = resources.flows(slug, after).await?;
        for flow in &page.entries {
            found.extend(resources.flow(slug, flow, Also::All, &mut told).await?.into_iter().map(Arc::new));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}
