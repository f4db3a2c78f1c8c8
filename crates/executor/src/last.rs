//! The last good state, in the cache folder: what an executor serves that starts while the control plane is away.
//!
//! `<data>/cache/state.log` holds what the control plane sent, as it came: one whole state, then every change that was
//! applied since. A change is appended before it serves and before it is acknowledged, so an executor that is killed comes
//! back with what it had acknowledged; the disk is asked to keep it a moment later, off every worker that sign-ins wait
//! for. When the changes outweigh the whole, the file is [folded](fold) into a new one.
//!
//! What is damaged is never believed. An end that was cut off in the middle of a write was never acknowledged: it is cut,
//! and what stands before it serves. Anything else that does not check puts the whole file aside, and the control plane is
//! asked for everything. Secrets lie in it [sealed](sealed) by a key of the executor's own, or are left out. The file says what the executor had subscribed to: a state for other tenants is not taken.

pub(crate) mod fold;
mod frame;
mod sealed;
#[cfg(test)]
mod tests;

pub(crate) use sealed::PURPOSE as KEPT_STATE;

use crate::{
    files::{self, Force},
    telemetry::Metrics,
};
use frame::{FrameError, Record};
use jiff::Timestamp;
use parking_lot::Mutex;
use prost::Message as _;
use sluice_api::distribution::v1 as wire;
use sluice_serve::seal::Sealer;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The file in the cache folder.
pub(crate) const FILE: &str = "state.log";
/// Changes of less than this are not worth folding, in bytes.
const MIN_FOLDED_BYTES: u64 = 256 << 10;
/// Changes that could not be written wait in memory, in bytes; with more, the next whole state is waited for.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// See the [module](self). Cheap to clone; everything blocks, but for [`LastState::keep`].
#[derive(Clone, Debug)]
pub(crate) struct LastState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    path: PathBuf,
    /// What the executor hears of, as it tells the control plane.
    subscription: Vec<u8>,
    metrics: Arc<Metrics>,
    /// Seals secrets; without it they are left out.
    sealer: Option<Sealer>,
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    /// None until there is a whole state.
    file: Option<File>,
    /// How long the file is, and how much of it is the whole state that it begins with.
    bytes: u64,
    whole_bytes: u64,
    /// Goes up with every file: a fold of a file that was replaced meanwhile is thrown away.
    generation: u64,
    is_folding: bool,
    is_forced: bool,
    /// Changes that could not be written yet.
    waiting: Vec<u8>,
    /// Changes were lost: nothing is appended until the next whole state.
    has_gap: bool,
}

/// A state as it came, ready to be written.
#[derive(Debug)]
pub(crate) struct AsItCame {
    full: bool,
    bytes: Vec<u8>,
}

impl AsItCame {
    /// Takes down the parts of a state that serves from `at` on, as they are to lie in the file.
    fn of(parts: &[wire::State], at: Timestamp) -> AsItCame {
        let mut bytes = Vec::new();
        for part in parts {
            frame::write(&mut bytes, &Record::Part { applied_ms: at.as_millisecond(), part: part.encode_to_vec() });
        }
        AsItCame { full: parts.first().is_some_and(|part| part.full), bytes }
    }
}

/// A state that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// All of it, as one full state.
    pub(crate) parts: Vec<wire::State>,
    /// When the executor that kept it made it serve.
    pub(crate) applied_at: Timestamp,
    /// There were secrets that could not be kept, or do not open: everything has to be asked for.
    pub(crate) lacks_secrets: bool,
}

/// Why there is no state to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoState {
    #[error("none is kept in {}", .0.display())]
    Nothing(PathBuf),
    #[error("the one in {} is of another subscription", .0.display())]
    OtherSubscription(PathBuf),
    #[error("the one in {} was written by another version of sluice", .path.display())]
    OtherFormat { path: PathBuf },
    #[error("the one in {} is damaged and was set aside", .path.display())]
    Damaged { path: PathBuf },
    #[error("the one in {} cannot be read: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
}

impl LastState {
    /// In this folder, which exists. Nothing is read or written yet.
    /// `sealer` seals the secrets in it.
    pub(crate) fn new(
        folder: &Path,
        subscription: &wire::hello::Subscription,
        sealer: Option<Sealer>,
        metrics: Arc<Metrics>,
    ) -> LastState {
        let hello = wire::Hello { subscription: Some(subscription.clone()), ..wire::Hello::default() };
        LastState(Arc::new(Inner {
            folder: folder.to_owned(),
            path: folder.join(FILE),
            subscription: hello.encode_to_vec(),
            metrics,
            sealer,
            writer: Mutex::default(),
        }))
    }

    /// Takes down the parts of a state that serves from `at` on, without any secret in clear.
    pub(crate) fn take_down(&self, parts: &[wire::State], at: Timestamp) -> AsItCame {
        AsItCame::of(&sealed::sealed(self.0.sealer.as_ref(), parts), at)
    }

    /// What was kept. From then on changes are appended to it.
    ///
    /// # Errors
    /// Why there is none: the first start, a damaged file, another subscription.
    pub(crate) fn load(&self) -> Result<Kept, NoState> {
        let inner = &*self.0;
        let path = || inner.path.clone();
        let bytes = match fs::read(&inner.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoState::Nothing(path())),
            Err(error) => return Err(NoState::Unreadable { path: path(), error }),
        };
        let read = match frame::read(&bytes, &inner.subscription) {
            Ok(read) => read,
            Err(FrameError::OtherSubscription) => return Err(NoState::OtherSubscription(path())),
            Err(FrameError::OtherFormat) => return Err(NoState::OtherFormat { path: path() }),
            Err(FrameError::Damaged(reason)) => {
                self.set_aside(reason);
                return Err(NoState::Damaged { path: path() });
            }
        };
        if read.whole_bytes < bytes.len() as u64 {
            let cut = bytes.len() as u64 - read.whole_bytes;
            tracing::warn!(path = %inner.path.display(), bytes = cut, "a state was cut that its process had not finished");
        }
        let opened = OpenOptions::new().write(true).open(&inner.path).and_then(|file| {
            file.set_len(read.whole_bytes)?;
            Ok(file)
        });
        match opened {
            Ok(file) => {
                let mut writer = inner.writer.lock();
                writer.file = Some(file);
                writer.bytes = read.whole_bytes;
                writer.whole_bytes = read.first_bytes;
                writer.generation += 1;
                writer.is_forced = true;
            }
            // It can be read and serves; the next whole state makes another file.
            Err(error) => tracing::error!(path = %inner.path.display(), %error, "the kept state cannot be added to"),
        }
        let mut parts = fold::fold(read.updates, Timestamp::now());
        let lacks_secrets = sealed::open(inner.sealer.as_ref(), &mut parts);
        Ok(Kept { parts, applied_at: read.applied_at, lacks_secrets })
    }

    /// Puts the file where it is not looked for again: what is in it cannot be used.
    pub(crate) fn set_aside(&self, reason: &str) {
        let inner = &*self.0;
        inner.metrics.cache_damaged();
        let mut writer = inner.writer.lock();
        (writer.file, writer.generation) = (None, writer.generation + 1);
        match files::set_aside(&inner.folder, &inner.path) {
            Ok(aside) => tracing::error!(
                path = %inner.path.display(), reason, aside = %aside.display(),
                "the kept state is not believed; everything is asked of the control plane"
            ),
            Err(error) => tracing::error!(
                path = %inner.path.display(), reason, %error,
                "the kept state is not believed, and cannot be set aside; the next whole state replaces it"
            ),
        }
    }

    /// Keeps a state that is about to serve. It returns once the operating system has it, so that it outlives this
    /// process; where that fails, the log tells, and it is tried again with the next one and at every [`LastState::force`].
    pub(crate) async fn keep(&self, state: AsItCame) {
        let last = self.clone();
        let worth_folding = tokio::task::spawn_blocking(move || {
            let mut writer = last.0.writer.lock();
            last.write(&mut writer, state);
            let worth_folding = writer.is_worth_folding();
            writer.is_folding |= worth_folding;
            worth_folding
        });
        // A panic in it is reported by the runtime.
        if worth_folding.await.unwrap_or(false) {
            let last = self.clone();
            let _nobody_waits = tokio::task::spawn_blocking(move || last.fold());
        }
    }

    fn write(&self, writer: &mut Writer, state: AsItCame) {
        let inner = &*self.0;
        let (what, written) = if state.full {
            ("a whole state", self.replace(writer, &state.bytes))
        } else {
            writer.waiting.extend_from_slice(&state.bytes);
            ("a change", inner.append(writer))
        };
        if let Err(error) = written {
            tracing::error!(path = %inner.path.display(), %error, "{what} cannot be kept; a restart without the control plane would not know it");
        }
        if writer.waiting.len() > MAX_WAITING_BYTES {
            (writer.waiting, writer.has_gap) = (Vec::new(), true);
            tracing::error!(path = %inner.path.display(), "too many changes could not be kept; the next whole state is waited for");
        }
        inner.metrics.state_unkept(writer.waiting.len() as u64, writer.has_gap);
    }

    /// Writes another file, and puts it in place of the one before.
    fn replace(&self, writer: &mut Writer, frames: &[u8]) -> io::Result<()> {
        let inner = &*self.0;
        let mut bytes = frame::head(&inner.subscription);
        bytes.extend_from_slice(frames);
        // Whatever comes of it, changes to the one before are changes no more.
        (writer.file, writer.waiting, writer.has_gap) = (None, Vec::new(), true);
        writer.generation += 1;
        files::replace(&inner.path, &bytes, Force::Disk)?;
        writer.file = Some(OpenOptions::new().write(true).open(&inner.path)?);
        (writer.bytes, writer.whole_bytes) = (bytes.len() as u64, bytes.len() as u64);
        (writer.has_gap, writer.is_forced) = (false, true);
        Ok(())
    }

    /// Asks the disk to keep what was appended, and tries again what could not be.
    pub(crate) fn force(&self) {
        let inner = &*self.0;
        let file = {
            let mut writer = inner.writer.lock();
            if !writer.waiting.is_empty() && inner.append(&mut writer).is_ok() {
                tracing::info!(path = %inner.path.display(), "changes are kept that could not be before");
                inner.metrics.state_unkept(0, writer.has_gap);
            }
            if writer.is_forced {
                return;
            }
            writer.is_forced = true;
            writer.file.as_ref().and_then(|file| file.try_clone().ok())
        };
        if let Some(file) = file
            && let Err(error) = file.sync_data()
        {
            tracing::error!(path = %inner.path.display(), %error, "the kept state cannot be forced to disk");
        }
    }

    /// Folds the changes into a whole. Appending goes on meanwhile.
    fn fold(&self) {
        let inner = &*self.0;
        let (generation, bytes) = {
            let writer = inner.writer.lock();
            (writer.generation, writer.bytes)
        };
        if let Err(error) = self.fold_up_to(generation, bytes) {
            tracing::error!(path = %inner.path.display(), %error, "the kept state cannot be folded; it grows");
        }
        inner.writer.lock().is_folding = false;
    }

    fn fold_up_to(&self, generation: u64, bytes: u64) -> io::Result<()> {
        let inner = &*self.0;
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut before = fs::read(&inner.path)?;
        before.truncate(usize::try_from(bytes).map_err(io::Error::other)?);
        let read =
            frame::read(&before, &inner.subscription).map_err(|_| damaged("it does not read as it was written"))?;
        if read.whole_bytes != bytes {
            return Err(damaged("it is shorter than it was written"));
        }
        let whole = AsItCame::of(&fold::fold(read.updates, Timestamp::now()), read.applied_at);
        let mut folded = frame::head(&inner.subscription);
        folded.extend_from_slice(&whole.bytes);
        let whole_bytes = folded.len() as u64;
        let half = files::half(&inner.path);
        let mut file = File::create(&half)?;
        let written = file.write_all(&folded).and_then(|()| file.sync_data());
        let swapped = written.and_then(|()| {
            let mut writer = inner.writer.lock();
            if writer.generation != generation {
                // Another whole state has come.
                return Err(io::Error::other("it was replaced meanwhile"));
            }
            let all = fs::read(&inner.path)?;
            let end = usize::try_from(writer.bytes).map_err(io::Error::other)?;
            let tail = all.get(before.len()..end).ok_or_else(|| damaged("it is shorter than it was written"))?;
            file.write_all(tail)?;
            file.sync_data()?;
            fs::rename(&half, &inner.path)?;
            writer.generation += 1;
            (writer.bytes, writer.whole_bytes) = (whole_bytes + tail.len() as u64, whole_bytes);
            writer.file = Some(file);
            Ok(())
        });
        if swapped.is_err() {
            let _gone_or_swept_later = fs::remove_file(&half);
        }
        swapped?;
        files::sync_folder(&inner.folder)
    }
}

impl Inner {
    /// Appends what waits. What was written in part is cut off again, so that the file is whole at any time.
    fn append(&self, writer: &mut Writer) -> io::Result<()> {
        if writer.has_gap {
            writer.waiting.clear();
            return Err(io::Error::other("there is no whole state that it changes"));
        }
        let bytes = writer.bytes;
        let Some(file) = &mut writer.file else {
            writer.waiting.clear();
            return Err(io::Error::other("there is no whole state that it changes"));
        };
        if let Err(error) = append_at(file, bytes, &writer.waiting) {
            file.set_len(bytes)?;
            return Err(error);
        }
        writer.bytes += writer.waiting.len() as u64;
        writer.waiting = Vec::new();
        writer.is_forced = false;
        Ok(())
    }
}

fn append_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.write_all_at(bytes, at)
}

impl Writer {
    fn is_worth_folding(&self) -> bool {
        let changes = self.bytes.saturating_sub(self.whole_bytes);
        !self.is_folding && self.file.is_some() && changes > self.whole_bytes.max(MIN_FOLDED_BYTES)
    }
}
