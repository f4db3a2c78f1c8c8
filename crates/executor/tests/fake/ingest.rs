//! How the control plane that does what a test says takes audit.

use super::{Answers, Event, Services, Taking};
use sluice_api::distribution::v1::{audit_ingest_service_server::AuditIngestService, *};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl AuditIngestService for Services {
    type IngestStream = Answers<IngestResponse>;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Self::IngestStream>, Status> {
        let mut said = request.into_inner();
        let Some(ingest_request::Message::Hello(hello)) = said.message().await?.and_then(|r| r.message) else {
            return Err(Status::invalid_argument("no hello"));
        };
        let epoch = hello.epoch;
        self.tell(Event::IngestHello { epoch, first: hello.first_unacked_sequence });
        let (answers, receiver) = mpsc::unbounded_channel();
        let mut expected =
            self.mind.records.lock().range((epoch, 0)..(epoch + 1, 0)).next_back().map_or(1, |((_, s), _)| s + 1);
        let say = move |message| answers.send(Ok(IngestResponse { message: Some(message) })).is_ok();
        say(ingest_response::Message::Ack(IngestAck { sequence: expected - 1 }));
        let services = self.clone();
        let mut taking = self.mind.taking.subscribe();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    message = said.message() => message.ok().flatten().and_then(|r| r.message),
                    changed = taking.changed() => {
                        changed.unwrap();
                        if *taking.borrow() == Taking::Acked {
                            say(ingest_response::Message::Ack(IngestAck { sequence: expected - 1 }));
                        }
                        continue;
                    }
                    () = services.stop.cancelled() => return,
                };
                let Some(ingest_request::Message::Batch(batch)) = message else { return };
                let now = *services.mind.taking.borrow();
                services.tell(Event::Batch { epoch, first: batch.first_sequence, count: batch.records.len() });
                if let Taking::NackOnce(from) = now {
                    services.mind.taking.send_replace(Taking::Acked);
                    expected = from;
                    say(ingest_response::Message::Nack(IngestNack { expected_sequence: from, reason: "again".into() }));
                    continue;
                }
                if batch.first_sequence > expected {
                    let reason = "a gap".into();
                    say(ingest_response::Message::Nack(IngestNack { expected_sequence: expected, reason }));
                    continue;
                }
                for (record, sequence) in batch.records.into_iter().zip(batch.first_sequence..) {
                    services.mind.records.lock().insert((epoch, sequence), record);
                    expected = expected.max(sequence + 1);
                }
                match now {
                    Taking::Acked => say(ingest_response::Message::Ack(IngestAck { sequence: expected - 1 })),
                    Taking::AckOnce(sequence) => {
                        // Not announced: the change would be an ack as well.
                        services.mind.taking.send_if_modified(|taking| {
                            *taking = Taking::Acked;
                            false
                        });
                        say(ingest_response::Message::Ack(IngestAck { sequence }))
                    }
                    _ => true,
                };
            }
        });
        Ok(self.until_stopped(receiver))
    }
}
