//! Frames: what the segments of the audit log and of the commit journal are made of, and what may be wrong with their end.
//!
//! ```text
//! segment: magic (8 bytes) · format u32 · salt u32 · number of the first u64 · crc u32     (28 bytes), then frames
//! frame:   magic u32 · length of the payload u32 · how far it was synced u64 · crc u32    (20 bytes), then the payload
//! ```
//! Little-endian. A frame's CRC-32 covers its header before the CRC and its payload, and starts from the segment's salt, a
//! random number, so that nobody can put a frame that passes into the content of a record.
//!
//! A frame says how far the segment was **synced** when it was written. What is not synced is not acknowledged, and a machine
//! that dies may leave any part of it, in any order. So a place that does not pass is a torn end where no whole frame behind
//! it says that it was synced, and can be cut off; where one does, something that was acknowledged is damaged, and whoever
//! reads it refuses to go on.

use crate::bytes::{Put, Take, length};

/// The length of a segment's own header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 28;
/// The length of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 20;

const SEGMENT_FORMAT: u32 = 1;
const FRAME_MAGIC: [u8; 4] = *b"\xF5SLF";
const FRAME_CRC_AT: usize = 16;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the CRCs of its frames start from.
    pub(crate) salt: u32,
    /// The number of the first thing in it.
    pub(crate) first: u64,
}

impl Header {
    /// The header of a segment that begins with this number, with a salt of its own.
    pub(crate) fn new(first: u64) -> Header {
        let random = *uuid::Uuid::now_v7().as_bytes();
        // The end of a version 7 UUID is random.
        Header { salt: Take(&random[12..]).u32().unwrap_or_default(), first }
    }

    /// Its bytes, in segments of the kind that `magic` names.
    pub(crate) fn encode(self, magic: &[u8; 8]) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.u32(SEGMENT_FORMAT);
        bytes.u32(self.salt);
        bytes.u64(self.first);
        bytes.u32(crc32fast::hash(&bytes));
        bytes
    }

    /// The header in front of a segment; the error says what does not fit.
    pub(crate) fn decode(magic: &[u8; 8], segment: &[u8]) -> Result<Header, String> {
        let header = segment.get(..SEGMENT_HEADER_BYTES).ok_or("its header is cut short")?;
        let mut from = Take(header);
        let fields = (from.array::<8>(), from.u32(), from.u32(), from.u64(), from.u32());
        let (Some(found), Some(format), Some(salt), Some(first), Some(crc)) = fields else {
            return Err("its header is cut short".to_owned());
        };
        if &found != magic || crc != crc32fast::hash(&header[..SEGMENT_HEADER_BYTES - 4]) {
            return Err("its header is damaged".to_owned());
        }
        if format != SEGMENT_FORMAT {
            return Err(format!("its format is {format}, this build knows {SEGMENT_FORMAT}"));
        }
        Ok(Header { salt, first })
    }
}

/// Adds a frame to what is about to be written. `synced` is how many bytes of the segment were synced before.
pub(crate) fn put(out: &mut Vec<u8>, salt: u32, synced: u64, payload: &[u8]) {
    let at = out.len();
    out.put(&FRAME_MAGIC);
    out.u32(length(payload.len()));
    out.u64(synced);
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
pub(crate) struct Frame<'a> {
    /// How many bytes of the segment were synced when it was written.
    pub(crate) synced: u64,
    /// What it holds.
    pub(crate) payload: &'a [u8],
}

/// The frame at the start of these bytes; the error says what does not fit.
pub(crate) fn take(bytes: &[u8], salt: u32) -> Result<Frame<'_>, &'static str> {
    let mut from = Take(bytes);
    let header = (from.array::<4>(), from.u32(), from.u64(), from.u32());
    let (Some(magic), Some(length), Some(synced), Some(expected)) = header else {
        return Err("a frame's header is cut short");
    };
    if magic != FRAME_MAGIC {
        return Err("no frame begins there");
    }
    let payload = from.bytes(length).ok_or("a frame is cut short")?;
    if crc(salt, &bytes[..FRAME_CRC_AT], payload) != expected {
        return Err("a frame's checksum does not match");
    }
    Ok(Frame { synced, payload })
}

/// How the frames of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a whole frame.
    Whole,
    /// With something behind the last whole frame that was never acknowledged.
    Torn {
        /// Where the last whole frame ends.
        at: u64,
    },
}

/// Damage to what was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where in the segment, in bytes.
    pub(crate) offset: u64,
    /// What does not fit.
    pub(crate) detail: String,
}

/// Walks the frames of a segment that was read whole, header included, and tells `each` the place and the payload of each.
pub(crate) fn walk(
    segment: &[u8],
    salt: u32,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<End, Damage> {
    let damage = |at: usize, detail: String| Damage { offset: at as u64, detail };
    let mut at = SEGMENT_HEADER_BYTES;
    while at < segment.len() {
        match take(&segment[at..], salt) {
            Ok(frame) => {
                each(at as u64, frame.payload).map_err(|detail| damage(at, detail))?;
                at += FRAME_HEADER_BYTES + frame.payload.len();
            }
            Err(detail) if is_followed(segment, at, salt) => {
                return Err(damage(at, format!("{detail}, and whole records follow it")));
            }
            Err(_) => return Ok(End::Torn { at: at as u64 }),
        }
    }
    Ok(End::Whole)
}

/// Whether a frame stands behind what does not pass that says that it was synced.
fn is_followed(segment: &[u8], bad: usize, salt: u32) -> bool {
    let behind = segment.get(bad + 1..).unwrap_or_default();
    let starts = behind.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, window)| *window == FRAME_MAGIC);
    starts.into_iter().any(|(at, _)| take(&behind[at..], salt).is_ok_and(|frame| frame.synced > bad as u64))
}
