//! Segments: the files of a spool, and how an earlier epoch's are read again after whatever end it had.
//!
//! `<data>/spool/<epoch>/<first sequence>.seg`, both numbers in 20 digits. A segment is frames and nothing else.

use super::frame::{self, Next};
use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// Where segments end, in bytes. What is acknowledged is removed by whole segments.
pub(crate) const SEGMENT_BYTES: u64 = 8 << 20;

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The sequence of its first frame.
    pub(crate) first: u64,
    /// The sequence after its last frame.
    pub(crate) end: u64,
    /// The size of its whole frames.
    pub(crate) bytes: u64,
}

/// The file of the segment that begins with `first`.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.seg"))
}

/// The folder of an epoch.
pub(crate) fn epoch_folder(spool: &Path, epoch: u64) -> PathBuf {
    spool.join(format!("{epoch:020}"))
}

/// The epochs that have a folder, in order.
pub(crate) fn epochs(spool: &Path) -> io::Result<Vec<u64>> {
    let mut epochs = Vec::new();
    for entry in fs::read_dir(spool)? {
        epochs.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    epochs.sort_unstable();
    Ok(epochs)
}

/// What an epoch left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Its segments, without a gap between their sequences.
    pub(crate) segments: Vec<Segment>,
    /// Bytes that were cut off because the process ended in the middle of a write: no answer left for them.
    pub(crate) torn_bytes: u64,
    /// Files that were set aside, since what is in them is no frame, or comes after such a place: a disk lost or changed
    /// what had been written. They keep their bytes under another name.
    pub(crate) set_aside: Vec<PathBuf>,
}

/// Reads an epoch's folder. A torn tail is cut at the last whole frame; what is damaged is set aside, never dropped.
pub(crate) fn recover(folder: &Path) -> io::Result<Recovered> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let first =
            path.extension().is_some_and(|e| e == "seg").then(|| path.file_stem()?.to_str()?.parse().ok()).flatten();
        found.extend(first.map(|first| (first, path.clone())));
    }
    found.sort_unstable();
    let mut recovered = Recovered::default();
    let mut expected: Option<u64> = None;
    for (first, path) in found {
        if !recovered.set_aside.is_empty() || expected.is_some_and(|e| e != first) {
            recovered.set_aside.push(set_aside(&path)?);
            continue;
        }
        let bytes = fs::read(&path)?;
        let (mut at, mut sequence) = (0usize, first);
        let ending = loop {
            match frame::next(&bytes[at..]) {
                Next::Frame { sequence: found, bytes } if found == sequence => {
                    (at, sequence) = (at + bytes, sequence + 1);
                }
                // A machine that lost its power may have made the file longer without having written to it.
                _ if bytes[at..].iter().all(|byte| *byte == 0) => break Next::Short,
                Next::Frame { .. } | Next::Bad => break Next::Bad,
                Next::Short => break Next::Short,
            }
        };
        let rest = (bytes.len() - at) as u64;
        if ending == Next::Bad {
            // The good part goes on under the segment's name, the rest under another.
            let aside = path.with_extension("seg.damaged");
            fs::write(&aside, &bytes[at..])?;
            recovered.set_aside.push(aside);
        } else {
            recovered.torn_bytes += rest;
        }
        if rest > 0 {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(at as u64)?;
            file.sync_all()?;
        }
        if at == 0 {
            fs::remove_file(&path)?;
            continue;
        }
        expected = Some(sequence);
        recovered.segments.push(Segment { path, first, end: sequence, bytes: at as u64 });
    }
    Ok(recovered)
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension("seg.damaged");
    fs::rename(path, &aside)?;
    Ok(aside)
}
