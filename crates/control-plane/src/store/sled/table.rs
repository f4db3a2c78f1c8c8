//! What lies in sled: one tree, and all that is read from it and written to it.
//!
//! Four spaces by the first byte of a key: `d` rows, `c` the keys that a commit wrote, `q` the last number of a queue; and
//! single rows: `n` the newest commit, `b` the commit that the changes begin after. `codec.rs` has the values.

use super::codec::{self, Space};
use crate::store::batch::{Plan, Rows};
use crate::store::{Changes, Entry, Key, Order, Page, Revision, Scan, StoreError, Versioned};
use ::sled::Tree;
use std::ops::Bound;

/// The most old changes that one commit forgets, so that a smaller `changes_kept` does not make one commit slow.
const FORGOTTEN_A_COMMIT: usize = 64;

/// Why the tree did not do as it was told.
#[derive(Debug)]
pub(super) enum TableError {
    /// sled failed: what is in it is not certain any more.
    Sled(::sled::Error),
    /// What is in it is not what was written.
    Store(StoreError),
}

impl From<::sled::Error> for TableError {
    fn from(error: ::sled::Error) -> TableError {
        TableError::Sled(error)
    }
}

impl From<StoreError> for TableError {
    fn from(error: StoreError) -> TableError {
        TableError::Store(error)
    }
}

impl std::fmt::Display for TableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TableError::Sled(error) => write!(f, "sled says: {error}"),
            TableError::Store(error) => error.fmt(f),
        }
    }
}

/// The tree.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) tree: Tree,
    changes_kept: u64,
}

type Answer<T> = Result<T, TableError>;

impl Table {
    pub(super) fn new(tree: Tree, changes_kept: u64) -> Table {
        Table { tree, changes_kept }
    }

    /// The newest commit.
    pub(super) fn newest(&self) -> Answer<Revision> {
        self.number(codec::NEWEST)
    }

    fn number(&self, key: &[u8]) -> Answer<Revision> {
        match self.tree.get(key)? {
            Some(value) => Ok(codec::revision(key, &value)?),
            None => Ok(Revision(0)),
        }
    }

    /// The newest commit must be there, and its changes; the answer says what is not so.
    pub(super) fn check_end(&self, newest: Revision) -> Answer<Result<(), String>> {
        let last = match self.tree.scan_prefix([Space::Changes as u8]).next_back().transpose()? {
            Some((key, _)) => codec::revision_of_changes(&key)?,
            None => self.number(codec::BASE)?,
        };
        if last == newest {
            return Ok(Ok(()));
        }
        Ok(Err(format!("its newest commit is {newest}, but its changes end at {last}")))
    }

    /// Reads every value and checks it.
    pub(super) fn check_all(&self) -> Answer<()> {
        for entry in self.tree.scan_prefix([Space::Rows as u8]) {
            let (key, value) = entry?;
            codec::open_row(&key, &value)?;
        }
        for entry in self.tree.scan_prefix([Space::Queues as u8]) {
            let (key, value) = entry?;
            codec::revision(&key, &value)?;
        }
        for entry in self.tree.scan_prefix([Space::Changes as u8]) {
            let (key, value) = entry?;
            codec::open_changes(&key, codec::revision_of_changes(&key)?, &value, &mut Vec::new())?;
        }
        Ok(())
    }

    /// Writes what a commit says, all of it or nothing.
    pub(super) fn apply(&self, plan: &Plan) -> Answer<()> {
        let mut writes = ::sled::Batch::default();
        writes.insert(codec::NEWEST, codec::seal_revision(codec::NEWEST, plan.revision));
        let key = codec::changes_key(plan.revision);
        let changes = codec::seal(&key, &codec::changes(plan.changes()));
        writes.insert(key, changes);
        for (key, value) in &plan.rows {
            let row = codec::key(Space::Rows, key);
            match value {
                Some(value) => {
                    let value = codec::seal_row(&row, plan.revision, value);
                    writes.insert(row, value);
                }
                None => writes.remove(row),
            }
        }
        for (queue, last) in &plan.queues {
            let row = codec::key(Space::Queues, queue);
            let value = codec::seal_revision(&row, Revision(*last));
            writes.insert(row, value);
        }
        let kept_from = codec::changes_key(Revision(plan.revision.0.saturating_sub(self.changes_kept) + 1));
        for old in self.tree.range(codec::changes_key(Revision(0))..kept_from).keys().take(FORGOTTEN_A_COMMIT) {
            writes.remove(old?);
        }
        Ok(self.tree.apply_batch(writes)?)
    }

    /// Puts a row as a commit wrote it, or takes it away: for making the tree again.
    pub(super) fn mend(&self, key: &Key, row: Option<&Versioned>) -> Answer<()> {
        let at = codec::key(Space::Rows, key);
        match row {
            Some(row) => self.tree.insert(&at, codec::seal_row(&at, row.revision, &row.value))?,
            None => self.tree.remove(&at)?,
        };
        Ok(())
    }

    /// Sets the last number of a queue.
    pub(super) fn mend_queue(&self, queue: &Key, last: u64) -> Answer<()> {
        let row = codec::key(Space::Queues, queue);
        self.tree.insert(&row, codec::seal_revision(&row, Revision(last)))?;
        Ok(())
    }

    /// Makes a commit the newest whose changes are not known any more.
    pub(super) fn begin_after(&self, newest: Revision) -> Answer<()> {
        for row in [codec::BASE, codec::NEWEST] {
            self.tree.insert(row, codec::seal_revision(row, newest))?;
        }
        Ok(())
    }

    pub(super) fn row(&self, key: &Key) -> Answer<Option<Versioned>> {
        let row = codec::key(Space::Rows, key);
        let value = self.tree.get(&row)?;
        Ok(value.map(|value| codec::open_row(&row, &value)).transpose()?)
    }

    pub(super) fn page(&self, scan: &Scan) -> Answer<Page> {
        let prefix = codec::key(Space::Rows, &scan.prefix);
        let past = scan.after.as_ref().map(|after| codec::key(Space::Rows, after));
        let end = codec::after_prefix(&prefix);
        let (low, high) = match (past, scan.order) {
            (Some(past), Order::Ascending) if past >= prefix => (Bound::Excluded(past), Bound::Excluded(end)),
            (Some(past), Order::Descending) if past < end => (Bound::Included(prefix), Bound::Excluded(past)),
            (_, _) => (Bound::Included(prefix), Bound::Excluded(end)),
        };
        if is_empty(&low, &high) {
            return Ok(Page { entries: Vec::new(), next: None });
        }
        let mut rows = self.tree.range((low, high));
        let mut entries = Vec::new();
        let mut more = false;
        loop {
            let row = match scan.order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some(row) = row else { break };
            let (key, value) = row?;
            if entries.len() == scan.limit {
                more = true;
                break;
            }
            let Versioned { value, revision } = codec::open_row(&key, &value)?;
            entries.push(Entry { key: Key::from_bytes(key[1..].to_vec()), value, revision });
        }
        let next = if more { entries.last().map(|entry| entry.key.clone()) } else { None };
        Ok(Page { entries, next })
    }

    pub(super) fn changes(&self, after: Revision, limit: usize, newest: Revision) -> Answer<Changes> {
        let first = self.tree.scan_prefix([Space::Changes as u8]).keys().next().transpose()?;
        let oldest = match first {
            Some(key) => Revision(codec::revision_of_changes(&key)?.0.saturating_sub(1)),
            None => newest,
        };
        let oldest = oldest.max(Revision(newest.0.saturating_sub(self.changes_kept)));
        if after < oldest || after > newest {
            return Ok(Changes::Compacted { oldest });
        }
        let mut entries = Vec::new();
        let mut through = after;
        while through < newest && entries.len() < limit {
            let revision = Revision(through.0 + 1);
            let key = codec::changes_key(revision);
            let value = self.tree.get(&key)?;
            let value = value.ok_or_else(|| codec::corrupt(&key, "it is missing between others"))?;
            codec::open_changes(&key, revision, &value, &mut entries)?;
            through = revision;
        }
        Ok(Changes::Entries { entries, through })
    }

    pub(super) fn last_appended(&self, queue: &Key) -> Answer<u64> {
        Ok(self.number(&codec::key(Space::Queues, queue))?.0)
    }

    /// The last number of every queue.
    pub(super) fn queues(&self) -> Answer<Vec<(Key, u64)>> {
        let mut queues = Vec::new();
        for entry in self.tree.scan_prefix([Space::Queues as u8]) {
            let (key, value) = entry?;
            queues.push((Key::from_bytes(key[1..].to_vec()), codec::revision(&key, &value)?.0));
        }
        Ok(queues)
    }
}

/// A table whose failures stop the store, for the one who plans a commit.
pub(super) struct Planning<'a> {
    pub(super) table: &'a Table,
    pub(super) told: &'a dyn Fn(TableError) -> StoreError,
}

impl Rows for Planning<'_> {
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.table.row(key).map_err(self.told)?.map(|row| row.revision))
    }

    fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        self.table.last_appended(queue).map_err(self.told)
    }
}

/// Whether no key can lie between two bounds: sled panics where a range ends before it starts.
fn is_empty(low: &Bound<Vec<u8>>, high: &Bound<Vec<u8>>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Excluded(high)) => low >= high,
        (Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}
