//! Connections that wait for their next request. One is used again only by the version of the Action that made it, in its
//! tenant, for the same origin: no two callers ever speak on one connection.

use crate::{config::EgressConfig, fetch::Caller, link::Link, target::Origin};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often what has ended or has waited too long is looked for.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) caller: Caller,
    pub(crate) origin: Origin,
}

pub(crate) struct Pool {
    state: Mutex<State>,
    max: usize,
    max_per_key: usize,
    idle_timeout: Duration,
    max_age: Duration,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By key, each list from the oldest to the newest.
    idle: HashMap<Arc<Key>, Vec<Idle>>,
    /// From the least recently used to the most.
    order: BTreeMap<u64, Arc<Key>>,
    sweeping: bool,
}

struct Idle {
    number: u64,
    since: Instant,
    link: Link,
}

impl State {
    fn remove(&mut self, number: u64, key: &Key) -> Option<Idle> {
        self.order.remove(&number);
        let list = self.idle.get_mut(key)?;
        let at = list.iter().position(|idle| idle.number == number)?;
        let idle = list.remove(at);
        if list.is_empty() {
            self.idle.remove(key);
        }
        Some(idle)
    }
}

impl Pool {
    pub(crate) fn new(config: &EgressConfig) -> Arc<Pool> {
        Arc::new(Pool {
            state: Mutex::default(),
            max: config.max_idle,
            max_per_key: config.max_idle_per_host,
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
            max_age: Duration::from_millis(config.max_connection_age_ms),
        })
    }

    /// The one that was used last and is still good.
    pub(crate) fn take(&self, key: &Key) -> Option<Link> {
        loop {
            // What is taken out and is not good is closed outside the lock.
            let mut idle = {
                let mut state = self.state.lock();
                let number = state.idle.get(key)?.last()?.number;
                state.remove(number, key)?
            };
            if self.is_good(&mut idle) {
                return Some(idle.link);
            }
        }
    }

    /// Keeps a connection, if it can take another request.
    pub(crate) fn put(self: &Arc<Pool>, key: Key, mut link: Link) {
        if self.max == 0 || self.max_per_key == 0 || !link.is_idle() {
            return;
        }
        let mut over = Vec::new();
        let sweep = {
            let mut state = self.state.lock();
            let number = state.next;
            state.next += 1;
            let key = Arc::new(key);
            state.order.insert(number, key.clone());
            let list = state.idle.entry(key.clone()).or_default();
            list.push(Idle { number, since: Instant::now(), link });
            if list.len() > self.max_per_key {
                let oldest = list[0].number;
                over.extend(state.remove(oldest, &key));
            }
            while state.order.len() > self.max {
                let Some((number, key)) = state.order.first_key_value().map(|(number, key)| (*number, key.clone()))
                else {
                    break;
                };
                over.extend(state.remove(number, &key));
            }
            !std::mem::replace(&mut state.sweeping, true)
        };
        drop(over);
        if sweep {
            tokio::spawn(Pool::sweep(Arc::downgrade(self)));
        }
    }

    /// Connections that wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().order.len()
    }

    fn is_good(&self, idle: &mut Idle) -> bool {
        idle.since.elapsed() < self.idle_timeout && idle.link.born.elapsed() < self.max_age && idle.link.is_idle()
    }

    /// Runs while there is anything that waits, and not longer.
    async fn sweep(pool: Weak<Pool>) {
        loop {
            let Some(pause) = pool.upgrade().map(|pool| pool.idle_timeout.min(SWEEP)) else { return };
            sleep(pause).await;
            let Some(pool) = pool.upgrade() else { return };
            let mut bad = Vec::new();
            let mut state = pool.state.lock();
            let numbers: Vec<(u64, Arc<Key>)> =
                state.order.iter().map(|(number, key)| (*number, key.clone())).collect();
            for (number, key) in numbers {
                let list = state.idle.get_mut(&key);
                let idle = list.and_then(|list| list.iter_mut().find(|idle| idle.number == number));
                if idle.is_none_or(|idle| !pool.is_good(idle)) {
                    bad.extend(state.remove(number, &key));
                }
            }
            let done = state.order.is_empty();
            state.sweeping = !done;
            drop(state);
            drop(bad);
            if done {
                return;
            }
        }
    }
}
