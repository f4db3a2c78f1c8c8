//! Audit from executors: kept once, acknowledged when durable.

use crate::support::{Plane, answered, assert_refused};
use sluice_api::convert;
use sluice_api::distribution::v1 as wire;
use sluice_api::distribution::v1::{ingest_request, ingest_response};
use sluice_api::{status, types::v1 as types};
use sluice_model::{Code, Error};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

pub(crate) struct Spool {
    says: mpsc::Sender<wire::IngestRequest>,
    hears: Streaming<wire::IngestResponse>,
}

fn hello(epoch: u64, first_unacked_sequence: u64) -> ingest_request::Message {
    ingest_request::Message::Hello(wire::IngestHello { executor_id: "e1".into(), epoch, first_unacked_sequence })
}

pub(crate) fn run(plane: &Plane, number: u64) -> types::AuditRecord {
    types::AuditRecord {
        time: Some(convert::to_timestamp(plane.clock.now())),
        kind: "flow.action_executed".into(),
        tenant: "acme".into(),
        principal: "platform-operator".into(),
        flow: "login".into(),
        flow_revision: 2,
        trigger: "post-login".into(),
        attachment: "at-1".into(),
        slug: "gate".into(),
        version: "1.0.0".into(),
        sign_in_id: format!("s{number}"),
        execution_id: format!("x{number}"),
        outcome: types::OutcomeKind::Continue.into(),
        ..Default::default()
    }
}

impl Spool {
    async fn open(plane: &Plane, hello: ingest_request::Message) -> Result<Spool, Error> {
        let (says, said) = mpsc::channel(8);
        says.send(wire::IngestRequest { message: Some(hello) }).await.unwrap();
        let hears = answered(plane.ingest().ingest(ReceiverStream::new(said)).await)?;
        Ok(Spool { says, hears })
    }

    /// Opens a stream and reads up to where everything is durable.
    pub(crate) async fn at(plane: &Plane, epoch: u64, first_unacked: u64, durable: u64) -> Spool {
        let mut spool = Spool::open(plane, hello(epoch, first_unacked)).await.unwrap();
        assert_eq!(spool.hears().await.unwrap(), acked(durable));
        spool
    }

    pub(crate) async fn sends(
        &mut self,
        first_sequence: u64,
        records: Vec<types::AuditRecord>,
    ) -> Result<ingest_response::Message, Error> {
        let batch = ingest_request::Message::Batch(wire::IngestBatch { first_sequence, records });
        self.says.send(wire::IngestRequest { message: Some(batch) }).await.unwrap();
        self.hears().await
    }

    async fn hears(&mut self) -> Result<ingest_response::Message, Error> {
        let heard = self.hears.message().await.map_err(|status| status::from_status(&status))?;
        Ok(heard.unwrap().message.unwrap())
    }
}

pub(crate) fn acked(sequence: u64) -> ingest_response::Message {
    ingest_response::Message::Ack(wire::IngestAck { sequence })
}

/// The executions that audit has, oldest first.
pub(crate) async fn executions(plane: &Plane) -> Vec<String> {
    let records = plane.records("acme").await;
    let runs = records.into_iter().filter(|record| record.kind == "flow.action_executed");
    runs.map(|record| record.execution_id).collect()
}

#[tokio::test]
async fn records_are_kept_once_however_often_they_are_sent() {
    let plane = Plane::with_acme().await;
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    let batch: Vec<_> = (1..=3).map(|n| run(&plane, n)).collect();
    assert_eq!(spool.sends(1, batch.clone()).await.unwrap(), acked(3));
    assert_eq!(spool.sends(1, batch.clone()).await.unwrap(), acked(3));
    assert_eq!(spool.sends(3, vec![run(&plane, 3), run(&plane, 4)]).await.unwrap(), acked(4));
    drop(spool);
    // A new stream of the same epoch goes on; a new epoch begins anew.
    let mut spool = Spool::at(&plane, 1, 4, 4).await;
    assert_eq!(spool.sends(4, vec![run(&plane, 4), run(&plane, 5)]).await.unwrap(), acked(5));
    let mut spool = Spool::at(&plane, 2, 1, 0).await;
    assert_eq!(spool.sends(1, vec![run(&plane, 6)]).await.unwrap(), acked(1));
    assert_eq!(executions(&plane).await, ["x1", "x2", "x3", "x4", "x5", "x6"]);
    let record = plane.records("acme").await.pop().unwrap();
    assert_eq!(record.run.unwrap().executor_id, "e1");
}

#[tokio::test]
async fn a_gap_is_told_and_nothing_is_taken() {
    let plane = Plane::with_acme().await;
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    spool.sends(1, vec![run(&plane, 1)]).await.unwrap();
    match spool.sends(3, vec![run(&plane, 3)]).await.unwrap() {
        ingest_response::Message::Nack(nack) => assert_eq!(nack.expected_sequence, 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(spool.sends(2, vec![run(&plane, 2), run(&plane, 3)]).await.unwrap(), acked(3));
    assert_eq!(executions(&plane).await, ["x1", "x2", "x3"]);
    assert!(!plane.kinds("acme").await.contains(&"audit.gap".to_owned()));
}

#[tokio::test]
async fn what_the_log_has_lost_is_written_down() {
    let plane = Plane::with_acme().await;
    // The executor was told long ago that 1 to 40 are durable, and has them no more.
    let mut spool = Spool::at(&plane, 1, 41, 0).await;
    assert_eq!(spool.sends(41, vec![run(&plane, 41)]).await.unwrap(), acked(41));
    assert_eq!(executions(&plane).await, ["x41"]);
    let records = plane.records("acme").await;
    let gap = records.iter().find(|record| record.kind == "audit.gap").unwrap();
    let to = convert::json::value(gap.to.clone().unwrap()).unwrap();
    assert_eq!(to["missing"], 40);
}

#[tokio::test]
async fn records_survive_a_restart_with_their_numbers() {
    let mut plane = Plane::with_acme().await;
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    spool.sends(1, vec![run(&plane, 1), run(&plane, 2)]).await.unwrap();
    drop(spool);
    plane.restart().await;
    let mut spool = Spool::at(&plane, 1, 1, 2).await;
    spool.sends(1, vec![run(&plane, 1), run(&plane, 2), run(&plane, 3)]).await.unwrap();
    assert_eq!(executions(&plane).await, ["x1", "x2", "x3"]);
}

#[tokio::test]
async fn what_executors_may_not_send_is_refused_by_its_field() {
    let plane = Plane::with_acme().await;
    let edit = types::AuditRecord { kind: "flow.action_attached".into(), ..run(&plane, 1) };
    for (first, records, field) in [
        (1, vec![run(&plane, 1), edit], "batch.records[1].kind"),
        (1, vec![types::AuditRecord { kind: "nonsense".into(), ..run(&plane, 1) }], "batch.records[0].kind"),
        (1, vec![types::AuditRecord { tenant: "Bad".into(), ..run(&plane, 1) }], "batch.records[0].tenant"),
        (1, vec![types::AuditRecord { time: None, ..run(&plane, 1) }], "batch.records[0].time"),
        (0, vec![run(&plane, 1)], "batch.first_sequence"),
        (1, vec![], "batch.records"),
        (1, vec![run(&plane, 1); 1001], "batch.records"),
    ] {
        let mut spool = Spool::at(&plane, 1, 1, 0).await;
        assert_refused(spool.sends(first, records).await, Code::InvalidArgument, "INVALID_FIELD", &[field]);
    }
    for (bad, field) in [
        (wire::IngestHello { executor_id: String::new(), epoch: 1, first_unacked_sequence: 1 }, "hello.executor_id"),
        (wire::IngestHello { executor_id: "e".into(), epoch: 0, first_unacked_sequence: 1 }, "hello.epoch"),
        (
            wire::IngestHello { executor_id: "e".into(), epoch: 1, first_unacked_sequence: 0 },
            "hello.first_unacked_sequence",
        ),
    ] {
        let error = Spool::open(&plane, ingest_request::Message::Hello(bad)).await.err().unwrap();
        assert_refused::<()>(Err(error), Code::InvalidArgument, "INVALID_FIELD", &[field]);
    }
    let batch = ingest_request::Message::Batch(wire::IngestBatch { first_sequence: 1, records: vec![run(&plane, 1)] });
    assert_eq!(&*Spool::open(&plane, batch).await.err().unwrap().reason, "PROTOCOL_VIOLATION");
    assert_eq!(executions(&plane).await, [""; 0]);
}

#[tokio::test]
async fn a_drain_ends_the_stream_and_keeps_what_was_acknowledged() {
    let mut plane = Plane::with_acme().await;
    let mut spool = Spool::at(&plane, 1, 1, 0).await;
    spool.sends(1, vec![run(&plane, 1)]).await.unwrap();
    let drained = plane.drain();
    let ended = spool.hears().await.unwrap_err();
    assert_eq!((ended.code, &*ended.reason), (Code::Unavailable, "DRAINING"));
    assert_eq!(drained.await.unwrap(), sluice_serve::Drained::Clean);
}
