//! What an executor does beside its calls: it starts from its cache folder, fills its memory from there, and looks after
//! what is on its disk.

use crate::{
    audit::Audit,
    catalog::{Catalog, Scope},
    last::LastState,
    modules::Modules,
    state::{State, update::Update},
};
use futures_util::StreamExt as _;
use sluice_serve::Condition;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How the thread ranks that reads modules into memory: 0 is normal, 19 gives way to everything.
const PRELOAD_NICE: i32 = 15;
/// How often the disk is asked to keep what was appended to the state, and whether audit can be kept is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Makes the state that was kept the one that serves; its modules come when they are asked for.
///
/// The answer is whether it lacks secrets, so that everything has to be asked for.
///
/// # Errors
/// Why there is none, for the operator.
pub(crate) async fn restore(last: &LastState, catalog: &Arc<Catalog>) -> Result<bool, String> {
    let (last, catalog) = (last.clone(), Arc::clone(catalog));
    let restored = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let kept = last.load().map_err(|none| none.to_string())?;
        let read = Update::read(kept.parts).map(|mut update| {
            if let Scope::OnDemand(_) = catalog.scope() {
                // Changes of a tenant that was let go may have been on their way.
                update.keep_served(|_| false);
            }
            update
        });
        let state = read.and_then(|update| State::default().updated(update, &catalog.planner));
        let state = state.map_err(|refused| {
            last.set_aside(&refused.reason);
            format!("the one that was kept cannot be used ({})", refused.reason)
        })?;
        catalog.planner.comes_when_asked(&state);
        let (tenants, revisions) = state.counts();
        tracing::info!(
            cursor = state.cursor, tenants, revisions, applied_at = %kept.applied_at,
            took_ms = began.elapsed().as_millis(), "the state that was kept serves"
        );
        catalog.counted(state.connected_executors);
        catalog.install(state, kept.applied_at);
        catalog.current_at(kept.applied_at);
        Ok(kept.lacks_secrets)
    });
    restored.await.unwrap_or_else(|_panicked| Err("reading the one that was kept ended without an answer".into()))
}

/// Fills the memory with what the state that serves needs, the newest revisions first; and makes what the cache folder lacks,
/// as after an upgrade of the engine.
pub(crate) async fn load(modules: Modules, catalog: Arc<Catalog>, parallel: usize, stop: CancellationToken) {
    let Some(applied) = catalog.applied() else { return };
    let (bulk, stopped) = (modules.clone(), stop.clone());
    let (done, missing) = oneshot::channel();
    // A thread of its own, which gives way to those that answer: who asks first loads what it needs itself.
    let thread = std::thread::Builder::new().name("sluice-preload".into()).spawn(move || {
        give_way();
        let began = Instant::now();
        let wanted: Vec<_> = applied
            .state
            .newest_modules()
            .chain(applied.state.modules())
            .map(|(tenant, module)| (tenant.clone(), Arc::clone(module)))
            .collect();
        let missing = bulk.preload(wanted, &stopped);
        bulk.sweep(true);
        let (count, bytes) = bulk.residents();
        let took_ms = began.elapsed().as_millis();
        tracing::info!(modules = count, bytes, missing = missing.len(), took_ms, "modules are in memory");
        // Nobody waits where the executor ends already.
        let _ended = done.send(missing);
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "modules come when they are asked for: no thread could be started to read them before");
        return;
    }
    // Without an answer it panicked, which is reported, or was stopped.
    let missing = missing.await.unwrap_or_default();
    let make = futures_util::stream::iter(missing).map(|(tenant, module)| {
        let modules = modules.clone();
        // What becomes of it is told by whoever runs it, and in the log.
        async move { modules.load(&tenant, &module).await.map(drop) }
    });
    let made = make.buffer_unordered(parallel).for_each(|_| std::future::ready(()));
    tokio::select! {
        () = made => {}
        () = stop.cancelled() => {}
    }
}

fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), PRELOAD_NICE) {
        tracing::warn!(%error, "modules are read into memory at the priority of the other threads");
    }
}

/// Looks after the disk until it is dropped.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) last: LastState,
    pub(crate) audit: Arc<Audit>,
    /// Holds while a run could be written down: who is sent here would be refused otherwise.
    pub(crate) can_audit: Condition,
}

impl Upkeep {
    /// Looks whether a run could be written down.
    pub(crate) fn look(&self) {
        match self.audit.admit(Instant::now()) {
            Ok(()) => self.can_audit.holds(),
            Err(refused) => self.can_audit.fails(refused.message),
        }
    }

    pub(crate) async fn run(self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look();
            let last = self.last.clone();
            // A panic in it is reported by the runtime; the next tick tries again.
            let _joined = tokio::task::spawn_blocking(move || last.force()).await;
        }
    }
}
