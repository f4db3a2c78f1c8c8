//! The catalog: which revision an execution runs. From the state, or, for one that the state lacks, from the control plane.

use crate::{
    remote::{Remote, revision_not_available},
    standing::Standing,
    state::{
        Found, Revision, State,
        plan::{Plan, Planner},
        update::{FlowUpsert, Refused, Update, VersionUpsert},
    },
};
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use moka::{Expiry, future::Cache};
use sluice_api::{Ctx as _, FieldError, convert::required, distribution::v1 as wire};
use sluice_model::{Code, Error, Slug, redirect::Origin};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// How many revisions that the watch did not bring are kept.
const MAX_FETCHED: u64 = 10_000;
/// How long one of them is kept that does not say when it expires: it was the newest when it was fetched.
const NEWEST_LIFE: Duration = Duration::from_secs(60);
/// How long a fetch may take when the caller has set no deadline.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// The part of the caller's time that a fetch may take, in per cent: the answer must still reach it.
const FETCH_SHARE_PERCENT: u32 = 80;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Catalog {
    state: Arc<ArcSwapOption<Applied>>,
    fetched: Cache<Key, Arc<Pinned>>,
    remote: Remote,
    pub(crate) planner: Planner,
    /// The tenants that are served; none is all.
    only: Option<HashSet<Slug>>,
    /// How many executors are connected, this one included; 0 before the control plane said so.
    executors: AtomicU32,
}

/// The state that serves.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) at: Instant,
}

type Key = (Slug, Slug, u64);

/// What an execution is pinned to.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    pub(crate) plan: Arc<Plan>,
    /// Where the tenant's redirects may lead.
    pub(crate) origins: Arc<[Origin]>,
    /// Whether the tenant's custom Actions were turned off when this was found.
    pub(crate) break_glass: bool,
    expires_at: Option<Timestamp>,
}

struct Life;

impl Expiry<Key, Arc<Pinned>> for Life {
    fn expire_after_create(&self, _key: &Key, pinned: &Arc<Pinned>, _at: Instant) -> Option<Duration> {
        let left = |at: Timestamp| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        Some(pinned.expires_at.map_or(NEWEST_LIFE, left))
    }
}

impl Catalog {
    pub(crate) fn new(remote: Remote, planner: Planner, only: Option<HashSet<Slug>>) -> Catalog {
        let fetched = Cache::builder().max_capacity(MAX_FETCHED).expire_after(Life).build();
        Catalog { state: Arc::default(), fetched, remote, planner, only, executors: AtomicU32::new(0) }
    }

    /// The state that serves; none before the first.
    pub(crate) fn applied(&self) -> Option<Arc<Applied>> {
        self.state.load_full()
    }

    /// What the state says of what is about to run.
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(Arc::clone(&self.state))
    }

    /// Drops the revisions that have expired. Whoever runs one goes on.
    pub(crate) fn collect(&self, now: Timestamp) {
        let current = self.state.load_full();
        let Some(applied) = &current else { return };
        let Some(state) = applied.state.without_expired(now) else { return };
        let (_, before) = applied.state.counts();
        let dropped = before - state.counts().1;
        // Where the watch has brought another state meanwhile, that one stays until the next time.
        let next = Some(Arc::new(Applied { state, at: applied.at }));
        let found = self.state.compare_and_swap(&current, next);
        if found.as_ref().is_some_and(|found| Arc::ptr_eq(found, applied)) {
            tracing::debug!(dropped, "revisions have expired");
            self.planner.sweep();
        }
    }

    /// How many executors are connected, as the control plane counts them; 0 before it said so.
    pub(crate) fn executors(&self) -> u32 {
        self.executors.load(Ordering::Relaxed)
    }

    /// The control plane has counted anew.
    pub(crate) fn counted(&self, executors: u32) {
        self.executors.store(executors, Ordering::Relaxed);
    }

    /// Another state serves from now on. What was fetched beside it is dropped where the state knows better.
    pub(crate) async fn replace(&self, state: State, touched: Touched) {
        self.state.store(Some(Arc::new(Applied { state, at: Instant::now() })));
        match touched {
            Touched::Everything => self.fetched.invalidate_all(),
            Touched::Revisions(keys) => {
                for key in keys {
                    self.fetched.invalidate(&key).await;
                }
            }
        }
    }

    /// The revision that an execution runs; 0 is the newest. Never another one than was asked for.
    ///
    /// # Errors
    /// NOT_FOUND `TENANT_NOT_FOUND`, `FLOW_NOT_FOUND`, `FLOW_REVISION_NOT_FOUND`; FAILED_PRECONDITION
    /// `FLOW_REVISION_EXPIRED`; UNAVAILABLE `NOT_READY`, `REVISION_NOT_AVAILABLE`.
    pub(crate) async fn find(
        &self,
        tenant: &Slug,
        flow: &Slug,
        revision: u64,
        deadline: Option<Instant>,
    ) -> Result<Pinned, Error> {
        if let Some(found) = self.known(tenant, flow, revision)? {
            return Ok(found);
        }
        let left =
            deadline.map_or(FETCH_TIMEOUT, |d| d.saturating_duration_since(Instant::now()) / 100 * FETCH_SHARE_PERCENT);
        let key = (tenant.clone(), flow.clone(), revision);
        // One fetch for all who ask at once.
        let fetched = self.fetched.try_get_with(key, self.fetch(tenant, flow, revision));
        match tokio::time::timeout(left, fetched).await {
            Ok(Ok(pinned)) => {
                still_executable(flow, revision, pinned.expires_at)?;
                Ok(Pinned::clone(&pinned))
            }
            Ok(Err(error)) => Err(Error::clone(&error)),
            Err(_) => Err(revision_not_available(flow, revision)),
        }
    }

    /// What the state says; none where the control plane has to be asked.
    fn known(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Option<Pinned>, Error> {
        let applied = self.state.load();
        let Some(applied) = &*applied else {
            return Err(Error::new(Code::Unavailable, "NOT_READY", "this executor has not heard of any flow yet"));
        };
        let no_tenant = || {
            Error::not_found("TENANT_NOT_FOUND", format!("there is no tenant {tenant}"))
                .about("tenant", tenant.as_str())
        };
        if self.only.as_ref().is_some_and(|only| !only.contains(tenant)) {
            return Err(no_tenant());
        }
        let Some(known) = applied.state.tenant(tenant) else {
            // A revision comes from another executor's answer, which may have heard more than this one.
            return if revision == 0 { Err(no_tenant()) } else { Ok(None) };
        };
        match known.revision(flow, revision) {
            Found::Revision(Revision { plan, expires_at }) => {
                still_executable(flow, plan.revision, expires_at)?;
                let (origins, break_glass) = (Arc::clone(&known.origins), known.break_glass);
                Ok(Some(Pinned { plan, origins, break_glass, expires_at }))
            }
            Found::NoFlow => {
                let error = Error::not_found("FLOW_NOT_FOUND", format!("there is no flow {flow} in tenant {tenant}"));
                Err(error.about("flow", flow.as_str()))
            }
            Found::Expired => Err(expired(flow, revision, "was replaced too long ago")),
            Found::Unknown => Ok(None),
        }
    }

    async fn fetch(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Arc<Pinned>, Error> {
        let response = self.remote.flow_revision(tenant, flow, revision).await?;
        self.pin(tenant, flow, revision, response).map(Arc::new).map_err(|refused| {
            tracing::error!(%tenant, %flow, revision, error = refused.reason, "a flow revision that was sent cannot be used");
            revision_not_available(flow, revision)
        })
    }

    fn pin(
        &self,
        tenant: &Slug,
        flow: &Slug,
        revision: u64,
        response: wire::FetchFlowRevisionResponse,
    ) -> Result<Pinned, Refused> {
        let unreadable = |error: FieldError| Refused::new(error.to_string());
        let upsert = required(response.flow_revision).and_then(FlowUpsert::try_from).ctx("flow_revision");
        let FlowUpsert { revision: sent, newest: _, expires_at } = upsert.map_err(unreadable)?;
        if (&sent.tenant, &sent.flow, sent.revision) != (tenant, flow, revision) {
            return Err(Refused::new(format!(
                "revision {} of flow {}/{} was sent instead",
                sent.revision, sent.tenant, sent.flow
            )));
        }
        let mut versions = std::collections::HashMap::new();
        for version in response.versions {
            let version = VersionUpsert::try_from(version).ctx("versions").map_err(unreadable)?;
            let info = Arc::new(self.planner.version(&version));
            versions.insert((version.slug, version.version), info);
        }
        let about = required(response.tenant).ctx("tenant").map_err(unreadable)?;
        let origins = crate::state::update::origins(&about.allowed_redirect_origins).map_err(unreadable)?;
        let find = |slug: &Slug, version: &semver::Version| versions.get(&(slug.clone(), version.clone())).cloned();
        let plan = self.planner.plan(sent, find)?;
        self.planner.begin_to_load(tenant, &plan);
        let break_glass = about.break_glass;
        Ok(Pinned { plan: Arc::new(plan), origins: origins.into(), break_glass, expires_at })
    }
}

/// What a state is news of.
#[derive(Debug)]
pub(crate) enum Touched {
    Everything,
    Revisions(Vec<Key>),
}

impl Touched {
    /// By an update.
    pub(crate) fn by(update: &Update) -> Touched {
        use crate::state::update::{Change, Name};
        let mut keys = Vec::new();
        for change in &update.changes {
            match change {
                Change::Flow(flow) => {
                    let revision = &flow.revision;
                    keys.push((revision.tenant.clone(), revision.flow.clone(), revision.revision));
                }
                // What was fetched has the tenant's origins in it.
                Change::Tenant { .. } => return Touched::Everything,
                Change::Version(_) => {}
            }
        }
        for name in &update.removals {
            match name {
                Name::FlowRevision { tenant, flow, revision } => keys.push((tenant.clone(), flow.clone(), *revision)),
                Name::Tenant(_) => return Touched::Everything,
                Name::Version { .. } => {}
            }
        }
        if update.full { Touched::Everything } else { Touched::Revisions(keys) }
    }
}

fn still_executable(flow: &Slug, revision: u64, expires_at: Option<Timestamp>) -> Result<(), Error> {
    match expires_at {
        Some(at) if at <= Timestamp::now() => Err(expired(flow, revision, &format!("was executable until {at}"))),
        _ => Ok(()),
    }
}

fn expired(flow: &Slug, revision: u64, why: &str) -> Error {
    let message = format!("revision {revision} of flow {flow} {why}");
    Error::precondition("FLOW_REVISION_EXPIRED", message).about("flow_revision", format!("{flow}@{revision}"))
}
