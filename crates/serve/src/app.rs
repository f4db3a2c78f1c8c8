//! The assembly of a server with one plane: build, spawn, drain.

use crate::{
    addresses::{Addresses, AddressesFile},
    admin::{About, Admin, ServingAdmin},
    config::ServerConfig,
    drain::{Drain, Drained},
    folder::{DataFolder, FolderError},
    grpc::{AssembleError, Grpc, Serving},
    listener::{ListenError, Listener},
    readiness::Readiness,
    signals::Signals,
    telemetry::Telemetry,
};
use http::{Request, Response};
use hyper::body::Incoming;
use std::{convert::Infallible, path::Path};
use tonic::{body::Body, server::NamedService};
use tower::Service;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A port cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// `addresses.json` cannot be written.
    #[error("data: addresses.json cannot be written: {0}")]
    Addresses(std::io::Error),
    /// The services cannot be assembled.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// A server that owns its folder and its ports and does not serve yet. Connections wait.
#[derive(Debug)]
pub struct App {
    about: About,
    folder: DataFolder,
    listener: Listener,
    admin_listener: Listener,
    readiness: Readiness,
    drain: Drain,
    grpc: crate::config::GrpcConfig,
}

impl App {
    /// Takes the data folder and binds the ports. Call it inside a tokio runtime.
    pub fn build(about: About, config: &ServerConfig) -> Result<App, StartError> {
        let folder = DataFolder::open(&config.data)?;
        let listener = Listener::bind("listen", config.listen)?;
        let admin_listener = Listener::bind("admin_listen", config.admin_listen)?;
        let readiness = Readiness::new();
        let drain = Drain::new(&config.drain, &readiness, "accepting");
        Ok(App { about, folder, listener, admin_listener, readiness, drain, grpc: config.grpc.clone() })
    }

    /// The data folder, which is this process's alone.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The readiness, for more conditions.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The drain, for handlers of long streams.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Shows one more detail on the health page, which is asked for whenever the page is. It must not block.
    #[must_use]
    pub fn showing(mut self, key: &'static str, now: impl Fn() -> serde_json::Value + Send + Sync + 'static) -> App {
        self.about = self.about.showing(key, now);
        self
    }

    /// A gRPC server with the settings' bounds, for services.
    pub fn grpc(&self) -> Grpc {
        Grpc::new(&self.grpc)
    }

    /// Serves, and writes `addresses.json` with the keys `plane` (`control` or `executor`) and `admin`.
    pub fn spawn<F>(self, plane: &'static str, grpc: Grpc<F>, telemetry: &Telemetry) -> Result<Running, StartError>
    where
        F: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + NamedService,
        F: Clone + Send + 'static,
        F::Future: Send + 'static,
    {
        let admin = Admin::new(self.about, &self.readiness, telemetry.exposition()).spawn(self.admin_listener);
        let serving = grpc.spawn(self.listener, telemetry, &self.readiness, &self.drain)?;
        let addresses = Addresses::from([(plane, serving.address()), ("admin", admin.address())]);
        let file = AddressesFile::write(self.folder.path(), &addresses).map_err(StartError::Addresses)?;
        tracing::info!(%plane, address = %serving.address(), admin = %admin.address(), "serving");
        Ok(Running { addresses, _file: file, serving, drain: self.drain, admin, folder: self.folder })
    }
}

/// A server that serves.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    // Dropped in this order: the file first, the lock of the folder last.
    _file: AddressesFile,
    serving: Serving,
    drain: Drain,
    admin: ServingAdmin,
    folder: DataFolder,
}

impl Running {
    /// Where it listens, by the keys of `addresses.json`.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Waits for the first signal, then drains; a second signal ends the drain at once. What is given back must live until
    /// the server's own parts have ended too: with it the admin pages go and the data folder is free.
    pub async fn until_signal(self, mut signals: Signals) -> (Drained, Rest) {
        let name = signals.next().await;
        tracing::info!(signal = name, "draining; a second signal ends it at once");
        let drain = self.drain.clone();
        let second = tokio::spawn(async move {
            let name = signals.next().await;
            tracing::warn!(signal = name, "ending at once");
            drain.cut_now();
        });
        let (drained, mut rest) = self.drain().await;
        rest.second = Some(second);
        (drained, rest)
    }

    /// Drains, as [`Drain`] says, without a signal.
    pub async fn drain(self) -> (Drained, Rest) {
        let Running { addresses: _, _file, serving, drain: _, admin, folder } = self;
        let drained = serving.drain().await;
        tracing::info!(?drained, "drained");
        (drained, Rest { second: None, _file, _admin: admin, _folder: folder })
    }
}

/// What a drained server still holds until its own parts have ended.
#[derive(Debug)]
pub struct Rest {
    second: Option<tokio::task::JoinHandle<()>>,
    _file: AddressesFile,
    _admin: ServingAdmin,
    _folder: DataFolder,
}

impl Rest {
    /// Becomes ready when a second signal has come, also after the drain: whatever still ends does not wait any more. Never
    /// where the drain began without a signal.
    pub async fn hurried(&mut self) {
        match &mut self.second {
            // It ends with the signal, and is never aborted while this lives.
            Some(second) => drop(second.await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(second) = self.second.take() {
            second.abort();
        }
    }
}
