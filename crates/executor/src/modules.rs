//! Modules: snapshots in memory, ready to run, one for each bundle that some version names.
//!
//! A flow's attachment leads by tenant, slug and version to its [`Module`]; versions of the same bundle share one. The hot
//! path is one atomic load. What is not in memory is made once, however many wait for it: read from the [cache
//! folder](store::Store), or made from the bundle in there, or from the bundle that the control plane sends. Memory is
//! bounded exactly: what was used longest ago is put out before the bound is passed.

pub(crate) mod store;
#[cfg(test)]
mod tests;

use crate::telemetry::Metrics;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use sluice_model::{Bundle, Failure, FailureReason, Slug};
use sluice_sandbox::{Engine, Snapshot};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use store::Store;
use tokio::sync::Semaphore;

/// How long a bundle that cannot be made into a module is not tried again.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How far below the bound memory is brought when it is passed, so that it is not passed again at once: 1 / 16.
const HEADROOM_SHIFT: u32 = 4;

/// Where bundles come from when the cache folder lacks them.
pub(crate) trait Source: Send + Sync + std::fmt::Debug {
    /// The canonical bytes of a bundle that the tenant has published; not checked yet. The error is for the log and for
    /// the author: why they cannot be had.
    fn bundle(&self, tenant: Slug, digest: String) -> BoxFuture<'static, Result<Bytes, SourceError>>;
}

/// Why a bundle cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SourceError {
    /// For people.
    pub(crate) message: String,
    /// Whether asking again at once makes sense: the control plane is away, rather than that it refused.
    pub(crate) transient: bool,
}

/// All modules.
#[derive(Clone, Debug)]
pub(crate) struct Modules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    store: Store,
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    max_bytes: u64,
    /// By digest; what no flow refers to any more is gone.
    known: Mutex<HashMap<Arc<str>, Weak<Module>>>,
    /// Those in memory.
    residents: Mutex<Residents>,
    /// A count that goes up with every load; modules remember it when they are used, to find the one used longest ago.
    clock: AtomicU64,
    /// Snapshots that are made at once.
    making: Semaphore,
}

#[derive(Debug, Default)]
struct Residents {
    bytes: u64,
    modules: Vec<(Weak<Module>, u64)>,
}

type Load = Shared<BoxFuture<'static, Result<Arc<Snapshot>, Failure>>>;

/// One bundle's module.
#[derive(Debug)]
pub(crate) struct Module {
    digest: Arc<str>,
    snapshot: ArcSwapOption<Snapshot>,
    used: AtomicU64,
    loading: Mutex<Loading>,
}

#[derive(Default)]
struct Loading {
    now: Option<Load>,
    failed: Option<(Instant, Failure)>,
}

impl std::fmt::Debug for Loading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loading").field("now", &self.now.is_some()).field("failed", &self.failed).finish()
    }
}

impl Module {
    /// The digest of its bundle.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether it was never in memory.
    pub(crate) fn is_new(&self) -> bool {
        self.used.load(Ordering::Relaxed) == 0
    }

    /// Whether it was tried and is not tried again for a while.
    pub(crate) fn is_resting(&self) -> bool {
        self.loading.lock().failed.is_some()
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
            max_bytes,
            known: Mutex::default(),
            residents: Mutex::default(),
            clock: AtomicU64::new(1),
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
            used: AtomicU64::new(0),
            loading: Mutex::default(),
        });
        known.insert(digest, Arc::downgrade(&module));
        module
    }

    /// The snapshot, where it is in memory.
    pub(crate) fn resident(&self, module: &Module) -> Option<Arc<Snapshot>> {
        let snapshot = module.snapshot.load_full()?;
        let now = self.0.clock.load(Ordering::Relaxed);
        // A store to a line that all cores read costs them; one a change of the clock is enough.
        if module.used.load(Ordering::Relaxed) != now {
            module.used.store(now, Ordering::Relaxed);
        }
        Some(snapshot)
    }

    /// The snapshot, from memory or from wherever it can be had. However many ask at once, it is loaded once, and to its
    /// end, also when all of them give up.
    ///
    /// # Errors
    /// `unavailable`, with the reason. A bundle that cannot be made into a module is not tried again for 30 s.
    pub(crate) async fn load(&self, tenant: &Slug, module: &Arc<Module>) -> Result<Arc<Snapshot>, Failure> {
        if let Some(snapshot) = self.resident(module) {
            return Ok(snapshot);
        }
        let load = {
            let mut loading = module.loading.lock();
            if let Some((at, failure)) = &loading.failed {
                if at.elapsed() < REST_AFTER_FAILURE {
                    return Err(failure.clone());
                }
                loading.failed = None;
            }
            match &loading.now {
                Some(load) => load.clone(),
                None => {
                    let (modules, tenant, own) = (self.clone(), tenant.clone(), Arc::clone(module));
                    let task = tokio::spawn(async move { modules.load_now(&tenant, &own).await });
                    let load = async move {
                        let lost =
                            || Failure::new(FailureReason::Internal, "loading the module ended without an answer");
                        task.await.unwrap_or_else(|_| Err(lost()))
                    };
                    let load = load.boxed().shared();
                    loading.now = Some(load.clone());
                    load
                }
            }
        };
        load.await
    }

    async fn load_now(&self, tenant: &Slug, module: &Arc<Module>) -> Result<Arc<Snapshot>, Failure> {
        let loaded = self.find_or_make(tenant, module).await;
        let mut loading = module.loading.lock();
        loading.now = None;
        match loaded {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                module.snapshot.store(Some(Arc::clone(&snapshot)));
                drop(loading);
                self.moved_in(module, &snapshot);
                Ok(snapshot)
            }
            Err((failure, transient)) => {
                self.0.metrics.module_failed();
                tracing::warn!(%tenant, bundle = %module.digest, error = failure.message, "a module cannot be had");
                if !transient {
                    loading.failed = Some((Instant::now(), failure.clone()));
                }
                Err(failure)
            }
        }
    }

    async fn find_or_make(&self, tenant: &Slug, module: &Module) -> Result<Snapshot, (Failure, bool)> {
        let inner = &self.0;
        let unavailable = |message: String| Failure::new(FailureReason::Unavailable, message);
        let (engine, store, digest) = (inner.engine.clone(), inner.store.clone(), module.digest().to_owned());
        let kept = tokio::task::spawn_blocking(move || match store.snapshot(&engine, &digest) {
            Some(snapshot) => Kept::Snapshot(Box::new(snapshot)),
            None => store.bundle(&digest).map_or(Kept::Nothing, Kept::Bundle),
        });
        let bytes = match kept.await.unwrap_or(Kept::Nothing) {
            Kept::Snapshot(snapshot) => {
                inner.metrics.module_loaded(Origin::Snapshot);
                return Ok(*snapshot);
            }
            Kept::Bundle(bytes) => {
                inner.metrics.module_loaded(Origin::Bundle);
                bytes
            }
            Kept::Nothing => {
                let fetched = inner.source.bundle(tenant.clone(), module.digest().to_owned()).await;
                let bytes =
                    fetched.map_err(|e| (unavailable(format!("its module cannot be had: {e}")), e.transient))?;
                if Bundle::digest(&bytes) != module.digest() {
                    return Err((
                        unavailable("its module cannot be had: what was sent is another bundle".into()),
                        false,
                    ));
                }
                inner.metrics.module_loaded(Origin::Fetched);
                let (store, digest, kept) = (inner.store.clone(), module.digest().to_owned(), bytes.clone());
                // Where it cannot be kept it is fetched again; the store has logged why.
                let _kept = tokio::task::spawn_blocking(move || store.keep_bundle(&digest, &kept)).await;
                bytes
            }
        };
        let bundle =
            Bundle::from_bytes(&bytes).map_err(|e| (unavailable(format!("its module cannot be read: {e}")), false))?;
        let snapshot = {
            // The semaphore is never closed.
            let _one_of_few = inner.making.acquire().await;
            inner.engine.snapshot(&bundle).await
        };
        let snapshot = snapshot.map_err(|cause| {
            let why = format!("its module cannot be made here: {} ({})", cause.message, cause.reason);
            (Failure { reason: FailureReason::Unavailable, message: why, ..cause }, false)
        })?;
        let packed = snapshot.to_bytes(&inner.engine);
        let (store, digest) = (inner.store.clone(), module.digest().to_owned());
        let _kept = tokio::task::spawn_blocking(move || store.keep_snapshot(&digest, &packed)).await;
        Ok(snapshot)
    }

    /// Counts a module that came into memory, and puts out what was used longest ago where it is too much.
    fn moved_in(&self, module: &Arc<Module>, snapshot: &Snapshot) {
        let size = snapshot.memory_bytes() as u64;
        let now = self.0.clock.fetch_add(1, Ordering::Relaxed) + 1;
        module.used.store(now, Ordering::Relaxed);
        let mut residents = self.0.residents.lock();
        residents.bytes += size;
        residents.modules.push((Arc::downgrade(module), size));
        if residents.bytes <= self.0.max_bytes {
            return;
        }
        // Rare, and at most once for each sixteenth of the bound: a walk over all of them is cheaper than any order that
        // the hot path would have to keep.
        let mut gone = 0;
        residents.modules.retain(|(module, size)| {
            let lives = module.strong_count() > 0;
            gone += if lives { 0 } else { *size };
            lives
        });
        residents.bytes -= gone;
        let goal = self.0.max_bytes - (self.0.max_bytes >> HEADROOM_SHIFT);
        let used = |module: &Weak<Module>| module.upgrade().map_or(0, |m| m.used.load(Ordering::Relaxed));
        residents.modules.sort_by_cached_key(|(module, _)| std::cmp::Reverse(used(module)));
        // The last one is the oldest. The newest stays, whatever its size: somebody waits for it.
        while residents.bytes > goal && residents.modules.len() > 1 {
            let Some((module, size)) = residents.modules.pop() else { break };
            residents.bytes -= size;
            if let Some(module) = module.upgrade() {
                module.snapshot.store(None);
                self.0.metrics.module_evicted();
            }
        }
    }

    /// How many are in memory, and their bytes.
    pub(crate) fn residents(&self) -> (u64, u64) {
        let residents = self.0.residents.lock();
        (residents.modules.len() as u64, residents.bytes)
    }

    /// Forgets what no flow refers to any more, in memory and, where asked, in a cache folder that is over its bound.
    /// Blocking.
    pub(crate) fn sweep(&self, disk: bool) {
        {
            let mut residents = self.0.residents.lock();
            let mut gone = 0;
            residents.modules.retain(|(module, size)| {
                let lives = module.strong_count() > 0;
                gone += if lives { 0 } else { *size };
                lives
            });
            residents.bytes -= gone;
        }
        let mut known = self.0.known.lock();
        known.retain(|_, module| module.strong_count() > 0);
        if disk {
            let needed = known.keys().map(|digest| digest.to_string()).collect();
            drop(known);
            self.0.store.sweep(&needed);
        }
    }
}

enum Kept {
    Snapshot(Box<Snapshot>),
    Bundle(Bytes),
    Nothing,
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
