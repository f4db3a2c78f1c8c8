//! Frames: how a record lies in a segment.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the record, little endian, 1 to [`MAX_RECORD_BYTES`] |
//! | 4 | CRC-32 of the sequence and the record |
//! | 8 | sequence, little endian, from 1, one more than the frame's before |
//! | length | the record |

/// What stands before a record.
pub(crate) const HEADER_BYTES: usize = 16;
/// The largest record. An audit record holds bounded parts only; the largest part is an outcome's annotations.
pub(crate) const MAX_RECORD_BYTES: usize = 256 << 10;

/// Frames that are about to be written, in one buffer, without their sequences yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    count: u64,
}

impl Frames {
    /// Adds a record. One that is too large or empty is not added, and the answer is false.
    pub(crate) fn push(&mut self, record: &impl prost::Message) -> bool {
        let len = record.encoded_len();
        let Ok(len32) = u32::try_from(len) else { return false };
        if !(1..=MAX_RECORD_BYTES).contains(&len) {
            return false;
        }
        self.bytes.reserve(HEADER_BYTES + len);
        self.bytes.extend_from_slice(&len32.to_le_bytes());
        self.bytes.extend_from_slice(&[0; HEADER_BYTES - 4]);
        // A vector grows: there is always room.
        let _room = record.encode(&mut self.bytes);
        self.count += 1;
        true
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The bytes to write, numbered from `first`.
    pub(crate) fn seal(&mut self, first: u64) -> &[u8] {
        let (mut at, mut sequence) = (0, first);
        while let Some(header) = self.bytes.get(at..at + HEADER_BYTES) {
            let end = at + HEADER_BYTES + le32(header) as usize;
            self.bytes[at + 8..at + 16].copy_from_slice(&sequence.to_le_bytes());
            let crc = crc32fast::hash(&self.bytes[at + 8..end]);
            self.bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
            (at, sequence) = (end, sequence + 1);
        }
        &self.bytes
    }

    /// Takes the record at a place out, counted from 0.
    pub(crate) fn remove(&mut self, place: u64) {
        let (mut at, mut passed) = (0, 0);
        while let Some(header) = self.bytes.get(at..at + HEADER_BYTES) {
            let end = at + HEADER_BYTES + le32(header) as usize;
            if passed == place {
                self.bytes.drain(at..end);
                self.count -= 1;
                return;
            }
            (at, passed) = (end, passed + 1);
        }
    }

    /// How many bytes they take.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it; the buffer is kept.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole frame: its sequence and its size with the header.
    Frame { sequence: u64, bytes: usize },
    /// The bytes end before the frame does.
    Short,
    /// No frame begins so.
    Bad,
}

/// Reads the frame at the beginning of `bytes`.
pub(crate) fn next(bytes: &[u8]) -> Next {
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Next::Short };
    let len = le32(header) as usize;
    if !(1..=MAX_RECORD_BYTES).contains(&len) {
        return Next::Bad;
    }
    let Some(frame) = bytes.get(..HEADER_BYTES + len) else { return Next::Short };
    if crc32fast::hash(&frame[8..]) != le32(&frame[4..]) {
        return Next::Bad;
    }
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&frame[8..16]);
    Next::Frame { sequence: u64::from_le_bytes(sequence), bytes: frame.len() }
}

/// The first four bytes as a number.
fn le32(bytes: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[..4]);
    u32::from_le_bytes(four)
}
