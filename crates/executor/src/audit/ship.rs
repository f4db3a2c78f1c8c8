//! The shipper: brings what lies in the spool to the control plane, and lets go of what is durable there.
//!
//! It reads the files, never memory. A stream carries one epoch; what earlier epochs left behind goes first. Batches are
//! sent at most once a linger, so that at full load a batch holds some hundred records and costs each of them little; at
//! most [`WINDOW`] batches are on their way unacknowledged. A record's bytes are passed on as they lie on disk.

use super::{
    Audit, LeftBehind,
    spool::{Batch, Log, Place},
};
use crate::{backoff::Backoff, telemetry::Metrics};
use bytes::Bytes;
use sluice_api::distribution::v1 as distribution;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, transport::Channel};

/// Batches on their way.
const WINDOW: usize = 4;
/// The method.
const INGEST: &str = "/sluice.distribution.v1.AuditIngestService/Ingest";

/// `distribution.v1.IngestRequest` with its records as the bytes that they are: on the wire it is the same.
#[derive(Clone, PartialEq, prost::Message)]
struct RawRequest {
    #[prost(oneof = "RawMessage", tags = "1, 2")]
    message: Option<RawMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum RawMessage {
    #[prost(message, tag = "1")]
    Hello(distribution::IngestHello),
    #[prost(message, tag = "2")]
    Batch(RawBatch),
}

/// `distribution.v1.IngestBatch`, likewise.
#[derive(Clone, PartialEq, prost::Message)]
struct RawBatch {
    #[prost(uint64, tag = "1")]
    first_sequence: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    records: Vec<Bytes>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Shipper {
    pub(crate) channel: Channel,
    pub(crate) executor: String,
    pub(crate) epoch: u64,
    /// How long records are gathered.
    pub(crate) linger: Duration,
    /// When it is cancelled, what is there is sent without gathering, and the shipper ends when all of it is acknowledged.
    pub(crate) finish: CancellationToken,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Box<Status>),
    #[error("the control plane ended the stream")]
    Ended,
    #[error("the spool cannot be read: {0}")]
    Spool(#[from] io::Error),
    #[error(
        "the control plane acknowledged record {acked}, but {sent} is the last that it can have from this start: another \
         executor uses the same id, or this data folder was copied or put back"
    )]
    AheadOfSpool { acked: u64, sent: u64 },
    #[error("the control plane acknowledged record {acked} after record {before}: acks do not go back")]
    Backwards { acked: u64, before: u64 },
    #[error("the control plane asks for record {expected}; this stream goes from {first} to {sent}")]
    OutOfReach { expected: u64, first: u64, sent: u64 },
}

impl Broken {
    /// Whether the control plane said what cannot be: nothing of it is believed.
    fn is_nonsense(&self) -> bool {
        matches!(self, Broken::AheadOfSpool { .. } | Broken::Backwards { .. } | Broken::OutOfReach { .. })
    }
}

impl From<Status> for Broken {
    fn from(status: Status) -> Broken {
        Broken::Refused(Box::new(status))
    }
}

impl Shipper {
    /// Ships until `finish` is cancelled and everything is acknowledged.
    pub(crate) async fn run(self, audit: Arc<Audit>, mut left_behind: Vec<LeftBehind>) {
        let mut backoff = Backoff::new();
        // An epoch that the control plane refuses for itself must not keep the others from it.
        let mut refused: Vec<LeftBehind> = Vec::new();
        while let Some(earlier) = left_behind.first() {
            match self.ship(earlier.epoch, &earlier.log, true).await {
                Ok(()) => {
                    let done = left_behind.remove(0);
                    let removed = tokio::task::spawn_blocking(move || (done.epoch, done.log.remove())).await;
                    if let Ok((epoch, Err(error))) = removed {
                        tracing::warn!(epoch, %error, "an epoch that is acknowledged cannot be removed");
                    }
                    backoff.reset();
                }
                Err(broken) => {
                    self.report(earlier.epoch, &broken);
                    let is_own = match &broken {
                        Broken::Refused(status) => !matches!(
                            status.code(),
                            tonic::Code::Unavailable
                                | tonic::Code::Cancelled
                                | tonic::Code::Unknown
                                | tonic::Code::DeadlineExceeded
                        ),
                        Broken::Ended => false,
                        _ => true,
                    };
                    if is_own {
                        refused.push(left_behind.remove(0));
                    }
                    backoff.wait().await;
                }
            }
        }
        if !refused.is_empty() {
            tracing::error!(epochs = refused.len(), "earlier epochs' audit stays in the spool until the next start");
        }
        backoff.reset();
        while !(self.finish.is_cancelled() && audit.log().is_acked()) {
            let before = audit.log().acked();
            match self.ship(self.epoch, audit.log(), false).await {
                Ok(()) => return,
                Err(broken) => self.report(self.epoch, &broken),
            }
            if audit.log().acked() > before {
                backoff.reset();
            }
            backoff.wait().await;
        }
    }

    fn report(&self, epoch: u64, broken: &Broken) {
        self.metrics.ship_broken();
        if broken.is_nonsense() {
            tracing::error!(epoch, error = %broken, "an answer of the control plane is refused; audit waits in the spool");
            return;
        }
        tracing::warn!(epoch, error = %broken, "audit waits in the spool; the stream is opened again");
    }

    /// One stream. It ends well when everything is acknowledged and nothing more can come: at once for an epoch that is
    /// over, after `finish` for this one.
    async fn ship(&self, epoch: u64, log: &Arc<Log>, is_over: bool) -> Result<(), Broken> {
        if is_over && log.is_acked() {
            return Ok(());
        }
        let (requests, outbound) = mpsc::channel(WINDOW);
        let first = log.acked() + 1;
        let hello =
            distribution::IngestHello { executor_id: self.executor.clone(), epoch, first_unacked_sequence: first };
        let lost = |_| Broken::Ended;
        requests.send(RawRequest { message: Some(RawMessage::Hello(hello)) }).await.map_err(lost)?;

        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        let unready = |error: tonic::transport::Error| Status::unavailable(crate::chain(&error));
        grpc.ready().await.map_err(unready)?;
        let path = http::uri::PathAndQuery::from_static(INGEST);
        let codec = tonic_prost::ProstCodec::<RawRequest, distribution::IngestResponse>::default();
        let mut answers = grpc.streaming(Request::new(ReceiverStream::new(outbound)), path, codec).await?.into_inner();

        let mut place: Option<Place> = None;
        // What was acknowledged on this stream.
        let mut known: Option<u64> = None;
        let mut sent_through: Vec<u64> = Vec::with_capacity(WINDOW);
        let mut not_before = Instant::now();
        loop {
            let finishing = is_over || self.finish.is_cancelled();
            if finishing && log.is_acked() {
                return Ok(());
            }
            let has_room = sent_through.len() < WINDOW;
            tokio::select! {
                biased;
                answer = answers.message() => match answer?.and_then(|a| a.message) {
                    Some(distribution::ingest_response::Message::Ack(ack)) => {
                        let acked = ack.sequence;
                        let sent = match place {
                            Some(place) => place.sequence - 1,
                            // The answer to the hello. Of an earlier epoch the control plane may have more than a machine
                            // that lost its power has left here.
                            None if is_over => u64::MAX,
                            None => log.written(),
                        };
                        if acked > sent {
                            return Err(Broken::AheadOfSpool { acked, sent });
                        }
                        if let Some(before) = known.replace(acked).filter(|before| acked < *before) {
                            return Err(Broken::Backwards { acked, before });
                        }
                        if acked + 1 < first && place.is_none() {
                            tracing::error!(epoch, acked, released = first - 1, "the control plane has lost records that it had acknowledged");
                        }
                        sent_through.retain(|through| *through > acked);
                        place.get_or_insert(Place::at(first.max(acked + 1)));
                        let log = Arc::clone(log);
                        tokio::task::spawn_blocking(move || log.ack(acked)).await.map_err(|_| Broken::Ended)??;
                    }
                    Some(distribution::ingest_response::Message::Nack(nack)) => {
                        let (expected, sent) = (nack.expected_sequence, place.map_or(0, |place| place.sequence - 1));
                        // What was released is not there to be sent again.
                        if expected <= log.acked() || expected > sent + 1 {
                            return Err(Broken::OutOfReach { expected, first: log.acked() + 1, sent });
                        }
                        tracing::warn!(epoch, expected, reason = nack.reason, "a batch is sent again");
                        place = Some(Place::at(expected));
                        sent_through.clear();
                        not_before = Instant::now() + self.linger;
                    }
                    None => return Err(Broken::Ended),
                },
                read = next(log, place, not_before, finishing), if place.is_some() && has_room => {
                    let (batch, moved) = read?;
                    place = Some(moved);
                    if batch.records.is_empty() {
                        continue;
                    }
                    sent_through.push(moved.sequence - 1);
                    not_before = Instant::now() + self.linger;
                    let batch = RawBatch { first_sequence: batch.first, records: batch.records };
                    requests.send(RawRequest { message: Some(RawMessage::Batch(batch)) }).await.map_err(lost)?;
                }
                () = self.finish.cancelled(), if !finishing => {}
            }
        }
    }
}

/// Waits until there is something to send and it is time, then reads it.
async fn next(log: &Arc<Log>, place: Option<Place>, not_before: Instant, now: bool) -> Result<(Batch, Place), Broken> {
    let mut place = place.unwrap_or(Place::at(1));
    log.written_after(place.sequence - 1).await;
    if !now {
        sleep_until(not_before).await;
    }
    let log = Arc::clone(log);
    let read = tokio::task::spawn_blocking(move || log.read(&mut place).map(|batch| (batch, place)));
    Ok(read.await.map_err(|_| Broken::Ended)??)
}
