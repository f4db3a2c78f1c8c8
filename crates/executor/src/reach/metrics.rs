//! What is measured of what Actions reach. No label names a tenant or a host.

use super::Reach;
use opentelemetry::{KeyValue, metrics::Meter};
use sluice_model::http::{HttpError, HttpFailure, HttpResponse};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Answers by the hundreds of their status; what stands before failures among the results.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const FAILURES: usize = HttpFailure::ALL.len();

/// Requests of Actions, by what became of them.
#[derive(Debug)]
pub(super) struct Fetches([AtomicU64; CLASSES.len() + FAILURES]);

impl Default for Fetches {
    fn default() -> Fetches {
        Fetches(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// A request that is under way; one that nobody waits for any more counts as canceled.
pub(super) struct UnderWay(Arc<Fetches>);

impl Fetches {
    pub(super) fn begin(self: &Arc<Fetches>) -> UnderWay {
        UnderWay(Arc::clone(self))
    }

    fn add(&self, index: usize) {
        if let Some(count) = self.0.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl UnderWay {
    pub(super) fn ended(self, answer: &Result<HttpResponse, HttpError>) {
        self.0.add(match answer {
            Ok(response) => usize::from(response.status / 100).saturating_sub(2),
            Err(error) => CLASSES.len() + error.failure as usize,
        });
        std::mem::forget(self);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.add(CLASSES.len() + HttpFailure::Canceled as usize);
    }
}

/// A number's name, what it is, and how it is read.
type Shown = (&'static str, &'static str, fn(&Reach) -> u64);

const GAUGES: [Shown; 3] = [
    ("sluice.executor.egress.idle", "Connections kept for the next request", |r| r.egress.idle_connections() as u64),
    ("sluice.executor.counters.bytes", "Memory of counters and kv", |r| r.memory.bytes() as u64),
    ("sluice.executor.counters.away", "1 while the shared counters are away", |r| {
        r.fallback.as_ref().is_some_and(|both| both.is_away()).into()
    }),
];

const COUNTERS: [Shown; 2] = [
    ("sluice.executor.counters.evicted", "Counters that were let go of before their time, for lack of memory", |r| {
        r.memory.evicted().counters
    }),
    ("sluice.executor.counters.fallbacks", "Takes that were answered locally", |r| {
        r.fallback.as_ref().map_or(0, |both| both.fallbacks())
    }),
];

/// Shows them, whenever metrics are read.
pub(super) fn show(reach: &Arc<Reach>, meter: &Meter) {
    for (name, about, read) in GAUGES {
        let reach = Arc::clone(reach);
        let gauge = meter.u64_observable_gauge(name).with_description(about);
        let _shown = gauge.with_callback(move |observer| observer.observe(read(&reach), &[])).build();
    }
    for (name, about, read) in COUNTERS {
        let reach = Arc::clone(reach);
        let counter = meter.u64_observable_counter(name).with_description(about);
        let _shown = counter.with_callback(move |observer| observer.observe(read(&reach), &[])).build();
    }
    let fetches = Arc::clone(&reach.fetches);
    let results = || CLASSES.into_iter().chain(HttpFailure::ALL.iter().map(|(word, _)| *word));
    let _shown = meter
        .u64_observable_counter("sluice.executor.fetches")
        .with_description("Requests of Actions, by status or failure")
        .with_callback(move |observer| {
            for (count, result) in fetches.0.iter().zip(results()) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    observer.observe(count, &[KeyValue::new("result", result)]);
                }
            }
        })
        .build();
}
