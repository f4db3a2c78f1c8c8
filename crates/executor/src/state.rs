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

use crate::{
    demand::Used,
    secrets::{ByName, Secret},
};
use jiff::Timestamp;
use plan::{Plan, Planner, VersionInfo};
use semver::Version;
use sluice_counters::KeyMaker;
use sluice_model::{Cursor, Slug, redirect::Origin};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};
use update::{Cause, Change, FlowUpsert, Name, Refused, Update, VersionUpsert};

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The place in the control plane's order of changes.
    pub(crate) cursor: u64,
    /// How many executors are connected, this one included.
    pub(crate) connected_executors: u32,
    tenants: Arc<HashMap<Slug, Arc<Tenant>>>,
}

/// A tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenant {
    /// Where its redirects may lead.
    pub(crate) origins: Arc<[Origin]>,
    /// When it was last asked for.
    pub(crate) used: Arc<Used>,
    /// Whether its custom Actions are turned off. All are custom as long as the platform ships none.
    pub(crate) break_glass: bool,
    /// What the platform has revoked of it, by Action, pinned or not.
    revoked: HashMap<Slug, HashSet<Version>>,
    versions: HashMap<(Slug, Version), Arc<VersionInfo>>,
    flows: HashMap<Slug, Flow>,
    /// What its Actions may read, as far as something executable needs it.
    secrets: ByName,
    /// Makes the keys of its counters and of kv; none where the control plane sent nothing to make them by.
    pub(crate) keys: Option<Arc<KeyMaker>>,
}

/// A flow's executable revisions.
#[derive(Clone, Debug, Default)]
struct Flow {
    /// None where the flow was deleted.
    newest: Option<u64>,
    revisions: BTreeMap<u64, Revision>,
    /// Revisions up to this one that are not here have expired.
    expired_through: u64,
}

/// A revision that can be executed.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    /// What it runs.
    pub(crate) plan: Arc<Plan>,
    /// Names its content.
    etag: Arc<str>,
    /// When it stops being executable; none for the newest.
    pub(crate) expires_at: Option<Timestamp>,
}

/// What is known of a revision that was asked for.
#[derive(Debug)]
pub(crate) enum Found {
    /// Here it is.
    Revision(Revision),
    /// It was here, and is not executable any more.
    Expired,
    /// The flow has no newest revision here: it does not exist, or not any more.
    NoFlow,
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

    /// What the newest revisions of all flows need, with the tenant; one may come twice.
    pub(crate) fn newest_modules(&self) -> impl Iterator<Item = (&Slug, &Arc<crate::modules::Module>)> {
        let flows = self.tenants.iter().flat_map(|(slug, tenant)| tenant.flows.values().map(move |flow| (slug, flow)));
        let newest = flows.filter_map(|(slug, flow)| Some((slug, flow.revisions.get(&flow.newest?)?)));
        newest.flat_map(|(slug, revision)| revision.plan.modules().map(move |module| (slug, module)))
    }

    /// The tenants.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = (&Slug, &Arc<Tenant>)> {
        self.tenants.iter()
    }

    /// Every version that is known: the tenant, the Action, the version, and what is known of it.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&Slug, &Slug, &Version, &Arc<VersionInfo>)> {
        let tenants = self.tenants.iter().map(move |(slug, tenant)| (slug, &**tenant));
        tenants.flat_map(|(tenant, known)| known.versions.iter().map(move |((slug, v), info)| (tenant, slug, v, info)))
    }

    /// The picture after an update: all of it or nothing of it.
    ///
    /// # Errors
    /// The reason, and the resource at fault. Nothing has changed.
    pub(crate) fn updated(&self, update: Update, planner: &Planner) -> Result<State, Refused> {
        let before = self.before(&update)?;
        let mut tenants = if update.full { HashMap::new() } else { HashMap::clone(&self.tenants) };
        for name in &update.removals {
            remove(&mut tenants, name);
        }
        // Tenants before versions before flows, whatever order they came in.
        let (mut versions, mut flows, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for change in update.changes {
            match change {
                Change::Tenant { tenant, origins, break_glass, keys } => {
                    let used = self.tenants.get(&tenant).map(|known| Arc::clone(&known.used)).unwrap_or_default();
                    let new = || Arc::new(Tenant { used, ..Tenant::default() });
                    let known = Arc::make_mut(tenants.entry(tenant).or_insert_with(new));
                    (known.origins, known.break_glass, known.keys) = (origins.into(), break_glass, keys);
                }
                Change::Version(version) => versions.push(version),
                Change::Flow(flow) => flows.push(flow),
                Change::Secret { tenant, secret } => secrets.push((tenant, secret)),
            }
        }
        for (tenant, secret) in secrets {
            let name = || Name::Secret { tenant: tenant.clone(), name: secret.name().to_owned() };
            let known = known(&mut tenants, &tenant, &name())?;
            known.secrets.insert(secret.name().to_owned(), Arc::new(secret));
        }
        for version in versions {
            let tenant = known(&mut tenants, &version.tenant, &Name::version(&version))?;
            let before = before.and_then(|before| before.tenants.get(&version.tenant));
            tenant.put_version(version, planner, before.map(|before| &**before))?;
        }
        for flow in flows {
            let tenant = known(&mut tenants, &flow.revision.tenant, &Name::flow(&flow.revision))?;
            let before = before.and_then(|before| before.tenants.get(&flow.revision.tenant));
            let before = before.and_then(|before| before.flows.get(&flow.revision.flow));
            tenant.put_flow(flow, planner, before)?;
        }
        Ok(State { cursor: update.cursor, connected_executors: update.connected_executors, tenants: Arc::new(tenants) })
    }

    /// Whether an update is one of this picture, or replaces it. The answer is the picture that it must not contradict: this
    /// one, unless there is none yet or the update is of another store.
    fn before(&self, update: &Update) -> Result<Option<&State>, Refused> {
        let (here, there) = (Cursor::from_number(self.cursor), Cursor::from_number(update.cursor));
        let is_comparable = there.is_comparable(here);
        if !update.full && (update.base != self.cursor || !is_comparable) {
            let base = Cursor::from_number(update.base);
            let reason = format!("state {there} changes state {base}; what serves is state {here}");
            return Err(Refused::new(Cause::Gap, reason));
        }
        if is_comparable && there.commit() < here.commit() {
            let reason = format!("state {there} is older than state {here}, which serves");
            return Err(Refused::new(Cause::Outdated, reason));
        }
        Ok(is_comparable.then_some(self))
    }

    /// The same picture at a later place: nothing in it has changed up to there.
    pub(crate) fn moved(&self, cursor: u64) -> State {
        State { cursor, ..self.clone() }
    }

    /// The picture without the revisions that have expired by `now`, and without the versions that only they pinned; none
    /// where there are none such.
    pub(crate) fn without_expired(&self, now: Timestamp) -> Option<State> {
        let concerned = self.tenants.iter().filter(|(_, tenant)| tenant.has_expired(now));
        let concerned: Vec<Slug> = concerned.map(|(slug, _)| slug.clone()).collect();
        if concerned.is_empty() {
            return None;
        }
        let mut tenants = HashMap::clone(&self.tenants);
        for slug in &concerned {
            if let Some(tenant) = tenants.get_mut(slug) {
                Arc::make_mut(tenant).drop_expired(now);
            }
        }
        Some(State { tenants: Arc::new(tenants), ..self.clone() })
    }
}

impl Revision {
    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
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

    /// A secret that something executable needs.
    pub(crate) fn secret(&self, name: &str) -> Option<&Arc<Secret>> {
        self.secrets.get(name)
    }

    /// Whether the platform has revoked a version.
    pub(crate) fn is_revoked(&self, slug: &Slug, version: &Version) -> bool {
        self.revoked.get(slug).is_some_and(|versions| versions.contains(version))
    }

    /// `before` is what the tenant was in the same store: a version that was published never changes.
    fn put_version(
        &mut self,
        version: VersionUpsert,
        planner: &Planner,
        before: Option<&Tenant>,
    ) -> Result<(), Refused> {
        let (name, revoked) = (Name::version(&version), version.revoked);
        let info = Arc::new(planner.version(&version));
        let key = (version.slug, version.version);
        if let Some(known) = before.and_then(|before| before.versions.get(&key))
            && (known.digest != info.digest || known.module.digest() != info.module.digest())
        {
            let (slug, version) = &key;
            let reason = format!("{slug}@{version} is not what it was: its digest was {}", known.digest);
            return Err(Refused::of(Cause::Conflict, name, reason));
        }
        if revoked {
            self.revoked.entry(key.0.clone()).or_default().insert(key.1.clone());
        } else if let Some(versions) = self.revoked.get_mut(&key.0) {
            // A control plane that was restored from before the revocation: its operator has to revoke anew.
            versions.remove(&key.1);
        }
        self.versions.insert(key, info);
        Ok(())
    }

    /// `before` is what the flow was in the same store: its revisions never change, and only later ones come.
    fn put_flow(&mut self, upsert: FlowUpsert, planner: &Planner, before: Option<&Flow>) -> Result<(), Refused> {
        let FlowUpsert { revision, etag, newest, expires_at } = upsert;
        let number = revision.revision;
        if let Some(before) = before {
            if before.revisions.get(&number).is_some_and(|known| *known.etag != *etag) {
                let reason = format!("revision {number} of flow {} is not what it was", revision.flow);
                return Err(Refused::of(Cause::Conflict, Name::flow(&revision), reason));
            }
            let highest = before.revisions.keys().next_back().copied().unwrap_or(before.expired_through);
            if newest && number < highest {
                let flow = &revision.flow;
                let reason =
                    format!("revision {number} is told as the newest of flow {flow}, which has revision {highest}");
                return Err(Refused::of(Cause::Outdated, Name::flow(&revision), reason));
            }
        }
        let flow = self.flows.entry(revision.flow.clone()).or_default();
        // What comes again says only whether it is still the newest.
        let plan = match flow.revisions.get(&number) {
            Some(known) => Arc::clone(&known.plan),
            None => {
                let versions = &self.versions;
                let find = |slug: &Slug, version: &Version| versions.get(&(slug.clone(), version.clone())).cloned();
                Arc::new(planner.plan(revision, find)?)
            }
        };
        flow.revisions.insert(number, Revision { plan, etag, expires_at });
        if newest {
            flow.newest = Some(number);
        } else if flow.newest == Some(number) {
            flow.newest = None;
        }
        Ok(())
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.flows.values().flat_map(|flow| flow.revisions.values()).any(|revision| revision.has_expired(now))
    }

    fn drop_expired(&mut self, now: Timestamp) {
        for flow in self.flows.values_mut() {
            let expired = flow.revisions.extract_if(.., |_, revision| revision.has_expired(now));
            flow.expired_through = expired.map(|(number, _)| number).max().unwrap_or(0).max(flow.expired_through);
        }
        let revisions = self.flows.values().flat_map(|flow| flow.revisions.values());
        let attachments = revisions.flat_map(|revision| revision.plan.attachments());
        let pinned: HashSet<(&Slug, &Version)> = attachments.map(|a| (&a.slug, &a.exact)).collect();
        self.versions.retain(|(slug, version), _| pinned.contains(&(slug, version)));
        let revisions = self.flows.values().flat_map(|flow| flow.revisions.values());
        let attachments = revisions.flat_map(|revision| revision.plan.attachments());
        let needed: HashSet<&String> = attachments.flat_map(|attachment| attachment.secrets()).collect();
        self.secrets.retain(|name, _| needed.contains(name));
    }
}

fn known<'a>(
    tenants: &'a mut HashMap<Slug, Arc<Tenant>>,
    tenant: &Slug,
    resource: &Name,
) -> Result<&'a mut Tenant, Refused> {
    match tenants.get_mut(tenant) {
        Some(known) => Ok(Arc::make_mut(known)),
        None => Err(Refused::of(Cause::Unresolved, resource.clone(), format!("tenant {tenant} was never sent"))),
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
        Name::Secret { tenant, name } => {
            if let Some(tenant) = tenants.get_mut(tenant) {
                Arc::make_mut(tenant).secrets.remove(name);
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
