//! What the control plane measures.

use crate::store::Recovery;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use sluice_model::AuditKind;
use std::time::Duration;

/// Its instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    publishes: Counter<u64>,
    publish_stages: Histogram<f64>,
    saves: Counter<u64>,
    catalogue: Counter<u64>,
    switches: Counter<u64>,
    ingested: Counter<u64>,
    missing: Counter<u64>,
    outbox: Gauge<u64>,
    states: Counter<u64>,
    nacks: Counter<u64>,
    pictures: Counter<u64>,
    checkpoints: Counter<u64>,
    recovered: Counter<u64>,
}

impl Metrics {
    /// The instruments on a meter.
    pub(crate) fn new(meter: &Meter) -> Metrics {
        Metrics {
            publishes: meter
                .u64_counter("sluice.publishes")
                .with_description("Packages sent for publishing, by what became of them: created, unchanged, refused")
                .build(),
            publish_stages: meter
                .f64_histogram("sluice.publish.stage.duration")
                .with_unit("s")
                .with_description("How long the stages of a publish took: read, compile, evaluate, cases, store")
                .with_boundaries(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
                .build(),
            saves: meter
                .u64_counter("sluice.flow.saves")
                .with_description("Saves of flows, by what became of them: saved, retried, refused")
                .build(),
            catalogue: meter
                .u64_counter("sluice.catalogue.changes")
                .with_description(
                    "Changes of what is published, by kind: action.deprecated, .yanked, .revoked, .deleted",
                )
                .build(),
            switches: meter
                .u64_counter("sluice.tenant.break_glass")
                .with_description("Turns of tenants' break-glass switches: on, off")
                .build(),
            ingested: meter
                .u64_counter("sluice.audit.ingested")
                .with_unit("{record}")
                .with_description("Audit records that came from executors: accepted, duplicate")
                .build(),
            missing: meter
                .u64_counter("sluice.audit.missing")
                .with_unit("{record}")
                .with_description("Audit records that are known to be lost")
                .build(),
            outbox: meter
                .u64_gauge("sluice.audit.outbox")
                .with_unit("{record}")
                .with_description("Audit records of edits that are not in the log yet")
                .build(),
            states: meter
                .u64_counter("sluice.watch.states")
                .with_description("States sent to executors (full, delta) and what they answered (ack, nack)")
                .build(),
            nacks: meter
                .u64_counter("sluice.watch.nacks")
                .with_description("States that executors refused, by cause")
                .build(),
            pictures: meter
                .u64_counter("sluice.watch.pictures")
                .with_description("Times that everything was read from the store, for executors that need all of it")
                .build(),
            checkpoints: meter
                .u64_counter("sluice.store.checkpoints")
                .with_description("Checkpoints of the store, by what became of them: taken, failed")
                .build(),
            recovered: meter
                .u64_counter("sluice.store.recovered")
                .with_description("What the start had to do: commits replayed, rows mended, databases rebuilt")
                .build(),
        }
    }

    /// A checkpoint was taken, or not.
    pub(crate) fn checkpointed(&self, taken: bool) {
        self.checkpoints.add(1, &[KeyValue::new("result", if taken { "taken" } else { "failed" })]);
    }

    /// What opening the store had to do.
    pub(crate) fn recovered(&self, recovery: &Recovery) {
        let rebuilt = u64::from(recovery.rebuilt.is_some());
        for (what, count) in [("replayed", recovery.replayed), ("mended", recovery.mended), ("rebuilt", rebuilt)] {
            self.recovered.add(count, &[KeyValue::new("what", what)]);
        }
    }

    /// A publish ended: `created`, `unchanged`, `refused`.
    pub(crate) fn published(&self, result: &'static str) {
        self.publishes.add(1, &[KeyValue::new("result", result)]);
    }

    /// A stage of a publish took so long.
    pub(crate) fn publish_stage(&self, stage: &'static str, took: Duration) {
        self.publish_stages.record(took.as_secs_f64(), &[KeyValue::new("stage", stage)]);
    }

    /// A save of a flow ended, or has to be tried again: `saved`, `retried`, `refused`.
    pub(crate) fn saved(&self, result: &'static str) {
        self.saves.add(1, &[KeyValue::new("result", result)]);
    }

    /// A version was marked, or an Action deleted.
    pub(crate) fn catalogue_changed(&self, kind: AuditKind) {
        self.catalogue.add(1, &[KeyValue::new("kind", kind.as_str())]);
    }

    /// A tenant's custom Actions were turned off, or on again.
    pub(crate) fn break_glass(&self, on: bool) {
        self.switches.add(1, &[KeyValue::new("to", if on { "on" } else { "off" })]);
    }

    /// Records came from an executor.
    pub(crate) fn ingested(&self, accepted: usize, duplicates: usize) {
        self.ingested.add(accepted as u64, &[KeyValue::new("result", "accepted")]);
        self.ingested.add(duplicates as u64, &[KeyValue::new("result", "duplicate")]);
    }

    /// Records are lost.
    pub(crate) fn missing(&self, records: u64) {
        self.missing.add(records, &[]);
    }

    /// So many records wait in the outbox.
    pub(crate) fn outbox(&self, records: u64) {
        self.outbox.record(records, &[]);
    }

    /// Something was told to an executor, or answered by one: `full`, `delta`, `ack`, `nack`.
    pub(crate) fn state(&self, what: &'static str) {
        self.states.add(1, &[KeyValue::new("what", what)]);
    }

    /// Everything was read from the store.
    pub(crate) fn pictured(&self) {
        self.pictures.add(1, &[]);
    }

    /// An executor refused a state.
    pub(crate) fn nacked(&self, cause: &'static str) {
        self.nacks.add(1, &[KeyValue::new("cause", cause)]);
    }
}
