//! Audit: what happened, kept.
//!
//! Edits put their records into the [outbox] in the commit that makes the edit, and the outbox moves them to the
//! [log]; executors send theirs to the [ingest]. Whoever reads sees every edit that was answered before.

pub(crate) mod ingest;
pub mod log;
pub(crate) mod outbox;
#[cfg(test)]
mod outbox_tests;

use crate::deliveries::Intake;
use crate::shared::Shared;
use log::{AuditLog, AuditPage, Query, Source};
use outbox::Outbox;
use serde_json::json;
use sluice_model::{AuditKind, AuditRecord, Error};
use std::sync::Arc;

/// Reads and takes audit.
#[derive(Clone)]
pub(crate) struct Audit {
    shared: Shared,
    log: Arc<dyn AuditLog>,
    outbox: Arc<Outbox>,
    intake: Intake,
}

impl Audit {
    /// The audit of a control plane; the outbox is moved by [`Outbox::run`].
    pub(crate) fn new(shared: Shared, log: Arc<dyn AuditLog>, outbox: Arc<Outbox>, intake: Intake) -> Audit {
        Audit { shared, log, outbox, intake }
    }

    /// The records that match, newest first. Every edit that was answered before this call is among them.
    pub(crate) async fn query(&self, query: Query) -> Result<AuditPage, Error> {
        self.outbox.drain().await?;
        Ok(self.log.query(query).await?)
    }

    /// Writes down for every tenant that records of a source are lost: it is not known whose they were.
    pub(crate) async fn record_gap(&self, source: &Source, missing: u64) -> Result<(), Error> {
        tracing::error!(%source, missing, "audit records are lost");
        outbox::record_gap(&self.shared, source, missing).await
    }
}

/// The record of a gap.
fn gap_record(shared: &Shared, tenant: sluice_model::Slug, source: &Source, missing: u64) -> AuditRecord {
    let mut record = AuditRecord::new(shared.clock.now(), AuditKind::AuditGap, tenant, "control-plane");
    record.to = Some(json!({ "missing": missing, "source": source.to_string() }));
    record
}
