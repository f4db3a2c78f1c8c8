//! What a state is made of, read from the store.

#[cfg(test)]
mod tests;

use crate::catalogue::Catalogue;
use crate::flows::{FlowHead, GoneFlow, find_head, find_revision, replaced_at};
use crate::keys;
use crate::rows;
use crate::secrets::{Secrets, uses::needed_by};
use crate::shared::Shared;
use crate::store::{Key, MAX_PAGE, Scan};
use crate::tenants::Tenant;
use jiff::{SignedDuration, Timestamp};
use semver::Version;
use sluice_model::version::ActionVersion;
use sluice_model::{Error, FlowRevision, Slug};
use sluice_serve::seal::SecretText;
use std::collections::BTreeSet;

/// Something that an executor needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resource {
    /// A tenant, and what the keys of its counters are replaced by.
    Tenant(Tenant, [u8; 32]),
    /// A version that an executable revision pins.
    Version(Box<ActionVersion>),
    /// An executable revision.
    Revision {
        /// The revision.
        revision: FlowRevision,
        /// When it stops being executable; `None` for the newest.
        expires_at: Option<Timestamp>,
    },
    /// A secret that an executable revision needs.
    Secret {
        /// The tenant.
        tenant: Slug,
        /// Its name.
        name: String,
        /// How often it was set.
        version: u64,
        /// Its value.
        value: SecretText,
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
    /// A secret of a tenant.
    Secret(Slug, String),
}

/// What has become of a secret that was set or removed.
pub(super) enum Changed {
    /// It is set, and something executable needs it.
    Set(Resource),
    /// It is set, and nothing executable needs it.
    NotNeeded,
    /// It is gone.
    Gone(Name),
}

/// Reads resources.
#[derive(Clone)]
pub(crate) struct Resources {
    shared: Shared,
    catalogue: Catalogue,
    secrets: Secrets,
    revision_ttl: SignedDuration,
}

/// What was told already in the state that is being made.
#[derive(Default)]
pub(super) struct Told {
    versions: BTreeSet<(Slug, Slug, Version)>,
    secrets: BTreeSet<(Slug, String)>,
}

impl Told {
    /// Takes a resource down; false where it was told already. Tenants and revisions come once by themselves.
    pub(super) fn take(&mut self, resource: &Resource) -> bool {
        match resource {
            Resource::Version(v) => self.versions.insert((v.tenant.clone(), v.slug.clone(), v.version.clone())),
            Resource::Secret { tenant, name, .. } => self.secrets.insert((tenant.clone(), name.clone())),
            Resource::Tenant(..) | Resource::Revision { .. } => true,
        }
    }
}

impl Resources {
    /// Revisions are executable for `revision_ttl` past their replacement.
    pub(super) fn new(
        shared: Shared,
        catalogue: Catalogue,
        secrets: Secrets,
        revision_ttl: SignedDuration,
    ) -> Resources {
        Resources { shared, catalogue, secrets, revision_ttl }
    }

    /// A tenant, or that it is gone.
    pub(super) async fn tenant(&self, tenant: &Slug) -> Result<Result<Resource, Name>, Error> {
        let row = rows::get(&*self.shared.store, &keys::tenant(tenant)).await?;
        Ok(row.map(|row| self.of_tenant(row.value)).ok_or_else(|| Name::Tenant(tenant.clone())))
    }

    /// A tenant, as executors need it.
    pub(super) fn of_tenant(&self, tenant: Tenant) -> Resource {
        let key = self.secrets.counters_key(&tenant.tenant);
        Resource::Tenant(tenant, key)
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
    /// former ones. The versions that they pin and the secrets that they need stand before them, unless they were told already.
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
            let resources = self.with_pins(row.value, replaced).await?.unwrap_or_default();
            found.extend(resources.into_iter().filter(|resource| told.take(resource)));
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

    /// A revision after the versions that it pins and the secrets that it needs, each once; `None` where it has expired.
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
        let (mut found, mut needed) = (Vec::with_capacity(pinned.len() + 1), BTreeSet::new());
        for (slug, number) in pinned {
            let version = self.catalogue.get(tenant, slug, number).await?.value;
            needed.extend(needed_of(&revision, &version));
            found.push(Resource::Version(Box::new(version)));
        }
        for name in needed {
            found.extend(self.secret(tenant, &name).await?);
        }
        let expires_at = replaced.map(|replaced| replaced + self.revision_ttl);
        found.push(Resource::Revision { revision, expires_at });
        Ok(Some(found))
    }

    /// A secret, where it is set.
    async fn secret(&self, tenant: &Slug, name: &str) -> Result<Option<Resource>, Error> {
        let found = self.secrets.value(tenant, name).await?;
        let resource =
            |(version, value)| Resource::Secret { tenant: tenant.clone(), name: name.to_owned(), version, value };
        Ok(found.map(resource))
    }

    /// What has become of a secret that was set or removed: told only where something executable needs it.
    pub(super) async fn changed_secret(&self, tenant: &Slug, name: &str) -> Result<Changed, Error> {
        let Some(secret) = self.secret(tenant, name).await? else {
            return Ok(Changed::Gone(Name::Secret(tenant.clone(), name.to_owned())));
        };
        let mut after = None;
        loop {
            let page = self.flows(tenant, after).await?;
            for flow in &page.entries {
                if self.flow_needs(tenant, flow, name).await? {
                    return Ok(Changed::Set(secret));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(Changed::NotNeeded),
            }
        }
    }

    async fn flow_needs(&self, tenant: &Slug, flow: &Slug, name: &str) -> Result<bool, Error> {
        let mut numbers = self.executable(tenant, flow).await?;
        numbers.extend(find_head(&self.shared, tenant, flow).await?.map(|head| head.value.revision));
        // The newest most likely.
        for number in numbers.into_iter().rev() {
            let Some(row) = find_revision(&self.shared, tenant, flow, number).await? else { continue };
            for attachment in row.value.slots.iter().flat_map(|slot| &slot.attachments) {
                let version = self.catalogue.get(tenant, &attachment.slug, &attachment.version).await?.value;
                if needed_by(attachment, &version).contains(name) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn expired(&self, replaced: Timestamp) -> bool {
        self.shared.clock.now().duration_since(replaced) >= self.revision_ttl
    }
}

/// The secrets that a revision needs for what it attaches of a version.
fn needed_of(revision: &FlowRevision, version: &ActionVersion) -> BTreeSet<String> {
    let attachments = revision.slots.iter().flat_map(|slot| &slot.attachments);
    let of_version = attachments.filter(|found| (&found.slug, &found.version) == (&version.slug, &version.version));
    of_version.flat_map(|attachment| needed_by(attachment, version)).collect()
}

/// Which former revisions of a flow are told.
#[derive(Clone, Copy)]
pub(super) enum Also<'a> {
    /// All that can still be executed.
    All,
    /// These, where they can.
    These(&'a BTreeSet<u64>),
}
