//! A snapshot: an Action's module, evaluated, as its difference to the base image.

use crate::component::Compiled;
use crate::config::MAX_PAGES;
use crate::delta::Delta;
use crate::engine::{Engine, EngineIdentity};
use crate::failure::Places;
use sluice_model::LogLine;
use std::sync::Arc;

/// Begins a snapshot's bytes; the number is their layout's.
const MAGIC: &[u8; 8] = b"SLUSNAP1";

/// More than any snapshot's payload, so that damaged bytes cannot ask for any amount of memory.
const MAX_PAYLOAD_BYTES: usize = 128 << 20;

/// Begins what is kept of a component: its digest follows, and its machine code is in the engine's own cache folder.
const COMPONENT_MAGIC: &[u8; 8] = b"SLUCOMP1";

/// An Action that is ready to run. It belongs to one engine and one base image.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) kind: Kind,
    base_image: [u8; 32],
}

/// What an Action is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Modules in JavaScript.
    Script(Arc<Script>),
    /// A WebAssembly component, and its digest.
    Component(Arc<Compiled>, String),
}

/// Modules that were evaluated.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) delta: Delta,
    pub(crate) places: Places,
    pub(crate) logs: Vec<LogLine>,
}

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They were made by another engine, or on another base image: evaluate the bundle again.
    #[error("the snapshot belongs to another engine or base image")]
    OtherEngine,
    /// They are not what [`Snapshot::to_bytes`] gave.
    #[error("the snapshot is damaged")]
    Damaged,
}

impl Snapshot {
    pub(crate) fn new(delta: Delta, places: Places, logs: Vec<LogLine>, identity: &EngineIdentity) -> Snapshot {
        let kind = Kind::Script(Arc::new(Script { delta, places, logs }));
        Snapshot { kind, base_image: identity.base_image_bytes() }
    }

    pub(crate) fn of_component(compiled: Arc<Compiled>, digest: String, identity: &EngineIdentity) -> Snapshot {
        Snapshot { kind: Kind::Component(compiled, digest), base_image: identity.base_image_bytes() }
    }

    /// What it holds in this process's memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Snapshot>()
            + match &self.kind {
                Kind::Script(script) => script.delta.held_bytes() + script.places.held_bytes(),
                Kind::Component(compiled, _) => compiled.held_bytes(),
            }
    }

    /// What the top level logged while it was evaluated; empty for a snapshot that was read from bytes.
    pub fn logs(&self) -> &[LogLine] {
        match &self.kind {
            Kind::Script(script) => &script.logs,
            Kind::Component(..) => &[],
        }
    }

    /// What a run of it logged, with the stacks of errors at the author's places. It reads source maps, which may take
    /// milliseconds where a bundle is large: for logs that somebody reads, and not for every run.
    #[must_use]
    pub fn in_the_authors_places(&self, logs: Vec<LogLine>) -> Vec<LogLine> {
        match &self.kind {
            Kind::Script(script) => script.places.in_logs(logs),
            Kind::Component(..) => logs,
        }
    }

    pub(crate) fn belongs_to(&self, identity: &EngineIdentity) -> bool {
        self.base_image == identity.base_image_bytes()
    }

    /// Bytes for a cache folder, compressed, with the engine's identity and a digest. Of a component they have no machine code:
    /// that is in the engine's own cache folder, and never taken from anywhere else.
    pub fn to_bytes(&self, engine: &Engine) -> Vec<u8> {
        let script = match &self.kind {
            Kind::Script(script) => script,
            Kind::Component(_, digest) => return [COMPONENT_MAGIC, digest.as_bytes()].concat(),
        };
        let mut payload = Vec::with_capacity(script.delta.held_bytes() + script.places.held_bytes() + 64);
        script.places.write(&mut payload);
        script.delta.write(&mut payload);
        // Compressing to memory fails only without memory; an empty payload would be refused as damaged.
        let packed = zstd::bulk::compress(&payload, 1).unwrap_or_default();
        [
            MAGIC,
            engine.identity().engine_bytes().as_slice(),
            &self.base_image,
            blake3::hash(&packed).as_bytes(),
            &packed,
        ]
        .concat()
    }

    /// Reads what [`Snapshot::to_bytes`] gave.
    ///
    /// # Errors
    /// [`SnapshotError::OtherEngine`] where another engine or base image made it, which is no fault; otherwise
    /// [`SnapshotError::Damaged`]. Forged bytes can hold any Action, and no more than that: what they describe runs inside
    /// the sandbox.
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        if let Some(digest) = bytes.strip_prefix(COMPONENT_MAGIC) {
            let digest = std::str::from_utf8(digest).ok().filter(|digest| is_digest(digest));
            let digest = digest.ok_or(SnapshotError::Damaged)?;
            // Where there is no code of this build's, it is compiled again.
            return engine.compiled_component(digest).ok_or(SnapshotError::OtherEngine);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(SnapshotError::Damaged)?;
        let (made_by, rest) = rest.split_first_chunk::<32>().ok_or(SnapshotError::Damaged)?;
        let (base_image, rest) = rest.split_first_chunk::<32>().ok_or(SnapshotError::Damaged)?;
        let (digest, packed) = rest.split_first_chunk::<32>().ok_or(SnapshotError::Damaged)?;
        let identity = engine.identity();
        if *made_by != identity.engine_bytes() || *base_image != identity.base_image_bytes() {
            return Err(SnapshotError::OtherEngine);
        }
        if blake3::hash(packed) != *digest {
            return Err(SnapshotError::Damaged);
        }
        let payload = zstd::bulk::decompress(packed, decompressed_len(packed)?).map_err(|_| SnapshotError::Damaged)?;
        let (places, rest) = Places::read(&payload).ok_or(SnapshotError::Damaged)?;
        let delta = Delta::read(rest, MAX_PAGES).map_err(|_| SnapshotError::Damaged)?;
        let script = Script { delta, places, logs: Vec::new() };
        Ok(Snapshot { kind: Kind::Script(Arc::new(script)), base_image: *base_image })
    }
}

/// Whether it is 64 hexadecimal digits, and so a name that a file may have.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The size that the compressed bytes say they have, within reason.
fn decompressed_len(packed: &[u8]) -> Result<usize, SnapshotError> {
    let len = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().ok_or(SnapshotError::Damaged)?;
    match usize::try_from(len) {
        Ok(len) if len <= MAX_PAYLOAD_BYTES => Ok(len),
        _ => Err(SnapshotError::Damaged),
    }
}
