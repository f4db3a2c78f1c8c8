//! The catalog: which revision an execution runs. From the state, or, for one that the state lacks, from the control plane.

use crate::{
    demand::{Demand, Refusal},
    remote::{Remote, revision_not_available},
    secrets::{ByName, Vault},
    standing::Standing,
    state::{
        Found, Revision, State,
        plan::{Plan, Planner},
        update::{Cause, FlowUpsert, Refused, Update, VersionUpsert, secret_of},
    },
};
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use moka::{Expiry, future::Cache};
use sluice_api::{Ctx as _, FieldError, convert::required, distribution::v1 as wire};
use sluice_counters::KeyMaker;
use sluice_model::{Code, Cursor, Error, Slug, redirect::Origin};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// How many revisions that the watch did not bring are kept.
const MAX_FETCHED: u64 = 10_000;
/// How long one of them is kept that does not say when it expires: it was the newest when it was fetched.
const NEWEST_LIFE: Duration = Duration::from_secs(60);
/// How long it is remembered that a revision cannot be had: somebody who asks for it again and again costs nothing.
const REFUSED_LIFE: Duration = Duration::from_secs(1);
/// How long what is not here may take to come when the caller has set no deadline.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// The part of the caller's time that it may take, in per cent: the answer must still reach it.
const FETCH_SHARE_PERCENT: u32 = 80;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Catalog {
    state: Arc<ArcSwapOption<Applied>>,
    fetched: Cache<Key, Fetched>,
    remote: Remote,
    pub(crate) planner: Planner,
    scope: Scope,
    /// How many executors are connected, this one included; 0 before the control plane said so.
    executors: Arc<AtomicU32>,
    /// When the state was last known to be up to date, in milliseconds of Unix time; 0 before it ever was.
    current_at_ms: AtomicI64,
}

/// The tenants that are served.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// All.
    All,
    /// These.
    Tenants(HashSet<Slug>),
    /// Those that are asked for.
    OnDemand(Arc<Demand>),
}

/// The state that serves.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) state: State,
    /// When it was made to serve: by this process, or by the one before, which kept it.
    pub(crate) at: Timestamp,
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
    /// The secrets that came with it, where it was fetched: for a tenant, or a need, that the state does not know.
    pub(crate) secrets: Arc<ByName>,
    /// What makes the keys of the tenant's counters and of kv.
    pub(crate) keys: Option<Arc<KeyMaker>>,
    expires_at: Option<Timestamp>,
}

/// What came of a fetch. What may be otherwise the next moment is not kept.
#[derive(Clone, Debug)]
enum Fetched {
    Pinned(Arc<Pinned>),
    /// The control plane says that it cannot be had.
    Refused(Arc<Error>),
}

struct Life;

impl Expiry<Key, Fetched> for Life {
    fn expire_after_create(&self, _key: &Key, fetched: &Fetched, _at: Instant) -> Option<Duration> {
        let left = |at: Timestamp| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        Some(match fetched {
            Fetched::Pinned(pinned) => pinned.expires_at.map_or(NEWEST_LIFE, left),
            Fetched::Refused(_) => REFUSED_LIFE,
        })
    }
}

impl Catalog {
    pub(crate) fn new(remote: Remote, planner: Planner, scope: Scope) -> Catalog {
        let fetched = Cache::builder().max_capacity(MAX_FETCHED).expire_after(Life).build();
        let (executors, current_at_ms) = (Arc::default(), AtomicI64::new(0));
        Catalog { state: Arc::default(), fetched, remote, planner, scope, executors, current_at_ms }
    }

    /// The tenants that are served.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The state was up to date at this time.
    pub(crate) fn current_at(&self, at: Timestamp) {
        self.current_at_ms.store(at.as_millisecond(), Ordering::Relaxed);
    }

    /// How long ago the state was last known to be up to date; none before it ever was.
    pub(crate) fn age(&self) -> Option<Duration> {
        let at = Timestamp::from_millisecond(self.current_at_ms.load(Ordering::Relaxed)).ok()?;
        let age = Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default();
        (at.as_millisecond() > 0).then_some(age)
    }

    /// The state that serves; none before the first.
    pub(crate) fn applied(&self) -> Option<Arc<Applied>> {
        self.state.load_full()
    }

    /// What the state says of what is about to run.
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(Arc::clone(&self.state))
    }

    /// The secrets of the state.
    pub(crate) fn vault(&self) -> Vault {
        Vault::of(Arc::clone(&self.state))
    }

    /// Drops the revisions that have expired; whether there were any. Whoever runs one goes on.
    pub(crate) fn drop_expired(&self, now: Timestamp) -> bool {
        let current = self.state.load_full();
        let Some(applied) = &current else { return false };
        let Some(state) = applied.state.without_expired(now) else { return false };
        let (_, before) = applied.state.counts();
        let dropped = before - state.counts().1;
        // Where the watch has brought another state meanwhile, that one stays until the next time.
        let next = Some(Arc::new(Applied { state, at: applied.at }));
        let found = self.state.compare_and_swap(&current, next);
        let is_dropped = found.as_ref().is_some_and(|found| Arc::ptr_eq(found, applied));
        if is_dropped {
            tracing::debug!(dropped, "revisions have expired");
        }
        is_dropped
    }

    /// How many executors are connected, as the control plane counts them; 0 before it said so.
    pub(crate) fn executors(&self) -> u32 {
        self.executors.load(Ordering::Relaxed)
    }

    /// The same, for who asks often.
    pub(crate) fn executors_shared(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.executors)
    }

    /// The control plane has counted anew.
    pub(crate) fn counted(&self, executors: u32) {
        self.executors.store(executors, Ordering::Relaxed);
    }

    /// Another state serves from now on. What was fetched beside it is dropped where the state knows better.
    pub(crate) async fn replace(&self, state: State, touched: Touched) {
        self.install(state, Timestamp::now());
        match touched {
            Touched::Everything => self.fetched.invalidate_all(),
            Touched::Revisions(keys) => {
                for key in keys {
                    self.fetched.invalidate(&key).await;
                }
            }
        }
    }

    /// A state serves that was applied then.
    pub(crate) fn install(&self, state: State, at: Timestamp) {
        let applied = Arc::new(Applied { state, at });
        // A fraction of a millisecond with 10,000 Actions.
        self.planner.need(&applied.state);
        self.state.store(Some(applied));
    }

    /// Nothing in the state that serves has changed up to this place.
    pub(crate) fn moved(&self, cursor: u64) {
        let at = Cursor::from_number;
        if let Some(applied) = self.applied()
            && at(cursor).is_comparable(at(applied.state.cursor))
            && at(cursor).commit() > at(applied.state.cursor).commit()
        {
            self.state.store(Some(Arc::new(Applied { state: applied.state.moved(cursor), at: applied.at })));
        }
    }

    /// The revision that an execution runs; 0 is the newest. Never another one than was asked for.
    ///
    /// # Errors
    /// NOT_FOUND `TENANT_NOT_FOUND`, `FLOW_NOT_FOUND`, `FLOW_REVISION_NOT_FOUND`; FAILED_PRECONDITION
    /// `FLOW_REVISION_EXPIRED`; UNAVAILABLE `NOT_READY`, `TENANT_NOT_READY`, `REVISION_NOT_AVAILABLE`.
    pub(crate) async fn find(
        &self,
        tenant: &Slug,
        flow: &Slug,
        revision: u64,
        deadline: Option<Instant>,
    ) -> Result<Pinned, Error> {
        match self.known(tenant, flow, revision)? {
            Known::Pinned(pinned) => return Ok(pinned),
            Known::NoTenant(demand) => {
                self.subscribed(demand, tenant, deadline).await?;
                match self.known(tenant, flow, revision)? {
                    Known::Pinned(pinned) => return Ok(pinned),
                    // It is let go again already: there must be very many of them.
                    Known::NoTenant(_) => return Err(tenant_not_ready(tenant)),
                    Known::Elsewhere => {}
                }
            }
            Known::Elsewhere => {}
        }
        let key = (tenant.clone(), flow.clone(), revision);
        // One fetch for all who ask at once.
        let fetched = self.fetched.try_get_with(key, self.fetch(tenant, flow, revision));
        match tokio::time::timeout(share_of(deadline), fetched).await {
            Ok(Ok(Fetched::Pinned(pinned))) => {
                still_executable(flow, revision, pinned.expires_at)?;
                Ok(Pinned::clone(&pinned))
            }
            Ok(Ok(Fetched::Refused(error)) | Err(error)) => Err(Error::clone(&error)),
            Err(_) => Err(revision_not_available(flow, revision)),
        }
    }

    /// What the state says.
    fn known(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Known<'_>, Error> {
        let applied = self.state.load();
        let Some(applied) = &*applied else {
            return Err(Error::new(Code::Unavailable, "NOT_READY", "this executor has no state to serve yet"));
        };
        if let Scope::Tenants(only) = &self.scope
            && !only.contains(tenant)
        {
            return Err(no_tenant(tenant));
        }
        let Some(known) = applied.state.tenant(tenant) else {
            return match &self.scope {
                Scope::OnDemand(demand) => Ok(Known::NoTenant(demand)),
                // A revision comes from another executor's answer, which may have heard more than this one.
                _ if revision > 0 => Ok(Known::Elsewhere),
                _ => Err(no_tenant(tenant)),
            };
        };
        if let Scope::OnDemand(_) = self.scope {
            known.used.touch();
        }
        match known.revision(flow, revision) {
            Found::Revision(Revision { plan, expires_at, .. }) => {
                still_executable(flow, plan.revision, expires_at)?;
                let (origins, break_glass) = (Arc::clone(&known.origins), known.break_glass);
                let (secrets, keys) = (Arc::default(), known.keys.clone());
                Ok(Known::Pinned(Pinned { plan, origins, break_glass, secrets, keys, expires_at }))
            }
            Found::Expired => Err(expired(flow, revision, "was executable for some time past its replacement")),
            Found::NoFlow => {
                let error = Error::not_found("FLOW_NOT_FOUND", format!("there is no flow {flow} in tenant {tenant}"));
                Err(error.about("flow", flow.as_str()))
            }
            Found::Unknown => Ok(Known::Elsewhere),
        }
    }

    /// Waits until a tenant is served that was not asked for before.
    async fn subscribed(&self, demand: &Demand, tenant: &Slug, deadline: Option<Instant>) -> Result<(), Error> {
        let mut told = demand.ask(tenant, Instant::now()).map_err(|refusal| match refusal {
            Refusal::Absent => no_tenant(tenant),
            Refusal::TooMany => tenant_not_ready(tenant),
        })?;
        let is_here = match tokio::time::timeout(share_of(deadline), told.wait_for(Option::is_some)).await {
            Ok(Ok(told)) => *told,
            Ok(Err(_)) | Err(_) => None,
        };
        match is_here {
            Some(true) => Ok(()),
            Some(false) => Err(no_tenant(tenant)),
            None => Err(tenant_not_ready(tenant)),
        }
    }

    async fn fetch(&self, tenant: &Slug, flow: &Slug, revision: u64) -> Result<Fetched, Error> {
        let response = match self.remote.flow_revision(tenant, flow, revision).await {
            Ok(response) => response,
            Err(error) if error.code == Code::Unavailable => return Err(error),
            Err(error) => return Ok(Fetched::Refused(Arc::new(error))),
        };
        self.pin(tenant, flow, revision, response).map(|pinned| Fetched::Pinned(Arc::new(pinned))).map_err(|refused| {
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
        let unreadable = |error: FieldError| Refused::new(Cause::Unreadable, error.to_string());
        let upsert = required(response.flow_revision).and_then(FlowUpsert::try_from).ctx("flow_revision");
        let FlowUpsert { revision: sent, expires_at, .. } = upsert.map_err(unreadable)?;
        if (&sent.tenant, &sent.flow, sent.revision) != (tenant, flow, revision) {
            let sent = format!("revision {} of flow {}/{} was sent instead", sent.revision, sent.tenant, sent.flow);
            return Err(Refused::new(Cause::Conflict, sent));
        }
        let mut versions = std::collections::HashMap::new();
        for version in response.versions {
            let version = VersionUpsert::try_from(version).ctx("versions").map_err(unreadable)?;
            let info = Arc::new(self.planner.version(&version));
            versions.insert((version.slug, version.version), info);
        }
        let about = required(response.tenant).ctx("tenant").map_err(unreadable)?;
        let origins = crate::state::update::origins(&about.allowed_redirect_origins).map_err(unreadable)?;
        let keys = crate::state::update::keys(tenant, &about.counters_key).map_err(unreadable)?;
        let find = |slug: &Slug, version: &semver::Version| versions.get(&(slug.clone(), version.clone())).cloned();
        let plan = self.planner.plan(sent, find)?;
        self.planner.begin_to_load(tenant, &plan);
        let break_glass = about.break_glass;
        let mut secrets = ByName::new();
        for secret in response.secrets {
            let (of, secret) = secret_of(secret).ctx("secrets").map_err(unreadable)?;
            if of != *tenant {
                return Err(Refused::new(Cause::Conflict, format!("a secret of tenant {of} was sent")));
            }
            secrets.insert(secret.name().to_owned(), Arc::new(secret));
        }
        let secrets = Arc::new(secrets);
        Ok(Pinned { plan: Arc::new(plan), origins: origins.into(), break_glass, secrets, keys, expires_at })
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
                // What was fetched has the tenant's origins, and secrets, in it.
                Change::Tenant { .. } | Change::Secret { .. } => return Touched::Everything,
                Change::Version(_) => {}
            }
        }
        for name in &update.removals {
            match name {
                Name::FlowRevision { tenant, flow, revision } => keys.push((tenant.clone(), flow.clone(), *revision)),
                Name::Tenant(_) | Name::Secret { .. } => return Touched::Everything,
                Name::Version { .. } => {}
            }
        }
        if update.full { Touched::Everything } else { Touched::Revisions(keys) }
    }
}

/// What the state says of a revision that was asked for.
enum Known<'a> {
    /// Here it is.
    Pinned(Pinned),
    /// The tenant is to be asked for.
    NoTenant(&'a Demand),
    /// The control plane is to be asked.
    Elsewhere,
}

/// How long the answer to a question of the control plane is waited for.
fn share_of(deadline: Option<Instant>) -> Duration {
    deadline.map_or(FETCH_TIMEOUT, |at| at.saturating_duration_since(Instant::now()) / 100 * FETCH_SHARE_PERCENT)
}

fn no_tenant(tenant: &Slug) -> Error {
    Error::not_found("TENANT_NOT_FOUND", format!("there is no tenant {tenant}")).about("tenant", tenant.as_str())
}

fn tenant_not_ready(tenant: &Slug) -> Error {
    let message = format!("tenant {tenant} was not served here yet, and the control plane did not send it in time");
    Error::new(Code::Unavailable, "TENANT_NOT_READY", message).about("tenant", tenant.as_str())
}

fn expired(flow: &Slug, revision: u64, was: &str) -> Error {
    let error = Error::precondition("FLOW_REVISION_EXPIRED", format!("revision {revision} of flow {flow} {was}"));
    error.about("flow_revision", format!("{flow}@{revision}"))
}

fn still_executable(flow: &Slug, revision: u64, expires_at: Option<Timestamp>) -> Result<(), Error> {
    match expires_at {
        Some(at) if at <= Timestamp::now() => Err(expired(flow, revision, &format!("was executable until {at}"))),
        _ => Ok(()),
    }
}
