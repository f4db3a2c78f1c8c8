//! The file's layout: a head that says whose it is, then records that check themselves.
//!
//! `SLUSTAT1`, then records. A record is its length (4 bytes, little endian), the CRC-32 of the length, the CRC-32 of what
//! follows, and that. The first record is the subscription; each other one a part of a state: when it was applied
//! (milliseconds since 1970, 8 bytes) and the part as the control plane sent it. The length has a check of its own, so
//! that an end that was cut off can be told from a length that is wrong.

use jiff::Timestamp;
use prost::Message as _;
use sluice_api::distribution::v1 as wire;

/// Begins the file; the number is its layout's.
const MAGIC: &[u8; 8] = b"SLUSTAT1";
/// What stands before a record.
const HEAD_BYTES: usize = 12;
/// The largest record: a part has 1 MiB, unless one resource alone is larger, and comes in one message.
const MAX_RECORD_BYTES: usize = 32 << 20;

/// What is written.
pub(super) enum Record {
    Subscription(Vec<u8>),
    Part { applied_ms: i64, part: Vec<u8> },
}

/// Why a file is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    OtherSubscription,
    OtherFormat,
    Damaged(&'static str),
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Read {
    /// The states in order, the first of them full, each with its parts.
    pub(super) updates: Vec<Vec<wire::State>>,
    /// When the last of them was applied.
    pub(super) applied_at: Timestamp,
    /// Where the last whole state ends; what follows was not finished.
    pub(super) whole_bytes: u64,
    /// Where the first one ends.
    pub(super) first_bytes: u64,
}

/// The beginning of a file.
pub(super) fn head(subscription: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    write(&mut out, &Record::Subscription(subscription.to_vec()));
    out
}

/// Adds a record.
pub(super) fn write(out: &mut Vec<u8>, record: &Record) {
    let payload: [&[u8]; 2] = match record {
        Record::Subscription(bytes) => [&[], bytes],
        Record::Part { applied_ms, part } => [&applied_ms.to_le_bytes(), part],
    };
    // No message is as large as 4 GiB; one that were would be refused when it is read.
    let len = u32::try_from(payload[0].len() + payload[1].len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut check = crc32fast::Hasher::new();
    payload.iter().for_each(|part| check.update(part));
    out.extend_from_slice(&len);
    out.extend_from_slice(&crc32fast::hash(&len).to_le_bytes());
    out.extend_from_slice(&check.finalize().to_le_bytes());
    payload.iter().for_each(|part| out.extend_from_slice(part));
}

/// A look at the next record.
enum Next<'a> {
    Record(&'a [u8]),
    /// Nothing more, or not all of it.
    End,
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Next<'a>, FrameError> {
    let all: &'a [u8] = rest;
    // A file that grew without its contents, when the power failed, ends in zeroes.
    let Some((head, after)) = all.split_first_chunk::<HEAD_BYTES>().filter(|_| all.iter().any(|byte| *byte != 0))
    else {
        return Ok(Next::End);
    };
    let number = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let len = number(0) as usize;
    if crc32fast::hash(&head[..4]) != number(4) || len > MAX_RECORD_BYTES {
        return Err(FrameError::Damaged("the length of a record does not check"));
    }
    let Some((payload, after)) = after.split_at_checked(len) else { return Ok(Next::End) };
    if crc32fast::hash(payload) != number(8) {
        return Err(FrameError::Damaged("a record does not check"));
    }
    *rest = after;
    Ok(Next::Record(payload))
}

/// Reads a file.
pub(super) fn read(bytes: &[u8], subscription: &[u8]) -> Result<Read, FrameError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(match bytes.starts_with(b"SLUSTAT") {
        true => FrameError::OtherFormat,
        false => FrameError::Damaged("it does not begin as a kept state does"),
    })?;
    match next(&mut rest)? {
        Next::Record(own) if own == subscription => {}
        Next::Record(_) => return Err(FrameError::OtherSubscription),
        Next::End => return Err(FrameError::Damaged("it has no beginning")),
    }
    let at = |rest: &[u8]| (bytes.len() - rest.len()) as u64;
    let mut read =
        Read { updates: Vec::new(), applied_at: Timestamp::UNIX_EPOCH, whole_bytes: at(rest), first_bytes: 0 };
    let mut parts: Vec<wire::State> = Vec::new();
    while let Next::Record(record) = next(&mut rest)? {
        let (applied, part) = record.split_first_chunk().ok_or(FrameError::Damaged("a record is too short"))?;
        let part = wire::State::decode(part).map_err(|_| FrameError::Damaged("a part of a state cannot be read"))?;
        let follows = part.part as usize == parts.len()
            && parts.first().is_none_or(|first| (first.cursor, first.full) == (part.cursor, part.full))
            && part.full == read.updates.is_empty();
        if !follows {
            return Err(FrameError::Damaged("a part of a state does not follow the one before"));
        }
        let last = part.last;
        parts.push(part);
        if last {
            read.updates.push(std::mem::take(&mut parts));
            read.applied_at = Timestamp::from_millisecond(i64::from_le_bytes(*applied))
                .map_err(|_| FrameError::Damaged("a state has no time"))?;
            read.whole_bytes = at(rest);
            if read.first_bytes == 0 {
                read.first_bytes = read.whole_bytes;
            }
        }
    }
    if read.updates.is_empty() {
        return Err(FrameError::Damaged("it holds no whole state"));
    }
    Ok(read)
}
