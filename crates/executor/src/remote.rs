//! The control plane, as an executor asks it: bundles and flow revisions. The watch and the audit stream share its
//! connection.

use crate::{
    chain,
    modules::{Source, SourceError},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, future::BoxFuture};
use sluice_api::{
    distribution::v1::{
        FetchBundleRequest, FetchFlowRevisionRequest, FetchFlowRevisionResponse,
        distribution_service_client::DistributionServiceClient,
    },
    status,
};
use sluice_model::{
    Code, Error, Slug,
    limits::{MAX_BUNDLE_BYTES, MAX_COMPONENT_BYTES},
};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a silent connection is asked whether it lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest message: a part of a state has 1 MiB, unless one resource alone is larger.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How long a bundle may take to arrive, whoever waits.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// What is larger of a component and a bundle's canonical bytes: the JavaScript, its source maps, and what JSON adds.
const MAX_FETCHED_BYTES: usize =
    if MAX_COMPONENT_BYTES > 8 * MAX_BUNDLE_BYTES { MAX_COMPONENT_BYTES } else { 8 * MAX_BUNDLE_BYTES };

/// The control plane.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    channel: Channel,
}

impl Remote {
    /// Connects when it is first needed, and again whenever it must. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn new(url: &str) -> Result<Remote, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(Remote { channel: endpoint.connect_lazy() })
    }

    /// The connection.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The distribution service.
    pub(crate) fn distribution(&self) -> DistributionServiceClient<Channel> {
        DistributionServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// A flow revision with all that is needed to run it.
    ///
    /// # Errors
    /// What the control plane refuses, as it says it; everything else is `REVISION_NOT_AVAILABLE`.
    pub(crate) async fn flow_revision(
        &self,
        tenant: &Slug,
        flow: &Slug,
        revision: u64,
    ) -> Result<FetchFlowRevisionResponse, Error> {
        let request = FetchFlowRevisionRequest { tenant: tenant.to_string(), flow: flow.to_string(), revision };
        match self.distribution().fetch_flow_revision(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(refusal) => {
                let error = status::from_status(&refusal);
                if matches!(error.code, Code::NotFound | Code::FailedPrecondition) {
                    return Err(error);
                }
                tracing::warn!(%tenant, %flow, revision, error = chain(&refusal), "a flow revision cannot be fetched");
                Err(revision_not_available(flow, revision))
            }
        }
    }
}

/// The revision is not here and cannot be fetched now.
pub(crate) fn revision_not_available(flow: &Slug, revision: u64) -> Error {
    let message =
        format!("revision {revision} of flow {flow} is not here and the control plane did not send it in time");
    Error::new(Code::Unavailable, "REVISION_NOT_AVAILABLE", message)
        .about("flow_revision", format!("{flow}@{revision}"))
}

impl Source for Remote {
    fn bundle(&self, tenant: Slug, digest: String) -> BoxFuture<'static, Result<Bytes, SourceError>> {
        let mut client = self.distribution();
        let fetch = async move {
            let request = FetchBundleRequest { tenant: tenant.to_string(), bundle_digest: digest };
            let refused = |status: tonic::Status| {
                let error = status::from_status(&status);
                let transient = !matches!(error.code, Code::NotFound | Code::InvalidArgument);
                SourceError { message: format!("the control plane says: {}", error.message), transient }
            };
            let mut chunks = client.fetch_bundle(request).await.map_err(refused)?.into_inner();
            let mut bytes = BytesMut::new();
            while let Some(part) = chunks.message().await.map_err(refused)? {
                if bytes.len() + part.chunk.len() > MAX_FETCHED_BYTES {
                    let message = format!("the control plane sends more than {MAX_FETCHED_BYTES} bytes");
                    return Err(SourceError { message, transient: false });
                }
                bytes.extend_from_slice(&part.chunk);
            }
            Ok(bytes.freeze())
        };
        let late = |_| SourceError { message: "the control plane did not send it in time".into(), transient: true };
        tokio::time::timeout(FETCH_TIMEOUT, fetch)
            .map(move |done| done.map_err(late).and_then(|fetched| fetched))
            .boxed()
    }
}
