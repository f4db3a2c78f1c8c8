//! How values cross between host and guest: tagged binary values with a table of known keys.
//!
//! JSON text costs a run more than everything else together, because the guest would have to parse it. [`wire`] defines
//! the form, [`encode`] and [`decode`] are the host's two directions, `crates/guest` has the other two. The vectors in
//! `tests/vectors` hold both sides to it.

pub(crate) mod decode;
pub(crate) mod encode;
mod input;
#[allow(dead_code, reason = "each side of the wire uses a part of it")]
pub(crate) mod wire;

#[cfg(test)]
mod tests;

pub use encode::EncodedInput;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// The key names that both sides know by number, one a line. A change makes another base image, hence another identity.
pub(crate) const KEYS: &str = include_str!("keys.txt");

/// The keys by their number.
pub(crate) static KEY_NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| KEYS.lines().collect());

/// The number of a key. The hash is short because the keys are the platform's own and few.
static KEY_NUMBERS: LazyLock<HashMap<&'static str, u16, BuildHasherDefault<Fnv>>> =
    LazyLock::new(|| KEYS.lines().zip(0..).collect());

/// The number of a key of the table; for the compiler, which has the time, and which goes no further where it is none.
const fn known_number(key: &str) -> u16 {
    let (table, key) = (KEYS.as_bytes(), key.as_bytes());
    let (mut line, mut start, mut at) = (0, 0, 0);
    while at < table.len() {
        if table[at] == b'\n' {
            if is_at(table, start, at, key) {
                return line;
            }
            line += 1;
            start = at + 1;
        }
        at += 1;
    }
    assert!(is_at(table, start, table.len(), key), "a key of the platform's own that keys.txt lacks");
    line
}

/// Whether `table[start..end]` is `key`.
const fn is_at(table: &[u8], start: usize, end: usize, key: &[u8]) -> bool {
    if end - start != key.len() {
        return false;
    }
    let mut at = 0;
    while at < key.len() {
        if table[start + at] != key[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
