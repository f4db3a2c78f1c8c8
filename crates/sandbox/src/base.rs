//! The base image: the engine, initialised once and compiled once, with its memory as a picture that every run starts from.

use crate::codec::KEYS;
use crate::codec::decode::decode;
use crate::codec::wire::{INPUT_AREA, STATUS_OK};
use crate::config::MAX_PAGES;
use crate::engine::{EngineError, EngineIdentity};
use crate::guest::{Answer, Exports, Guest, RunState, World};
use crate::meter::Meter;
use crate::port::NoPorts;
use crate::rewrite::{self, Contents, Facts};
use crate::{cache, guest, modules};
use sluice_model::{Bundle, BundleModule};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasmtime::{InstancePre, Module};

/// The engine that this build carries.
static ENGINE_WASM: &[u8] = include_bytes!(env!("SLUICE_ENGINE_WASM"));

/// An Action that is loaded and dropped before the picture is taken: what the engine makes on first use of modules, async
/// functions and promises is then in the base and not in every Action's delta.
///
/// Its module stays in the engine's list, so its path is one that no module of a package can have: an import of that path
/// would be this Action.
const WARM_UP_PATH: &str = ":warm-up";
const WARM_UP: &str = "export async function execute(input) { await null; return { kind: 'continue' } }";

/// The scripts of the web's APIs, with the names that their frames have in stacks.
macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        [$((concat!(":web/", $name), include_str!(concat!("../../guest/src/web/", $name)))),*]
    };
}

/// Scripts, by the names that their frames have in stacks.
pub(crate) type Scripts = &'static [(&'static str, &'static str)];

/// In the order in which they build upon each other.
pub(crate) const SCRIPTS: Scripts = &scripts!(
    "core.js",
    "timers.js",
    "events.js",
    "abort.js",
    "encoding.js",
    "clone.js",
    "url.js",
    "crypto.js",
    "headers.js",
    "body.js",
    "request.js",
    "response.js",
    "fetch.js",
    "platform.js",
    "globals.js",
    "console.js",
);

/// What a guest says of a mistake, as JSON.
const MAX_REPORT_BYTES: usize = 64 << 10;

/// Collections of garbage before the picture is taken.
const COLLECTIONS: u32 = 4;

/// What the picture is made of and how: where any of it differs, a picture in the cache is another one.
fn recipe(engine_hash: blake3::Hash) -> blake3::Hash {
    let mut recipe = blake3::Hasher::new();
    recipe.update(engine_hash.as_bytes());
    for source in [include_str!("base.rs"), include_str!("rewrite.rs"), include_str!("codec/keys.txt")] {
        recipe.update(source.as_bytes());
    }
    for (name, code) in SCRIPTS {
        recipe.update(name.as_bytes()).update(code.as_bytes());
    }
    recipe.finalize()
}

/// A base image, ready to be instantiated.
pub(crate) struct Base {
    pub(crate) identity: EngineIdentity,
    /// For runs.
    pub(crate) serving: Ready,
    /// For top levels that are evaluated.
    pub(crate) evaluating: Ready,
    /// The memory that every guest starts with.
    pub(crate) memory: Vec<u8>,
    /// Where the static input buffer is.
    pub(crate) input_area: u32,
    /// Where the stack begins; it grows down to 0.
    stack_top: usize,
}

/// The base image in one of the two wasmtime engines; see [`crate::config`].
pub(crate) struct Ready {
    pub(crate) pre: InstancePre<RunState>,
    pub(crate) exports: Exports,
}

impl Ready {
    fn new(engine: &wasmtime::Engine, image: &Image) -> Result<Ready, EngineError> {
        let module = image.module(engine)?;
        let exports = Exports::find(&module).map_err(EngineError::MissingExport)?;
        Ok(Ready { pre: guest::linker(engine)?.instantiate_pre(&module)?, exports })
    }
}

/// What a cache file holds.
pub(crate) struct Image {
    /// The blake3 hash of the rewritten wasm.
    pub(crate) base_hash: [u8; 32],
    pub(crate) input_area: u32,
    pub(crate) memory: Vec<u8>,
    /// The machine code, as wasmtime serialises it.
    pub(crate) code: Vec<u8>,
}

impl Base {
    /// Takes it from the cache folder, or makes it (some seconds) and puts it there.
    pub(crate) fn load_or_build(
        serving: &wasmtime::Engine,
        evaluating: &wasmtime::Engine,
        cache_dir: Option<&Path>,
        scripts: Scripts,
    ) -> Result<Base, EngineError> {
        let facts = rewrite::facts(ENGINE_WASM)?;
        let engine_hash = blake3::hash(ENGINE_WASM);
        let place = cache_dir.map(|dir| cache::Place::new(dir, serving, &recipe(engine_hash))).transpose()?;
        if let Some(image) = place.as_ref().and_then(cache::Place::load) {
            match Base::new(serving, evaluating, image, &facts, engine_hash) {
                Ok(base) => return Ok(base),
                Err(error) => tracing::warn!(%error, "the cached engine is not usable; it is made anew"),
            }
        }
        let image = build(evaluating, &facts, scripts)?;
        if let Some(place) = place {
            place.store(&image);
        }
        Base::new(serving, evaluating, image, &facts, engine_hash)
    }

    fn new(
        serving: &wasmtime::Engine,
        evaluating: &wasmtime::Engine,
        image: Image,
        facts: &Facts,
        engine_hash: blake3::Hash,
    ) -> Result<Base, EngineError> {
        Ok(Base {
            identity: EngineIdentity {
                engine: engine_hash.to_hex().to_string(),
                base_image: blake3::Hash::from_bytes(image.base_hash).to_hex().to_string(),
            },
            serving: Ready::new(serving, &image)?,
            evaluating: Ready::new(evaluating, &image)?,
            memory: image.memory,
            input_area: image.input_area,
            stack_top: facts.stack_top,
        })
    }

    /// Parts of a memory that mean nothing between calls.
    pub(crate) fn dead(&self) -> [std::ops::Range<usize>; 2] {
        dead(self.stack_top, self.input_area)
    }
}

fn dead(stack_top: usize, input_area: u32) -> [std::ops::Range<usize>; 2] {
    [0..stack_top, input_area as usize..input_area as usize + INPUT_AREA]
}

/// Initialises the engine, and compiles it with the memory that it then has.
fn build(engine: &wasmtime::Engine, facts: &Facts, scripts: Scripts) -> Result<Image, EngineError> {
    let started = std::time::Instant::now();
    let plain = rewrite::rewrite(ENGINE_WASM, facts.min_pages, MAX_PAGES, &Contents::Own)?;
    let plain = Module::new(engine, plain)?;
    let exports = Exports::find(&plain).map_err(EngineError::MissingExport)?;
    let plain = Ready { pre: guest::linker(engine)?.instantiate_pre(&plain)?, exports };
    let (memory, input_area) = to_the_end(initialise(&plain, facts.stack_top, scripts))?;
    let pages = memory.len() as u64 / rewrite::PAGE_BYTES as u64;
    let picture = rewrite::rewrite(ENGINE_WASM, pages, MAX_PAGES, &Contents::Picture(&memory))?;
    let code = engine.precompile_module(&picture)?;
    tracing::info!(
        seconds = started.elapsed().as_secs_f32(),
        memory_bytes = memory.len(),
        code_bytes = code.len(),
        "compiled the engine"
    );
    Ok(Image { base_hash: blake3::hash(&picture).into(), input_area, memory, code })
}

/// The scripts of the web's APIs, and the Action of [`WARM_UP`], compiled.
async fn compiled(plain: &Ready, scripts: Scripts) -> Result<(Vec<Vec<u8>>, Vec<u8>), EngineError> {
    let mut guest = idle(plain).await?;
    guest.init("").await?;
    let mut compiled = Vec::with_capacity(scripts.len());
    for (name, code) in scripts {
        let answer = guest.compile(name, code).await?;
        fine(&guest, answer, name)?;
        compiled.push(guest.bytes(answer).unwrap_or_default().to_vec());
    }
    let path = WARM_UP_PATH.to_owned();
    let module = BundleModule { path: path.clone(), code: WARM_UP.into(), source_map: String::new() };
    let modules = modules::packed(&Bundle::new(path, vec![module])).map_err(|e| EngineError::WarmUp(e.message))?;
    let answer = guest.compile_modules(&modules).await?;
    fine(&guest, answer, WARM_UP_PATH)?;
    let warm_up = guest.bytes(answer).unwrap_or_default().to_vec();
    Ok((compiled, warm_up))
}

/// The memory of an engine that is initialised and idle, and where its input buffer is.
async fn initialise(plain: &Ready, stack_top: usize, scripts: Scripts) -> Result<(Vec<u8>, u32), EngineError> {
    let (compiled, warm_up) = compiled(plain, scripts).await?;
    let mut guest = idle(plain).await?;
    guest.init(KEYS).await?;
    let input_area = guest.input_area().await?;
    let answer = guest.load(&warm_up).await?;
    fine(&guest, answer, WARM_UP_PATH)?;
    guest.unload().await?;
    guest.collect_all().await?;
    guest.seal().await?;
    for ((name, _), compiled) in scripts.iter().zip(&compiled) {
        let answer = guest.install(compiled, input_area).await?;
        fine(&guest, answer, name)?;
    }
    // Collecting puts the engine's objects in an order of its own. Once that is the order that they are in, collecting after an
    // Action was loaded leaves them as they are, and not in the Action's snapshot.
    for _ in 0..COLLECTIONS {
        guest.collect_all().await?;
    }
    guest.seal().await?;
    guest.collect_all().await?;
    let mut memory = guest.memory().to_vec();
    for range in dead(stack_top, input_area) {
        if let Some(place) = memory.get_mut(range) {
            place.fill(0);
        }
    }
    Ok((memory, input_area))
}

/// A guest with all the time that it needs.
async fn idle(plain: &Ready) -> wasmtime::Result<Guest<'_>> {
    const A_DAY: Duration = Duration::from_secs(86_400);
    Guest::new(plain, Arc::new(Meter::new(A_DAY, A_DAY)), World::Frozen, Arc::new(NoPorts)).await
}

/// What a guest answers while a base image is made is well, or this build is not.
fn fine(guest: &Guest<'_>, answer: Answer, what: &str) -> Result<(), EngineError> {
    if answer.status == STATUS_OK {
        return Ok(());
    }
    let said = guest.bytes(answer).and_then(|bytes| decode(bytes, MAX_REPORT_BYTES).ok()).unwrap_or_default();
    Err(EngineError::WarmUp(format!("{what}: status {}: {said}", answer.status)))
}

/// Polls a future that waits for nothing: building happens before the epoch ticks, so no call yields.
fn to_the_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}
