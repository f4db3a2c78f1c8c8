//! The executor's metrics. No label names a tenant: who may read metrics may not read whose they are.
//!
//! What is counted on the hot path are plain atomics, read when somebody asks; only the duration of runs is a histogram.
//!
//! | metric | labels | what |
//! | --- | --- | --- |
//! | `sluice.executor.runs` | trigger, result | attachments that came up; result is an outcome kind, a failure reason or a skip |
//! | `sluice.executor.executions` | trigger, verdict | slots that were answered |
//! | `sluice.executor.run.duration` | trigger | runs by the clock, in seconds |
//! | `sluice.executor.runs.in_flight` | | executions that go on |
//! | `sluice.executor.state.cursor`, `.age`, `.tenants`, `.revisions` | | the state that serves; age in seconds since it was applied |
//! | `sluice.executor.watch.connected` | | 1 while the control plane is heard |
//! | `sluice.executor.state.refused` | | states that were nacked |
//! | `sluice.executor.executors` | | connected executors, as the control plane counts them |
//! | `sluice.executor.modules`, `.modules.bytes` | | modules in memory |
//! | `sluice.executor.modules.loaded` | origin | modules that were loaded: snapshot, bundle, fetched |
//! | `sluice.executor.modules.failed`, `.evicted` | | modules that could not be had; that were put out |
//! | `sluice.executor.spool.bytes`, `.spool.waiting` | | audit on disk; records of this epoch not yet acknowledged |
//! | `sluice.executor.audit.written`, `.missing`, `.damaged`, `.streams_broken` | | records kept and not kept, files set aside, streams that broke |

use crate::modules::Origin;
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use sluice_model::{FailureReason, OutcomeKind, Skipped, Trigger};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

const TRIGGERS: usize = Trigger::ALL.len();
const OUTCOMES: usize = OutcomeKind::ALL.len();
const REASONS: usize = FailureReason::ALL.len();
const SKIPS: usize = Skipped::ALL.len();
const RESULTS: usize = OUTCOMES + REASONS + SKIPS;
/// Where the histogram's buckets end, in seconds.
const BUCKETS_S: [f64; 12] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 20e-3, 100e-3, 0.5, 1.0, 5.0];
const ORIGINS: [&str; 3] = ["snapshot", "bundle", "fetched"];

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunLabel {
    Outcome(OutcomeKind),
    Failure(FailureReason),
    Skipped(Skipped),
}

impl RunLabel {
    fn index(self) -> usize {
        match self {
            RunLabel::Outcome(kind) => kind as usize,
            RunLabel::Failure(reason) => OUTCOMES + reason as usize,
            RunLabel::Skipped(skipped) => OUTCOMES + REASONS + skipped as usize,
        }
    }

    fn words() -> impl Iterator<Item = &'static str> {
        let outcomes = OutcomeKind::ALL.iter().map(|(word, _)| *word);
        outcomes
            .chain(FailureReason::ALL.iter().map(|(word, _)| *word))
            .chain(Skipped::ALL.iter().map(|(word, _)| *word))
    }
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    runs: [[AtomicU64; RESULTS]; TRIGGERS],
    executions: [[AtomicU64; OUTCOMES]; TRIGGERS],
    in_flight: AtomicI64,
    durations: Histogram<f64>,
    triggers: [[KeyValue; 1]; TRIGGERS],
    states_refused: AtomicU64,
    watch_connected: AtomicU64,
    modules_loaded: [AtomicU64; 3],
    modules_failed: AtomicU64,
    modules_evicted: AtomicU64,
    audit_written: AtomicU64,
    audit_missing: AtomicU64,
    spool_damaged: AtomicU64,
    streams_broken: AtomicU64,
}

/// What is asked for when metrics are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) cursor: u64,
    pub(crate) age_s: f64,
    pub(crate) tenants: u64,
    pub(crate) revisions: u64,
    pub(crate) executors: u64,
    pub(crate) modules: u64,
    pub(crate) modules_bytes: u64,
    pub(crate) spool_bytes: u64,
    pub(crate) spool_waiting: u64,
}

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Arc<Metrics> {
        let durations = meter
            .f64_histogram("sluice.executor.run.duration")
            .with_unit("s")
            .with_description("Runs of Actions by the clock")
            .with_boundaries(BUCKETS_S.to_vec())
            .build();
        let metrics = Arc::new(Metrics {
            runs: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            executions: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            in_flight: AtomicI64::new(0),
            durations,
            triggers: std::array::from_fn(|i| [KeyValue::new("trigger", Trigger::ALL[i].0)]),
            states_refused: AtomicU64::new(0),
            watch_connected: AtomicU64::new(0),
            modules_loaded: std::array::from_fn(|_| AtomicU64::new(0)),
            modules_failed: AtomicU64::new(0),
            modules_evicted: AtomicU64::new(0),
            audit_written: AtomicU64::new(0),
            audit_missing: AtomicU64::new(0),
            spool_damaged: AtomicU64::new(0),
            streams_broken: AtomicU64::new(0),
        });
        metrics.show(meter);
        metrics
    }

    fn show(self: &Arc<Metrics>, meter: &Meter) {
        table(meter, "sluice.executor.runs", "Attachments that came up", "result", self, |m| {
            m.runs.iter().map(|row| row.iter().zip(RunLabel::words()).collect()).collect()
        });
        table(meter, "sluice.executor.executions", "Slots that were answered", "verdict", self, |m| {
            let words = || OutcomeKind::ALL.iter().map(|(word, _)| *word);
            m.executions.iter().map(|row| row.iter().zip(words()).collect()).collect()
        });
        let metrics = Arc::clone(self);
        let _shown = meter
            .i64_observable_gauge("sluice.executor.runs.in_flight")
            .with_description("Executions that go on")
            .with_callback(move |observer| observer.observe(metrics.in_flight.load(Ordering::Relaxed), &[]))
            .build();
        let metrics = Arc::clone(self);
        let _shown = meter
            .u64_observable_gauge("sluice.executor.watch.connected")
            .with_description("1 while the control plane is heard")
            .with_callback(move |observer| observer.observe(metrics.watch_connected.load(Ordering::Relaxed), &[]))
            .build();
        let metrics = Arc::clone(self);
        let _shown = meter
            .u64_observable_counter("sluice.executor.modules.loaded")
            .with_description("Modules that were loaded, by where from")
            .with_callback(move |observer| {
                for (count, origin) in metrics.modules_loaded.iter().zip(ORIGINS) {
                    observer.observe(count.load(Ordering::Relaxed), &[KeyValue::new("origin", origin)]);
                }
            })
            .build();
        let counters: [ShownCounter; 7] = [
            ("sluice.executor.state.refused", "States that were nacked", |m| &m.states_refused),
            ("sluice.executor.modules.failed", "Modules that could not be had", |m| &m.modules_failed),
            ("sluice.executor.modules.evicted", "Modules that were put out of memory", |m| &m.modules_evicted),
            ("sluice.executor.audit.written", "Audit records that were kept", |m| &m.audit_written),
            ("sluice.executor.audit.missing", "Audit records that could not be kept", |m| &m.audit_missing),
            ("sluice.executor.audit.damaged", "Spool files that were set aside", |m| &m.spool_damaged),
            ("sluice.executor.audit.streams_broken", "Audit streams that broke", |m| &m.streams_broken),
        ];
        for (name, about, read) in counters {
            let metrics = Arc::clone(self);
            let _shown = meter
                .u64_observable_counter(name)
                .with_description(about)
                .with_callback(move |observer| observer.observe(read(&metrics).load(Ordering::Relaxed), &[]))
                .build();
        }
    }

    /// Shows gauges, which are asked for whenever metrics are read.
    pub(crate) fn show_gauges(meter: &Meter, read: impl Fn() -> Gauges + Send + Sync + 'static) {
        let read = Arc::new(read);
        let gauges: [ShownGauge; 8] = [
            ("sluice.executor.state.cursor", "The state that serves", |g| g.cursor),
            ("sluice.executor.state.tenants", "Tenants that are served", |g| g.tenants),
            ("sluice.executor.state.revisions", "Flow revisions that can be executed", |g| g.revisions),
            ("sluice.executor.executors", "Connected executors", |g| g.executors),
            ("sluice.executor.modules", "Modules in memory", |g| g.modules),
            ("sluice.executor.modules.bytes", "Memory of modules", |g| g.modules_bytes),
            ("sluice.executor.spool.bytes", "Audit on disk", |g| g.spool_bytes),
            ("sluice.executor.spool.waiting", "Audit records not yet acknowledged", |g| g.spool_waiting),
        ];
        for (name, about, field) in gauges {
            let read = Arc::clone(&read);
            let _shown = meter
                .u64_observable_gauge(name)
                .with_description(about)
                .with_callback(move |observer| observer.observe(field(read()), &[]))
                .build();
        }
        let _shown = meter
            .f64_observable_gauge("sluice.executor.state.age")
            .with_unit("s")
            .with_description("Since the state that serves was applied")
            .with_callback(move |observer| observer.observe(read().age_s, &[]))
            .build();
    }

    pub(crate) fn run_ended(&self, trigger: Trigger, label: RunLabel, wall_us: u64) {
        self.runs[trigger as usize][label.index()].fetch_add(1, Ordering::Relaxed);
        if wall_us > 0 {
            #[allow(clippy::cast_precision_loss, reason = "a run takes seconds at most")]
            self.durations.record(wall_us as f64 / 1e6, &self.triggers[trigger as usize]);
        }
    }

    pub(crate) fn answered(&self, trigger: Trigger, verdict: OutcomeKind) {
        self.executions[trigger as usize][verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One execution more, until the answer is dropped.
    pub(crate) fn in_flight(self: &Arc<Metrics>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn state_refused(&self) {
        self.states_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn watch_connected(&self, connected: bool) {
        self.watch_connected.store(connected.into(), Ordering::Relaxed);
    }

    pub(crate) fn module_loaded(&self, origin: Origin) {
        self.modules_loaded[origin as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn module_failed(&self) {
        self.modules_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn module_evicted(&self) {
        self.modules_evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn audit_written(&self, count: u64) {
        self.audit_written.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn audit_missing(&self, count: u64) {
        self.audit_missing.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn spool_damaged(&self) {
        self.spool_damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ship_broken(&self) {
        self.streams_broken.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Metrics {
    /// Metrics that nobody reads.
    pub(crate) fn for_tests() -> Arc<Metrics> {
        Metrics::new(&opentelemetry::global::meter("tests"))
    }

    /// How often modules were loaded, by origin.
    pub(crate) fn loads(&self) -> [u64; 3] {
        std::array::from_fn(|i| self.modules_loaded[i].load(Ordering::Relaxed))
    }

    /// How many modules were put out.
    pub(crate) fn evictions(&self) -> u64 {
        self.modules_evicted.load(Ordering::Relaxed)
    }
}

/// An execution that goes on.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Metrics>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A counter's name, what it is, and where it is.
type ShownCounter = (&'static str, &'static str, fn(&Metrics) -> &AtomicU64);
/// A gauge's name, what it is, and how it is read.
type ShownGauge = (&'static str, &'static str, fn(Gauges) -> u64);

type Rows<'a> = Vec<Vec<(&'a AtomicU64, &'static str)>>;

/// A counter by trigger and a second label, which shows what is not zero.
fn table(
    meter: &Meter,
    name: &'static str,
    about: &'static str,
    label: &'static str,
    metrics: &Arc<Metrics>,
    rows: impl for<'a> Fn(&'a Metrics) -> Rows<'a> + Send + Sync + 'static,
) {
    let metrics = Arc::clone(metrics);
    let _shown = meter
        .u64_observable_counter(name)
        .with_description(about)
        .with_callback(move |observer| {
            for ((trigger, _), row) in Trigger::ALL.iter().zip(rows(&metrics)) {
                for (count, word) in row {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        observer.observe(count, &[KeyValue::new("trigger", *trigger), KeyValue::new(label, word)]);
                    }
                }
            }
        })
        .build();
}
