//! Audit: every run leaves a record, before the answer that it belongs to.
//!
//! An execution asks [`Audit::admit`] before it runs and hands its records to [`Audit::keep`] before it answers. They lie
//! in the [`spool`] until [`ship`] has brought them to the control plane. How sure that is before the answer leaves is
//! `audit.durability`; what happens when it cannot be done, `audit.on_spool_failure`: refuse, or count. A record that is
//! not kept is counted in either case, and told by a record of its own, `audit.gap`, as soon as one can be written: there
//! is never silence.
//!
//! Records are written on the runtime's worker, which costs 5 us, as long as the disk is fast. Where it is not they wait in a
//! [`queue`] for a thread of their own, and their answers with them; a disk that stands still ends in refusals, never in a runtime
//! that does.

mod queue;
pub(crate) mod ship;
pub(crate) mod spool;
#[cfg(test)]
mod tests;

use crate::{
    config::{AuditConfig, Durability, OnSpoolFailure},
    identity::Identity,
    telemetry::Metrics,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use queue::{Handed, Queue};
use serde_json::json;
use sluice_api::types::v1 as wire;
use sluice_model::{AuditKind, AuditRecord, Code, Error, Slug};
use spool::{Frames, Log, Now, Spool, SpoolError};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot, watch};

/// The folder in the data folder.
pub(crate) const FOLDER: &str = "spool";
/// How long after a failed write no execution is begun that could not be kept either.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Audit {
    spool: Spool,
    durability: Durability,
    on_failure: OnSpoolFailure,
    executor: String,
    gaps: Mutex<Gaps>,
    queue: Queue,
    forced: watch::Sender<Forced>,
    force: Notify,
    metrics: Arc<Metrics>,
}

/// Records that are missing, and what is known of the failure.
#[derive(Debug, Default)]
struct Gaps {
    by_tenant: BTreeMap<Slug, Gap>,
    rest_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    missing: u64,
    since: Timestamp,
}

/// How far the spool is on the disk.
#[derive(Clone, Copy, Debug, Default)]
struct Forced {
    through: u64,
    /// The disk failed to force up to here.
    failed_through: u64,
}

/// An earlier epoch's records.
#[derive(Debug)]
pub(crate) struct LeftBehind {
    pub(crate) epoch: u64,
    pub(crate) log: Arc<Log>,
}

impl Audit {
    /// Opens the spool of a new epoch in the data folder, and finds what earlier ones left behind. Blocking.
    pub(crate) fn open(
        data: &Path,
        identity: &Identity,
        config: &AuditConfig,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Audit, Vec<LeftBehind>)> {
        let folder = data.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let total = Arc::new(AtomicU64::new(0));
        let mut left_behind = Vec::new();
        for epoch in spool::epochs(&folder)? {
            if epoch >= identity.epoch {
                let message = format!(
                    "{}: holds records of epoch {epoch}, but this start is epoch {}: the data folder is not of one piece",
                    folder.display(),
                    identity.epoch
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let path = spool::epoch_folder(&folder, epoch);
            let recovered = spool::recover(&path)?;
            if recovered.torn_bytes > 0 {
                tracing::warn!(
                    epoch,
                    bytes = recovered.torn_bytes,
                    "a record was cut that its process had not finished"
                );
            }
            for file in &recovered.set_aside {
                metrics.spool_damaged();
                tracing::error!(epoch, file = %file.display(), "audit records are damaged on disk and were set aside: look at them");
            }
            let log = Arc::new(Log::left_behind(path, recovered.segments, Arc::clone(&total)));
            left_behind.push(LeftBehind { epoch, log });
        }
        let spool = Spool::create(&folder, identity.epoch, config.spool_max_bytes, total)?;
        Ok((Audit::on(spool, identity, config, metrics), left_behind))
    }

    fn on(spool: Spool, identity: &Identity, config: &AuditConfig, metrics: Arc<Metrics>) -> Audit {
        if config.durability == Durability::Disk {
            spool.will_be_forced();
        }
        Audit {
            spool,
            durability: config.durability,
            on_failure: config.on_spool_failure,
            executor: identity.id.clone(),
            gaps: Mutex::default(),
            queue: Queue::new(),
            forced: watch::Sender::new(Forced::default()),
            force: Notify::new(),
            metrics,
        }
    }

    /// The records of this epoch.
    pub(crate) fn log(&self) -> &Arc<Log> {
        self.spool.log()
    }

    /// The bytes that wait, of all epochs.
    pub(crate) fn bytes(&self) -> u64 {
        self.spool.bytes()
    }

    /// Whether an execution may begin: what it does can be kept, or the operator chose to count what is not.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Error> {
        if self.on_failure == OnSpoolFailure::CountGap {
            return Ok(());
        }
        if let Err(error) = self.spool.has_room().and_then(|()| self.queue.keeps_up(now)) {
            return Err(refused(&error));
        }
        match self.gaps.lock().rest_until {
            Some(until) if now < until => {
                Err(unavailable("the last audit record could not be written; trying again soon"))
            }
            _ => Ok(()),
        }
    }

    /// Writes records, and waits as long as the operator's durability says.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` where the operator refuses what cannot be kept.
    pub(crate) async fn keep(self: &Arc<Audit>, frames: &mut Frames, tenant: &Slug) -> Result<(), Error> {
        let Some(last) = self.write(frames, tenant).await? else { return Ok(()) };
        let kept = match self.durability {
            Durability::Process => true,
            Durability::Disk => {
                self.force.notify_one();
                let mut forced = self.forced.subscribe();
                let known = forced.wait_for(|f| f.through >= last || f.failed_through >= last).await;
                known.is_ok_and(|f| f.through >= last)
            }
            Durability::Acked => self.log().follow_acks().wait_for(|acked| *acked >= last).await.is_ok(),
        };
        if kept || self.on_failure == OnSpoolFailure::CountGap {
            return Ok(());
        }
        Err(unavailable("the disk did not keep the audit record"))
    }

    /// The sequence of the last record, none where nothing was written and the operator chose to count that.
    async fn write(self: &Arc<Audit>, frames: &mut Frames, tenant: &Slug) -> Result<Option<u64>, Error> {
        let count = frames.count();
        match self.spool.append_now(frames) {
            Now::Written(last) => {
                self.metrics.audit_written(count);
                Ok(Some(last))
            }
            Now::Failed(error) => {
                frames.clear();
                self.missed(tenant, count, &error)
            }
            Now::Later => {
                let (reply, written) = oneshot::channel();
                self.hand_over(frames, tenant, Some(reply))?;
                // Whoever writes always answers.
                written.await.unwrap_or_else(|_| Err(unavailable("the audit record could not be written")))
            }
        }
    }

    /// Writes records for which nobody waits: what cannot be written is counted.
    pub(crate) fn write_for_nobody(self: &Arc<Audit>, frames: &mut Frames, tenant: &Slug) {
        let count = frames.count();
        // It is counted where it is missed; there is nobody to be refused.
        let _counted = match self.spool.append_now(frames) {
            Now::Written(_) => {
                self.metrics.audit_written(count);
                Ok(None)
            }
            Now::Failed(error) => self.missed(tenant, count, &error),
            Now::Later => self.hand_over(frames, tenant, None).map(|()| None),
        };
    }

    /// Gives records to the thread that may wait for the disk.
    fn hand_over(
        self: &Arc<Audit>,
        frames: &mut Frames,
        tenant: &Slug,
        reply: Option<queue::Reply>,
    ) -> Result<(), Error> {
        self.metrics.audit_deferred(frames.count());
        let handed = Handed { frames: std::mem::take(frames), tenant: tenant.clone(), reply };
        let Err((handed, error)) = self.queue.put(handed) else {
            self.queue.work(self);
            return Ok(());
        };
        let missed = self.missed(tenant, handed.frames.count(), &error);
        match handed.reply {
            // Whoever asked is told there, also that it was counted and no more.
            Some(reply) => drop(reply.send(missed)),
            None => {
                missed?;
            }
        }
        Ok(())
    }

    /// Writes what was handed over, on a thread that may wait. The answer is who has to be told, and what.
    fn write_handed(&self, handed: Handed) -> Option<(queue::Reply, queue::Written)> {
        let Handed { mut frames, tenant, reply } = handed;
        let count = frames.count();
        let written = match self.spool.append(&mut frames, false) {
            Ok(last) => {
                self.metrics.audit_written(count);
                Ok(Some(last))
            }
            Err(error) => self.missed(&tenant, count, &error),
        };
        reply.map(|reply| (reply, written))
    }

    /// Returns when nothing that was handed over waits any more.
    pub(crate) async fn settled(&self) {
        self.queue.settled().await;
    }

    /// Has the spool lose a record, as a test asks for.
    pub(crate) fn lose(&self, record: u64) {
        self.spool.lose(record);
    }

    /// Records were not kept: they are counted, and refused where the operator says so.
    fn missed(&self, tenant: &Slug, count: u64, error: &SpoolError) -> Result<Option<u64>, Error> {
        self.count_gap(tenant, count, error);
        match self.on_failure {
            OnSpoolFailure::Refuse => Err(refused(error)),
            OnSpoolFailure::CountGap => Ok(None),
        }
    }

    /// A record that cannot even be encoded is missing too.
    pub(crate) fn too_large(&self, tenant: &Slug) {
        let error = io::Error::other("a record is larger than a frame");
        self.count_gap(tenant, 1, &error.into());
    }

    fn count_gap(&self, tenant: &Slug, count: u64, error: &SpoolError) {
        self.metrics.audit_missing(count);
        let mut gaps = self.gaps.lock();
        if gaps.by_tenant.is_empty() {
            tracing::error!(%error, "audit records are missing; audit.gap will tell how many");
        }
        if matches!(error, SpoolError::Io(_)) {
            gaps.rest_until = Some(Instant::now() + REST_AFTER_FAILURE);
        }
        let gap = gaps.by_tenant.entry(tenant.clone()).or_insert(Gap { missing: 0, since: Timestamp::now() });
        gap.missing += count;
    }

    /// Writes a record of each gap, also above the spool's bound. What cannot be written is tried again.
    pub(crate) fn tell_gaps(&self) {
        let told = std::mem::take(&mut self.gaps.lock().by_tenant);
        if told.is_empty() {
            return;
        }
        let mut frames = Frames::default();
        for (tenant, gap) in &told {
            let mut record = AuditRecord::new(Timestamp::now(), AuditKind::AuditGap, tenant.clone(), &self.executor);
            record.to =
                Some(json!({ "missing": gap.missing, "since": gap.since.to_string(), "executor": self.executor }));
            frames.push(&wire::AuditRecord::from(record));
        }
        if self.spool.append(&mut frames, true).is_ok() {
            tracing::warn!(tenants = told.len(), "the audit gap is told");
            return;
        }
        let mut gaps = self.gaps.lock();
        for (tenant, gap) in told {
            let known = gaps.by_tenant.entry(tenant).or_insert(Gap { missing: 0, ..gap });
            known.missing += gap.missing;
            known.since = known.since.min(gap.since);
        }
    }

    /// Forces the spool to disk whenever somebody waits for it, for all who wait at once; and tells gaps. Never ends.
    pub(crate) async fn tend(self: Arc<Audit>) {
        let mut tick = tokio::time::interval(REST_AFTER_FAILURE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.force.notified() => self.force_now().await,
                _ = tick.tick() => {
                    let audit = Arc::clone(&self);
                    // A panic in it is reported by the runtime; the next tick tries again.
                    let _joined = tokio::task::spawn_blocking(move || audit.tell_gaps()).await;
                }
            }
        }
    }

    async fn force_now(self: &Arc<Audit>) {
        let audit = Arc::clone(self);
        let forced = tokio::task::spawn_blocking(move || {
            let (through, files) = audit.spool.take_unforced();
            let failed = files.iter().find_map(|file| file.sync_data().err());
            if let Some(error) = &failed {
                // What the page cache says after this is not to be trusted: the next record goes elsewhere.
                tracing::error!(%error, "the spool cannot be forced to disk");
                audit.spool.abandon_segment();
            }
            (through, failed.is_none())
        });
        if let Ok((through, done)) = forced.await {
            self.forced.send_modify(|f| {
                let at = if done { &mut f.through } else { &mut f.failed_through };
                *at = through.max(*at);
            });
        }
    }
}

fn refused(error: &SpoolError) -> Error {
    unavailable(match error {
        // The path and the bytes are the operator's business, and in the log.
        SpoolError::Full { .. } => "the audit spool is full",
        SpoolError::Io(_) => "the audit record could not be written",
        SpoolError::Behind { .. } => "the disk does not keep up with the audit records",
    })
}

fn unavailable(message: &str) -> Error {
    Error::new(Code::Unavailable, "AUDIT_UNAVAILABLE", message)
}
