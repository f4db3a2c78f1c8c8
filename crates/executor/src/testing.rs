//! What unit tests share: one engine, Actions written in place, a source of bundles that counts.

use crate::modules::{Source, SourceError};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use sluice_model::{Bundle, BundleModule, Slug};
use sluice_sandbox::{Engine, EngineOptions};
use std::{
    collections::HashMap,
    path::PathBuf,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tokio::sync::Semaphore;

/// The engine of all tests. Compiled once for all runs of the tests: its cache outlives them.
pub(crate) fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let start = || {
        let cache_dir = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/test-engine"));
        Engine::new(EngineOptions { cache_dir, max_runs_in_flight: 32, ..EngineOptions::default() }).unwrap()
    };
    ENGINE.get_or_init(start).clone()
}

/// A slug.
pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

/// A bundle of one module.
pub(crate) fn bundle(code: &str) -> Bundle {
    let module = BundleModule { path: "src/index.js".into(), code: code.into(), source_map: String::new() };
    Bundle::new("src/index.js", vec![module])
}

/// An Action whose `execute` is this expression of `input`.
pub(crate) fn action(expression: &str) -> Bundle {
    bundle(&format!("export function execute(input) {{ return {expression} }}"))
}

/// Polls a future once.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Bundles in memory. Sends are counted, and wait for the gate.
#[derive(Debug)]
pub(crate) struct Shelf {
    bundles: Mutex<HashMap<String, Bytes>>,
    sent: AtomicUsize,
    gate: std::sync::Arc<Semaphore>,
    pub(crate) refuses: std::sync::atomic::AtomicBool,
    /// The tenant that has published nothing.
    pub(crate) closed_to: Mutex<Option<Slug>>,
}

impl Shelf {
    /// An open one.
    pub(crate) fn new() -> std::sync::Arc<Shelf> {
        Shelf::behind(Semaphore::MAX_PERMITS)
    }

    /// One that sends so many bundles before it waits for [`Shelf::open`].
    pub(crate) fn behind(permits: usize) -> std::sync::Arc<Shelf> {
        std::sync::Arc::new(Shelf {
            bundles: Mutex::default(),
            sent: AtomicUsize::new(0),
            gate: std::sync::Arc::new(Semaphore::new(permits)),
            refuses: false.into(),
            closed_to: Mutex::default(),
        })
    }

    /// Puts a bundle in; the answer is its digest.
    pub(crate) fn put(&self, bundle: &Bundle) -> String {
        let bytes = bundle.to_bytes();
        let digest = Bundle::digest(&bytes);
        self.bundles.lock().insert(digest.clone(), bytes.into());
        digest
    }

    /// Puts bytes in under a digest that is not theirs.
    pub(crate) fn put_wrong(&self, digest: &str, bytes: &[u8]) {
        self.bundles.lock().insert(digest.to_owned(), Bytes::copy_from_slice(bytes));
    }

    /// Lets one more go.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }

    /// How many were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Source for Shelf {
    fn bundle(&self, tenant: Slug, digest: String) -> BoxFuture<'static, Result<Bytes, SourceError>> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let is_closed = self.closed_to.lock().as_ref() == Some(&tenant);
        let found = self.bundles.lock().get(&digest).filter(|_| !is_closed).cloned();
        let (gate, refuses) = (std::sync::Arc::clone(&self.gate), self.refuses.load(Ordering::SeqCst));
        async move {
            gate.acquire().await.unwrap().forget();
            let away = |transient| SourceError { message: "not on the shelf".into(), transient };
            if refuses { Err(away(true)) } else { found.ok_or(away(false)) }
        }
        .boxed()
    }
}
