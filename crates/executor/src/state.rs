//! What an executor knows: an immutable picture, replaced as a whole.
//!
//! A [`State`] holds every tenant that the executor hears of, with the executable revisions of its flows, planned so that
//! an Execute only follows references: modules, configs with their defaults, limits, circuit breakers. [`update`] reads
//! what the control plane sends; [`State::updated`] makes the next picture from this one, or says why it cannot, and this
//! one serves on. What has not changed is shared between the two.

pub(crate) mod plan;
#[cfg(test)]
mod tests;
pub(crate) mod update;

use jiff::Timestamp;
use plan::{Plan, Planner, VersionInfo};
use semver::Version;
use sluice_model::{Slug, redirect::Origin};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};
use update::{Change, FlowUpsert, Name, Refused, Update, VersionUpsert};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The place in the control plane's order of changes.
    pub(crate) cursor: u64,
    /// How many executors are connected, this one included.
    pub(crate) connected_executors: u32,
    tenants: HashMap<Slug, Arc<Tenant>>,
}

/// A tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenant {
    /// Where its redirects may lead.
    pub(crate) origins: Arc<[Origin]>,
    /// Whether its custom Actions are turned off. All are custom as long as the platform ships none.
    pub(crate) break_glass: bool,
    /// What the platform has revoked of it, by Action, pinned or not.
    revoked: HashMap<Slug, HashSet<Version>>,
    versions: HashMap<(Slug, Version), Arc<VersionInfo>>,
    flows: HashMap<Slug, Flow>,
}

/// A flow's executable revisions.
#[derive(Clone, Debug, Default)]
struct Flow {
    /// None where the flow was deleted.
    newest: Option<u64>,
    revisions: BTreeMap<u64, Revision>,
    /// The last revision that expired and was dropped, and with it all before it: they are replaced in their order.
    expired_through: u64,
}

/// A revision that can be executed.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    /// What it runs.
    pub(crate) plan: Arc<Plan>,
    /// When it stops being executable; none for the newest.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Revision {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What is known of a revision that was asked for.
#[derive(Debug)]
pub(crate) enum Found {
    /// Here it is.
    Revision(Revision),
    /// The flow has no newest revision here: it does not exist, or not any more.
    NoFlow,
    /// It was here, and has expired.
    Expired,
    /// The flow may have it; this executor does not.
    Unknown,
}

impl State {
    /// A tenant.
    pub(crate) fn tenant(&self, tenant: &Slug) -> Option<&Arc<Tenant>> {
        self.tenants.get(tenant)
    }

    /// How many tenants and executable revisions there are.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let revisions: usize = self.tenants.values().flat_map(|t| t.flows.values()).map(|f| f.revisions.len()).sum();
        (self.tenants.len() as u64, revisions as u64)
    }

    /// Every module that is referred to, with a tenant that has published its bundle; one may come twice.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&Slug, &Arc<crate::modules::Module>)> {
        let versions = self.tenants.iter().flat_map(|(slug, tenant)| tenant.versions.values().map(move |v| (slug, v)));
        versions.filter(|(_, version)| !version.is_revoked).map(|(slug, version)| (slug, &version.module))
    }

    /// The picture without the revisions that have expired, and without the versions that nothing pins any more; `None`
    /// where there is nothing to drop.
    pub(crate) fn without_expired(&self, now: Timestamp) -> Option<State> {
        if !self.tenants.values().any(|tenant| tenant.has_expired(now)) {
            return None;
        }
        let mut tenants = self.tenants.clone();
        for tenant in tenants.values_mut().filter(|tenant| tenant.has_expired(now)) {
            Arc::make_mut(tenant).drop_expired(now);
        }
        Some(State { cursor: self.cursor, connected_executors: self.connected_executors, tenants })
    }

    /// The picture after an update: all of it or nothing of it.
    ///
    /// # Errors
    /// The reason, and the resource at fault. Nothing has changed.
    pub(crate) fn updated(&self, update: Update, planner: &Planner) -> Result<State, Refused> {
        let mut tenants = if update.full { HashMap::new() } else { self.tenants.clone() };
        for name in &update.removals {
            remove(&mut tenants, name);
        }
        // Tenants before versions before flows, whatever order they came in.
        let (mut versions, mut flows) = (Vec::new(), Vec::new());
        for change in update.changes {
            match change {
                Change::Tenant { tenant, origins, break_glass } => {
                    let known = Arc::make_mut(tenants.entry(tenant).or_default());
                    (known.origins, known.break_glass) = (origins.into(), break_glass);
                }
                Change::Version(version) => versions.push(version),
                Change::Flow(flow) => flows.push(flow),
            }
        }
        for version in versions {
            let tenant = known(&mut tenants, &version.tenant, &Name::version(&version))?;
            let info = Arc::new(planner.version(&version));
            tenant.judge(&version);
            tenant.versions.insert((version.slug, version.version), info);
        }
        for flow in flows {
            let tenant = known(&mut tenants, &flow.revision.tenant, &Name::flow(&flow.revision))?;
            tenant.put(flow, planner)?;
        }
        Ok(State { cursor: update.cursor, connected_executors: update.connected_executors, tenants })
    }
}

impl Tenant {
    /// A revision; 0 is the newest.
    pub(crate) fn revision(&self, flow: &Slug, revision: u64) -> Found {
        let flow = self.flows.get(flow);
        if revision == 0 {
            let newest = flow.and_then(|f| f.revisions.get(&f.newest?));
            return newest.map_or(Found::NoFlow, |r| Found::Revision(r.clone()));
        }
        match flow.map(|flow| (flow.revisions.get(&revision), flow.expired_through)) {
            Some((Some(found), _)) => Found::Revision(found.clone()),
            Some((None, expired)) if revision <= expired => Found::Expired,
            _ => Found::Unknown,
        }
    }

    /// Whether the platform has revoked a version.
    pub(crate) fn is_revoked(&self, slug: &Slug, version: &Version) -> bool {
        self.revoked.get(slug).is_some_and(|versions| versions.contains(version))
    }

    fn judge(&mut self, version: &VersionUpsert) {
        if version.revoked {
            self.revoked.entry(version.slug.clone()).or_default().insert(version.version.clone());
        } else if let Some(versions) = self.revoked.get_mut(&version.slug) {
            // A control plane that was restored from before the revocation: its operator has to revoke anew.
            versions.remove(&version.version);
        }
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.flows.values().flat_map(|flow| flow.revisions.values()).any(|revision| revision.is_expired(now))
    }

    fn drop_expired(&mut self, now: Timestamp) {
        self.flows.retain(|_, flow| {
            let expired = flow.revisions.iter().filter(|(_, revision)| revision.is_expired(now)).map(|(n, _)| *n).max();
            flow.expired_through = flow.expired_through.max(expired.unwrap_or(0));
            flow.revisions.retain(|_, revision| !revision.is_expired(now));
            !flow.revisions.is_empty()
        });
        let revisions = self.flows.values().flat_map(|flow| flow.revisions.values());
        let pinned: HashSet<(&Slug, &Version)> = revisions
            .flat_map(|revision| revision.plan.attachments())
            .map(|attachment| (&attachment.slug, &attachment.exact))
            .collect();
        self.versions.retain(|(slug, version), _| pinned.contains(&(slug, version)));
    }

    fn put(&mut self, upsert: FlowUpsert, planner: &Planner) -> Result<(), Refused> {
        let FlowUpsert { revision, newest, expires_at } = upsert;
        let number = revision.revision;
        let flow = self.flows.entry(revision.flow.clone()).or_default();
        // A revision never changes: what comes again says only whether it is still the newest.
        let plan = match flow.revisions.get(&number) {
            Some(known) => Arc::clone(&known.plan),
            None => {
                let versions = &self.versions;
                let find = |slug: &Slug, version: &Version| versions.get(&(slug.clone(), version.clone())).cloned();
                Arc::new(planner.plan(revision, find)?)
            }
        };
        flow.revisions.insert(number, Revision { plan, expires_at });
        if newest {
            flow.newest = Some(number);
        } else if flow.newest == Some(number) {
            flow.newest = None;
        }
        Ok(())
    }
}

fn known<'a>(
    tenants: &'a mut HashMap<Slug, Arc<Tenant>>,
    tenant: &Slug,
    resource: &Name,
) -> Result<&'a mut Tenant, Refused> {
    match tenants.get_mut(tenant) {
        Some(known) => Ok(Arc::make_mut(known)),
        None => Err(Refused::of(resource.clone(), format!("tenant {tenant} was never sent"))),
    }
}

fn remove(tenants: &mut HashMap<Slug, Arc<Tenant>>, name: &Name) {
    match name {
        Name::Tenant(tenant) => {
            tenants.remove(tenant);
        }
        Name::Version { tenant, slug, version } => {
            if let Some(tenant) = tenants.get_mut(tenant) {
                Arc::make_mut(tenant).versions.remove(&(slug.clone(), version.clone()));
            }
        }
        Name::FlowRevision { tenant, flow, revision } => {
            if let Some(tenant) = tenants.get_mut(tenant) {
                let tenant = Arc::make_mut(tenant);
                let Some(known) = tenant.flows.get_mut(flow) else { return };
                known.revisions.remove(revision);
                if known.newest == Some(*revision) {
                    known.newest = None;
                }
                if known.revisions.is_empty() {
                    tenant.flows.remove(flow);
                }
            }
        }
    }
}
