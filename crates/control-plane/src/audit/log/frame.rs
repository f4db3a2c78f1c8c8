//! The log's use of [frames](crate::frames): a segment's header names the cursor of its first record, and a frame is a block.
//!
//! A **group** is what is written and synced together, and the next group is written only after the sync. So how far a
//! segment was synced when a frame was written is where the frame's group begins.

use super::{Cursor, LogError};
use crate::frames::{self, Header};
use std::path::Path;

pub(super) use crate::frames::{End, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, put, take};

const SEGMENT_MAGIC: &[u8; 8] = b"SLUICEAU";

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) salt: u32,
    pub(super) first: Cursor,
}

impl SegmentHeader {
    /// The header of a segment that begins with this record.
    pub(super) fn new(first: Cursor) -> SegmentHeader {
        let Header { salt, first } = Header::new(first.0);
        SegmentHeader { salt, first: Cursor(first) }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        Header { salt: self.salt, first: self.first.0 }.encode(SEGMENT_MAGIC)
    }

    /// The header in front of a segment; the error says what does not fit.
    pub(super) fn decode(segment: &[u8]) -> Result<SegmentHeader, String> {
        let Header { salt, first } = Header::decode(SEGMENT_MAGIC, segment)?;
        Ok(SegmentHeader { salt, first: Cursor(first) })
    }
}

/// Walks the frames of a segment that was read whole, header included, and tells `each` the place and the payload of each.
/// Damage to what was acknowledged is an error.
pub(super) fn walk(
    file: &Path,
    segment: &[u8],
    salt: u32,
    each: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<End, LogError> {
    frames::walk(segment, salt, each).map_err(|damage| LogError::Corrupt {
        file: file.to_owned(),
        offset: damage.offset,
        detail: damage.detail,
    })
}
