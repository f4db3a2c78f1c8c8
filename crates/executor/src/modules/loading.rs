//! Loading: a module that is not in memory, from wherever it can be had, once for all who wait.

use super::{Module, Modules, Origin};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use sluice_model::{Artifact, Bundle, Failure, FailureReason, Slug};
use sluice_sandbox::Snapshot;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long a bundle that cannot be made into a module is not tried again.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How long one is not asked for again of a control plane that is away: sign-ins that need it must not each call it.
const REST_WHILE_AWAY: Duration = Duration::from_millis(150);

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

/// Why a module cannot be had.
#[derive(Clone, Debug)]
struct NotLoaded {
    failure: Failure,
    /// Whose failure it is. None: the bundle's own, whoever asks; otherwise what the control plane told this tenant, which
    /// says nothing of another that has published the same bundle.
    of: Option<Slug>,
    /// Whether asking again at once makes sense.
    transient: bool,
}

impl NotLoaded {
    fn of_bundle(failure: Failure) -> NotLoaded {
        NotLoaded { failure, of: None, transient: false }
    }

    fn told(tenant: &Slug, message: &str, transient: bool) -> NotLoaded {
        let message = format!("its module cannot be had: {message}");
        let failure = Failure::new(FailureReason::Unavailable, message);
        NotLoaded { failure, of: Some(tenant.clone()), transient }
    }

    /// Whether it is too early to try again.
    fn is_recent(&self, at: Instant, now: Instant) -> bool {
        let rest = if self.transient { REST_WHILE_AWAY } else { REST_AFTER_FAILURE };
        now.saturating_duration_since(at) < rest
    }

    /// Whether it answers this tenant.
    fn answers(&self, tenant: &Slug) -> bool {
        self.of.as_ref().is_none_or(|of| of == tenant)
    }
}

type Load = Shared<BoxFuture<'static, Result<Arc<Snapshot>, NotLoaded>>>;

/// What goes on and what failed, of one module.
#[derive(Default)]
pub(super) struct Loading {
    now: Option<Load>,
    failed: Vec<(Instant, NotLoaded)>,
}

impl std::fmt::Debug for Loading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loading").field("now", &self.now.is_some()).field("failed", &self.failed).finish()
    }
}

impl Loading {
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.failed.iter().any(|(at, failed)| !failed.transient && failed.is_recent(*at, now))
    }
}

impl Modules {
    /// The snapshot, from memory or from wherever it can be had. However many ask at once, it is loaded once, and to its
    /// end, also when all of them give up.
    ///
    /// # Errors
    /// `unavailable`, with the reason. A bundle that cannot be made into a module is not tried again for 30 s, one that could
    /// not be fetched because the control plane is away not for 150 ms.
    pub(crate) async fn load(&self, tenant: &Slug, module: &Arc<Module>) -> Result<Arc<Snapshot>, Failure> {
        module.is_prepared.store(true, Ordering::Relaxed);
        loop {
            if let Some(snapshot) = self.resident(module) {
                return Ok(snapshot);
            }
            let load = {
                let mut loading = module.loading.lock();
                let now = Instant::now();
                loading.failed.retain(|(at, failed)| failed.is_recent(*at, now));
                if let Some((_, failed)) = loading.failed.iter().find(|(_, failed)| failed.answers(tenant)) {
                    return Err(failed.failure.clone());
                }
                match &loading.now {
                    Some(load) => load.clone(),
                    None => {
                        let load = self.begin(tenant, module);
                        loading.now = Some(load.clone());
                        load
                    }
                }
            };
            match load.await {
                Ok(snapshot) => return Ok(snapshot),
                // Another tenant was refused. This one asks for itself.
                Err(failed) if !failed.answers(tenant) => {}
                Err(failed) => return Err(failed.failure),
            }
        }
    }

    fn begin(&self, tenant: &Slug, module: &Arc<Module>) -> Load {
        let (modules, tenant, own) = (self.clone(), tenant.clone(), Arc::clone(module));
        let task = tokio::spawn(async move { modules.load_now(&tenant, &own).await });
        let own = Arc::clone(module);
        let load = async move {
            task.await.unwrap_or_else(|_lost| {
                // Whoever asks next begins anew.
                own.loading.lock().now = None;
                let failure = Failure::new(FailureReason::Internal, "loading the module ended without an answer");
                Err(NotLoaded { failure, of: None, transient: true })
            })
        };
        load.boxed().shared()
    }

    async fn load_now(&self, tenant: &Slug, module: &Arc<Module>) -> Result<Arc<Snapshot>, NotLoaded> {
        let began = Instant::now();
        let loaded = self.find_or_make(tenant, module).await;
        let loaded = loaded.map(|(snapshot, origin)| (Arc::new(snapshot), origin));
        if let Ok((snapshot, origin)) = &loaded {
            self.0.metrics.module_loaded(*origin, began.elapsed());
            // Before others may load anew: they find it.
            self.admit(module, snapshot);
        }
        let mut loading = module.loading.lock();
        loading.now = None;
        let failed = match loaded {
            Ok((snapshot, _)) => return Ok(snapshot),
            Err(failed) => failed,
        };
        module.lacking.store(Some(Arc::new(failed.failure.message.clone())));
        self.0.metrics.module_failed();
        tracing::warn!(%tenant, bundle = %module.digest, error = failed.failure.message, "a module cannot be had");
        loading.failed.retain(|(_, before)| before.of != failed.of);
        loading.failed.push((Instant::now(), failed.clone()));
        Err(failed)
    }

    async fn find_or_make(&self, tenant: &Slug, module: &Module) -> Result<(Snapshot, Origin), NotLoaded> {
        let inner = &self.0;
        let unavailable = |message: String| NotLoaded::of_bundle(Failure::new(FailureReason::Unavailable, message));
        let (engine, store, digest) = (inner.engine.clone(), inner.store.clone(), module.digest().to_owned());
        let kept = tokio::task::spawn_blocking(move || match store.snapshot(&engine, &digest) {
            Some(snapshot) => Kept::Snapshot(Box::new(snapshot)),
            None => store.bundle(&digest).map_or(Kept::Nothing, Kept::Bundle),
        });
        let (bytes, origin) = match kept.await.unwrap_or(Kept::Nothing) {
            Kept::Snapshot(snapshot) => return Ok((*snapshot, Origin::Snapshot)),
            Kept::Bundle(bytes) => (bytes, Origin::Bundle),
            Kept::Nothing => (self.fetch(tenant, module).await?, Origin::Fetched),
        };
        let artifact =
            Artifact::from_bytes(bytes).map_err(|e| unavailable(format!("its module cannot be read: {e}")))?;
        let snapshot = {
            // The semaphore is never closed.
            let _one_of_few = inner.making.acquire().await;
            inner.engine.prepare(&artifact).await
        };
        let snapshot = snapshot.map_err(|cause| {
            let message = format!("its module cannot be made here: {} ({})", cause.message, cause.reason);
            NotLoaded::of_bundle(Failure { reason: FailureReason::Unavailable, message, ..cause })
        })?;
        let packed = snapshot.to_bytes(&inner.engine);
        let (store, digest) = (inner.store.clone(), module.digest().to_owned());
        let _kept = tokio::task::spawn_blocking(move || store.keep_snapshot(&digest, &packed)).await;
        Ok((snapshot, origin))
    }

    /// The bundle, from the control plane; it is kept in the cache folder.
    async fn fetch(&self, tenant: &Slug, module: &Module) -> Result<Bytes, NotLoaded> {
        let inner = &self.0;
        let fetched = inner.source.bundle(tenant.clone(), module.digest().to_owned()).await;
        let bytes = fetched.map_err(|e| NotLoaded::told(tenant, &e.message, e.transient))?;
        if Bundle::digest(&bytes) != module.digest() {
            return Err(NotLoaded::told(tenant, "what was sent is another bundle", false));
        }
        let (store, digest, kept) = (inner.store.clone(), module.digest().to_owned(), bytes.clone());
        // Where it cannot be kept it is fetched again; the store has logged why.
        let _kept = tokio::task::spawn_blocking(move || store.keep_bundle(&digest, &kept)).await;
        Ok(bytes)
    }
}

enum Kept {
    Snapshot(Box<Snapshot>),
    Bundle(Bytes),
    Nothing,
}
