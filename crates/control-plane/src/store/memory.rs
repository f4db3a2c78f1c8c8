//! A store in memory: for tests, and the oracle that the others are compared with. It keeps nothing when dropped.

use super::batch::{Plan, Rows};
use super::{
    Batch, Change, Changes, CommitError, Entry, Key, MetaStore, Order, Page, Revision, Scan, StoreError, Versioned,
    check_limit,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use tokio::sync::watch;

/// A [`MetaStore`] in memory. What it holds is durable as long as it lives.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    newest: watch::Sender<Revision>,
    changes_kept: u64,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Key, Versioned>,
    queues: HashMap<Key, u64>,
    changes: BTreeMap<Revision, Vec<Change>>,
    newest: Revision,
}

impl Rows for State {
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.rows.get(key).map(|row| row.revision))
    }

    fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        Ok(self.queues.get(queue).copied().unwrap_or(0))
    }
}

impl MemoryStore {
    /// An empty store that can tell the changes of its last `changes_kept` commits (1 at least).
    pub fn new(changes_kept: u64) -> MemoryStore {
        MemoryStore {
            state: Mutex::default(),
            newest: watch::Sender::new(Revision(0)),
            changes_kept: changes_kept.max(1),
        }
    }
}

#[async_trait]
impl MetaStore for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        Ok(self.state.lock().rows.get(key).cloned())
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StoreError> {
        scan.check()?;
        let state = self.state.lock();
        let with_prefix = |key: &Key| key.as_bytes().starts_with(scan.prefix.as_bytes());
        let past = |key: &Key| match (&scan.after, scan.order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => key > after,
            (Some(after), Order::Descending) => key < after,
        };
        let mut rows: Vec<_> = state
            .rows
            .range((Bound::Included(&scan.prefix), Bound::Unbounded))
            .take_while(|(key, _)| with_prefix(key))
            .filter(|(key, _)| past(key))
            .collect();
        if scan.order == Order::Descending {
            rows.reverse();
        }
        let mut entries: Vec<Entry> = rows
            .into_iter()
            .take(scan.limit + 1)
            .map(|(key, row)| Entry { key: key.clone(), value: row.value.clone(), revision: row.revision })
            .collect();
        let more = entries.len() > scan.limit;
        entries.truncate(scan.limit);
        let next = if more { entries.last().map(|entry| entry.key.clone()) } else { None };
        Ok(Page { entries, next })
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        let mut state = self.state.lock();
        let Some(plan) = Plan::of(batch, state.newest, &*state)? else {
            return Ok(state.newest);
        };
        let revision = plan.revision;
        let changes = plan.changes().collect();
        state.changes.insert(revision, changes);
        state.changes.retain(|kept, _| kept.0 + self.changes_kept > revision.0);
        for (key, value) in plan.rows {
            match value {
                Some(value) => state.rows.insert(key, Versioned { value, revision }),
                None => state.rows.remove(&key),
            };
        }
        state.queues.extend(plan.queues);
        state.newest = revision;
        self.newest.send_replace(revision);
        Ok(revision)
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        check_limit(limit)?;
        let state = self.state.lock();
        let oldest = Revision(state.newest.0.saturating_sub(self.changes_kept));
        if after < oldest || after > state.newest {
            return Ok(Changes::Compacted { oldest });
        }
        let mut entries = Vec::new();
        let mut through = after;
        for (revision, changes) in state.changes.range((Bound::Excluded(after), Bound::Unbounded)) {
            if entries.len() >= limit {
                break;
            }
            entries.extend_from_slice(changes);
            through = *revision;
        }
        Ok(Changes::Entries { entries, through })
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        Ok(self.state.lock().newest)
    }

    async fn last_appended(&self, queue: &Key) -> Result<u64, StoreError> {
        self.state.lock().last_appended(queue)
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }
}
