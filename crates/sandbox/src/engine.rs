//! The engine: what all Actions of a process share.

use crate::base::{Base, SCRIPTS, Scripts};
use crate::component::{self, ComponentCompiler};
use crate::config;
use crate::lane::{Lane, Ticker};
use crate::rewrite::RewriteError;
use crate::snapshot::Snapshot;
use sluice_model::{Failure, FailureReason};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Snapshots that may be made at once, besides the runs in flight.
const SNAPSHOTS_AT_ONCE: usize = 4;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The folder that the compiled engine is cached in (some 4 MiB), shared by all processes of this user. It is made with
    /// mode 0700 where it is not there. Default: none, and the engine is compiled at every start, which takes seconds.
    pub cache_dir: Option<PathBuf>,
    /// Runs that may be in flight at once; more wait, up to their wall limit. Default: 256. Each reserves 4 GiB of addresses
    /// and may use 64 MiB of memory and 4 MiB of stack; idle, it keeps some 400 KiB, and at most 5 MiB after Actions that
    /// used much of both.
    pub max_runs_in_flight: u32,
    /// Threads for what does not end within two milliseconds. Default: as many as there are cores. They give way to all other
    /// threads (nice 15).
    pub slow_threads: usize,
    /// What compiles components. Default: nothing, and this process does it itself, which only tests should.
    pub component_compiler: Option<ComponentCompiler>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            cache_dir: None,
            max_runs_in_flight: 256,
            slow_threads: std::thread::available_parallelism().map_or(2, usize::from),
            component_compiler: None,
        }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime cannot work here: no memory for the reservations, or a processor that it does not know.
    #[error("the wasm runtime cannot start: {0}")]
    Runtime(String),
    /// The engine that this build carries is not built as this host needs it (`SLUICE_ENGINE` may name a foreign one).
    #[error("{0}")]
    Engine(String),
    /// As [`EngineError::Engine`]: an export is missing.
    #[error("the engine does not export {0}")]
    MissingExport(&'static str),
    /// As [`EngineError::Engine`]: it cannot load the simplest module.
    #[error("the engine does not load a module: {0}")]
    WarmUp(String),
    /// The cache folder cannot be made.
    #[error("the cache folder {path} cannot be made: {source}", path = path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl From<wasmtime::Error> for EngineError {
    fn from(error: wasmtime::Error) -> EngineError {
        EngineError::Runtime(format!("{error:#}"))
    }
}

impl From<RewriteError> for EngineError {
    fn from(error: RewriteError) -> EngineError {
        EngineError::Engine(error.to_string())
    }
}

/// Which engine runs: in every snapshot, in audit records and on the health page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineIdentity {
    /// The blake3 hash of the engine's wasm, 64 hexadecimal digits.
    pub engine: String,
    /// The blake3 hash of the base image, 64 hexadecimal digits.
    pub base_image: String,
}

impl EngineIdentity {
    pub(crate) fn engine_bytes(&self) -> [u8; 32] {
        hash_bytes(&self.engine)
    }

    pub(crate) fn base_image_bytes(&self) -> [u8; 32] {
        hash_bytes(&self.base_image)
    }
}

fn hash_bytes(hex: &str) -> [u8; 32] {
    // The text was made from a hash.
    blake3::Hash::from_hex(hex).map_or([0; 32], Into::into)
}

/// Runs Actions. Keep one a process; clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("identity", &self.0.base.identity).finish_non_exhaustive()
    }
}

/// What the clones of an engine share. Runs in flight hold the base alone, so that the lane that they run in never ends
/// by their own hand.
pub(crate) struct Shared {
    pub(crate) base: Arc<Base>,
    pub(crate) lane: Lane,
    pub(crate) runs: Arc<Semaphore>,
    pub(crate) snapshots: Arc<Semaphore>,
    pub(crate) compiling: Arc<Compiling>,
    /// wasmtime for components, made when there is the first.
    components: Arc<OnceLock<Result<wasmtime::Engine, String>>>,
    slots: u32,
    _ticker: Ticker,
}

/// How components are compiled, and where their machine code is kept.
#[derive(Debug)]
pub(crate) struct Compiling {
    pub(crate) compiler: Option<ComponentCompiler>,
    pub(crate) cache_dir: Option<PathBuf>,
}

impl Engine {
    /// Starts an engine: takes the compiled one from the cache, or compiles it, which takes seconds; so call it where
    /// blocking is allowed. It starts one thread for the clock of the limits and those of the slow lane, and ends them when
    /// the last clone is dropped.
    ///
    /// # Errors
    /// [`EngineError`] says what this machine or this build lacks. A cache that cannot be read or written is no error: the
    /// engine is compiled, and a warning is logged.
    pub fn new(options: EngineOptions) -> Result<Engine, EngineError> {
        Engine::with(options, SCRIPTS)
    }

    /// With these scripts in its base image; the cache folder is for those of the web's APIs.
    pub(crate) fn with(options: EngineOptions, scripts: Scripts) -> Result<Engine, EngineError> {
        let EngineOptions { cache_dir, max_runs_in_flight, slow_threads, component_compiler } = options;
        let runs = max_runs_in_flight.max(1);
        let serving = wasmtime::Engine::new(&config::serving(runs))?;
        let evaluating = wasmtime::Engine::new(&config::evaluating())?;
        let base = Base::load_or_build(&serving, &evaluating, cache_dir.as_deref(), scripts)?;
        let lane = Lane::new(slow_threads.max(1))?;
        let components: Arc<OnceLock<Result<wasmtime::Engine, String>>> = Arc::default();
        let ticking = components.clone();
        let ticker = Ticker::start(move || {
            if let Some(Ok(components)) = ticking.get() {
                components.increment_epoch();
            }
            serving.increment_epoch();
            evaluating.increment_epoch();
        })?;
        Ok(Engine(Arc::new(Shared {
            base: Arc::new(base),
            lane,
            _ticker: ticker,
            runs: Arc::new(Semaphore::new(runs as usize)),
            snapshots: Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE)),
            compiling: Arc::new(Compiling { compiler: component_compiler, cache_dir }),
            components,
            slots: runs,
        })))
    }

    /// Which engine this is.
    pub fn identity(&self) -> &EngineIdentity {
        &self.0.base.identity
    }

    /// wasmtime for components.
    pub(crate) fn components(&self) -> Result<wasmtime::Engine, Failure> {
        let shared = self.shared();
        let made = shared.components.get_or_init(|| {
            allow_many_files();
            let slots = shared.slots.saturating_add(u32::try_from(SNAPSHOTS_AT_ONCE).unwrap_or(u32::MAX));
            wasmtime::Engine::new(&config::components(slots)).map_err(|error| format!("{error:#}"))
        });
        made.clone().map_err(|message| {
            Failure::new(FailureReason::Unavailable, format!("components cannot be run here: {message}"))
        })
    }

    /// A component that this build has compiled before, by its digest.
    pub(crate) fn compiled_component(&self, digest: &str) -> Option<Snapshot> {
        let (engine, dir) = (self.components().ok()?, self.shared().compiling.cache_dir.as_deref()?);
        let compiled = component::from_cache(&engine, dir, digest)?;
        Some(Snapshot::of_component(Arc::new(compiled), digest.to_owned(), self.identity()))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

/// Raises this process's soft limit of open files to the hard one: the initial memory of each component is a file in memory, which
/// instances share until they write to it.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays; it bounds how many components can be loaded");
    }
}
