//! What a state is made of, read from the store.

#[cfg(test)]
mod tests;

use crate::catalogue::Catalogue;
use crate::flows::{FlowHead, GoneFlow, find_head, find_revision, replaced_at};
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Key, MAX_PAGE, Scan};
use crate::tenants::Tenant;
use jiff::{SignedDuration, Timestamp};
use semver::Version;
use sluice_model::version::ActionVersion;
use sluice_model::{Error, FlowRevision, Slug};
use std::collections::BTreeSet;

/// Something that an executor needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resource {
    /// A tenant.
    Tenant(Tenant),
    /// A version that an executable revision pins.
    Version(Box<ActionVersion>),
    /// An executable revision.
    Revision {
        /// The revision.
        revision: FlowRevision,
        /// When it stops being executable; `None` for the newest.
        expires_at: Option<Timestamp>,
    },
}

impl Resource {
    /// Whether it is a revision that cannot be executed any more.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        matches!(self, Resource::Revision { expires_at: Some(at), .. } if *at <= now)
    }
}

/// Something that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A tenant, and everything of it.
    Tenant(Slug),
}

/// Reads resources.
#[derive(Clone)]
pub(crate) struct Resources {
    shared: Shared,
    catalogue: Catalogue,
    revision_ttl: SignedDuration,
}

/// Versions that were told already in the state that is being made.
pub(super) type Told = BTreeSet<(Slug, Slug, Version)>;

impl Resources {
    /// Revisions are executable for `revision_ttl` past their replacement.
    pub(super) fn new(shared: Shared, catalogue: Catalogue, revision_ttl: SignedDuration) -> Resources {
        Resources { shared, catalogue, revision_ttl }
    }

    /// A tenant, or that it is gone.
    pub(super) async fn tenant(&self, tenant: &Slug) -> Result<Result<Resource, Name>, Error> {
        let row = rows::get(&*self.shared.store, &keys::tenant(tenant)).await?;
        Ok(row.map(|row| Resource::Tenant(row.value)).ok_or_else(|| Name::Tenant(tenant.clone())))
    }

    /// A page of the tenants, by slug.
    pub(super) async fn tenants(&self, after: Option<Key>) -> Result<rows::Page<Tenant>, Error> {
        let page =
            rows::scan::<Tenant>(&*self.shared.store, Scan::of(keys::tenants()).after(after).limit(MAX_PAGE)).await?;
        Ok(rows::Page { entries: page.entries.into_iter().map(|row| row.value).collect(), next: page.next })
    }

    /// A page of a tenant's flows, by slug. On the last are those too that were deleted so lately that their last revision
    /// can still be executed.
    pub(super) async fn flows(&self, tenant: &Slug, after: Option<Key>) -> Result<rows::Page<Slug>, Error> {
        let scan = Scan::of(keys::flows(tenant)).after(after).limit(MAX_PAGE);
        let page = rows::scan::<FlowHead>(&*self.shared.store, scan).await?;
        let mut entries: Vec<Slug> = page.entries.into_iter().map(|row| row.value.flow).collect();
        if page.next.is_none() {
            self.gone_flows(tenant, &mut entries).await?;
        }
        Ok(rows::Page { entries, next: page.next })
    }

    async fn gone_flows(&self, tenant: &Slug, found: &mut Vec<Slug>) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page =
                rows::scan::<GoneFlow>(&*self.shared.store, Scan::of(keys::gone_flows(tenant)).after(after)).await?;
            let gone = page.entries.into_iter().map(|row| row.value).filter(|gone| !self.expired(gone.deleted_at));
            found.extend(gone.map(|gone| gone.flow));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// A version, whatever pins it.
    pub(super) async fn version(&self, tenant: &Slug, slug: &Slug, version: &Version) -> Result<Resource, Error> {
        Ok(Resource::Version(Box::new(self.catalogue.get(tenant, slug, version).await?.value)))
    }

    /// Everything of a flow that can be executed: its newest revision, unless it was deleted, and `also` those of its
    /// former ones. The versions that they pin stand before them, unless they were told already.
    ///
    /// The flow is what its head is when this begins, also where it is edited meanwhile: a revision that is replaced while
    /// it is read is still told as the newest. Told as a former one it would leave the flow without a newest one, until the
    /// next change is told.
    pub(super) async fn flow(
        &self,
        tenant: &Slug,
        flow: &Slug,
        also: Also<'_>,
        told: &mut Told,
    ) -> Result<Vec<Resource>, Error> {
        let newest = find_head(&self.shared, tenant, flow).await?.map(|head| head.value.revision);
        let mut numbers = match also {
            Also::All => self.executable(tenant, flow).await?,
            Also::These(numbers) => numbers.iter().copied().collect(),
        };
        numbers.retain(|number| newest.is_none_or(|newest| *number < newest));
        numbers.extend(newest);
        let mut found = Vec::new();
        for number in numbers {
            let Some(row) = find_revision(&self.shared, tenant, flow, number).await? else { continue };
            let replaced = match newest == Some(number) {
                true => None,
                false => replaced_at(&self.shared, tenant, flow, number).await?,
            };
            for resource in self.with_pins(row.value, replaced).await?.unwrap_or_default() {
                match &resource {
                    Resource::Version(v) if !told.insert((v.tenant.clone(), v.slug.clone(), v.version.clone())) => {}
                    _ => found.push(resource),
                }
            }
        }
        Ok(found)
    }

    /// The former revisions that can still be executed, oldest first.
    async fn executable(&self, tenant: &Slug, flow: &Slug) -> Result<Vec<u64>, Error> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let scan = Scan::of(keys::replacements(tenant, flow)).descending().after(after).limit(100);
            let page = self.shared.store.scan(scan).await?;
            for entry in &page.entries {
                let number =
                    entry.key.parts_after(&keys::replacements(tenant, flow)).and_then(|mut parts| parts.number());
                let replaced: Timestamp = rows::decode(&entry.key, &entry.value)?;
                match number {
                    // Younger ones were replaced later: from here on all have expired.
                    _ if self.expired(replaced) => {
                        found.reverse();
                        return Ok(found);
                    }
                    Some(number) => found.push(number),
                    None => {}
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => {
                    found.reverse();
                    return Ok(found);
                }
            }
        }
    }

    /// A revision after the versions that it pins, each once; `None` where it has expired.
    pub(super) async fn revision(&self, revision: FlowRevision) -> Result<Option<Vec<Resource>>, Error> {
        let replaced = replaced_at(&self.shared, &revision.tenant, &revision.flow, revision.revision).await?;
        self.with_pins(revision, replaced).await
    }

    async fn with_pins(
        &self,
        revision: FlowRevision,
        replaced: Option<Timestamp>,
    ) -> Result<Option<Vec<Resource>>, Error> {
        let tenant = &revision.tenant;
        if replaced.is_some_and(|replaced| self.expired(replaced)) {
            return Ok(None);
        }
        let pinned: BTreeSet<(&Slug, &Version)> = revision
            .slots
            .iter()
            .flat_map(|slot| slot.attachments.iter().map(|attachment| (&attachment.slug, &attachment.version)))
            .collect();
        let mut found = Vec::with_capacity(pinned.len() + 1);
        for (slug, version) in pinned {
            found.push(Resource::Version(Box::new(self.catalogue.get(tenant, slug, version).await?.value)));
        }
        let expires_at = replaced.map(|replaced| replaced + self.revision_ttl);
        found.push(Resource::Revision { revision, expires_at });
        Ok(Some(found))
    }

    fn expired(&self, replaced: Timestamp) -> bool {
        self.shared.clock.now().duration_since(replaced) >= self.revision_ttl
    }
}

/// Which former revisions of a flow are told.
#[derive(Clone, Copy)]
pub(super) enum Also<'a> {
    /// All that can still be executed.
    All,
    /// These, where they can.
    These(&'a BTreeSet<u64>),
}
