//! Who is connected, and how far each is.

use super::Hello;
use super::lag::Lag;
use super::nack::{LastNack, Missing, Nack};
use super::subscription::Subscription;
use crate::store::Revision;
use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;
use semver::Version;
use sluice_model::{Code, Error, Slug};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How far a revision has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// Executors that run it.
    pub(crate) have: u32,
    /// Executors that hear of the tenant and do not run it yet.
    pub(crate) waiting: u32,
}

/// What a rollout is asked of: the commit that made a revision, and the versions that the revision pins.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The commit.
    pub(crate) commit: Revision,
    /// The versions, each once.
    pub(crate) pins: BTreeSet<(Slug, Version)>,
}

/// An executor that is connected, as the control plane knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectedExecutor {
    /// Its id.
    pub(crate) id: String,
    /// How many times it has started.
    pub(crate) epoch: u64,
    /// The version of Sluice that it is.
    pub(crate) version: String,
    /// The engine that it runs, as `engine/image`.
    pub(crate) engine: String,
    /// What it hears of.
    pub(crate) subscription: Subscription,
    /// Those of it that it does not have yet.
    pub(crate) pending: BTreeSet<Slug>,
    /// Since when.
    pub(crate) connected_at: Timestamp,
    /// The newest commit of which it serves everything that it hears of, but for `pending`; 0 before its first state.
    pub(crate) serves: Revision,
    /// States that it has refused.
    pub(crate) nacks: u64,
    /// The last of them.
    pub(crate) last_nack: Option<LastNack>,
    /// Versions whose modules it cannot have.
    pub(crate) missing: Vec<Missing>,
}

impl ConnectedExecutor {
    fn has(&self, asked: &Asked) -> bool {
        let lacks = |missing: &Missing| {
            missing.tenant == asked.tenant
                && asked.pins.iter().any(|(slug, version)| (slug, version) == (&missing.slug, &missing.version))
        };
        self.serves >= asked.commit && !self.pending.contains(&asked.tenant) && !self.missing.iter().any(lacks)
    }
}

/// A place of the roster.
struct Executor {
    known: ConnectedExecutor,
    session: u64,
    superseded: CancellationToken,
}

#[derive(Default)]
struct State {
    executors: HashMap<String, Executor>,
    sessions: u64,
}

/// The connected executors.
pub(crate) struct Roster {
    state: Mutex<State>,
    /// How many there are. Told to executors when it changes.
    connected: watch::Sender<u32>,
    /// Counts what happened, for whoever waits for it.
    happened: watch::Sender<u64>,
    /// When commits were made.
    lag: Lag,
}

/// An executor's place in the roster, free again when this is dropped.
pub(super) struct Place {
    roster: Arc<Roster>,
    executor: String,
    session: u64,
    superseded: CancellationToken,
}

impl Roster {
    /// An empty roster.
    pub(crate) fn new() -> Arc<Roster> {
        let (connected, happened) = (watch::Sender::new(0), watch::Sender::new(0));
        Arc::new(Roster { state: Mutex::default(), connected, happened, lag: Lag::default() })
    }

    /// Takes down when commits are made, until it is stopped.
    pub(crate) async fn follow(self: Arc<Roster>, newest: watch::Receiver<Revision>, stop: CancellationToken) {
        self.lag.follow(newest, stop).await;
    }

    /// Shows the roster on `meter`.
    pub(crate) fn observe(self: &Arc<Roster>, meter: &Meter) {
        let roster = Arc::downgrade(self);
        let _registered = meter
            .u64_observable_gauge("sluice.watch.executors")
            .with_unit("{executor}")
            .with_description("Executors that are connected")
            .with_callback(move |observer| {
                if let Some(roster) = roster.upgrade() {
                    observer.observe(u64::from(*roster.connected.borrow()), &[]);
                }
            })
            .build();
        let roster = Arc::downgrade(self);
        let _registered = meter
            .u64_observable_gauge("sluice.watch.lag")
            .with_unit("{commit}")
            .with_description("Commits that a connected executor does not serve yet")
            .with_callback(move |observer| {
                let Some(roster) = roster.upgrade() else { return };
                for (known, (commits, _)) in roster.executors() {
                    observer.observe(commits, &[KeyValue::new("executor", known.id)]);
                }
            })
            .build();
        let roster = Arc::downgrade(self);
        let _registered = meter
            .u64_observable_gauge("sluice.watch.lag.max")
            .with_unit("{commit}")
            .with_description("Commits that the last of the connected executors does not serve yet")
            .with_callback(move |observer| {
                let Some(roster) = roster.upgrade() else { return };
                observer.observe(roster.executors().iter().map(|(_, (commits, _))| *commits).max().unwrap_or(0), &[]);
            })
            .build();
        let roster = Arc::downgrade(self);
        let _registered = meter
            .f64_observable_gauge("sluice.watch.lag.max.duration")
            .with_unit("s")
            .with_description("How long ago the oldest commit was made that a connected executor does not serve yet")
            .with_callback(move |observer| {
                let Some(roster) = roster.upgrade() else { return };
                let longest = roster.executors().iter().map(|(_, (_, age))| *age).max().unwrap_or_default();
                observer.observe(longest.as_secs_f64(), &[]);
            })
            .build();
    }

    /// How many are connected, now and from now on.
    pub(crate) fn connected(&self) -> watch::Receiver<u32> {
        self.connected.subscribe()
    }

    /// Takes a place. A session of the same or an earlier epoch ends.
    pub(super) fn join(self: &Arc<Roster>, hello: &Hello, now: Timestamp) -> Result<Place, Error> {
        let mut state = self.state.lock();
        if let Some(other) = state.executors.get(&hello.executor) {
            if other.known.epoch > hello.epoch {
                let message = format!(
                    "executor {} is connected with epoch {}, which is later than {}: are there two with one data folder?",
                    hello.executor, other.known.epoch, hello.epoch
                );
                return Err(superseded(message));
            }
            other.superseded.cancel();
        }
        state.sessions += 1;
        let (session, superseded) = (state.sessions, CancellationToken::new());
        let known = ConnectedExecutor {
            id: hello.executor.clone(),
            epoch: hello.epoch,
            version: hello.version.clone(),
            engine: hello.engine.clone(),
            subscription: hello.subscription.clone(),
            pending: BTreeSet::new(),
            connected_at: now,
            serves: Revision(0),
            nacks: 0,
            last_nack: None,
            missing: hello.missing.clone(),
        };
        tracing::info!(
            executor = known.id,
            epoch = known.epoch,
            version = known.version,
            engine = known.engine,
            missing_modules = known.missing.len(),
            "an executor connected"
        );
        let executor = Executor { known, session, superseded: superseded.clone() };
        state.executors.insert(hello.executor.clone(), executor);
        self.changed(state);
        Ok(Place { roster: Arc::clone(self), executor: hello.executor.clone(), session, superseded })
    }

    /// How far a revision has come.
    pub(crate) fn rollout(&self, asked: &Asked) -> Rollout {
        let state = self.state.lock();
        let concerned = state.executors.values().filter(|executor| executor.known.subscription.has(&asked.tenant));
        concerned.fold(Rollout::default(), |mut rollout, executor| {
            if executor.known.has(asked) {
                rollout.have += 1;
            } else {
                rollout.waiting += 1;
            }
            rollout
        })
    }

    /// The same, waiting until none is waiting, for at most so long.
    pub(crate) async fn wait(&self, asked: &Asked, wait: Duration) -> Rollout {
        let mut happened = self.happened.subscribe();
        let done = async { while self.rollout(asked).waiting > 0 && happened.changed().await.is_ok() {} };
        // Either way the answer is how far it is now.
        let _in_time = tokio::time::timeout(wait, done).await;
        self.rollout(asked)
    }

    /// Everybody who is connected, by id, with the commits that each does not serve yet and the age of the oldest of them.
    pub(crate) fn executors(&self) -> Vec<(ConnectedExecutor, (u64, Duration))> {
        let mut known: Vec<_> = self.state.lock().executors.values().map(|executor| executor.known.clone()).collect();
        known.sort_by(|a, b| a.id.cmp(&b.id));
        let now = Instant::now();
        let behind = |known: ConnectedExecutor| {
            let lag = self.lag.behind(known.serves, now);
            (known, lag)
        };
        known.into_iter().map(behind).collect()
    }

    fn changed(&self, state: parking_lot::MutexGuard<'_, State>) {
        let connected = u32::try_from(state.executors.len()).unwrap_or(u32::MAX);
        self.connected.send_if_modified(|known| std::mem::replace(known, connected) != connected);
        drop(state);
        self.happened.send_modify(|count| *count += 1);
    }
}

fn superseded(message: String) -> Error {
    Error::new(Code::Aborted, "EPOCH_SUPERSEDED", message)
}

impl Place {
    /// Becomes ready when a later session of the executor has taken the place.
    pub(super) fn superseded(&self) -> impl Future<Output = Error> + use<> {
        let (token, executor) = (self.superseded.clone(), self.executor.clone());
        async move {
            token.cancelled().await;
            superseded(format!("executor {executor} has connected again"))
        }
    }

    /// The executor's id.
    pub(super) fn executor(&self) -> &str {
        &self.executor
    }

    /// It serves everything up to this commit.
    pub(super) fn serves(&self, commit: Revision) {
        self.update(|known| known.serves = commit);
    }

    /// It could not apply a state.
    pub(super) fn refused(&self, nack: Nack, time: Timestamp) {
        self.update(|known| {
            known.nacks += 1;
            known.last_nack = Some(LastNack { time, nack });
        });
    }

    /// What it hears of is this now, and it does not have `pending` yet.
    pub(super) fn hears(&self, subscription: &Subscription, pending: impl Iterator<Item = Slug>) {
        self.update(|known| {
            known.subscription = subscription.clone();
            known.pending = pending.collect();
        });
    }

    /// The modules that it cannot have are these now.
    pub(super) fn misses(&self, missing: Vec<Missing>) {
        self.update(|known| known.missing = missing);
    }

    fn update(&self, update: impl FnOnce(&mut ConnectedExecutor)) {
        let mut state = self.roster.state.lock();
        let own = state.executors.get_mut(&self.executor).filter(|executor| executor.session == self.session);
        if let Some(executor) = own {
            update(&mut executor.known);
            drop(state);
            self.roster.happened.send_modify(|count| *count += 1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.roster.state.lock();
        if state.executors.get(&self.executor).is_some_and(|executor| executor.session == self.session) {
            state.executors.remove(&self.executor);
            tracing::info!(executor = self.executor, "an executor is gone");
            self.roster.changed(state);
        }
    }
}
