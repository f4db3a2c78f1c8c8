//! The outbox: audit records of edits, from the commit of the edit to the log.
//!
//! A row's number is its sequence in the log, so a row that is moved twice (because the control plane died between the
//! append and the delete) is kept once.

use super::gap_record;
use super::log::{AppendError, AuditLog, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, OnGap, Source, SourceBatch, record};
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, MAX_BATCH_WRITES, Scan};
use crate::tenants::Tenant;
use sluice_model::{AuditRecord, Error};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How long the mover waits after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The outbox of a store.
pub(crate) struct Outbox {
    shared: Shared,
    log: Arc<dyn AuditLog>,
    /// The number of the last row that is in the log. Held while rows are moved, so that they are moved in order.
    moved: Mutex<u64>,
}

/// The bytes of a record in the outbox.
pub(crate) fn row(record: &AuditRecord) -> Result<Vec<u8>, Error> {
    record::encode(record).map_err(|error| {
        tracing::error!(%error, "an audit record cannot be written as JSON");
        Error::internal("the audit of this request cannot be written")
    })
}

impl Outbox {
    /// The outbox, made to agree with the log: a store that was restored from an older copy would give numbers again
    /// that the log has taken already, and what they name would be dropped as a duplicate.
    pub(crate) async fn open(shared: Shared, log: Arc<dyn AuditLog>) -> Result<Outbox, Error> {
        let taken = log.last_sequence(&Source::ControlPlane).await?;
        let mut given = shared.store.last_appended(&keys::outbox()).await?;
        if given < taken {
            tracing::warn!(given, taken, "the store is older than the audit log; numbering goes on where the log is");
        }
        while given < taken {
            let step = (taken - given).min(MAX_BATCH_WRITES as u64);
            let fill = (0..step).fold(Batch::new(), |batch, _| batch.append(keys::outbox(), Vec::new()));
            rows::commit(&*shared.store, fill).await?;
            let unfill = (1..=step).fold(Batch::new(), |batch, n| batch.delete(keys::outbox().number(given + n)));
            rows::commit(&*shared.store, unfill).await?;
            given += step;
        }
        Ok(Outbox { shared, log, moved: Mutex::new(taken) })
    }

    /// Moves every row that is there now; at the end every edit that was answered before the call is in the log.
    pub(crate) async fn drain(&self) -> Result<(), Error> {
        let target = self.shared.store.last_appended(&keys::outbox()).await?;
        let mut moved = self.moved.lock().await;
        while *moved < target {
            self.shared.metrics.outbox(target - *moved);
            *moved = self.move_some(*moved).await?;
        }
        self.shared.metrics.outbox(0);
        Ok(())
    }

    /// Moves a batch of rows; the answer is the number of the last.
    async fn move_some(&self, moved: u64) -> Result<u64, Error> {
        let page = self.shared.store.scan(Scan::of(keys::outbox()).limit(MAX_BATCH_RECORDS)).await?;
        let (mut records, mut batch, mut bytes) = (Vec::new(), Batch::new(), 0);
        let mut first = None;
        let mut last = moved;
        for entry in page.entries {
            let number = entry.key.parts_after(&keys::outbox()).and_then(|mut parts| parts.number());
            let number = number.ok_or_else(|| Error::internal("the audit outbox is damaged"))?;
            bytes += entry.value.len();
            if bytes > MAX_BATCH_BYTES / 2 && !records.is_empty() {
                break;
            }
            // Number by number: what a hole would hide is told by the log as a gap.
            if first.is_some() && number != last + 1 {
                break;
            }
            first.get_or_insert(number);
            last = number;
            records.push(record::decode(&entry.value).map_err(|error| {
                tracing::error!(key = %entry.key, %error, "a row of the audit outbox is not what this build reads");
                Error::internal("the audit outbox is damaged")
            })?);
            batch = batch.delete(entry.key);
        }
        let Some(first_sequence) = first else {
            // Numbers were given whose rows are gone: nothing is left to wait for.
            return Ok(self.shared.store.last_appended(&keys::outbox()).await?);
        };
        self.append(first_sequence, records).await?;
        rows::commit(&*self.shared.store, batch).await?;
        Ok(last)
    }

    async fn append(&self, first_sequence: u64, records: Vec<AuditRecord>) -> Result<(), Error> {
        let batch = SourceBatch { source: Source::ControlPlane, first_sequence, records, on_gap: OnGap::Refuse };
        match self.log.append(batch.clone()).await {
            Ok(_) => Ok(()),
            Err(AppendError::Gap { expected, got, .. }) => {
                // The rows are gone from the store, so the log lost them: nobody can send them again.
                let missing = got.saturating_sub(expected);
                tracing::error!(missing, "the audit log has lost records of edits");
                self.shared.metrics.missing(missing);
                self.log.append(SourceBatch { on_gap: OnGap::Accept, ..batch }).await?;
                record_gap(&self.shared, &Source::ControlPlane, missing).await
            }
            Err(AppendError::Log(error)) => Err(error.into()),
        }
    }

    /// Moves rows as they come, until told to stop; then what is left.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut hint = self.shared.store.watch();
        loop {
            hint.borrow_and_update();
            let failed = self.drain().await.is_err();
            let again = async {
                if failed {
                    tokio::time::sleep(RETRY_AFTER).await;
                } else if hint.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = again => {}
                () = stop.cancelled() => break,
            }
        }
        if let Err(error) = self.drain().await {
            tracing::error!(%error, "audit of edits stays in the outbox until the next start");
        }
    }
}

/// Writes down for every tenant that records of a source are lost.
pub(super) async fn record_gap(shared: &Shared, source: &Source, missing: u64) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = rows::scan::<Tenant>(&*shared.store, Scan::of(keys::tenants()).after(after)).await?;
        let mut batch = Batch::new();
        for tenant in page.entries {
            batch = batch.append(keys::outbox(), row(&gap_record(shared, tenant.value.tenant, source, missing))?);
        }
        rows::commit(&*shared.store, batch).await?;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
