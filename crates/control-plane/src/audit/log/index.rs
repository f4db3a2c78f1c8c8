//! What is known of a block without reading its records: its place, its times, its tenants, and a filter of its terms.
//!
//! Every block carries its own entry in front of its records, so the log alone is enough to find everything. When a
//! segment is closed its entries are written beside it, with a summary of all of them; the summaries of all segments are held
//! in memory, the entries are read when a query needs them.

use super::Cursor;
use crate::bytes::{Put, Take};
use sluice_model::Slug;

/// Bits of the filter for each different term: with [`PROBES`] it errs for about one absent term in a hundred.
const FILTER_BITS_A_TERM: usize = 10;
const PROBES: u64 = 5;

/// What a query may ask for, as a number: a field's value within a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term(u64);

impl Term {
    pub(super) fn of(tenant: &Slug, field: u8, text: &str) -> Term {
        let bytes = tenant.as_str().bytes().chain([0, field]).chain(text.bytes());
        Term(mix(fnv(bytes)))
    }
}

/// The number that stands for a tenant. Two tenants may share one: it only says where it is not worth looking.
pub(super) fn tenant_number(tenant: &Slug) -> u32 {
    let hash = mix(fnv(tenant.as_str().bytes()));
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// FNV-1a: in the files, so it never changes.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The end of MurmurHash3, since FNV's high bits are weak.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// A Bloom filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(pub(super) Box<[u8]>);

impl Filter {
    /// A filter of these terms; doubles are counted once.
    pub(super) fn of(mut terms: Vec<Term>) -> Filter {
        terms.sort_unstable();
        terms.dedup();
        let mut filter = Filter(vec![0; (terms.len() * FILTER_BITS_A_TERM).div_ceil(8).max(1)].into());
        for term in terms {
            for (byte, bit) in probes(term, filter.0.len()) {
                filter.0[byte] |= bit;
            }
        }
        filter
    }

    /// Whether the term may be among them; `false` is certain.
    pub(super) fn may_have(&self, term: Term) -> bool {
        !self.0.is_empty() && probes(term, self.0.len()).all(|(byte, bit)| self.0[byte] & bit != 0)
    }
}

/// Which bits of a filter stand for a term: double hashing by the two halves of its number.
fn probes(term: Term, filter_bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let bits = filter_bytes as u64 * 8;
    let step = (term.0 >> 32) | 1;
    (0..PROBES).map(move |probe| {
        let bit = term.0.wrapping_add(probe.wrapping_mul(step)) % bits;
        // Below the length of the filter, so it fits.
        (usize::try_from(bit / 8).unwrap_or(0), 1 << (bit % 8))
    })
}

/// A range of times in microseconds since the Unix epoch, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Times {
    pub(super) const NONE: Times = Times { first: i64::MAX, last: i64::MIN };

    pub(super) fn with(self, other: Times) -> Times {
        Times { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    pub(super) fn meets(self, other: Times) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What is known of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockEntry {
    /// Where its frame begins in the segment, in bytes.
    pub(super) offset: u64,
    /// The frame's length with its header, in bytes.
    pub(super) length: u32,
    pub(super) facts: Facts,
}

/// What a block says of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The place of its first record.
    pub(super) first: Cursor,
    /// How many records it has, 1 at least.
    pub(super) count: u32,
    pub(super) times: Times,
    /// Sorted, without doubles.
    pub(super) tenants: Box<[u32]>,
    pub(super) filter: Filter,
}

impl Facts {
    /// The place behind its last record.
    pub(super) fn end(&self) -> Cursor {
        Cursor(self.first.0 + u64::from(self.count))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.first.0);
        out.u32(self.count);
        out.i64(self.times.first);
        out.i64(self.times.last);
        out.u32s(&self.tenants);
        out.counted(&self.filter.0);
    }

    pub(super) fn take(from: &mut Take<'_>) -> Option<Facts> {
        Some(Facts {
            first: Cursor(from.u64()?),
            count: from.u32()?,
            times: Times { first: from.i64()?, last: from.i64()? },
            tenants: from.u32s()?,
            filter: Filter(from.counted()?.into()),
        })
    }
}

impl BlockEntry {
    /// What it takes in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<BlockEntry>() + self.facts.filter.0.len() + size_of_val(&*self.facts.tenants)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.offset);
        out.u32(self.length);
        self.facts.put(out);
    }

    pub(super) fn take(from: &mut Take<'_>) -> Option<BlockEntry> {
        Some(BlockEntry { offset: from.u64()?, length: from.u32()?, facts: Facts::take(from)? })
    }
}

/// What is known of a whole segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// The place of its first record.
    pub(super) first: Cursor,
    /// The place behind its last record.
    pub(super) end: Cursor,
    /// The segment's length in bytes.
    pub(super) length: u64,
    pub(super) times: Times,
    /// Sorted, without doubles.
    pub(super) tenants: Box<[u32]>,
}

impl Summary {
    pub(super) fn of(first: Cursor, length: u64, blocks: &[std::sync::Arc<BlockEntry>]) -> Summary {
        let mut tenants: Vec<u32> = blocks.iter().flat_map(|block| block.facts.tenants.iter().copied()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        Summary {
            first,
            end: blocks.last().map_or(first, |block| block.facts.end()),
            length,
            times: blocks.iter().fold(Times::NONE, |times, block| times.with(block.facts.times)),
            tenants: tenants.into(),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.first.0);
        out.u64(self.end.0);
        out.u64(self.length);
        out.i64(self.times.first);
        out.i64(self.times.last);
        out.u32s(&self.tenants);
    }

    pub(super) fn take(from: &mut Take<'_>) -> Option<Summary> {
        Some(Summary {
            first: Cursor(from.u64()?),
            end: Cursor(from.u64()?),
            length: from.u64()?,
            times: Times { first: from.i64()?, last: from.i64()? },
            tenants: from.u32s()?,
        })
    }
}
