//! What every service of the domain needs: the store, the clock, and what is measured.

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::MetaStore;
use std::sync::Arc;

/// Shared by all services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    /// The store.
    pub(crate) store: Arc<dyn MetaStore>,
    /// The clock.
    pub(crate) clock: Clock,
    /// What is measured.
    pub(crate) metrics: Arc<Metrics>,
}
