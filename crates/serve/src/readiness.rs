//! Readiness: named conditions that all must hold before traffic is wanted, and why those that do not hold do not.

use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// The conditions of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    conditions: Arc<watch::Sender<Conditions>>,
}

/// Each condition, with the reason why it does not hold.
pub(crate) type Conditions = BTreeMap<&'static str, Option<String>>;

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness::new()
    }
}

impl Readiness {
    /// Without a condition a process is ready.
    pub fn new() -> Readiness {
        Readiness { conditions: Arc::new(watch::Sender::new(Conditions::new())) }
    }

    /// One more condition, which does not hold yet, for this reason: `control-plane`, `"not connected yet"`.
    pub fn condition(&self, name: &'static str, reason: impl Into<String>) -> Condition {
        let condition = Condition { name, conditions: Arc::clone(&self.conditions) };
        condition.fails(reason);
        condition
    }

    /// Whether all conditions hold.
    pub fn is_ready(&self) -> bool {
        is_ready(&self.conditions.borrow())
    }

    /// The conditions now.
    pub(crate) fn snapshot(&self) -> Conditions {
        self.conditions.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Conditions> {
        self.conditions.subscribe()
    }
}

pub(crate) fn is_ready(conditions: &Conditions) -> bool {
    conditions.values().all(Option::is_none)
}

/// One condition of readiness.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    conditions: Arc<watch::Sender<Conditions>>,
}

impl Condition {
    /// It holds.
    pub fn holds(&self) {
        self.set(None);
    }

    /// It does not hold, for this reason; `/readyz` shows it.
    pub fn fails(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        self.conditions.send_if_modified(|conditions| {
            if conditions.get(self.name) == Some(&reason) {
                return false;
            }
            conditions.insert(self.name, reason);
            true
        });
    }
}
