//! What both servers share: settings, the tower stack of gRPC, who is calling, telemetry, health and the drain.
//!
//! A server's main is `settings -> App::build -> App::spawn -> Running::drain`. [`config`] reads and checks the settings,
//! [`Telemetry`] sets up log, traces and metrics, [`App`] owns the data folder and the ports, [`Grpc`] wraps the server's
//! services in the one [stack](stack), and [`Drain`] ends them in order. `sluice dev`, which runs two planes in one
//! process, composes the same parts by hand: a [`Listener`], a [`Grpc`] and a [`Drain`] for each plane, one
//! [`DataFolder`], one [`Admin`], one [`Readiness`].
//!
//! It leaves to others: what the services do (`sluice-control-plane`, `sluice-executor`), how a refusal looks on the wire
//! beyond those that the stack itself makes (`sluice-api`), and the command line (`sluice-cli`). There is no global state
//! but what `tracing` and `opentelemetry` have.

pub mod addresses;
mod admin;
mod app;
mod call;
pub mod config;
mod connection;
mod drain;
mod folder;
mod grpc;
mod health;
mod listener;
mod methods;
mod principal;
mod readiness;
mod refusal;
pub mod seal;
mod signals;
mod stack;
mod telemetry;

pub use admin::{About, Admin, ServingAdmin};
pub use app::{App, Rest, Running, StartError};
pub use call::{Call, CallId, Deadline, deadline};
pub use drain::{Drain, Drained};
pub use folder::{DataFolder, FolderError};
pub use grpc::{AssembleError, Grpc, NoFront, Serving};
pub use listener::{ListenError, Listener};
pub use principal::{Authenticate, Caller, LoopbackOperator, Principal, PrincipalKind, authorize_tenant, principal};
pub use readiness::{Condition, Readiness};
pub use signals::Signals;
pub use telemetry::{Exposition, Telemetry, TelemetryError};
