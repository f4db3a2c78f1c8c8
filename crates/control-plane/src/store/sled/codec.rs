//! What the rows look like on disk.
//!
//! Every value is sealed: a schema byte, a CRC-32 (little-endian) over the schema byte, the row's key and the body, then
//! the body. The key is part of it so that a value found under another's key does not pass.

use crate::store::{Change, Key, Op, Revision, StoreError, Versioned};

const SCHEMA: u8 = 1;
const SEAL_BYTES: usize = 5;

/// The row that holds the newest commit.
pub(super) const NEWEST: &[u8] = b"n";

/// The row that holds the commit which the changes begin after, where they do not begin with the first.
pub(super) const BASE: &[u8] = b"b";

/// The first byte of a row's key.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Space {
    Rows = b'd',
    Changes = b'c',
    Queues = b'q',
}

/// A row's key: its space, then the caller's key.
pub(super) fn key(space: Space, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.as_bytes().len());
    bytes.push(space as u8);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// The key of a commit's changes.
pub(super) fn changes_key(revision: Revision) -> Vec<u8> {
    let mut bytes = vec![Space::Changes as u8];
    bytes.extend_from_slice(&revision.0.to_be_bytes());
    bytes
}

/// The commit of a key of changes.
pub(super) fn revision_of_changes(key: &[u8]) -> Result<Revision, StoreError> {
    match key.split_first_chunk::<9>() {
        Some(([_, number @ ..], [])) => Ok(Revision(u64::from_be_bytes(*number))),
        _ => Err(corrupt(key, "its key is no commit's")),
    }
}

/// The first key behind all that begin with a prefix. A prefix here starts with its space, which is never 0xFF.
pub(super) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&0xFF) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// A value that does not fit its row.
pub(super) fn corrupt(key: &[u8], detail: &str) -> StoreError {
    let shown = match key.split_first() {
        Some((b'd' | b'q', rest)) => Key::from_bytes(rest.to_vec()).to_string(),
        _ => key.escape_ascii().to_string(),
    };
    StoreError::Corrupt { key: shown, detail: detail.to_owned() }
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[SCHEMA]);
    crc.update(key);
    crc.update(body);
    crc.finalize()
}

/// Seals a body for the row of this key.
pub(super) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(SEAL_BYTES + body.len());
    value.push(SCHEMA);
    value.extend_from_slice(&checksum(key, body).to_le_bytes());
    value.extend_from_slice(body);
    value
}

fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some(([schema, crc @ ..], body)) = value.split_first_chunk::<SEAL_BYTES>() else {
        return Err(corrupt(key, "it is too short"));
    };
    if *schema != SCHEMA {
        return Err(corrupt(key, &format!("its schema is {schema}, this build knows {SCHEMA}")));
    }
    if u32::from_le_bytes(*crc) != checksum(key, body) {
        return Err(corrupt(key, "its checksum does not match"));
    }
    Ok(body)
}

/// Seals a number: the newest commit, or the last number of a queue.
pub(super) fn seal_revision(key: &[u8], revision: Revision) -> Vec<u8> {
    seal(key, &revision.0.to_le_bytes())
}

/// Opens what [`seal_revision`] sealed.
pub(super) fn revision(key: &[u8], value: &[u8]) -> Result<Revision, StoreError> {
    let body = open(key, value)?;
    let number = body.try_into().map_err(|_| corrupt(key, "it is no number"))?;
    Ok(Revision(u64::from_le_bytes(number)))
}

/// Seals a caller's value with the commit that writes it.
pub(super) fn seal_row(key: &[u8], revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(size_of::<u64>() + value.len());
    body.extend_from_slice(&revision.0.to_le_bytes());
    body.extend_from_slice(value);
    seal(key, &body)
}

/// Opens what [`seal_row`] sealed.
pub(super) fn open_row(key: &[u8], value: &[u8]) -> Result<Versioned, StoreError> {
    match open(key, value)?.split_first_chunk::<8>() {
        Some((revision, value)) => {
            Ok(Versioned { value: value.to_vec(), revision: Revision(u64::from_le_bytes(*revision)) })
        }
        None => Err(corrupt(key, "it has no revision")),
    }
}

/// The body of a commit's changes: for each an operation byte, the key's length (u16, little-endian) and the key.
pub(super) fn changes(changes: impl Iterator<Item = Change>) -> Vec<u8> {
    let mut body = Vec::new();
    for change in changes {
        let key = change.key.as_bytes();
        body.push(match change.op {
            Op::Put => 1,
            Op::Delete => 2,
        });
        // Keys are at most MAX_KEY_BYTES, which fits.
        body.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        body.extend_from_slice(key);
    }
    body
}

/// Opens the sealed changes of a commit and adds them to others.
pub(super) fn open_changes(
    key: &[u8],
    revision: Revision,
    value: &[u8],
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let mut body = open(key, value)?;
    while let Some(([op, length @ ..], rest)) = body.split_first_chunk::<3>() {
        let op = match op {
            1 => Op::Put,
            2 => Op::Delete,
            _ => return Err(corrupt(key, "an operation that this build does not know")),
        };
        let length = usize::from(u16::from_le_bytes(*length));
        let (changed, rest) = rest.split_at_checked(length).ok_or_else(|| corrupt(key, "a key is cut short"))?;
        changes.push(Change { revision, key: Key::from_bytes(changed.to_vec()), op });
        body = rest;
    }
    if body.is_empty() { Ok(()) } else { Err(corrupt(key, "a change is cut short")) }
}
