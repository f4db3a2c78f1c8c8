//! Modules: snapshots in memory, ready to run, one for each bundle that some version names.
//!
//! A flow's attachment leads by tenant, slug and version to its [`Module`]: that is what its tenant's part of the state says
//! of the version, and no other tenant's part is looked at. Versions of the same bundle, also of several tenants, share one:
//! a module is what its digest says, whoever names it. The hot path is one atomic load. What is not in memory is made once,
//! however many wait for it: read from the [cache folder](store::Store), or made from the bundle in there, or from the
//! bundle that the control plane sends. Memory is [bounded](residents).

mod loading;
mod residents;
pub(crate) mod store;
#[cfg(test)]
mod tests;

pub(crate) use loading::{Source, SourceError};

use crate::telemetry::Metrics;
use arc_swap::ArcSwapOption;
use loading::Loading;
use parking_lot::Mutex;
use residents::{Admitted, Residents, Room};
use sluice_model::Slug;
use sluice_sandbox::{Engine, Snapshot};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
use store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// All modules.
#[derive(Clone, Debug)]
pub(crate) struct Modules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    store: Store,
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    /// By digest; what no flow refers to any more is gone.
    known: Mutex<HashMap<Arc<str>, Weak<Module>>>,
    residents: Residents,
    /// Snapshots that are made at once.
    making: Semaphore,
}

/// One bundle's module.
#[derive(Debug)]
pub(crate) struct Module {
    digest: Arc<str>,
    snapshot: ArcSwapOption<Snapshot>,
    /// Whether somebody has asked for it, or was told that it comes when it is asked for.
    is_prepared: AtomicBool,
    used: AtomicU64,
    needed_in: AtomicU64,
    loading: Mutex<Loading>,
    /// Why it could not be had the last time that it was tried.
    lacking: ArcSwapOption<String>,
}

impl Module {
    /// The digest of its bundle.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether nobody has asked for it yet.
    pub(crate) fn is_new(&self) -> bool {
        !self.is_prepared.load(Ordering::Relaxed)
    }

    /// It counts as one that nobody has asked for: the state that needs it will come again.
    pub(crate) fn begin_anew(&self) {
        self.is_prepared.store(false, Ordering::Relaxed);
    }

    /// Why it cannot be had, where it was tried and is not there.
    pub(crate) fn lacking(&self) -> Option<Arc<String>> {
        self.lacking.load_full()
    }

    /// Whether it was tried, is at fault itself, and is not tried again for a while.
    pub(crate) fn is_resting(&self) -> bool {
        self.loading.lock().is_resting(Instant::now())
    }
}

impl Modules {
    /// Keeps at most `max_bytes` in memory and makes at most `parallel` snapshots at once.
    pub(crate) fn new(
        engine: Engine,
        store: Store,
        source: Arc<dyn Source>,
        max_bytes: u64,
        parallel: usize,
        metrics: Arc<Metrics>,
    ) -> Modules {
        Modules(Arc::new(Inner {
            engine,
            store,
            source,
            metrics,
            known: Mutex::default(),
            residents: Residents::new(max_bytes),
            making: Semaphore::new(parallel.max(1)),
        }))
    }

    /// The module of a bundle; nothing is loaded yet.
    pub(crate) fn module(&self, digest: &str) -> Arc<Module> {
        let mut known = self.0.known.lock();
        if let Some(module) = known.get(digest).and_then(Weak::upgrade) {
            return module;
        }
        let digest: Arc<str> = digest.into();
        let module = Arc::new(Module {
            digest: Arc::clone(&digest),
            snapshot: ArcSwapOption::empty(),
            is_prepared: AtomicBool::new(false),
            used: AtomicU64::new(0),
            needed_in: AtomicU64::new(0),
            loading: Mutex::default(),
            lacking: ArcSwapOption::empty(),
        });
        known.insert(digest, Arc::downgrade(&module));
        module
    }

    /// The snapshot, where it is in memory.
    pub(crate) fn resident(&self, module: &Module) -> Option<Arc<Snapshot>> {
        let snapshot = module.snapshot.load_full()?;
        self.0.residents.used(module);
        Some(snapshot)
    }

    /// The snapshot for a run, where it is in memory; where it is not, the run has to [load](Modules::load) it.
    pub(crate) fn for_run(&self, module: &Module) -> Option<Arc<Snapshot>> {
        let snapshot = self.resident(module);
        self.0.metrics.module_asked(snapshot.is_some());
        snapshot
    }

    /// Another state serves: what its newest revisions need is the last to be put out.
    pub(crate) fn need<'a>(&self, modules: impl Iterator<Item = &'a Arc<Module>>) {
        self.0.residents.need(modules);
    }

    /// Reads modules from the cache folder into memory, in this order and as far as there is room, before anybody asks for
    /// them: in bulk, which takes half of what it does one by one. What is given back is not in the folder. Blocking.
    pub(crate) fn preload(
        &self,
        modules: Vec<(Slug, Arc<Module>)>,
        stop: &CancellationToken,
    ) -> Vec<(Slug, Arc<Module>)> {
        let inner = &*self.0;
        let mut missing = Vec::new();
        for (tenant, module) in modules {
            if stop.is_cancelled() {
                return Vec::new();
            }
            if module.snapshot.load().is_some() {
                continue;
            }
            let began = Instant::now();
            match inner.store.snapshot(&inner.engine, module.digest()) {
                Some(snapshot) => {
                    if inner.residents.admit(&module, &Arc::new(snapshot), Room::IfFree) == Admitted::NoRoom {
                        break;
                    }
                    inner.metrics.module_loaded(Origin::Snapshot, began.elapsed());
                }
                None => missing.push((tenant, module)),
            }
        }
        missing
    }

    /// A module comes when it is asked for: nobody has to have it made before.
    pub(crate) fn comes_when_asked(&self, module: &Module) {
        module.is_prepared.store(true, Ordering::Relaxed);
    }

    /// Takes a snapshot in that was asked for.
    fn admit(&self, module: &Arc<Module>, snapshot: &Arc<Snapshot>) {
        module.lacking.store(None);
        if let Admitted::Kept { evicted } = self.0.residents.admit(module, snapshot, Room::Make) {
            self.0.metrics.modules_evicted(evicted);
        }
    }

    /// How many are in memory, and their bytes.
    pub(crate) fn residents(&self) -> (u64, u64) {
        self.0.residents.counts()
    }

    /// Forgets what no flow refers to any more, in memory and, where asked or where it has grown over its bound, in the cache
    /// folder. Blocking.
    pub(crate) fn sweep(&self, disk: bool) {
        self.0.residents.sweep();
        let mut known = self.0.known.lock();
        known.retain(|_, module| module.strong_count() > 0);
        if disk || self.0.store.is_over() {
            let needed = known.keys().map(|digest| digest.to_string()).collect();
            drop(known);
            self.0.store.sweep(&needed);
        }
    }
}

/// Where a module came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A snapshot in the cache folder.
    Snapshot,
    /// A bundle in the cache folder.
    Bundle,
    /// The control plane.
    Fetched,
}
