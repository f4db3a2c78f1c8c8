//! Who is connected, and how far each is.

use super::{Hello, Subscription};
use crate::store::Revision;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;
use sluice_model::{Code, Error, Slug};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
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

/// An executor that is connected, as the control plane knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedExecutor {
    /// Its id.
    pub id: String,
    /// How many times it has started.
    pub epoch: u64,
    /// The version of Sluice that it is.
    pub version: String,
    /// The engine that it runs, as `engine/image`.
    pub engine: String,
    /// The newest commit of which it serves everything that it hears of; 0 before its first state.
    pub serves: Revision,
    /// Why it could not apply a state, the last time that it could not.
    pub last_nack: Option<String>,
}

/// A place of the roster.
struct Executor {
    known: ConnectedExecutor,
    subscription: Subscription,
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
        Arc::new(Roster { state: Mutex::default(), connected: watch::Sender::new(0), happened: watch::Sender::new(0) })
    }

    /// Shows the roster on `meter`; `newest` is the newest commit.
    pub(crate) fn observe(self: &Arc<Roster>, meter: &Meter, newest: watch::Receiver<Revision>) {
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
                let newest = newest.borrow().0;
                for (id, executor) in &roster.state.lock().executors {
                    observer.observe(
                        newest.saturating_sub(executor.known.serves.0),
                        &[KeyValue::new("executor", id.clone())],
                    );
                }
            })
            .build();
    }

    /// How many are connected, now and from now on.
    pub(crate) fn connected(&self) -> watch::Receiver<u32> {
        self.connected.subscribe()
    }

    /// Takes a place. A session of the same or an earlier epoch ends.
    pub(super) fn join(self: &Arc<Roster>, hello: &Hello) -> Result<Place, Error> {
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
            serves: Revision(0),
            last_nack: None,
        };
        tracing::info!(
            executor = known.id,
            epoch = known.epoch,
            version = known.version,
            engine = known.engine,
            "an executor connected"
        );
        let subscription = hello.subscription.clone();
        let executor = Executor { known, subscription, session, superseded: superseded.clone() };
        state.executors.insert(hello.executor.clone(), executor);
        self.changed(state);
        Ok(Place { roster: Arc::clone(self), executor: hello.executor.clone(), session, superseded })
    }

    /// How far a commit of a tenant has come.
    pub(crate) fn rollout(&self, tenant: &Slug, commit: Revision) -> Rollout {
        let state = self.state.lock();
        let concerned = state.executors.values().filter(|executor| executor.subscription.has(tenant));
        concerned.fold(Rollout::default(), |mut rollout, executor| {
            if executor.known.serves >= commit {
                rollout.have += 1;
            } else {
                rollout.waiting += 1;
            }
            rollout
        })
    }

    /// The same, waiting until none is waiting, for at most so long.
    pub(crate) async fn wait(&self, tenant: &Slug, commit: Revision, wait: Duration) -> Rollout {
        let mut happened = self.happened.subscribe();
        let done = async { while self.rollout(tenant, commit).waiting > 0 && happened.changed().await.is_ok() {} };
        // Either way the answer is how far it is now.
        let _in_time = tokio::time::timeout(wait, done).await;
        self.rollout(tenant, commit)
    }

    /// Everybody who is connected, by id.
    pub(crate) fn executors(&self) -> Vec<ConnectedExecutor> {
        let mut known: Vec<_> = self.state.lock().executors.values().map(|executor| executor.known.clone()).collect();
        known.sort_by(|a, b| a.id.cmp(&b.id));
        known
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
    pub(super) fn refused(&self, reason: String) {
        self.update(|known| known.last_nack = Some(reason));
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
