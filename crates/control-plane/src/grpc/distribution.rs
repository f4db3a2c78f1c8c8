//! `DistributionService`.

use super::parts::{self, Parts};
use super::{answer, draining, id, opened, operator, tenant};
use crate::distribution::{Answer, Cause, Distribution, Ended, Event, Hello, MAX_TENANTS, Missing, Nack, Subscription};
use crate::store::Digest;
use sluice_api::FieldError;
use sluice_api::convert::{self, Ctx as _};
use sluice_api::distribution::v1::{
    self as wire, distribution_service_server::DistributionService, hello, resource, resource_name, watch_request,
};
use sluice_api::status;
use sluice_model::{Code, Error, Slug};
use sluice_serve::{Drain, Principal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// How many events, or answers, may wait for the one who takes them.
const WAITING: usize = 64;
/// Messages that are ready to be sent: parts of states are large in memory.
const READY: usize = 1;
/// The most bytes of a bundle in one message.
const CHUNK_BYTES: usize = 256 << 10;
/// The most characters of what executors say for the operator.
const MAX_TEXT_CHARS: usize = 1000;
/// The most tenants in one change of a subscription.
const MAX_CHANGED: usize = 1000;
/// The most modules that are told as missing.
const MAX_MISSING: usize = 1000;

/// Why states are refused, on the wire and here.
pub(super) const CAUSES: [(wire::NackCause, Cause); 8] = [
    (wire::NackCause::Unspecified, Cause::Unspecified),
    (wire::NackCause::Unreadable, Cause::Unreadable),
    (wire::NackCause::Incomplete, Cause::Incomplete),
    (wire::NackCause::Outdated, Cause::Outdated),
    (wire::NackCause::Gap, Cause::Gap),
    (wire::NackCause::Unresolved, Cause::Unresolved),
    (wire::NackCause::Conflict, Cause::Conflict),
    (wire::NackCause::Internal, Cause::Internal),
];

/// The service.
pub(crate) struct DistributionEdge {
    distribution: Distribution,
    drain: Drain,
}

impl DistributionEdge {
    pub(crate) fn new(distribution: Distribution, drain: Drain) -> DistributionEdge {
        DistributionEdge { distribution, drain }
    }

    async fn fetch_bundle(&self, principal: Principal, asked: wire::FetchBundleRequest) -> Result<Vec<u8>, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let digest: Digest = asked
            .bundle_digest
            .parse()
            .map_err(|wrong: crate::store::BlobError| Error::field("bundle_digest", wrong.to_string()))?;
        self.distribution.bundle(&tenant, digest).await
    }

    async fn fetch_revision(
        &self,
        principal: Principal,
        asked: wire::FetchFlowRevisionRequest,
    ) -> Result<wire::FetchFlowRevisionResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let flow = convert::slug(&asked.flow).ctx("flow")?;
        let mut answer = wire::FetchFlowRevisionResponse::default();
        for told in self.distribution.revision(&tenant, &flow, asked.revision).await? {
            match parts::to_wire(&told).resource {
                Some(resource::Resource::Tenant(tenant)) => answer.tenant = Some(tenant),
                Some(resource::Resource::Version(version)) => answer.versions.push(version),
                Some(resource::Resource::Secret(secret)) => answer.secrets.push(secret),
                Some(resource::Resource::FlowRevision(revision)) => answer.flow_revision = Some(revision),
                None => {}
            }
        }
        Ok(answer)
    }
}

fn hello(message: wire::WatchRequest) -> Result<Hello, Error> {
    let Some(watch_request::Message::Hello(hello)) = message.message else {
        return Err(violation("the first message is the hello"));
    };
    if hello.epoch == 0 {
        return Err(Error::field("hello.epoch", "is required; epochs count from 1"));
    }
    let subscription = match hello.subscription {
        Some(hello::Subscription::All(wire::AllTenants {})) => Subscription::All,
        Some(hello::Subscription::Tenants(set)) if set.tenants.is_empty() => {
            return Err(Error::field("hello.tenants.tenants", "is required: at least one tenant"));
        }
        Some(hello::Subscription::Tenants(set)) => {
            let set = slugs(&set.tenants, MAX_TENANTS).ctx("tenants").ctx("tenants").ctx("hello")?;
            Subscription::Tenants(set.into_iter().collect())
        }
        Some(hello::Subscription::OnDemand(set)) => {
            let set = slugs(&set.tenants, MAX_TENANTS).ctx("tenants").ctx("on_demand").ctx("hello")?;
            Subscription::OnDemand(set.into_iter().collect())
        }
        None => {
            let message = "is required: all, a set of tenants, or tenants on demand";
            return Err(Error::field("hello.subscription", message));
        }
    };
    let missing = hello.missing_modules.unwrap_or_default();
    Ok(Hello {
        executor: id("hello.executor_id", &hello.executor_id)?,
        epoch: hello.epoch,
        version: text(hello.sluice_version),
        engine: hello.engine.map(String::from).map(text).unwrap_or_default(),
        subscription,
        resume_cursor: hello.resume_cursor,
        send_full: hello.send_full,
        missing: missing_modules(missing).ctx("missing_modules").ctx("hello")?,
    })
}

/// Slugs of tenants, at most so many.
fn slugs(texts: &[String], most: usize) -> Result<Vec<Slug>, FieldError> {
    if texts.len() > most {
        return Err(FieldError::here(format!("has {} tenants; it takes at most {most}", texts.len())));
    }
    texts.iter().enumerate().map(|(i, text)| convert::slug(text).map_err(|wrong| wrong.at_index(i))).collect()
}

fn missing_modules(missing: wire::MissingModules) -> Result<Vec<Missing>, FieldError> {
    if missing.modules.len() > MAX_MISSING {
        let message = format!("has {} modules; it takes at most {MAX_MISSING}", missing.modules.len());
        return Err(FieldError::here(message).under("modules"));
    }
    let read = |(i, module): (usize, wire::MissingModule)| {
        let name = convert::required(module.version).ctx("version");
        let read = name.and_then(|name| {
            Ok(Missing {
                tenant: convert::slug(&name.tenant).ctx("tenant").ctx("version")?,
                slug: convert::slug(&name.slug).ctx("slug").ctx("version")?,
                version: convert::exact_version(&name.version).ctx("version").ctx("version")?,
                reason: text(module.reason),
            })
        });
        read.map_err(|wrong| wrong.at_index(i))
    };
    missing.modules.into_iter().enumerate().map(read).collect::<Result<_, _>>().ctx("modules")
}

/// What an executor says for the operator, cut where it is too long.
fn text(said: String) -> String {
    said.chars().filter(|c| !c.is_control()).take(MAX_TEXT_CHARS).collect()
}

fn said(message: wire::WatchRequest) -> Result<Answer, Error> {
    match message.message {
        Some(watch_request::Message::Ack(ack)) => Ok(Answer::Ack(ack.cursor)),
        Some(watch_request::Message::Nack(nack)) => Ok(Answer::Nack(Nack {
            cursor: nack.cursor,
            cause: CAUSES
                .iter()
                .find(|(wire, _)| *wire == nack.cause())
                .map_or(Cause::Unspecified, |(_, cause)| *cause),
            reason: text(nack.reason),
            resource: text(nack.resource.map(about).unwrap_or_default()),
            send_full: nack.send_full,
        })),
        Some(watch_request::Message::ChangeSubscription(change)) => Ok(Answer::Subscription {
            subscribe: slugs(&change.subscribe, MAX_CHANGED).ctx("subscribe").ctx("change_subscription")?,
            unsubscribe: slugs(&change.unsubscribe, MAX_CHANGED).ctx("unsubscribe").ctx("change_subscription")?,
        }),
        Some(watch_request::Message::MissingModules(missing)) => {
            Ok(Answer::Missing(missing_modules(missing).ctx("missing_modules")?))
        }
        Some(watch_request::Message::Hello(_)) => Err(violation("the hello comes once, first")),
        // Something that only a later control plane understands.
        None => Err(Error::field("message", "is required, and is none that this control plane knows")),
    }
}

/// A resource's name for people, as the executor wrote it.
fn about(name: wire::ResourceName) -> String {
    match name.name {
        Some(resource_name::Name::Tenant(name)) => format!("tenant {}", name.tenant),
        Some(resource_name::Name::Version(name)) => format!("version {}/{}@{}", name.tenant, name.slug, name.version),
        Some(resource_name::Name::Secret(name)) => format!("secret {}/{}", name.tenant, name.name),
        Some(resource_name::Name::FlowRevision(name)) => {
            format!("flow revision {}/{}/{}", name.tenant, name.flow, name.revision)
        }
        None => String::new(),
    }
}

fn violation(message: &str) -> Error {
    Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", message)
}

/// Hands on what an executor says; ends when it hangs up, or says what cannot be.
async fn listen(mut said_by: Streaming<wire::WatchRequest>, answers: mpsc::Sender<Answer>) -> Ended {
    loop {
        match said_by.message().await {
            Ok(Some(message)) => match said(message) {
                Ok(answer) => {
                    if answers.send(answer).await.is_err() {
                        return Ended::Gone;
                    }
                }
                Err(error) => return error.into(),
            },
            Ok(None) | Err(_) => return Ended::Gone,
        }
    }
}

/// Sends what a session tells, in parts.
async fn speak(
    mut told: mpsc::Receiver<Event>,
    mut parts: Parts,
    ready: &mpsc::Sender<Result<wire::WatchResponse, Status>>,
) {
    while let Some(event) = told.recv().await {
        if let Some(message) = parts.take(event)
            && ready.send(Ok(message)).await.is_err()
        {
            return;
        }
    }
}

#[tonic::async_trait]
impl DistributionService for DistributionEdge {
    type WatchStream = ReceiverStream<Result<wire::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<wire::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (principal, mut messages) = opened(request)?;
        operator(&principal).map_err(status::to_status)?;
        if self.drain.has_begun() {
            return Err(draining());
        }
        let hello = hello(super::first(&mut messages).await?).map_err(status::to_status)?;
        let session = self.distribution.connect(hello).map_err(status::to_status)?;
        let parts = Parts::default();
        let begun = self.drain.begun();
        let (ready, stream) = mpsc::channel(READY);
        tokio::spawn(async move {
            let (tell, told) = mpsc::channel(WAITING);
            let (answer, answers) = mpsc::channel(WAITING);
            let ended = tokio::select! {
                () = begun => Err(draining()),
                () = ready.closed() => Ok(()),
                () = speak(told, parts, &ready) => Ok(()),
                ended = listen(messages, answer) => to_status(ended),
                ended = session.run(answers, tell) => to_status(ended),
            };
            if let Err(status) = ended {
                // Whoever reads no more hangs up, or is cut off by the drain.
                let _unread = ready.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type FetchBundleStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::FetchBundleResponse, Status>>>;

    async fn fetch_bundle(
        &self,
        request: Request<wire::FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        let (principal, asked) = opened(request)?;
        let bundle = bytes::Bytes::from(self.fetch_bundle(principal, asked).await.map_err(status::to_status)?);
        let chunks: Vec<_> = (0..bundle.len())
            .step_by(CHUNK_BYTES)
            .map(|at| bundle.slice(at..bundle.len().min(at + CHUNK_BYTES)))
            .map(|chunk| Ok(wire::FetchBundleResponse { chunk }))
            .collect();
        Ok(Response::new(tokio_stream::iter(chunks)))
    }

    async fn fetch_flow_revision(
        &self,
        request: Request<wire::FetchFlowRevisionRequest>,
    ) -> Result<Response<wire::FetchFlowRevisionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.fetch_revision(principal, asked).await)
    }
}

fn to_status(ended: Ended) -> Result<(), Status> {
    match ended {
        Ended::Gone => Ok(()),
        Ended::Refused(error) => Err(status::to_status(error)),
    }
}
