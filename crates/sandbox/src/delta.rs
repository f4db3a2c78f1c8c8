//! What an Action's snapshot adds to the base image: the bytes that differ, in runs.

use crate::rewrite::PAGE_BYTES;

/// Runs begin and end on multiples of this many bytes: a cache line. Smaller makes more runs, larger copies more.
const GRAIN: u32 = 64;
const GRAIN_BYTES: usize = GRAIN as usize;

/// The bytes in which a memory differs from the base image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    /// The whole memory's size in pages.
    pages: u32,
    /// Offset in the memory and length of each run, ascending.
    runs: Box<[(u32, u32)]>,
    /// The runs' bytes, one after another.
    bytes: Box<[u8]>,
}

/// Bytes that are no delta for this base.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadDelta;

impl Delta {
    /// The difference of `memory` to `base`; a memory that has grown is compared with zeroes past the base's end. What lies
    /// in `dead` (the stack, the input area) means nothing between calls: it is left as the base has it.
    pub(crate) fn between(base: &[u8], memory: &[u8], dead: &[std::ops::Range<usize>]) -> Delta {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut bytes = Vec::new();
        let zeroes = [0; GRAIN_BYTES];
        let mut offset = 0;
        while let Some(grain) = memory.get(offset..offset + GRAIN_BYTES) {
            if let Some(range) = dead.iter().find(|range| range.contains(&offset)) {
                offset = range.end.next_multiple_of(GRAIN_BYTES);
                continue;
            }
            if grain != base.get(offset..offset + GRAIN_BYTES).unwrap_or(&zeroes) {
                // A wasm memory has at most 4 GiB, and this one 64 MiB, so both fit.
                let at = u32::try_from(offset).unwrap_or(u32::MAX);
                match runs.last_mut() {
                    Some((start, run)) if *start + *run == at => *run += GRAIN,
                    _ => runs.push((at, GRAIN)),
                }
                bytes.extend_from_slice(grain);
            }
            offset += GRAIN_BYTES;
        }
        let pages = u32::try_from(memory.len() / PAGE_BYTES).unwrap_or(u32::MAX);
        Delta { pages, runs: runs.into(), bytes: bytes.into() }
    }

    /// The whole memory's size in pages.
    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }

    /// What it holds in this process's memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.runs)
    }

    /// Its runs, and the host pages that they lie on.
    #[cfg(feature = "probe")]
    pub(crate) fn spread(&self) -> (usize, usize) {
        let pages: std::collections::BTreeSet<u32> =
            self.runs.iter().flat_map(|(at, len)| at / 4096..=(at + len - 1) / 4096).collect();
        (self.runs.len(), pages.len())
    }

    /// Copies the runs over `memory`, which holds the base image; false where it is smaller than the delta needs.
    #[must_use]
    pub(crate) fn apply(&self, memory: &mut [u8]) -> bool {
        let mut rest = &*self.bytes;
        for (offset, len) in &self.runs {
            let (offset, len) = (*offset as usize, *len as usize);
            let (Some((run, tail)), Some(place)) = (rest.split_at_checked(len), memory.get_mut(offset..offset + len))
            else {
                return false;
            };
            place.copy_from_slice(run);
            rest = tail;
        }
        true
    }

    /// Writes it for a cache file.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut number = |n: u32| out.extend_from_slice(&n.to_le_bytes());
        number(self.pages);
        number(u32::try_from(self.runs.len()).unwrap_or(u32::MAX));
        for (offset, len) in &self.runs {
            number(*offset);
            number(*len);
        }
        out.extend_from_slice(&self.bytes);
    }

    /// Reads what [`Delta::write`] wrote. Runs outside the memory, or that overlap, are refused.
    pub(crate) fn read(bytes: &[u8], max_pages: u64) -> Result<Delta, BadDelta> {
        let mut rest = bytes;
        let mut number = || {
            let (head, tail) = rest.split_first_chunk().ok_or(BadDelta)?;
            rest = tail;
            Ok(u32::from_le_bytes(*head))
        };
        let pages = number()?;
        if u64::from(pages) > max_pages {
            return Err(BadDelta);
        }
        let count = number()?;
        if u64::from(count) * 8 > bytes.len() as u64 {
            return Err(BadDelta);
        }
        let mut runs = Vec::with_capacity(count as usize);
        let (mut end, mut total) = (0_u64, 0_u64);
        for _ in 0..count {
            let (offset, len) = (number()?, number()?);
            if u64::from(offset) < end {
                return Err(BadDelta);
            }
            end = u64::from(offset) + u64::from(len);
            total += u64::from(len);
            runs.push((offset, len));
        }
        if end > u64::from(pages) * PAGE_BYTES as u64 || total != rest.len() as u64 {
            return Err(BadDelta);
        }
        Ok(Delta { pages, runs: runs.into(), bytes: rest.into() })
    }
}

#[cfg(test)]
mod tests;
