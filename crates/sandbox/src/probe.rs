//! What the bench measures beneath the public API: the floor under a run, and a run without isolation.
//!
//! Only with the feature `probe`. Nothing here is for serving: an instance that is used again shows each run what the one
//! before it left.

use crate::base::Base;
use crate::codec::{EncodedInput, wire};
use crate::engine::{Engine, EngineError, EngineOptions};
use crate::guest::{Guest, World};
use crate::meter::Meter;
use crate::port::NoPorts;
use crate::snapshot::{Kind, Script, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Error, Instance, Linker, Module, Result, Store};

/// Runs that an instance is used for before it is made anew: what they allocate is not given back.
const RUNS_AN_INSTANCE: u32 = 200;

fn unlimited() -> Arc<Meter> {
    const A_DAY: Duration = Duration::from_secs(86_400);
    Arc::new(Meter::new(A_DAY, A_DAY))
}

/// An engine without the web's APIs, for what they cost a run that uses none of them.
///
/// # Errors
/// Those of [`Engine::new`].
pub fn bare(options: EngineOptions) -> std::result::Result<Engine, EngineError> {
    Engine::with(EngineOptions { cache_dir: None, ..options }, &[])
}

/// A module with one function that does nothing.
pub struct EmptyModule(Module);

impl EmptyModule {
    /// Compiles it in the engine's own wasmtime.
    ///
    /// # Errors
    /// wasmtime's.
    pub fn new(engine: &Engine) -> Result<EmptyModule> {
        use wasm_encoder as encode;
        let mut module = encode::Module::new();
        let mut types = encode::TypeSection::new();
        types.ty().function([], []);
        let mut functions = encode::FunctionSection::new();
        functions.function(0);
        let mut exports = encode::ExportSection::new();
        exports.export("f", encode::ExportKind::Func, 0);
        let mut code = encode::CodeSection::new();
        let mut body = encode::Function::new([]);
        body.instruction(&encode::Instruction::End);
        code.function(&body);
        module.section(&types).section(&functions).section(&exports).section(&code);
        Ok(EmptyModule(Module::new(engine.shared().base.serving.pre.module().engine(), module.finish())?))
    }

    /// A fresh store and instance, and one call.
    ///
    /// # Errors
    /// wasmtime's.
    pub async fn run(&self) -> Result<()> {
        let mut store = Store::new(self.0.engine(), ());
        store.set_epoch_deadline(1_000_000);
        let instance: Instance = Linker::new(self.0.engine()).instantiate_async(&mut store, &self.0).await?;
        instance.get_typed_func::<(), ()>(&mut store, "f")?.call_async(&mut store, ()).await
    }
}

/// A fresh guest from the base image, and a call that does nothing.
///
/// # Errors
/// wasmtime's.
pub async fn engine_no_op(engine: &Engine) -> Result<u32> {
    let base = &engine.shared().base;
    Guest::new(&base.serving, unlimited(), World::Live(None), Arc::new(NoPorts)).await?.input_area().await
}

/// How much of the base image a snapshot changes: runs of bytes, and host pages that they lie on.
pub fn spread(snapshot: &Snapshot) -> (usize, usize) {
    match &snapshot.kind {
        Kind::Script(script) => script.delta.spread(),
        Kind::Component(..) => (0, 0),
    }
}

/// An Action in one instance that is never restored.
pub struct Reused {
    base: &'static Base,
    script: Arc<Script>,
    guest: Option<Guest<'static>>,
    runs: u32,
}

impl Reused {
    /// The base image is leaked, once an object. None of a component.
    pub fn new(engine: &Engine, snapshot: &Snapshot) -> Option<Reused> {
        let Kind::Script(script) = &snapshot.kind else { return None };
        let base: &'static Arc<Base> = Box::leak(Box::new(engine.shared().base.clone()));
        Some(Reused { base, script: script.clone(), guest: None, runs: 0 })
    }

    /// One run; answers the length of the outcome.
    ///
    /// # Errors
    /// wasmtime's, and where the Action fails.
    pub async fn run(&mut self, input: &EncodedInput) -> Result<usize> {
        if self.runs.is_multiple_of(RUNS_AN_INSTANCE) {
            self.guest = None;
            let mut guest = Guest::new(&self.base.serving, unlimited(), World::Live(None), Arc::new(NoPorts)).await?;
            guest.grow_to(self.script.delta.pages())?;
            if !self.script.delta.apply(guest.memory_mut()) {
                return Err(Error::msg("the snapshot does not fit"));
            }
            self.guest = Some(guest);
        }
        self.runs += 1;
        let guest = self.guest.as_mut().ok_or_else(|| Error::msg("no guest"))?;
        let answer = guest.run(input.as_bytes(), self.base.input_area, false).await?;
        match (answer.status, guest.bytes(answer)) {
            (wire::STATUS_OK, Some(bytes)) => Ok(bytes.len()),
            (status, _) => Err(Error::msg(format!("status {status}"))),
        }
    }
}
