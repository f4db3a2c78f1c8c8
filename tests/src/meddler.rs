//! Somebody between an executor and its control plane, who passes everything on and, when told to, spoils states.

use crate::load::channel;
use sluice_api::distribution::v1::{
    FetchBundleRequest, FetchFlowRevisionRequest, FetchFlowRevisionResponse, IngestRequest, IngestResponse, Resource,
    WatchRequest, WatchResponse,
    audit_ingest_service_client::AuditIngestServiceClient,
    audit_ingest_service_server::{AuditIngestService, AuditIngestServiceServer},
    distribution_service_client::DistributionServiceClient,
    distribution_service_server::{DistributionService, DistributionServiceServer},
    resource::Resource as Kind,
    watch_response::Message,
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

/// What is done to the states that pass. What is spoilt stays spoilt: it is not sent again rightly later on the same stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trick {
    /// Nothing.
    #[default]
    Honest,
    /// A flow revision names its flow by no slug.
    Garbled,
    /// A flow revision pins a version that was never sent.
    Unresolved,
    /// The first part of a state is left out.
    Half,
    /// The stream is cut after the first part of a state.
    Cut,
    /// What a state says is what was said long before: another revision is the newest again.
    Old,
}

#[derive(Debug, Default)]
struct Plan {
    trick: Trick,
    /// What the first state said that had a revision in it.
    old: Option<Vec<Resource>>,
    played: u64,
}

/// See the [module](self). It ends with the runtime that it was started in.
#[derive(Clone)]
pub struct Meddler {
    plan: Arc<Mutex<Plan>>,
    channel: Channel,
    url: String,
}

impl Meddler {
    /// Stands before the control plane at `url`.
    pub async fn start(url: &str) -> Meddler {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let meddler = Meddler { plan: Arc::default(), channel: channel(url), url: format!("http://{address}") };
        let server = tonic::transport::Server::builder()
            .add_service(DistributionServiceServer::new(meddler.clone()))
            .add_service(AuditIngestServiceServer::new(meddler.clone()));
        tokio::spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        meddler
    }

    /// Where it stands.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it does from here on.
    pub fn play(&self, trick: Trick) {
        self.plan.lock().unwrap().trick = trick;
    }

    /// How many states it has spoilt.
    pub fn played(&self) -> u64 {
        self.plan.lock().unwrap().played
    }

    fn client(&self) -> DistributionServiceClient<Channel> {
        DistributionServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }
}

impl Plan {
    /// What becomes of a message, and whether the stream is cut after it.
    fn pass(&mut self, mut response: WatchResponse) -> (WatchResponse, bool) {
        let Some(Message::State(state)) = &mut response.message else { return (response, false) };
        let has_revision = state.upserts.iter().any(|r| matches!(r.resource, Some(Kind::FlowRevision(_))));
        if self.old.is_none() && has_revision {
            self.old = Some(state.upserts.clone());
        }
        let revision = state.upserts.iter_mut().find_map(|upsert| match &mut upsert.resource {
            Some(Kind::FlowRevision(revision)) if revision.newest => revision.flow.as_mut(),
            _ => None,
        });
        let mut cut = false;
        match (self.trick, revision) {
            (Trick::Honest, _) | (_, None) => return (response, false),
            (Trick::Garbled, Some(flow)) => flow.flow = "Not A Slug!".into(),
            (Trick::Unresolved, Some(flow)) => {
                flow.slots.iter_mut().flat_map(|s| &mut s.attachments).for_each(|a| a.version = "9.9.9".into());
            }
            (Trick::Half, Some(_)) => state.part += 1,
            (Trick::Cut, Some(_)) => {
                state.last = false;
                cut = true;
            }
            (Trick::Old, Some(_)) => state.upserts = self.old.clone().expect("a revision has passed before"),
        }
        self.played += 1;
        (response, cut)
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The messages of a stream until it breaks, which ends them.
fn upward<T: Send + 'static>(mut from: Streaming<T>) -> ReceiverStream<T> {
    let (to, messages) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(Ok(message)) = from.next().await {
            if to.send(message).await.is_err() {
                break;
            }
        }
    });
    ReceiverStream::new(messages)
}

#[tonic::async_trait]
impl DistributionService for Meddler {
    type WatchStream = Answers<WatchResponse>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let mut answers = self.client().watch(upward(request.into_inner())).await?.into_inner();
        let plan = Arc::clone(&self.plan);
        let (to, passed) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                let (answer, cut) = match answer {
                    Ok(answer) => {
                        let (answer, cut) = plan.lock().unwrap().pass(answer);
                        (Ok(answer), cut)
                    }
                    Err(status) => (Err(status), true),
                };
                if to.send(answer).await.is_err() || cut {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(passed))))
    }

    type FetchBundleStream = Answers<sluice_api::distribution::v1::FetchBundleResponse>;

    async fn fetch_bundle(
        &self,
        request: Request<FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        let answers = self.client().fetch_bundle(request.into_inner()).await?.into_inner();
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_flow_revision(
        &self,
        request: Request<FetchFlowRevisionRequest>,
    ) -> Result<Response<FetchFlowRevisionResponse>, Status> {
        self.client().fetch_flow_revision(request.into_inner()).await
    }
}

#[tonic::async_trait]
impl AuditIngestService for Meddler {
    type IngestStream = Answers<IngestResponse>;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Self::IngestStream>, Status> {
        let mut client = AuditIngestServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        let answers = client.ingest(upward(request.into_inner())).await?.into_inner();
        Ok(Response::new(Box::pin(answers)))
    }
}
