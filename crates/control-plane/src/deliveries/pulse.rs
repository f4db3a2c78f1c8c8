//! What the parts of deliveries tell each other in memory, and what is measured of them.

use super::rows::{LaneKey, State};
use crate::clock::Clock;
use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use tokio::sync::Notify;

/// Nothing is due.
const NONE: i64 = i64::MAX;

/// Wakes the worker, and counts.
#[derive(Debug)]
pub(crate) struct Pulse {
    woken: Mutex<HashSet<LaneKey>>,
    notify: Notify,
    pending: AtomicI64,
    dead: AtomicI64,
    disabled: AtomicI64,
    /// When the delivery that waits longest was due, in milliseconds.
    oldest_ms: AtomicI64,
    made: Counter<u64>,
    attempts: Counter<u64>,
    durations: Histogram<f64>,
}

impl Pulse {
    /// With its instruments on a meter.
    pub(crate) fn new(meter: &Meter, clock: Clock) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            woken: Mutex::default(),
            notify: Notify::new(),
            pending: AtomicI64::new(0),
            dead: AtomicI64::new(0),
            disabled: AtomicI64::new(0),
            oldest_ms: AtomicI64::new(NONE),
            made: meter
                .u64_counter("sluice.deliveries.made")
                .with_unit("{delivery}")
                .with_description("Deliveries made of what runs emitted")
                .build(),
            attempts: meter
                .u64_counter("sluice.deliveries.attempts")
                .with_description("Attempts to deliver, by what became of them: delivered, failed, gone")
                .build(),
            durations: meter
                .f64_histogram("sluice.deliveries.attempt.duration")
                .with_unit("s")
                .with_description("How long attempts to deliver took")
                .with_boundaries(vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
                .build(),
        });
        pulse.observe(meter, clock);
        pulse
    }

    fn observe(self: &Arc<Pulse>, meter: &Meter, clock: Clock) {
        type Read = fn(&Pulse) -> i64;
        let gauges: [(&'static str, &'static str, &'static str, Read); 3] = [
            ("sluice.deliveries.pending", "{delivery}", "Deliveries that are to be sent", |p| p.pending.load(Relaxed)),
            ("sluice.deliveries.dead", "{delivery}", "Dead letters that are kept", |p| p.dead.load(Relaxed)),
            ("sluice.deliveries.endpoints.disabled", "{endpoint}", "Endpoints that nothing is sent to", |p| {
                p.disabled.load(Relaxed)
            }),
        ];
        for (name, unit, about, read) in gauges {
            let pulse = Arc::downgrade(self);
            let gauge = meter.i64_observable_gauge(name).with_unit(unit).with_description(about);
            let _registered = gauge
                .with_callback(move |observer| {
                    if let Some(pulse) = pulse.upgrade() {
                        observer.observe(read(&pulse), &[]);
                    }
                })
                .build();
        }
        let pulse = Arc::downgrade(self);
        let _registered = meter
            .f64_observable_gauge("sluice.deliveries.oldest_due")
            .with_unit("s")
            .with_description("For how long the delivery that waits longest is due")
            .with_callback(move |observer| {
                let Some(pulse) = pulse.upgrade() else { return };
                let since = pulse.oldest_ms.load(Relaxed);
                let late = clock.now().as_millisecond().saturating_sub(since);
                observer.observe(if since == NONE { 0.0 } else { late.max(0) as f64 / 1_000.0 }, &[]);
            })
            .build();
    }

    /// Something is to be sent to an endpoint.
    pub(crate) fn wake(&self, key: LaneKey) {
        self.woken.lock().insert(key);
        self.notify.notify_one();
    }

    /// The endpoints to which something is to be sent, that were told since this was asked last.
    pub(super) fn woken(&self) -> HashSet<LaneKey> {
        std::mem::take(&mut *self.woken.lock())
    }

    /// Waits until something is told.
    pub(super) async fn told(&self) {
        self.notify.notified().await;
    }

    /// So many deliveries are in a state that were in none.
    pub(super) fn count(&self, state: State, by: i64) {
        match state {
            State::Pending => _ = self.pending.fetch_add(by, Relaxed),
            State::Dead => _ = self.dead.fetch_add(by, Relaxed),
            State::Delivered => {}
        }
    }

    /// A delivery went from one state to another.
    pub(super) fn moved(&self, from: State, to: State) {
        self.count(from, -1);
        self.count(to, 1);
    }

    /// So many endpoints more are disabled.
    pub(super) fn disabled(&self, by: i64) {
        self.disabled.fetch_add(by, Relaxed);
    }

    /// Deliveries were made.
    pub(super) fn made(&self, deliveries: usize) {
        self.made.add(deliveries as u64, &[]);
    }

    /// An attempt ended: `delivered`, `failed`, `gone`.
    pub(super) fn attempted(&self, result: &'static str, duration_ms: u64) {
        self.attempts.add(1, &[KeyValue::new("result", result)]);
        self.durations.record(duration_ms as f64 / 1_000.0, &[KeyValue::new("result", result)]);
    }

    /// Since when the delivery is due that waits longest.
    pub(super) fn oldest(&self, due: Option<Timestamp>) {
        self.oldest_ms.store(due.map_or(NONE, Timestamp::as_millisecond), Relaxed);
    }
}
