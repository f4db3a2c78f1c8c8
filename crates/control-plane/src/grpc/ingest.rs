//! `AuditIngestService`.

use super::{draining, id, opened, operator};
use crate::audit::Audit;
use crate::audit::ingest::{Hello, Ingest, Ingested, Records};
use crate::audit::log::MAX_BATCH_RECORDS;
use prost::Message as _;
use sluice_api::convert::Ctx as _;
use sluice_api::distribution::v1::{
    self as wire, audit_ingest_service_server::AuditIngestService, ingest_request, ingest_response,
};
use sluice_api::status;
use sluice_model::{AuditRecord, Code, Error};
use sluice_serve::Drain;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The most bytes of a batch.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Acks that are ready to be sent.
const READY: usize = 16;

type Answers = mpsc::Sender<Result<wire::IngestResponse, Status>>;

/// The service.
pub(crate) struct IngestEdge {
    audit: Audit,
    drain: Drain,
}

impl IngestEdge {
    pub(crate) fn new(audit: Audit, drain: Drain) -> IngestEdge {
        IngestEdge { audit, drain }
    }
}

fn hello(message: wire::IngestRequest) -> Result<Hello, Error> {
    let Some(ingest_request::Message::Hello(hello)) = message.message else {
        return Err(violation("the first message is the hello"));
    };
    for (field, number) in
        [("hello.epoch", hello.epoch), ("hello.first_unacked_sequence", hello.first_unacked_sequence)]
    {
        if number == 0 {
            return Err(Error::field(field, "is required; it counts from 1"));
        }
    }
    Ok(Hello {
        executor: id("hello.executor_id", &hello.executor_id)?,
        epoch: hello.epoch,
        first_unacked: hello.first_unacked_sequence,
    })
}

fn batch(message: wire::IngestRequest) -> Result<Records, Error> {
    let batch = match message.message {
        Some(ingest_request::Message::Batch(batch)) => batch,
        Some(ingest_request::Message::Hello(_)) => return Err(violation("the hello comes once, first")),
        None => return Err(Error::field("message", "is required: a batch")),
    };
    if batch.first_sequence == 0 {
        return Err(Error::field("batch.first_sequence", "is required; it counts from 1"));
    }
    let (count, bytes) = (batch.records.len(), batch.encoded_len());
    if count == 0 || count > MAX_BATCH_RECORDS || bytes > MAX_BATCH_BYTES {
        let message =
            format!("are {count} in {bytes} bytes; a batch takes 1 to {MAX_BATCH_RECORDS} in {MAX_BATCH_BYTES}");
        return Err(Error::field("batch.records", message));
    }
    let records = batch
        .records
        .into_iter()
        .enumerate()
        .map(|(index, record)| AuditRecord::try_from(record).map_err(|wrong| wrong.at_index(index)));
    let records = records.collect::<Result<_, _>>().ctx("records").ctx("batch")?;
    Ok(Records { first: batch.first_sequence, records })
}

fn violation(message: &str) -> Error {
    Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", message)
}

fn to_wire(ingested: Ingested) -> wire::IngestResponse {
    let message = match ingested {
        Ingested::Durable(sequence) => ingest_response::Message::Ack(wire::IngestAck { sequence }),
        Ingested::Expected(expected_sequence) => ingest_response::Message::Nack(wire::IngestNack {
            expected_sequence,
            reason: format!("records are missing: the next batch begins at {expected_sequence}"),
        }),
    };
    wire::IngestResponse { message: Some(message) }
}

/// Takes batches until the executor hangs up. Each is durable before the next is taken; those that come meanwhile wait in
/// the connection, whose flow control slows the executor down.
async fn take(
    mut ingest: Ingest,
    mut messages: Streaming<wire::IngestRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    while let Ok(Some(message)) = messages.message().await {
        let taken = match batch(message) {
            Ok(records) => ingest.take(records).await,
            Err(error) => Err(error),
        };
        let answer = to_wire(taken.map_err(status::to_status)?);
        if answers.send(Ok(answer)).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl AuditIngestService for IngestEdge {
    type IngestStream = ReceiverStream<Result<wire::IngestResponse, Status>>;

    async fn ingest(
        &self,
        request: Request<Streaming<wire::IngestRequest>>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        let (principal, mut messages) = opened(request)?;
        operator(&principal).map_err(status::to_status)?;
        if self.drain.has_begun() {
            return Err(draining());
        }
        let hello = hello(super::first(&mut messages).await?).map_err(status::to_status)?;
        let ingest = self.audit.ingest(hello).await.map_err(status::to_status)?;
        let begun = self.drain.begun();
        let (answers, stream) = mpsc::channel(READY);
        let durable = to_wire(Ingested::Durable(ingest.durable()));
        tokio::spawn(async move {
            if answers.send(Ok(durable)).await.is_err() {
                return;
            }
            let ended = tokio::select! {
                () = begun => Err(draining()),
                ended = take(ingest, messages, &answers) => ended,
            };
            if let Err(status) = ended {
                // Whoever reads no more hangs up, or is cut off by the drain.
                let _unread = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
