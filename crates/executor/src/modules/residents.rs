//! What is in memory: snapshots within a bound that is never passed, and what goes when there is no room.
//!
//! The policy, in this order:
//! 1. A snapshot that is larger than the bound is not kept; whoever asked for it runs it.
//! 2. What the newest revision of no flow needs goes first, what was used longest ago before the rest.
//! 3. Such a snapshot never puts out one that a newest revision needs: where nothing else is left to go, it is not kept
//!    either, and comes from the cache folder whenever it is asked for. So a flood of old revisions costs itself time, and
//!    nobody else.
//! 4. Where newest revisions alone are more than the bound, what was used longest ago of them goes.
//!
//! A run that goes on keeps its snapshot until it ends: for a moment there is so much more than the bound.

use super::Module;
use parking_lot::Mutex;
use sluice_sandbox::Snapshot;
use std::{
    cmp::Reverse,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// How far below the bound memory is brought when it is reached, so that it is not reached again at once: 1 / 16.
const HEADROOM_SHIFT: u32 = 4;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Residents {
    max_bytes: u64,
    /// A count that goes up with every load; modules remember it when they are used, to find the one used longest ago.
    clock: AtomicU64,
    /// A count that goes up with every state; what its newest revisions need has it as its mark.
    state: AtomicU64,
    set: Mutex<Set>,
}

#[derive(Debug, Default)]
struct Set {
    bytes: u64,
    modules: Vec<(Weak<Module>, u64)>,
    /// The state in which everything here was found to be needed: the walk that finds so is not walked again for nothing.
    all_needed_in: Option<u64>,
}

/// What may go for a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Whatever the policy says.
    Make,
    /// Nothing.
    IfFree,
}

/// What became of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is in memory now, or was; so many others went for it.
    Kept { evicted: u64 },
    /// It is not kept.
    NoRoom,
}

impl Residents {
    pub(super) fn new(max_bytes: u64) -> Residents {
        // From 1: 0 is never, for a module's use and its mark alike.
        Residents { max_bytes, clock: AtomicU64::new(1), state: AtomicU64::new(1), set: Mutex::default() }
    }

    /// A module is used.
    pub(super) fn used(&self, module: &Module) {
        let now = self.clock.load(Ordering::Relaxed);
        // A store to a line that all cores read costs them; one a change of the clock is enough.
        if module.used.load(Ordering::Relaxed) != now {
            module.used.store(now, Ordering::Relaxed);
        }
    }

    /// Another state serves, whose newest revisions need these.
    pub(super) fn need<'a>(&self, modules: impl Iterator<Item = &'a Arc<Module>>) {
        // Marked first, so that none of them is taken for unneeded meanwhile.
        let next = self.state.load(Ordering::Relaxed) + 1;
        for module in modules {
            module.needed_in.fetch_max(next, Ordering::Relaxed);
        }
        self.state.fetch_max(next, Ordering::Relaxed);
    }

    fn is_needed(&self, module: &Module) -> bool {
        module.needed_in.load(Ordering::Relaxed) >= self.state.load(Ordering::Relaxed)
    }

    /// Takes a module's snapshot in, where the policy has room for it.
    pub(super) fn admit(&self, module: &Arc<Module>, snapshot: &Arc<Snapshot>, room: Room) -> Admitted {
        let size = snapshot.memory_bytes() as u64;
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        module.used.store(now, Ordering::Relaxed);
        let mut set = self.set.lock();
        if module.snapshot.load().is_some() {
            return Admitted::Kept { evicted: 0 };
        }
        let mut evicted = 0;
        if set.bytes + size > self.max_bytes {
            if room == Room::IfFree || size > self.max_bytes {
                return Admitted::NoRoom;
            }
            evicted = self.make_room(&mut set, size, self.is_needed(module));
            if set.bytes + size > self.max_bytes {
                return Admitted::NoRoom;
            }
        }
        set.bytes += size;
        set.modules.push((Arc::downgrade(module), size));
        if !self.is_needed(module) {
            set.all_needed_in = None;
        }
        // Under the lock: what is counted is there, and what is there is counted.
        module.snapshot.store(Some(Arc::clone(snapshot)));
        Admitted::Kept { evicted }
    }

    /// Puts out what the policy lets go. Rare, and at most once for each sixteenth of the bound: a walk over all of them is
    /// cheaper than any order that the hot path would have to keep.
    fn make_room(&self, set: &mut Set, size: u64, for_needed: bool) -> u64 {
        let state = self.state.load(Ordering::Relaxed);
        if !for_needed && set.all_needed_in == Some(state) {
            return 0;
        }
        set.forget_the_dead();
        let goal = self.max_bytes - (self.max_bytes >> HEADROOM_SHIFT).max(size).min(self.max_bytes);
        // In the order in which they stay: the last one goes first.
        set.modules.sort_by_cached_key(|(module, _)| {
            let module = module.upgrade();
            Reverse(module.map_or((false, 0), |m| (self.is_needed(&m), m.used.load(Ordering::Relaxed))))
        });
        let mut evicted = 0;
        while set.bytes > goal
            && let Some((module, bytes)) = set.modules.pop()
        {
            let living = module.upgrade();
            let is_needed = living.as_ref().is_some_and(|module| self.is_needed(module));
            // Headroom is not worth one that is needed; room for another that is needed, is.
            if is_needed && (!for_needed || set.bytes + size <= self.max_bytes) {
                set.modules.push((module, bytes));
                set.all_needed_in = Some(state);
                break;
            }
            set.bytes -= bytes;
            if let Some(module) = living {
                module.snapshot.store(None);
                evicted += 1;
            }
        }
        evicted
    }

    /// Forgets what nothing refers to any more.
    pub(super) fn sweep(&self) {
        self.set.lock().forget_the_dead();
    }

    /// How many there are, and their bytes.
    pub(super) fn counts(&self) -> (u64, u64) {
        let set = self.set.lock();
        (set.modules.len() as u64, set.bytes)
    }
}

impl Set {
    fn forget_the_dead(&mut self) {
        let mut gone = 0;
        self.modules.retain(|(module, size)| {
            let lives = module.strong_count() > 0;
            gone += if lives { 0 } else { *size };
            lives
        });
        self.bytes -= gone;
    }
}
