//! The journal: every commit, in a file that is on the disk before the commit is acknowledged.
//!
//! ```text
//! FOLDER/00000000000000000001.log     the commits from that number on: a segment of frames, a commit each
//! commit: version u8 · number u64 · rows (count u32, each: operation u8 · key (counted) · value (counted, of a put)) ·
//!         queues (count u32, each: key (counted) · last number u64)
//! ```
//! It is the truth: sled is what the commits make of it, and is made again from it where it lost any. A commit is written to
//! it before it is applied, so that sled is never ahead of it while the process lives; commits of one moment share an fdatasync.
//! What a crash leaves at its very end, and nobody was told of, is cut off; damage before that is a refusal.

use crate::bytes::{Put, Take, length};
use crate::frames::{self, End, Header, SEGMENT_HEADER_BYTES};
use crate::store::batch::Plan;
use crate::store::{Key, Revision, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"SLUICECJ";
const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Where a segment ends, 16 MiB: some ten thousand commits. What is no longer needed is removed by whole segments.
pub(super) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The journal that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    segment_bytes: u64,
    open: Mutex<Open>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Open {
    file: Arc<File>,
    header: Header,
    length: u64,
    /// How many of its bytes are on the disk.
    synced: u64,
    /// The next commit begins a segment.
    full: bool,
    /// Bytes written since the last time somebody asked.
    written: u64,
}

/// Why a commit is not in the journal.
#[derive(Debug)]
pub(super) enum AppendError {
    /// Nothing of it is: the next may be.
    Refused(io::Error),
    /// What is in the file is not known any more.
    Unknown(io::Error),
}

/// What lies in a journal's folder.
#[derive(Debug)]
pub(super) struct Found {
    folder: PathBuf,
    /// The number of each segment's first commit, oldest first.
    segments: Vec<u64>,
    /// Where the last whole commit of the newest segment ends, in bytes.
    length: u64,
    /// That of the newest segment, `None` where a crash left none.
    header: Option<Header>,
    /// The newest commit; one less than `first` where there is none.
    last: Revision,
}

impl Journal {
    /// Makes a journal that begins with this commit, in place of whatever is in the folder.
    pub(super) fn create(folder: &Path, first: Revision, segment_bytes: u64) -> io::Result<Journal> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(folder)?;
        let (file, header) = create(folder, first)?;
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Journal::on(folder.to_owned(), segment_bytes, file, header, SEGMENT_HEADER_BYTES as u64))
    }

    fn on(folder: PathBuf, segment_bytes: u64, file: File, header: Header, length: u64) -> Journal {
        let open = Open { file: Arc::new(file), header, length, synced: length, full: false, written: 0 };
        Journal { folder, segment_bytes, open: Mutex::new(open) }
    }

    /// Writes a commit. It is on the disk when a [`Journal::sync`] that began later has ended.
    pub(super) fn append(&self, plan: &Plan) -> Result<(), AppendError> {
        let payload = encode(plan);
        let mut open = self.open.lock();
        if open.full || open.length >= self.segment_bytes {
            self.roll(&mut open, plan.revision)?;
        }
        let mut bytes = Vec::with_capacity(payload.len() + frames::FRAME_HEADER_BYTES);
        frames::put(&mut bytes, open.header.salt, open.synced, &payload);
        if let Err(error) = open.file.write_all_at(&bytes, open.length) {
            return match open.file.set_len(open.length) {
                Ok(()) => Err(AppendError::Refused(error)),
                Err(again) => Err(AppendError::Unknown(again)),
            };
        }
        open.length += bytes.len() as u64;
        open.written += bytes.len() as u64;
        Ok(())
    }

    fn roll(&self, open: &mut Open, first: Revision) -> Result<(), AppendError> {
        // What an older segment holds is on the disk before a newer one is there: only the newest may have a torn end.
        open.file.sync_data().map_err(AppendError::Unknown)?;
        open.synced = open.length;
        match create(&self.folder, first) {
            Ok((file, header)) => {
                let length = SEGMENT_HEADER_BYTES as u64;
                let written = open.written;
                *open = Open { file: Arc::new(file), header, length, synced: length, full: false, written };
            }
            // The one that is there can still grow.
            Err(error) => tracing::warn!(%error, "a segment of the commit journal could not be begun"),
        }
        Ok(())
    }

    /// Forces to the disk what was appended before the call.
    pub(super) fn sync(&self) -> io::Result<()> {
        let (file, first, length) = {
            let open = self.open.lock();
            (Arc::clone(&open.file), open.header.first, open.length)
        };
        file.sync_data()?;
        let mut open = self.open.lock();
        if open.header.first == first {
            open.synced = open.synced.max(length);
        }
        Ok(())
    }

    /// Has the next commit begin a segment, and says how many bytes were written since the last call.
    pub(super) fn cut(&self) -> u64 {
        let mut open = self.open.lock();
        open.full = open.length > SEGMENT_HEADER_BYTES as u64;
        std::mem::take(&mut open.written)
    }

    /// How many bytes were written since the last [`Journal::cut`].
    pub(super) fn written(&self) -> u64 {
        self.open.lock().written
    }

    /// Removes the segments that hold nothing past a commit; never the newest.
    pub(super) fn forget(&self, through: Revision) -> io::Result<()> {
        let segments = list(&self.folder)?;
        for pair in segments.windows(2) {
            if pair[1] > through.0 + 1 {
                break;
            }
            fs::remove_file(path_of(&self.folder, pair[0]))?;
        }
        Ok(())
    }
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> AppendError {
        AppendError::Refused(error)
    }
}

impl Found {
    /// Reads what lies in a folder, `None` where there is no segment. Nothing is changed.
    pub(super) fn look(folder: &Path) -> Result<Option<Found>, StoreError> {
        let segments = match list(folder) {
            Ok(segments) => segments,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(folder, &error)),
        };
        let Some(newest) = segments.last().copied() else { return Ok(None) };
        let mut found = Found { folder: folder.to_owned(), segments, length: 0, header: None, last: Revision(0) };
        let mut next = found.first().0;
        for first in found.segments.clone() {
            if first != next {
                let detail = format!("the commits from {next} to {} are not there", first.saturating_sub(1));
                return Err(damaged(&path_of(folder, first), 0, &detail));
            }
            let is_newest = first == newest;
            let walked = walk(folder, first, is_newest, |plan| {
                next = plan.revision.0 + 1;
                Ok(())
            })?;
            if is_newest {
                (found.length, found.header) = walked;
            }
        }
        found.last = Revision(next - 1);
        Ok(Some(found))
    }

    /// The oldest commit that may be in it.
    pub(super) fn first(&self) -> Revision {
        Revision(self.segments.first().copied().unwrap_or(1))
    }

    /// The newest commit.
    pub(super) fn last(&self) -> Revision {
        self.last
    }

    /// Tells every commit past one, in order.
    pub(super) fn replay(
        &self,
        after: Revision,
        mut each: impl FnMut(Plan) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for (at, first) in self.segments.iter().enumerate() {
            // Its last commit is the one before the next segment's first.
            if self.segments.get(at + 1).is_some_and(|next| *next <= after.0 + 1) {
                continue;
            }
            let is_newest = at + 1 == self.segments.len();
            walk(&self.folder, *first, is_newest, |plan| if plan.revision > after { each(plan) } else { Ok(()) })?;
        }
        Ok(())
    }

    /// Goes on writing behind it. A torn end is cut off.
    pub(super) fn resume(self, segment_bytes: u64) -> Result<Journal, StoreError> {
        let newest = self.segments.last().copied().unwrap_or(1);
        let path = path_of(&self.folder, newest);
        let open = || {
            let Some(header) = self.header else { return create(&self.folder, Revision(newest)) };
            let file = File::options().read(true).write(true).open(&path)?;
            let torn = file.metadata()?.len().saturating_sub(self.length);
            if torn > 0 {
                tracing::warn!(segment = %path.display(), bytes = torn, "cut off what a crash left unfinished");
                file.set_len(self.length)?;
            }
            // It was read, so it is in memory; whether it is on the disk is not known before it is forced there.
            file.sync_all()?;
            Ok((file, header))
        };
        let (file, header) = open().map_err(|error| failed(&path, &error))?;
        Ok(Journal::on(self.folder, segment_bytes, file, header, self.length))
    }
}

/// Reads a segment and tells its commits. Only the newest may have a torn end. The answer is where the last whole commit ends,
/// and the header, `None` where a crash has left none.
fn walk(
    folder: &Path,
    first: u64,
    is_newest: bool,
    mut each: impl FnMut(Plan) -> Result<(), StoreError>,
) -> Result<(u64, Option<Header>), StoreError> {
    let path = path_of(folder, first);
    let segment = fs::read(&path).map_err(|error| failed(&path, &error))?;
    if segment.len() <= SEGMENT_HEADER_BYTES && is_newest {
        // A crash while it was made: nothing was ever written to it.
        return Ok((SEGMENT_HEADER_BYTES as u64, None));
    }
    let header = Header::decode(MAGIC, &segment).map_err(|detail| damaged(&path, 0, &detail))?;
    if header.first != first {
        return Err(damaged(&path, 0, &format!("it begins at {}, which is not its name", header.first)));
    }
    let (mut next, mut failure) = (first, None);
    let walked = frames::walk(&segment, header.salt, |_, payload| {
        if failure.is_some() {
            return Ok(());
        }
        let plan = decode(payload)?;
        if plan.revision.0 != next {
            return Err(format!("its commit is {} where {next} comes next", plan.revision));
        }
        next += 1;
        failure = each(plan).err();
        Ok(())
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    match walked {
        Ok(End::Whole) => Ok((segment.len() as u64, Some(header))),
        Ok(End::Torn { at }) if is_newest => Ok((at, Some(header))),
        Ok(End::Torn { at }) => Err(damaged(&path, at, "a commit does not pass, and a later segment follows")),
        Err(damage) => Err(damaged(&path, damage.offset, &damage.detail)),
    }
}

fn create(folder: &Path, first: Revision) -> io::Result<(File, Header)> {
    let header = Header::new(first.0);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path_of(folder, first.0))?;
    file.write_all_at(&header.encode(MAGIC), 0)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok((file, header))
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        segments
            .extend(name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|name| name.parse::<u64>().ok()));
    }
    segments.sort_unstable();
    Ok(segments)
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Folder { folder: path.to_owned(), detail: error.to_string() }
}

fn damaged(file: &Path, offset: u64, detail: &str) -> StoreError {
    let advice = "put the file back from a backup, or move the data folder aside and restore an export \
                  (sluice-control-plane restore)";
    let detail = format!("the commit journal is damaged at byte {offset}: {detail}; {advice}");
    StoreError::Folder { folder: file.to_owned(), detail }
}

fn encode(plan: &Plan) -> Vec<u8> {
    let size: usize =
        plan.rows.iter().map(|(key, value)| key.as_bytes().len() + value.as_ref().map_or(0, Vec::len) + 9).sum();
    let mut out = Vec::with_capacity(size + 64);
    out.u8(VERSION);
    out.u64(plan.revision.0);
    out.u32(length(plan.rows.len()));
    for (key, value) in &plan.rows {
        out.u8(if value.is_some() { PUT } else { DELETE });
        out.counted(key.as_bytes());
        if let Some(value) = value {
            out.counted(value);
        }
    }
    out.u32(length(plan.queues.len()));
    for (queue, last) in &plan.queues {
        out.counted(queue.as_bytes());
        out.u64(*last);
    }
    out
}

fn decode(payload: &[u8]) -> Result<Plan, String> {
    let mut from = Take(payload);
    match from.u8() {
        Some(VERSION) => {}
        other => return Err(format!("its version is {}, this build knows {VERSION}", other.unwrap_or_default())),
    }
    let plan = (|| {
        let revision = Revision(from.u64()?);
        let mut rows = Vec::new();
        for _ in 0..from.u32()? {
            let operation = from.u8()?;
            let key = Key::from_bytes(from.counted()?.to_vec());
            let value = match operation {
                PUT => Some(from.counted()?.to_vec()),
                DELETE => None,
                _ => return None,
            };
            rows.push((key, value));
        }
        let mut queues = HashMap::new();
        for _ in 0..from.u32()? {
            queues.insert(Key::from_bytes(from.counted()?.to_vec()), from.u64()?);
        }
        from.0.is_empty().then_some(Plan { revision, rows, queues })
    })();
    plan.ok_or_else(|| "it passes its checksum, but is no commit".to_owned())
}
