//! Blocks: the payload of a frame, one batch of one source.
//!
//! ```text
//! version u8 · flags u8 · source · first sequence u64 · missing before it u64 · committed i64 (microseconds) ·
//! the index's entry (facts) · length of the records unpacked u32 · the records
//! source:  0, or 1 · id (counted) · epoch u64
//! records: tenants (count u32, each counted) · for each record: which tenant u32 · its JSON (counted)
//! ```
//! The version byte is there for what is to come: a block that proves its place in a tenant's chain has more fields in
//! front of the facts. The records know their tenant by a number so that another's are stepped over unread.

use super::index::{Facts, Filter, Term, Times, tenant_number};
use super::{Cursor, Source};
use crate::bytes::{Put, Take, length};
use sluice_model::Slug;
use std::collections::HashMap;
use std::sync::Arc;

const VERSION: u8 = 1;
/// The records are packed with zstd.
const PACKED: u8 = 1;
/// Level 1: packing is on the way of every ingested record.
const ZSTD_LEVEL: i32 = 1;
/// Below this packing gains nothing.
const PACK_FROM_BYTES: usize = 512;
/// No block unpacks to more: what says so is damaged.
const MAX_UNPACKED_BYTES: usize = 64 * 1024 * 1024;

/// A record that is ready to be written.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) tenant: Slug,
    /// Microseconds since the Unix epoch.
    pub(super) time: i64,
    pub(super) terms: Vec<Term>,
    pub(super) json: Vec<u8>,
}

/// Where a block comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) source: Source,
    pub(super) first_sequence: u64,
    pub(super) missing: u64,
    /// When it was written, in microseconds since the Unix epoch.
    pub(super) committed: i64,
}

/// The payload of a block of these records, 1 at least, and what the index knows of it.
pub(super) fn encode(origin: &Origin, first: Cursor, records: &[Ready]) -> std::io::Result<(Vec<u8>, Facts)> {
    let mut numbers: HashMap<&Slug, u32> = HashMap::new();
    let mut tenants = Vec::new();
    let mut entries = Vec::new();
    for record in records {
        let number = *numbers.entry(&record.tenant).or_insert_with(|| {
            tenants.push(&record.tenant);
            length(tenants.len() - 1)
        });
        entries.u32(number);
        entries.counted(&record.json);
    }
    let mut plain = Vec::with_capacity(entries.len() + tenants.len() * 32);
    plain.u32(length(tenants.len()));
    for tenant in &tenants {
        plain.counted(tenant.as_str().as_bytes());
    }
    plain.put(&entries);

    let mut numbers: Vec<u32> = tenants.iter().map(|tenant| tenant_number(tenant)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let times = records.iter().map(|record| Times { first: record.time, last: record.time });
    let facts = Facts {
        first,
        count: length(records.len()),
        times: times.fold(Times::NONE, Times::with),
        tenants: numbers.into(),
        filter: Filter::of(records.iter().flat_map(|record| record.terms.iter().copied()).collect()),
    };

    let packed = if plain.len() >= PACK_FROM_BYTES { Some(zstd::bulk::compress(&plain, ZSTD_LEVEL)?) } else { None };
    let mut out = Vec::with_capacity(256 + packed.as_ref().unwrap_or(&plain).len());
    out.u8(VERSION);
    out.u8(if packed.is_some() { PACKED } else { 0 });
    put_source(&mut out, &origin.source);
    out.u64(origin.first_sequence);
    out.u64(origin.missing);
    out.i64(origin.committed);
    facts.put(&mut out);
    out.u32(length(plain.len()));
    out.put(packed.as_ref().unwrap_or(&plain));
    Ok((out, facts))
}

/// A block whose records are not unpacked yet.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) origin: Origin,
    pub(super) facts: Facts,
    packed: bool,
    plain_length: u32,
    body: &'a [u8],
}

impl Block<'_> {
    /// The number of its last record.
    pub(super) fn last_sequence(&self) -> u64 {
        self.origin.first_sequence + u64::from(self.facts.count) - 1
    }
}

/// Reads what is in front of the records.
pub(super) fn decode(payload: &[u8]) -> Result<Block<'_>, String> {
    let mut from = Take(payload);
    match from.u8() {
        Some(VERSION) => {}
        Some(version) => return Err(format!("its version is {version}, this build knows {VERSION}")),
        None => return Err("it is empty".to_owned()),
    }
    let block = (|| {
        let packed = from.u8()? & PACKED != 0;
        let source = take_source(&mut from)?;
        let origin = Origin { source, first_sequence: from.u64()?, missing: from.u64()?, committed: from.i64()? };
        let facts = Facts::take(&mut from).filter(|facts| facts.count > 0)?;
        let plain_length = from.u32()?;
        Some(Block { origin, facts, packed, plain_length, body: from.0 })
    })();
    block.ok_or_else(|| "its header is cut short".to_owned())
}

/// The records of a block, unpacked.
#[derive(Debug)]
pub(super) struct Records {
    plain: Vec<u8>,
    tenants: Vec<String>,
    /// For each record its tenant's place in `tenants`, and where its JSON is in `plain`.
    entries: Vec<(usize, std::ops::Range<usize>)>,
}

impl Records {
    pub(super) fn of(block: &Block<'_>) -> Result<Records, String> {
        let size = usize::try_from(block.plain_length).unwrap_or(usize::MAX);
        if size > MAX_UNPACKED_BYTES {
            return Err(format!("its records would take {size} bytes"));
        }
        let plain = match block.packed {
            true => zstd::bulk::decompress(block.body, size).map_err(|error| error.to_string())?,
            false => block.body.to_vec(),
        };
        if plain.len() != size {
            return Err(format!("its records take {} bytes instead of {size}", plain.len()));
        }
        let cut = || "its records are cut short".to_owned();
        let mut from = Take(&plain);
        let mut tenants = Vec::new();
        for _ in 0..from.u32().ok_or_else(cut)? {
            tenants.push(from.text().ok_or_else(cut)?.to_owned());
        }
        let mut entries = Vec::new();
        for _ in 0..block.facts.count {
            let tenant = usize::try_from(from.u32().ok_or_else(cut)?).unwrap_or(usize::MAX);
            let json = from.counted().ok_or_else(cut)?;
            if tenant >= tenants.len() {
                return Err("a record has no tenant".to_owned());
            }
            let end = plain.len() - from.0.len();
            entries.push((tenant, end - json.len()..end));
        }
        Ok(Records { tenants, entries, plain })
    }

    /// The tenant and the JSON of each, with its number in the block, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &str, &[u8])> {
        self.entries
            .iter()
            .enumerate()
            .map(|(at, (tenant, json))| (at as u64, self.tenants[*tenant].as_str(), &self.plain[json.clone()]))
    }

    /// How many bytes were unpacked.
    pub(super) fn size(&self) -> usize {
        self.plain.len()
    }
}

/// Writes a source.
pub(super) fn put_source(out: &mut Vec<u8>, source: &Source) {
    match source {
        Source::ControlPlane => out.u8(0),
        Source::Executor { id, epoch } => {
            out.u8(1);
            out.counted(id.as_bytes());
            out.u64(*epoch);
        }
    }
}

/// Reads a source.
pub(super) fn take_source(from: &mut Take<'_>) -> Option<Source> {
    match from.u8()? {
        0 => Some(Source::ControlPlane),
        1 => Some(Source::Executor { id: Arc::from(from.text()?), epoch: from.u64()? }),
        _ => None,
    }
}
