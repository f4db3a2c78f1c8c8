//! The watch: hears from the control plane what to run, and makes it the state that serves.
//!
//! A state is applied all or nothing. Its resources are read, the next picture is planned, the modules that it brings are
//! made, and only then it serves and is acknowledged. One that cannot be read, is older than what serves, does not fit it, or
//! contradicts it, is nacked with the reason and the resource, and the one before serves on; where everything may help,
//! everything is asked for.
//!
//! A version whose module cannot be made is not a reason to keep a state from all other tenants: the state is applied and
//! acknowledged, and the control plane is told which modules are [lacking](lacks), so that nobody believes that what pins
//! them runs here. The version's runs end as `unavailable` and follow that policy until the module is there: it is tried
//! again every now and then, and when it is asked for.
//!
//! The control plane says something every few seconds. That nothing has changed makes the state known to be up to date; that
//! it says nothing makes it known to be cut off, and another connection is made. While it is away, what is known serves on.

mod lacks;

use crate::{
    backoff::Backoff,
    catalog::{Catalog, Scope, Touched},
    chain,
    identity::Identity,
    last::{LastState, fold::of_served},
    modules::{Module, Modules},
    remote::Remote,
    state::{
        State,
        update::{Assembly, Cause, Refused, Update},
    },
    telemetry::Metrics,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use sluice_api::{distribution::v1 as wire, types::v1::EngineIdentity};
use sluice_model::Slug;
use sluice_serve::Condition;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use wire::{watch_request::Message as Said, watch_response::Message as Heard};

/// Messages to the control plane that may wait.
const OUTBOUND: usize = 16;
/// Modules that are looked after at once while a state is applied; how many are made at once is [`Modules`]' own bound.
const MODULES_AT_ONCE: usize = 16;
/// Attempts to have a module before a state is applied without it.
const ATTEMPTS: usize = 3;
/// The pause between them.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked whether something has to be let go or tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often modules are tried again that could not be had.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How often in a row a state is put off because the control plane was away before what it needs could be had. One that can be
/// heard and still does not have it must not hold back everything else for ever.
const MAX_PUT_OFF: u32 = 3;
/// The most tenants that are let go at once.
const MAX_LET_GO: usize = 1_000;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) remote: Remote,
    pub(crate) catalog: Arc<Catalog>,
    /// Where what is applied is kept.
    pub(crate) last: LastState,
    pub(crate) modules: Modules,
    pub(crate) identity: Identity,
    pub(crate) engine: EngineIdentity,
    pub(crate) subscription: wire::hello::Subscription,
    /// After so long without a word the control plane is taken to be cut off.
    pub(crate) silence: Duration,
    /// Everything was asked for, and did not come yet.
    pub(crate) wants_full: AtomicBool,
    /// How often in a row a state was put off.
    pub(crate) put_off: AtomicU32,
    /// Holds once there is a state to serve.
    pub(crate) ready: Condition,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
}

/// What is said on one stream.
struct Voice {
    requests: mpsc::Sender<wire::WatchRequest>,
    /// The modules that the control plane knows to be lacking.
    lacks: wire::MissingModules,
}

/// Why a stream ends.
struct Ended(String);

/// Why a state is not applied.
enum Unapplied {
    /// It cannot be.
    Refused(Refused),
    /// The control plane went away before what it needs could be had. It comes again, and the one before serves until then.
    TooEarly,
}

impl From<Refused> for Unapplied {
    fn from(refused: Refused) -> Unapplied {
        Unapplied::Refused(refused)
    }
}

impl Watcher {
    /// Watches until it is stopped.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new();
        let mut streams = 0_u64;
        while !self.stop.is_cancelled() {
            let ended = tokio::select! {
                () = self.stop.cancelled() => break,
                ended = self.watch(&mut backoff, &mut streams) => ended,
            };
            self.metrics.watch_connected(false);
            if let Scope::OnDemand(demand) = self.catalog.scope() {
                demand.lost();
            }
            let serving = self.catalog.applied().is_some();
            tracing::warn!(error = ended, serving, "the control plane is not heard; trying again");
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = backoff.wait() => {}
            }
        }
    }

    /// One stream. The answer is why it ended.
    async fn watch(&self, backoff: &mut Backoff, streams: &mut u64) -> String {
        let (requests, outbound) = mpsc::channel(OUTBOUND);
        let hello = self.hello();
        let resume_cursor = hello.resume_cursor;
        let mut voice = Voice { requests, lacks: hello.missing_modules.clone().unwrap_or_default() };
        if let Err(Ended(why)) = voice.say(Said::Hello(hello)).await {
            return why;
        }
        let mut distribution = self.remote.distribution();
        let begun = timeout(self.silence, distribution.watch(ReceiverStream::new(outbound)));
        let mut answers = match begun.await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return chain(&status),
            Err(_) => return self.is_silent().0,
        };
        self.metrics.watch_connected(true);
        *streams += 1;
        if *streams > 1 {
            self.metrics.watch_reconnected();
        }
        tracing::info!(resume_cursor, "the control plane is heard");
        let mut assembly = Assembly::default();
        let mut house = House::default();
        let mut tick = interval(HOUSEKEEPING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence = sleep(self.silence);
        tokio::pin!(silence);
        loop {
            let done = tokio::select! {
                biased;
                message = answers.message() => {
                    let done = match message {
                        Ok(Some(wire::WatchResponse { message })) => {
                            self.heard(message, &mut assembly, &mut voice, backoff).await
                        }
                        Ok(None) => Err(Ended("the control plane ended the watch".into())),
                        Err(status) => Err(Ended(chain(&status))),
                    };
                    silence.as_mut().reset(tokio::time::Instant::now() + self.silence);
                    done
                }
                () = self.wanted() => self.ask(&voice).await,
                _ = tick.tick() => self.keep_house(&mut house, &mut voice).await,
                () = &mut silence => Err(self.is_silent()),
            };
            if let Err(Ended(why)) = done {
                return why;
            }
        }
    }

    fn is_silent(&self) -> Ended {
        Ended(format!("the control plane has said nothing for {} ms", self.silence.as_millis()))
    }

    fn hello(&self) -> wire::Hello {
        use wire::hello::Subscription;
        let applied = self.catalog.applied();
        let subscription = match (&self.subscription, &applied) {
            (Subscription::OnDemand(_), Some(applied)) => {
                let tenants = applied.state.tenants().map(|(tenant, _)| tenant.to_string()).collect();
                Subscription::OnDemand(wire::TenantSet { tenants })
            }
            (subscription, _) => subscription.clone(),
        };
        wire::Hello {
            executor_id: self.identity.id.clone(),
            epoch: self.identity.epoch,
            sluice_version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: Some(self.engine.clone()),
            subscription: Some(subscription),
            resume_cursor: applied.as_ref().map_or(0, |applied| applied.state.cursor),
            send_full: self.wants_full.load(Ordering::Relaxed),
            missing_modules: Some(applied.map(|applied| lacks::of(&applied.state)).unwrap_or_default()),
        }
    }

    async fn heard(
        &self,
        message: Option<Heard>,
        assembly: &mut Assembly,
        voice: &mut Voice,
        backoff: &mut Backoff,
    ) -> Result<(), Ended> {
        let part = match message {
            Some(Heard::State(part)) => part,
            Some(Heard::Status(status)) => {
                self.catalog.counted(status.connected_executors);
                if status.cursor > 0 {
                    self.catalog.moved(status.cursor);
                    self.catalog.current_at(Timestamp::now());
                    backoff.reset();
                }
                return Ok(());
            }
            // Something that only a newer executor understands.
            None => return Ok(()),
        };
        let (cursor, full) = (part.cursor, part.full);
        let applied = match assembly.add(part) {
            Ok(None) => return Ok(()),
            Ok(Some(parts)) => {
                let as_of = Timestamp::now();
                self.apply(parts, Origin::Heard).await.inspect(|()| self.catalog.current_at(as_of))
            }
            Err(refused) => Err(refused.into()),
        };
        match applied {
            Ok(()) => {
                backoff.reset();
                if full {
                    self.wants_full.store(false, Ordering::Relaxed);
                }
                // Before the ack: what it counts as served must be able to run.
                self.tell_lacks(voice).await?;
                voice.say(Said::Ack(wire::Ack { cursor })).await?;
                self.ask(voice).await
            }
            Err(Unapplied::TooEarly) => {
                Err(Ended("it went away before what its state needs could be had; the state before serves on".into()))
            }
            Err(Unapplied::Refused(refused)) => {
                let send_full = refused.wants_full();
                self.wants_full.fetch_or(send_full, Ordering::Relaxed);
                let Refused { cause, reason, resource } = refused;
                self.metrics.state_refused(cause.into());
                let shown = cause.as_str_name();
                tracing::error!(
                    cursor,
                    cause = shown,
                    reason,
                    ?resource,
                    "a state is refused; the one before serves on"
                );
                voice.say(Said::Nack(wire::Nack { cursor, reason, resource, cause: cause.into(), send_full })).await
            }
        }
    }

    /// Makes a state the one that serves, with its modules, or says why it cannot be.
    async fn apply(&self, parts: Vec<wire::State>, origin: Origin) -> Result<(), Unapplied> {
        let (catalog, last) = (Arc::clone(&self.catalog), self.last.clone());
        let full = parts.first().is_some_and(|p| p.full);
        // A large state takes a while to read: not on a worker that sign-ins wait for.
        let planned = tokio::task::spawn_blocking(move || {
            let (is_on_demand, at) = (matches!(catalog.scope(), Scope::OnDemand(_)), Timestamp::now());
            // What comes of a tenant that was let go must not be found after a restart, where it would be all that is known.
            let (as_it_came, all) = match is_on_demand {
                true => (None, parts.clone()),
                false => (Some(last.take_down(&parts, at)), Vec::new()),
            };
            let mut update = Update::read(parts)?;
            let before = catalog.applied();
            let before = before.as_ref().map(|applied| &applied.state);
            if is_on_demand {
                update.keep_served(|tenant| before.is_some_and(|before| before.tenant(tenant).is_some()));
            }
            let (touched, removed) = (Touched::by(&update), update.removed_tenants().cloned().collect::<Vec<_>>());
            let state = match before {
                Some(before) => before.updated(update, &catalog.planner)?,
                None => State::default().updated(update, &catalog.planner)?,
            };
            let is_served = |tenant: &str| Slug::parse(tenant).is_ok_and(|tenant| state.tenant(&tenant).is_some());
            let as_it_came = as_it_came.unwrap_or_else(|| last.take_down(&of_served(all, is_served), at));
            let state = state.without_expired(at).unwrap_or(state);
            Ok::<_, Refused>((state, touched, removed, as_it_came))
        });
        let lost = |_| Refused::new(Cause::Internal, "planning the state ended without an answer");
        let (state, touched, removed, as_it_came) = planned.await.map_err(lost)??;
        let late = self.prepare(&state).await;
        if origin == Origin::Heard && !late.is_empty() && self.put_off.fetch_add(1, Ordering::Relaxed) < MAX_PUT_OFF {
            late.iter().for_each(|module| module.begin_anew());
            return Err(Unapplied::TooEarly);
        }
        self.put_off.store(0, Ordering::Relaxed);
        // Before it serves: who was told that it does finds it again after a restart.
        self.last.keep(as_it_came).await;
        let (tenants, revisions) = state.counts();
        tracing::info!(cursor = state.cursor, full, tenants, revisions, "a state serves");
        self.catalog.counted(state.connected_executors);
        self.catalog.replace(state.clone(), touched).await;
        self.ready.holds();
        if let (Scope::OnDemand(demand), Origin::Heard) = (self.catalog.scope(), origin) {
            let absent: Vec<Slug> = removed.into_iter().filter(|tenant| state.tenant(tenant).is_none()).collect();
            demand.told(|tenant| state.tenant(tenant).is_some(), &absent, Instant::now());
        }
        self.sweep(full);
        Ok(())
    }

    /// Forgets what nothing refers to any more. Nobody waits for it.
    fn sweep(&self, full: bool) {
        let (modules, catalog) = (self.modules.clone(), Arc::clone(&self.catalog));
        let _sweeping = tokio::task::spawn_blocking(move || {
            catalog.planner.sweep();
            modules.sweep(full);
        });
    }

    /// Has every module made that was never asked for yet, before a sign-in needs it. The answer is those that could not be
    /// had because the control plane is away.
    async fn prepare(&self, state: &State) -> Vec<Arc<Module>> {
        let new = state.modules().filter(|(_, module)| module.is_new());
        let new: Vec<_> = new.map(|(tenant, module)| (tenant.clone(), Arc::clone(module))).collect();
        let makes = futures_util::stream::iter(new).map(|(tenant, module)| make(self.modules.clone(), tenant, module));
        makes.buffer_unordered(MODULES_AT_ONCE).filter_map(std::future::ready).collect().await
    }

    /// Tells which modules cannot be had, where that has changed.
    async fn tell_lacks(&self, voice: &mut Voice) -> Result<(), Ended> {
        let lacks = self.catalog.applied().map(|applied| lacks::of(&applied.state)).unwrap_or_default();
        if lacks == voice.lacks {
            return Ok(());
        }
        voice.lacks = lacks.clone();
        voice.say(Said::MissingModules(lacks)).await
    }

    /// Becomes ready when a tenant is asked for that is not here.
    async fn wanted(&self) {
        match self.catalog.scope() {
            Scope::OnDemand(demand) => demand.wanted().await,
            Scope::All | Scope::Tenants(_) => std::future::pending().await,
        }
    }

    /// Asks for the tenants that are wanted.
    async fn ask(&self, voice: &Voice) -> Result<(), Ended> {
        let Scope::OnDemand(demand) = self.catalog.scope() else { return Ok(()) };
        let Some(batch) = demand.batch() else { return Ok(()) };
        let subscribe = batch.iter().map(ToString::to_string).collect();
        voice.say(Said::ChangeSubscription(wire::ChangeSubscription { subscribe, unsubscribe: Vec::new() })).await
    }

    async fn keep_house(&self, house: &mut House, voice: &mut Voice) -> Result<(), Ended> {
        let now = Instant::now();
        // What was wanted before there was a stream to ask on.
        self.ask(voice).await?;
        self.let_go(voice).await?;
        if house.tried_at.is_none_or(|at| now.duration_since(at) >= TRY_AGAIN) {
            house.tried_at = Some(now);
            // Beside the watch: it may take as long as the control plane stumbles.
            if house.trying.as_ref().is_none_or(JoinHandle::is_finished)
                && let Some(applied) = self.catalog.applied()
            {
                let modules = self.modules.clone();
                house.trying = Some(tokio::spawn(async move { lacks::try_again(&applied.state, &modules).await }));
            }
        }
        self.tell_lacks(voice).await?;
        Ok(())
    }

    /// Lets tenants go that nobody has asked for during the configured time.
    async fn let_go(&self, voice: &Voice) -> Result<(), Ended> {
        let (Scope::OnDemand(demand), Some(applied)) = (self.catalog.scope(), self.catalog.applied()) else {
            return Ok(());
        };
        let State { cursor, connected_executors, .. } = applied.state;
        let idle = applied.state.tenants().filter(|(_, tenant)| tenant.used.idle() > demand.idle);
        let idle: Vec<String> = idle.map(|(slug, _)| slug.to_string()).take(MAX_LET_GO).collect();
        if idle.is_empty() {
            return Ok(());
        }
        let name = |tenant: &String| wire::ResourceName {
            name: Some(wire::resource_name::Name::Tenant(wire::TenantName { tenant: tenant.clone() })),
        };
        let removals = idle.iter().map(name).collect();
        // A change like any other, so that whatever follows changes goes along.
        let change = wire::State {
            cursor,
            base_cursor: cursor,
            last: true,
            removals,
            connected_executors,
            ..Default::default()
        };
        if let Err(Unapplied::Refused(refused)) = self.apply(vec![change], Origin::Own).await {
            tracing::error!(error = refused.reason, "idle tenants cannot be let go");
            return Ok(());
        }
        tracing::info!(tenants = idle.len(), "idle tenants are let go");
        let change = wire::ChangeSubscription { subscribe: Vec::new(), unsubscribe: idle };
        voice.say(Said::ChangeSubscription(change)).await
    }
}

/// Where a state comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The control plane.
    Heard,
    /// This executor, which lets something go.
    Own,
}

/// When the house was kept.
#[derive(Default)]
struct House {
    tried_at: Option<Instant>,
    trying: Option<JoinHandle<()>>,
}

/// Has a module made, with some patience for a control plane that stumbles. The answer is the module, where the control plane
/// is away.
async fn make(modules: Modules, tenant: Slug, module: Arc<Module>) -> Option<Arc<Module>> {
    for attempt in 1..=ATTEMPTS {
        match modules.load(&tenant, &module).await {
            Ok(_) => return None,
            // It will be tried again later, and when it is asked for.
            Err(_) if module.is_resting() => return None,
            Err(_) if attempt == ATTEMPTS => break,
            Err(_) => sleep(PAUSE).await,
        }
    }
    Some(module)
}

impl Voice {
    async fn say(&self, message: Said) -> Result<(), Ended> {
        let said = self.requests.send(wire::WatchRequest { message: Some(message) }).await;
        said.map_err(|_hung_up| Ended("the control plane ended the watch".into()))
    }
}
