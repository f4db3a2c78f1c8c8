//! The way to the servers.

use crate::stop::{Stop, in_words};
use sluice_api::{
    control::v1::{
        audit_service_client::AuditServiceClient, catalog_service_client::CatalogServiceClient,
        delivery_service_client::DeliveryServiceClient, executor_service_client::ExecutorServiceClient,
        flow_service_client::FlowServiceClient, secret_service_client::SecretServiceClient,
        tenant_service_client::TenantServiceClient,
    },
    executor::v1::execution_service_client::ExecutionServiceClient,
};
use sluice_model::{Code, Error};
use std::{ffi::OsString, sync::OnceLock, time::Duration};
use tonic::{
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};

/// Where the control plane listens unless it is told otherwise.
pub(crate) const DEFAULT_CONTROL_URL: &str = "http://127.0.0.1:7070";
/// Where the executor listens unless it is told otherwise.
pub(crate) const DEFAULT_EXECUTOR_URL: &str = "http://127.0.0.1:7071";
/// A server that has not answered a connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answer that is taken: a page of a thousand entries, each with its config.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A connection that sends the caller's token along.
pub(crate) type Wire = InterceptedService<Channel, Bearer>;

/// Where the control plane is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ControlUrl {
    /// The control plane
    #[arg(long, value_name = "URL", env = "SLUICE_CONTROL_URL", default_value = DEFAULT_CONTROL_URL, value_parser = url)]
    control_url: Uri,
}

/// Where the executor is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExecutorUrl {
    /// The executor
    #[arg(long, value_name = "URL", env = "SLUICE_EXECUTOR_URL", default_value = DEFAULT_EXECUTOR_URL, value_parser = url)]
    pub(crate) executor_url: Uri,
}

/// The tenant that a verb is about.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TenantArg {
    /// The tenant's slug
    #[arg(long, value_name = "TENANT", env = "SLUICE_TENANT")]
    pub(crate) tenant: String,
}

/// Reads the URL of a server.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|e| format!("not a URL: {e}"))?;
    let plain = uri.scheme_str() == Some("http") && uri.host().is_some() && matches!(uri.path(), "" | "/");
    if plain { Ok(uri) } else { Err("takes http://HOST:PORT, such as http://127.0.0.1:7070".to_owned()) }
}

impl ControlUrl {
    /// A control plane at an address.
    pub(crate) fn at(address: std::net::SocketAddr) -> ControlUrl {
        let url = Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build();
        // An address and a port are an authority.
        ControlUrl { control_url: url.unwrap_or_default() }
    }

    async fn dial(&self) -> Result<Wire, Stop> {
        dial(&self.control_url, "control plane", "SLUICE_CONTROL_URL").await
    }

    pub(crate) async fn tenants(&self) -> Result<TenantServiceClient<Wire>, Stop> {
        Ok(TenantServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    pub(crate) async fn secrets(&self) -> Result<SecretServiceClient<Wire>, Stop> {
        Ok(SecretServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    pub(crate) async fn deliveries(&self) -> Result<DeliveryServiceClient<Wire>, Stop> {
        Ok(DeliveryServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    pub(crate) async fn catalog(&self) -> Result<CatalogServiceClient<Wire>, Stop> {
        Ok(CatalogServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    pub(crate) async fn flows(&self) -> Result<FlowServiceClient<Wire>, Stop> {
        Ok(FlowServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    pub(crate) async fn executors(&self) -> Result<ExecutorServiceClient<Wire>, Stop> {
        Ok(ExecutorServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    pub(crate) async fn audit(&self) -> Result<AuditServiceClient<Wire>, Stop> {
        Ok(AuditServiceClient::new(self.dial().await?).max_decoding_message_size(MAX_ANSWER_BYTES))
    }
}

impl ExecutorUrl {
    pub(crate) async fn executions(&self) -> Result<ExecutionServiceClient<Wire>, Stop> {
        let wire = dial(&self.executor_url, "executor", "SLUICE_EXECUTOR_URL").await?;
        Ok(ExecutionServiceClient::new(wire).max_decoding_message_size(MAX_ANSWER_BYTES))
    }
}

/// Connects to a server.
pub(crate) async fn dial(url: &Uri, what: &str, variable: &str) -> Result<Wire, Stop> {
    let bearer = Bearer::of_caller()?;
    let channel = connect(url).await.map_err(|cause| {
        let url = url.to_string();
        let url = url.trim_end_matches('/');
        let message =
            format!("cannot reach the {what} at {url}: {cause}; is `sluice dev` running? {variable} names another");
        Error::new(Code::Unavailable, "UNREACHABLE", message)
    })?;
    Ok(InterceptedService::new(channel, bearer))
}

/// A connection of its own. The error is the innermost cause, which is what a person can act on.
pub(crate) async fn connect(url: &Uri) -> Result<Channel, String> {
    Endpoint::from(url.clone()).connect_timeout(CONNECT_TIMEOUT).connect().await.map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.downcast_ref().map_or_else(|| cause.to_string(), in_words)
    })
}

/// Sends the token of `SLUICE_TOKEN`, or of the profile, where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

/// The profile's token. It is no argument, so that it is in no help and in no text of a mistake.
static KEPT: OnceLock<String> = OnceLock::new();

impl Bearer {
    /// The token to send where the environment names none.
    pub(crate) fn keep(token: String) {
        // Main does so once, before any verb runs.
        let _first = KEPT.set(token);
    }

    /// There is no flag for it: what is typed as a flag is in the shell's history and in the list of processes.
    fn of_caller() -> Result<Bearer, Stop> {
        let set = std::env::var_os("SLUICE_TOKEN").filter(|t| !t.is_empty());
        let Some(token) = set.or_else(|| KEPT.get().map(OsString::from)) else {
            return Ok(Bearer(None));
        };
        let header = token.to_str().and_then(|t| format!("Bearer {t}").parse::<MetadataValue<Ascii>>().ok());
        let mut header = header.ok_or_else(|| Stop::misused("SLUICE_TOKEN", "takes visible ASCII characters"))?;
        header.set_sensitive(true);
        Ok(Bearer(Some(header)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}
