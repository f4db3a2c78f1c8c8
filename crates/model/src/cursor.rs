//! Cursors of states: a place in the order of a store's commits.
//!
//! Both planes keep cursors while stores come and go, so a cursor names its store: those of one store can be compared, those
//! of two cannot.

use std::fmt;

/// The bits of a commit's number: enough for 30 years at a thousand commits a second.
const COMMIT_BITS: u32 = 40;
/// The bits of a store's number. With the above they leave the two highest bits free, so that a cursor fits an `i64`.
pub const STORE_BITS: u32 = 22;

/// A cursor. 0 is none: commits count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// The cursor of a commit of a store. What is above the bits of either is left out.
    pub const fn new(store: u64, commit: u64) -> Cursor {
        Cursor((store & ((1 << STORE_BITS) - 1)) << COMMIT_BITS | commit & ((1 << COMMIT_BITS) - 1))
    }

    /// The cursor of its number, as it is sent and kept.
    pub const fn from_number(number: u64) -> Cursor {
        Cursor(number)
    }

    /// Its number, as it is sent and kept.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Whether it is none.
    pub const fn is_none(self) -> bool {
        self.commit() == 0
    }

    /// The store that it is of.
    pub const fn store(self) -> u64 {
        self.0 >> COMMIT_BITS
    }

    /// The commit, counted from 1.
    pub const fn commit(self) -> u64 {
        self.0 & ((1 << COMMIT_BITS) - 1)
    }

    /// Whether both are of one store, and so can be compared by their commits.
    pub const fn is_comparable(self, other: Cursor) -> bool {
        !self.is_none() && !other.is_none() && self.store() == other.store()
    }
}

/// `STORE/COMMIT`, for logs and messages.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store(), self.commit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_store_and_a_commit() {
        for (store, commit) in [(0, 1), (7, 1_000_000), ((1 << STORE_BITS) - 1, (1 << COMMIT_BITS) - 1)] {
            let cursor = Cursor::from_number(Cursor::new(store, commit).number());
            assert_eq!((cursor.store(), cursor.commit(), cursor.is_none()), (store, commit, false));
            assert!(i64::try_from(cursor.number()).is_ok());
        }
        assert!(Cursor::default().is_none() && Cursor::new(5, 0).is_none());
    }

    #[test]
    fn cursors_of_two_stores_or_none_are_not_compared() {
        assert!(Cursor::new(7, 1).is_comparable(Cursor::new(7, 2)));
        assert!(!Cursor::new(7, 1).is_comparable(Cursor::new(8, 2)));
        assert!(!Cursor::new(7, 1).is_comparable(Cursor::default()));
    }
}
