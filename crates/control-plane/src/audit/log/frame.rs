//! Frames: what a segment is made of, and what may be wrong with its end.
//!
//! ```text
//! segment: magic "SLUICEAU" · format u32 · salt u32 · first cursor u64 · crc u32       (28 bytes), then frames
//! frame:   magic u32 · length of the payload u32 · where its group begins u64 · crc u32 (20 bytes), then the payload
//! ```
//! Little-endian. A frame's CRC-32 covers its header before the CRC and its payload, and starts from the segment's salt, a
//! random number, so that nobody can put a frame that passes into the content of a record.
//!
//! A **group** is what was written and synced together. Before a group is synced nothing of it is acknowledged, and a machine
//! that dies then may leave any part of it, but nothing behind it: the next group is written only after the sync. So a frame
//! that does not pass is a torn end where every whole frame behind it began in the same group, and can be cut off; where a later
//! group follows, something that was acknowledged is damaged, and the log refuses to go on.

use super::bytes::{Put, Take};
use super::{Cursor, LogError};
use std::path::Path;

const SEGMENT_MAGIC: &[u8; 8] = b"SLUICEAU";
const SEGMENT_FORMAT: u32 = 1;
/// The length of a segment's own header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 28;

const FRAME_MAGIC: [u8; 4] = *b"\xF5SLF";
/// The length of a frame's header.
pub(super) const FRAME_HEADER_BYTES: usize = 20;
const FRAME_CRC_AT: usize = 16;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) salt: u32,
    pub(super) first: Cursor,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = SEGMENT_MAGIC.to_vec();
        bytes.u32(SEGMENT_FORMAT);
        bytes.u32(self.salt);
        bytes.u64(self.first.0);
        bytes.u32(crc32fast::hash(&bytes));
        bytes
    }

    /// The header in front of a segment; the error says what does not fit.
    pub(super) fn decode(segment: &[u8]) -> Result<SegmentHeader, String> {
        let header = segment.get(..SEGMENT_HEADER_BYTES).ok_or("its header is cut short")?;
        let mut from = Take(header);
        let fields = (from.array::<8>(), from.u32(), from.u32(), from.u64(), from.u32());
        let (Some(magic), Some(format), Some(salt), Some(first), Some(crc)) = fields else {
            return Err("its header is cut short".to_owned());
        };
        if &magic != SEGMENT_MAGIC || crc != crc32fast::hash(&header[..SEGMENT_HEADER_BYTES - 4]) {
            return Err("its header is damaged".to_owned());
        }
        if format != SEGMENT_FORMAT {
            return Err(format!("its format is {format}, this build knows {SEGMENT_FORMAT}"));
        }
        Ok(SegmentHeader { salt, first: Cursor(first) })
    }
}

/// Adds a frame to what is about to be written. `group` is where the first frame of the group begins in the segment.
pub(super) fn put(out: &mut Vec<u8>, salt: u32, group: u64, payload: &[u8]) {
    let at = out.len();
    out.put(&FRAME_MAGIC);
    out.u32(super::bytes::length(payload.len()));
    out.u64(group);
    let crc = crc(salt, &out[at..], payload);
    out.u32(crc);
    out.put(payload);
}

fn crc(salt: u32, header: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(header);
    crc.update(payload);
    crc.finalize()
}

/// A frame that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) group: u64,
    pub(super) payload: &'a [u8],
}

/// The frame at the start of these bytes; the error says what does not fit.
pub(super) fn take(bytes: &[u8], salt: u32) -> Result<Frame<'_>, &'static str> {
    let mut from = Take(bytes);
    let header = (from.array::<4>(), from.u32(), from.u64(), from.u32());
    let (Some(magic), Some(length), Some(group), Some(expected)) = header else {
        return Err("a frame's header is cut short");
    };
    if magic != FRAME_MAGIC {
        return Err("no frame begins there");
    }
    let payload = from.bytes(length).ok_or("a frame is cut short")?;
    if crc(salt, &bytes[..FRAME_CRC_AT], payload) != expected {
        return Err("a frame's checksum does not match");
    }
    Ok(Frame { group, payload })
}

/// How the frames of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With a whole frame.
    Whole,
    /// With something behind the last whole frame that was never acknowledged.
    Torn {
        /// Where the last whole frame ends.
        at: u64,
    },
}

/// Walks the frames of a segment that was read whole, header included, and tells `each` the place and the payload of each.
/// Damage to what was acknowledged is an error.
pub(super) fn walk(
    file: &Path,
    segment: &[u8],
    salt: u32,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<End, LogError> {
    let corrupt = |at: usize, detail: &str| LogError::Corrupt {
        file: file.to_owned(),
        offset: at as u64,
        detail: detail.to_owned(),
    };
    let mut at = SEGMENT_HEADER_BYTES;
    while at < segment.len() {
        match take(&segment[at..], salt) {
            Ok(frame) => {
                each(at as u64, frame.payload).map_err(|detail| corrupt(at, &detail))?;
                at += FRAME_HEADER_BYTES + frame.payload.len();
            }
            Err(detail) if is_followed(segment, at, salt) => {
                return Err(corrupt(at, &format!("{detail}, and whole records follow it")));
            }
            Err(_) => return Ok(End::Torn { at: at as u64 }),
        }
    }
    Ok(End::Whole)
}

/// Whether a frame of a later group stands behind what does not pass.
fn is_followed(segment: &[u8], bad: usize, salt: u32) -> bool {
    let behind = segment.get(bad + 1..).unwrap_or_default();
    let starts = behind.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, window)| *window == FRAME_MAGIC);
    starts.into_iter().any(|(at, _)| take(&behind[at..], salt).is_ok_and(|frame| frame.group > bad as u64))
}
