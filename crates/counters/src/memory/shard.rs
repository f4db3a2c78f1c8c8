//! One shard: its table, what each tenant holds of it, and who goes first when it is full.

use crate::{
    backend::REMEMBERED_MS,
    key::{CallId, Key},
};
use sluice_model::counter::{Change, Rule, State, Taken, step};
use std::{
    collections::{HashMap, hash_map},
    hash::{BuildHasherDefault, Hasher},
};

/// What an entry costs beside its value: its place in the table, of which between 7/16 and 7/8 are in use, a byte of the
/// table's own for each, and the account of its tenant.
pub(super) const ENTRY_BYTES: usize = (size_of::<(Id, Entry)>() + 1) * 16 / 7 + 16;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Value,
    Answer,
    Counter,
}

/// The names are HMACs under keys that nobody outside knows: they are as good as any hash of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    kind: Kind,
    name: [u8; 32],
}

impl Id {
    fn answer(key: &Key, call: &CallId) -> Id {
        let mut name = *key.name();
        name[..16].copy_from_slice(call.bytes());
        // The other half of the key's name; its first one is made into the table's place below.
        for (to, from) in name[..8].iter_mut().zip(key.name()) {
            *to ^= from;
        }
        Id { kind: Kind::Answer, name }
    }
}

impl std::hash::Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.name;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

#[derive(Default)]
pub(super) struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

pub(super) struct Entry {
    tenant: u64,
    expires_at_ms: u64,
    body: Body,
}

/// Its class, and when it expires: what goes first is smallest.
type Worth = (u8, u64);

enum Body {
    Value(Box<str>),
    Answer(Taken),
    Counter(State),
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.body {
            Body::Value(value) => ENTRY_BYTES + value.len() + 16,
            Body::Answer(_) | Body::Counter(_) => ENTRY_BYTES,
        }
    }

    fn worth(&self, now_ms: u64) -> Worth {
        let class = match &self.body {
            Body::Value(_) => 0,
            Body::Answer(_) => 1,
            Body::Counter(state) if state.blocked_until_ms <= now_ms => 2,
            Body::Counter(_) => 3,
        };
        (class, self.expires_at_ms)
    }
}

/// A part of the memory.
#[derive(Default)]
pub(super) struct Shard {
    table: HashMap<Id, Entry, BuildHasherDefault<Uniform>>,
    tenants: HashMap<u64, usize>,
    bytes: usize,
}

impl Shard {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn take(&mut self, key: &Key, call: Option<&CallId>, rule: &Rule, now_ms: u64) -> Taken {
        let answer = call.map(|call| Id::answer(key, call));
        if let Some(Entry { expires_at_ms, body: Body::Answer(taken), .. }) = answer.and_then(|id| self.table.get(&id))
            && *expires_at_ms > now_ms
        {
            return *taken;
        }
        let id = Id { kind: Kind::Counter, name: *key.name() };
        let taken = match self.table.entry(id) {
            hash_map::Entry::Occupied(mut entry) => {
                let state = match &entry.get().body {
                    Body::Counter(state) => Some(state),
                    Body::Value(_) | Body::Answer(_) => None,
                };
                let (taken, change) = step(rule, state, now_ms);
                match change {
                    Change::Keep => {}
                    Change::Set(state) => {
                        let entry = entry.get_mut();
                        entry.expires_at_ms = state.expires_at_ms;
                        entry.body = Body::Counter(state);
                    }
                    Change::Clear => _ = self.remove(&id),
                }
                taken
            }
            hash_map::Entry::Vacant(_) => {
                let (taken, change) = step(rule, None, now_ms);
                if let Change::Set(state) = change {
                    self.insert(id, key.tenant(), state.expires_at_ms, Body::Counter(state));
                }
                taken
            }
        };
        if let Some(id) = answer {
            self.insert(id, key.tenant(), now_ms + REMEMBERED_MS, Body::Answer(taken));
        }
        taken
    }

    pub(super) fn value(&mut self, key: &Key, now_ms: u64) -> Option<&str> {
        match self.table.get(&value_id(key)) {
            Some(Entry { expires_at_ms, body: Body::Value(value), .. }) if *expires_at_ms > now_ms => Some(value),
            _ => None,
        }
    }

    pub(super) fn set_value(&mut self, key: &Key, value: &str, expires_at_ms: u64) {
        self.insert(value_id(key), key.tenant(), expires_at_ms, Body::Value(value.into()));
    }

    pub(super) fn delete_value(&mut self, key: &Key) {
        self.remove(&value_id(key));
    }

    fn insert(&mut self, id: Id, tenant: u64, expires_at_ms: u64, body: Body) {
        let entry = Entry { tenant, expires_at_ms, body };
        self.bytes += entry.bytes();
        *self.tenants.entry(tenant).or_default() += entry.bytes();
        if let Some(old) = self.table.insert(id, entry) {
            self.gone(&old);
        }
    }

    fn remove(&mut self, id: &Id) -> Option<Entry> {
        let entry = self.table.remove(id)?;
        self.gone(&entry);
        Some(entry)
    }

    fn gone(&mut self, entry: &Entry) {
        self.bytes -= entry.bytes();
        if let hash_map::Entry::Occupied(mut held) = self.tenants.entry(entry.tenant) {
            *held.get_mut() -= entry.bytes();
            if *held.get() == 0 {
                held.remove();
            }
        }
    }

    /// Brings the shard to 7/8 of what it may hold, so that the next need for it is far. Answers how many values, answers and
    /// counters went before their time.
    #[cold]
    pub(super) fn make_room(&mut self, max_bytes: usize, now_ms: u64) -> [u64; 3] {
        let room = max_bytes / 8 * 7;
        let expired: Vec<Id> =
            self.table.iter().filter(|(_, entry)| entry.expires_at_ms <= now_ms).map(|(id, _)| *id).collect();
        expired.iter().for_each(|id| _ = self.remove(id));
        let mut evicted = [0; 3];
        if self.bytes <= room {
            return evicted;
        }
        let share = fair_share(self.tenants.values().copied().collect(), room);
        let mut greedy: HashMap<u64, (usize, Vec<(Worth, Id)>)> = self
            .tenants
            .iter()
            .filter(|(_, held)| **held > share)
            .map(|(t, held)| (*t, (held - share, vec![])))
            .collect();
        for (id, entry) in &self.table {
            if let Some((_, entries)) = greedy.get_mut(&entry.tenant) {
                entries.push((entry.worth(now_ms), *id));
            }
        }
        for (mut over, mut entries) in greedy.into_values() {
            // No more than these are needed: it spares sorting the others.
            let enough = over.div_ceil(ENTRY_BYTES);
            if enough < entries.len() {
                entries.select_nth_unstable_by_key(enough, |(worth, _)| *worth);
                entries.truncate(enough);
            }
            entries.sort_unstable_by_key(|(worth, _)| *worth);
            for (_, id) in entries {
                if over == 0 {
                    break;
                }
                over = over.saturating_sub(self.remove(&id).map_or(0, |entry| entry.bytes()));
                evicted[match id.kind {
                    Kind::Value => 0,
                    Kind::Answer => 1,
                    Kind::Counter => 2,
                }] += 1;
            }
        }
        // A table that was once much larger gives its places back.
        if self.table.capacity() * size_of::<(Id, Entry)>() > max_bytes {
            self.table.shrink_to_fit();
        }
        evicted
    }
}

/// For the tests of the account.
#[cfg(test)]
impl Shard {
    /// What the table itself takes: its places, used or not, are a power of two, of which 7/8 are its capacity.
    pub(super) fn table_bytes(&self) -> usize {
        self.table.capacity() * 8 / 7 * (size_of::<(Id, Entry)>() + 1)
    }

    pub(super) fn tenants_held(&self) -> usize {
        self.tenants.len()
    }
}

fn value_id(key: &Key) -> Id {
    Id { kind: Kind::Value, name: *key.name() }
}

/// The largest bound under which all of them together fit into `room`, if each keeps what it holds up to it.
fn fair_share(mut held: Vec<usize>, room: usize) -> usize {
    held.sort_unstable();
    let (mut left, mut count) = (room, held.len());
    for one in held {
        let share = left / count;
        if one > share {
            return share;
        }
        left -= one;
        count -= 1;
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_share_is_what_the_large_ones_are_cut_to() {
        assert_eq!(fair_share(vec![10, 10], 100), 100);
        assert_eq!(fair_share(vec![10, 500], 100), 90);
        assert_eq!(fair_share(vec![500, 10, 300, 20], 100), 35);
        assert_eq!(fair_share(vec![], 100), 100);
    }
}
