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
//! | `sluice.executor.state.cursor`, `.age`, `.tenants`, `.revisions` | | the state that serves; age in seconds since it was last known to be up to date |
//! | `sluice.executor.watch.connected` | | 1 while the control plane is heard |
//! | `sluice.executor.watch.reconnects` | | times that the control plane was heard again |
//! | `sluice.executor.state.refused` | cause | states that were nacked |
//! | `sluice.executor.state.unkept` | | bytes of changes that are not in the cache folder, because it cannot be written |
//! | `sluice.executor.executors` | | connected executors, as the control plane counts them |
//! | `sluice.executor.modules`, `.modules.bytes` | | modules in memory |
//! | `sluice.executor.modules.asked` | found | modules that runs asked for: in memory (hit), or not (miss) |
//! | `sluice.executor.modules.loaded` | origin | modules that were loaded: snapshot, bundle, fetched |
//! | `sluice.executor.modules.load.duration` | origin | how long that took, in seconds |
//! | `sluice.executor.modules.failed`, `.evicted` | | modules that could not be had; that were put out |
//! | `sluice.executor.cache.bytes`, `.cache.damaged` | | bundles and snapshots on disk; files that were set aside |
//! | `sluice.executor.retries` | what | calls by an id that was known: replayed, joined, refused |
//! | `sluice.executor.answers`, `.answers.bytes`, `.answers.oldest` | | answers that are kept for retries; seconds since the oldest |
//! | `sluice.executor.fetches` | result | requests of Actions, by status (2xx) or failure (`timed_out`) |
//! | `sluice.executor.egress.idle` | | connections kept for the next request |
//! | `sluice.executor.counters.bytes`, `.evicted` | | memory of counters and kv; counters let go of for lack of it |
//! | `sluice.executor.counters.away`, `.fallbacks` | | 1 while the shared counters are away; takes answered locally |
//! | `sluice.executor.spool.bytes`, `.spool.waiting` | | audit on disk; records of this epoch not yet acknowledged |
//! | `sluice.executor.audit.written`, `.missing`, `.damaged`, `.streams_broken` | | records kept and not kept, files set aside, streams that broke |

use crate::modules::Origin;
use jiff::Timestamp;
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use sluice_model::{FailureReason, OutcomeKind, Skipped, Trigger};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

const TRIGGERS: usize = Trigger::ALL.len();
const OUTCOMES: usize = OutcomeKind::ALL.len();
const REASONS: usize = FailureReason::ALL.len();
const SKIPS: usize = Skipped::ALL.len();
const RESULTS: usize = OUTCOMES + REASONS + SKIPS;
/// Where the histogram's buckets end, in seconds.
const BUCKETS_S: [f64; 12] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 20e-3, 100e-3, 0.5, 1.0, 5.0];
/// Why states are nacked, by the numbers of the wire.
const CAUSES: [&str; 8] =
    ["unspecified", "unreadable", "incomplete", "outdated", "gap", "unresolved", "conflict", "internal"];
const ORIGINS: [&str; 3] = ["snapshot", "bundle", "fetched"];
/// Where the histogram of loads has its buckets end, in seconds.
const LOAD_BUCKETS_S: [f64; 12] = [100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.2, 1.0, 5.0];
const FOUND: [&str; 2] = ["miss", "hit"];
const RETRIES: [&str; 3] = ["replayed", "joined", "refused"];

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

/// What becomes of a call by an id that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It gets the answer that was given before.
    Replayed,
    /// It waits for the one that goes on.
    Joined,
    /// It is another request.
    Refused,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    runs: [[AtomicU64; RESULTS]; TRIGGERS],
    executions: [[AtomicU64; OUTCOMES]; TRIGGERS],
    in_flight: AtomicI64,
    durations: Histogram<f64>,
    triggers: [[KeyValue; 1]; TRIGGERS],
    states_refused: [AtomicU64; CAUSES.len()],
    watch_connected: AtomicU64,
    watch_reconnects: AtomicU64,
    state_unkept: AtomicU64,
    modules_asked: [AtomicU64; 2],
    modules_loaded: [AtomicU64; 3],
    loads: Histogram<f64>,
    origins: [[KeyValue; 1]; 3],
    retries: [AtomicU64; 3],
    cache_damaged: AtomicU64,
    modules_failed: AtomicU64,
    modules_evicted: AtomicU64,
    audit_written: AtomicU64,
    audit_missing: AtomicU64,
    audit_deferred: AtomicU64,
    spool_damaged: AtomicU64,
    streams_broken: AtomicU64,
}

/// What is asked for when metrics are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) cursor: u64,
    /// None: there is no state.
    pub(crate) applied_at: Option<Timestamp>,
    pub(crate) age_s: f64,
    pub(crate) tenants: u64,
    pub(crate) revisions: u64,
    pub(crate) executors: u64,
    pub(crate) modules: u64,
    pub(crate) modules_bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) answers: u64,
    pub(crate) answers_bytes: u64,
    pub(crate) oldest_answer_s: f64,
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
        let loads = meter
            .f64_histogram("sluice.executor.modules.load.duration")
            .with_unit("s")
            .with_description("Loads of modules by the clock")
            .with_boundaries(LOAD_BUCKETS_S.to_vec())
            .build();
        let metrics = Arc::new(Metrics {
            runs: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            executions: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            in_flight: AtomicI64::new(0),
            durations,
            triggers: std::array::from_fn(|i| [KeyValue::new("trigger", Trigger::ALL[i].0)]),
            states_refused: std::array::from_fn(|_| AtomicU64::new(0)),
            watch_connected: AtomicU64::new(0),
            watch_reconnects: AtomicU64::new(0),
            state_unkept: AtomicU64::new(0),
            modules_asked: std::array::from_fn(|_| AtomicU64::new(0)),
            modules_loaded: std::array::from_fn(|_| AtomicU64::new(0)),
            loads,
            origins: std::array::from_fn(|i| [KeyValue::new("origin", ORIGINS[i])]),
            retries: std::array::from_fn(|_| AtomicU64::new(0)),
            cache_damaged: AtomicU64::new(0),
            modules_failed: AtomicU64::new(0),
            modules_evicted: AtomicU64::new(0),
            audit_written: AtomicU64::new(0),
            audit_missing: AtomicU64::new(0),
            audit_deferred: AtomicU64::new(0),
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
        let asked = "Modules that runs asked for, by whether they were in memory";
        labelled(meter, "sluice.executor.modules.asked", asked, ("found", &FOUND), self, |m| &m.modules_asked);
        let loaded = "Modules that were loaded, by where from";
        labelled(meter, "sluice.executor.modules.loaded", loaded, ("origin", &ORIGINS), self, |m| &m.modules_loaded);
        let retries = "Calls by an id that was known, by what became of them";
        labelled(meter, "sluice.executor.retries", retries, ("what", &RETRIES), self, |m| &m.retries);
        let metrics = Arc::clone(self);
        let _shown = meter
            .u64_observable_gauge("sluice.executor.state.unkept")
            .with_unit("By")
            .with_description("Changes of the state that are not in the cache folder")
            .with_callback(move |observer| observer.observe(metrics.state_unkept.load(Ordering::Relaxed), &[]))
            .build();
        let metrics = Arc::clone(self);
        let _shown = meter
            .u64_observable_counter("sluice.executor.state.refused")
            .with_description("States that were nacked, by cause")
            .with_callback(move |observer| {
                for (count, cause) in metrics.states_refused.iter().zip(CAUSES) {
                    observer.observe(count.load(Ordering::Relaxed), &[KeyValue::new("cause", cause)]);
                }
            })
            .build();
        let counters: [ShownCounter; 9] = [
            ("sluice.executor.watch.reconnects", "Times that the control plane was heard again", |m| {
                &m.watch_reconnects
            }),
            ("sluice.executor.modules.failed", "Modules that could not be had", |m| &m.modules_failed),
            ("sluice.executor.modules.evicted", "Modules that were put out of memory", |m| &m.modules_evicted),
            ("sluice.executor.cache.damaged", "Files of the cache that were set aside", |m| &m.cache_damaged),
            ("sluice.executor.audit.written", "Audit records that were kept", |m| &m.audit_written),
            ("sluice.executor.audit.missing", "Audit records that could not be kept", |m| &m.audit_missing),
            ("sluice.executor.audit.deferred", "Audit records that a slow disk kept waiting", |m| &m.audit_deferred),
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
        let gauges: [ShownGauge; 11] = [
            ("sluice.executor.state.cursor", "The state that serves", |g| g.cursor),
            ("sluice.executor.state.tenants", "Tenants that are served", |g| g.tenants),
            ("sluice.executor.state.revisions", "Flow revisions that can be executed", |g| g.revisions),
            ("sluice.executor.executors", "Connected executors", |g| g.executors),
            ("sluice.executor.modules", "Modules in memory", |g| g.modules),
            ("sluice.executor.modules.bytes", "Memory of modules", |g| g.modules_bytes),
            ("sluice.executor.cache.bytes", "Bundles and snapshots on disk", |g| g.cache_bytes),
            ("sluice.executor.answers", "Answers kept for retries", |g| g.answers),
            ("sluice.executor.answers.bytes", "Memory of answers kept for retries", |g| g.answers_bytes),
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
        let ages: [ShownAge; 2] = [
            ("sluice.executor.state.age", "Since the state that serves was last known to be up to date", |g| g.age_s),
            ("sluice.executor.answers.oldest", "Since the oldest answer that is kept for retries", |g| {
                g.oldest_answer_s
            }),
        ];
        for (name, about, field) in ages {
            let read = Arc::clone(&read);
            let _shown = meter
                .f64_observable_gauge(name)
                .with_unit("s")
                .with_description(about)
                .with_callback(move |observer| observer.observe(field(read()), &[]))
                .build();
        }
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

    /// A state was nacked; `cause` is the wire's number.
    pub(crate) fn state_refused(&self, cause: i32) {
        let count = usize::try_from(cause).ok().and_then(|cause| self.states_refused.get(cause));
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn watch_reconnected(&self) {
        self.watch_reconnects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn watch_connected(&self, connected: bool) {
        self.watch_connected.store(connected.into(), Ordering::Relaxed);
    }

    /// So many bytes of changes are not in the cache folder; with a gap, who knows how many more.
    pub(crate) fn state_unkept(&self, bytes: u64, has_gap: bool) {
        self.state_unkept.store(if has_gap { bytes.max(1) } else { bytes }, Ordering::Relaxed);
    }

    pub(crate) fn cache_damaged(&self) {
        self.cache_damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn module_asked(&self, is_hit: bool) {
        self.modules_asked[usize::from(is_hit)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn module_loaded(&self, origin: Origin, took: Duration) {
        self.modules_loaded[origin as usize].fetch_add(1, Ordering::Relaxed);
        self.loads.record(took.as_secs_f64(), &self.origins[origin as usize]);
    }

    pub(crate) fn retried(&self, what: Retry) {
        self.retries[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn module_failed(&self) {
        self.modules_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn modules_evicted(&self, count: u64) {
        self.modules_evicted.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn audit_written(&self, count: u64) {
        self.audit_written.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn audit_missing(&self, count: u64) {
        self.audit_missing.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn audit_deferred(&self, count: u64) {
        self.audit_deferred.fetch_add(count, Ordering::Relaxed);
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

    /// How many modules runs did not find in memory, and how many they did.
    pub(crate) fn asked(&self) -> [u64; 2] {
        std::array::from_fn(|i| self.modules_asked[i].load(Ordering::Relaxed))
    }

    /// How many files of the cache were set aside.
    pub(crate) fn damaged(&self) -> u64 {
        self.cache_damaged.load(Ordering::Relaxed)
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
/// As [`ShownGauge`], in seconds.
type ShownAge = (&'static str, &'static str, fn(Gauges) -> f64);

/// A counter by one label.
fn labelled<const N: usize>(
    meter: &Meter,
    name: &'static str,
    about: &'static str,
    (label, words): (&'static str, &'static [&'static str; N]),
    metrics: &Arc<Metrics>,
    counts: fn(&Metrics) -> &[AtomicU64; N],
) {
    let metrics = Arc::clone(metrics);
    let _shown = meter
        .u64_observable_counter(name)
        .with_description(about)
        .with_callback(move |observer| {
            for (count, word) in counts(&metrics).iter().zip(words) {
                observer.observe(count.load(Ordering::Relaxed), &[KeyValue::new(label, *word)]);
            }
        })
        .build();
}

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
