//! Audit from executors: numbered by each since its start, acknowledged when durable, kept once. What runs emitted comes with
//! their records, and is made deliveries of.

use super::Audit;
use super::log::{AppendError, OnGap, Source, SourceBatch};
use sluice_model::audit::AuditRun;
use sluice_model::{AuditKind, AuditRecord, Error};

/// Who sends, and where it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    /// The executor's id.
    pub(crate) executor: String,
    /// Its start that numbered the records.
    pub(crate) epoch: u64,
    /// The lowest number that was not acknowledged to it.
    pub(crate) first_unacked: u64,
}

/// Records that follow each other.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    /// The number of the first, from 1.
    pub(crate) first: u64,
    /// The records.
    pub(crate) records: Vec<AuditRecord>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingested {
    /// Everything up to this number is durable.
    Durable(u64),
    /// Dropped: the next batch must begin here.
    Expected(u64),
}

/// One executor's stream.
pub(crate) struct Ingest {
    audit: Audit,
    hello: Hello,
    source: Source,
    durable: u64,
}

impl Audit {
    /// Begins a stream.
    pub(crate) async fn ingest(&self, hello: Hello) -> Result<Ingest, Error> {
        let source = Source::Executor { id: hello.executor.as_str().into(), epoch: hello.epoch };
        let durable = self.log.last_sequence(&source).await?;
        Ok(Ingest { audit: self.clone(), hello, source, durable })
    }
}

impl Ingest {
    /// The highest number up to which everything is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes a batch.
    pub(crate) async fn take(&mut self, batch: Records) -> Result<Ingested, Error> {
        let Records { first, mut records } = batch;
        for (index, record) in records.iter_mut().enumerate() {
            // An executor reports runs. Edits are the control plane's own to record.
            if !matches!(record.kind, AuditKind::ActionExecuted | AuditKind::AuditGap) {
                let message = format!("is {}, which executors do not report", record.kind);
                return Err(Error::field(format!("batch.records[{index}].kind"), message));
            }
            let run = record.run.get_or_insert_with(AuditRun::default);
            run.executor.clone_from(&self.hello.executor);
        }
        // First, so that no record is ever acknowledged whose deliveries are not made; a batch that comes again makes none twice.
        self.audit.intake.take(&mut records).await?;
        // What is missing was acknowledged once, so the executor has it no more: it is the log that lost it.
        let lost = first == self.hello.first_unacked && first > self.durable + 1;
        let on_gap = if lost { OnGap::Accept } else { OnGap::Refuse };
        let appended = match self
            .audit
            .log
            .append(SourceBatch { source: self.source.clone(), first_sequence: first, records, on_gap })
            .await
        {
            Ok(appended) => appended,
            Err(AppendError::Gap { expected, .. }) => return Ok(Ingested::Expected(expected)),
            Err(AppendError::Log(error)) => return Err(error.into()),
        };
        self.audit.shared.metrics.ingested(appended.accepted, appended.duplicates);
        if appended.missing > 0 {
            self.audit.shared.metrics.missing(appended.missing);
            self.audit.record_gap(&self.source, appended.missing).await?;
        }
        self.durable = appended.last_sequence;
        Ok(Ingested::Durable(appended.last_sequence))
    }
}
