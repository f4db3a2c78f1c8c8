//! What a commit means, once for every adapter: its bounds, its preconditions, and which rows it writes.

use super::{
    Change, CommitError, Key, MAX_BATCH_BYTES, MAX_BATCH_WRITES, MAX_KEY_BYTES, MAX_VALUE_BYTES, Op, Revision,
    StoreError,
};
use std::collections::{HashMap, HashSet};

/// What must hold for a batch to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key has no value.
    Absent(Key),
    /// The key has a value, whichever.
    Exists(Key),
    /// The key's value was written by this commit: the etag that the caller has seen still stands.
    At(Key, Revision),
}

impl Precondition {
    fn key(&self) -> &Key {
        match self {
            Precondition::Absent(key) | Precondition::Exists(key) | Precondition::At(key, _) => key,
        }
    }

    fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Precondition::Absent(_) => found.is_none(),
            Precondition::Exists(_) => found.is_some(),
            Precondition::At(_, revision) => found == Some(*revision),
        }
    }
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the value of a key.
    Put(Key, Vec<u8>),
    /// Takes the value of a key away, if it has one.
    Delete(Key),
    /// Adds a row to the queue under a prefix. Its key is the prefix and a number, one higher than the row before it:
    /// 1 for the first, in the order of commits and without gaps.
    Append(Key, Vec<u8>),
}

/// What is committed whole or not at all. Every key may be written once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// All must hold, against the store as it is before the batch.
    pub preconditions: Vec<Precondition>,
    /// 0 to [`MAX_BATCH_WRITES`], of [`MAX_BATCH_BYTES`] together.
    pub writes: Vec<Write>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Demands that a key has no value.
    #[must_use]
    pub fn absent(mut self, key: Key) -> Batch {
        self.preconditions.push(Precondition::Absent(key));
        self
    }

    /// Demands that a key has a value.
    #[must_use]
    pub fn exists(mut self, key: Key) -> Batch {
        self.preconditions.push(Precondition::Exists(key));
        self
    }

    /// Demands that the value of a key is the one that this commit wrote.
    #[must_use]
    pub fn at(mut self, key: Key, revision: Revision) -> Batch {
        self.preconditions.push(Precondition::At(key, revision));
        self
    }

    /// Sets the value of a key.
    #[must_use]
    pub fn put(mut self, key: Key, value: Vec<u8>) -> Batch {
        self.writes.push(Write::Put(key, value));
        self
    }

    /// Takes the value of a key away.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Batch {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Adds a row to the queue under a prefix.
    #[must_use]
    pub fn append(mut self, queue: Key, value: Vec<u8>) -> Batch {
        self.writes.push(Write::Append(queue, value));
        self
    }

    fn check(&self) -> Result<(), StoreError> {
        let invalid = |detail: String| Err(StoreError::Invalid { detail });
        if self.writes.len() > MAX_BATCH_WRITES {
            return invalid(format!("a batch of {} writes; it takes {MAX_BATCH_WRITES} at most", self.writes.len()));
        }
        let mut written = HashSet::with_capacity(self.writes.len());
        let mut bytes = 0;
        for write in &self.writes {
            let (key, value, room) = match write {
                Write::Put(key, value) => (key, value.len(), 0),
                Write::Delete(key) => (key, 0, 0),
                Write::Append(queue, value) => (queue, value.len(), size_of::<u64>()),
            };
            let size = key.as_bytes().len() + room;
            if size == 0 || size > MAX_KEY_BYTES {
                return invalid(format!("a key of {size} bytes; it takes 1 to {MAX_KEY_BYTES}"));
            }
            if value > MAX_VALUE_BYTES {
                return invalid(format!("a value of {value} bytes for {key}; it takes {MAX_VALUE_BYTES} at most"));
            }
            if !matches!(write, Write::Append(..)) && !written.insert(key) {
                return invalid(format!("a batch that writes {key} twice"));
            }
            bytes += size + value;
        }
        if bytes > MAX_BATCH_BYTES {
            return invalid(format!("a batch of {bytes} bytes; it takes {MAX_BATCH_BYTES} at most"));
        }
        Ok(())
    }
}

/// What an adapter can tell of its rows while it holds its writers' lock.
pub(super) trait Rows {
    /// The commit that wrote the value of a key, if it has one.
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError>;
    /// The last number given under a queue's prefix, 0 before the first.
    fn last_appended(&self, queue: &Key) -> Result<u64, StoreError>;
}

/// The rows that a commit writes, with nothing left to decide.
#[derive(Debug)]
pub(super) struct Plan {
    /// The number of the commit.
    pub(super) revision: Revision,
    /// Keys in the order of the batch; `None` deletes.
    pub(super) rows: Vec<(Key, Option<Vec<u8>>)>,
    /// The last number of each queue that was appended to.
    pub(super) queues: HashMap<Key, u64>,
}

impl Plan {
    /// Checks a batch against the rows; `None` where there is nothing to write. `newest` is the last commit.
    pub(super) fn of(batch: Batch, newest: Revision, rows: &impl Rows) -> Result<Option<Plan>, CommitError> {
        batch.check()?;
        for (index, precondition) in batch.preconditions.iter().enumerate() {
            let found = rows.revision_of(precondition.key())?;
            if !precondition.holds(found) {
                return Err(CommitError::PreconditionFailed { index, key: precondition.key().clone(), found });
            }
        }
        if batch.writes.is_empty() {
            return Ok(None);
        }
        let mut plan = Plan {
            revision: Revision(newest.0 + 1),
            rows: Vec::with_capacity(batch.writes.len()),
            queues: HashMap::new(),
        };
        for write in batch.writes {
            let row = match write {
                Write::Put(key, value) => (key, Some(value)),
                Write::Delete(key) => (key, None),
                Write::Append(queue, value) => {
                    let last = match plan.queues.get(&queue) {
                        Some(last) => *last,
                        None => rows.last_appended(&queue)?,
                    };
                    plan.queues.insert(queue.clone(), last + 1);
                    (queue.number(last + 1), Some(value))
                }
            };
            plan.rows.push(row);
        }
        Ok(Some(plan))
    }

    /// What the commit did, as [`super::MetaStore::changes`] tells it.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.rows.iter().map(|(key, value)| Change {
            revision: self.revision,
            key: key.clone(),
            op: if value.is_some() { Op::Put } else { Op::Delete },
        })
    }
}
