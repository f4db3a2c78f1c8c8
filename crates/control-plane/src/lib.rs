//! The control plane of Sluice: it owns what runs where, and what ran.
//!
//! # Design
//!
//! The domain is in [`tenants`], [`catalogue`], [`flows`], [`audit`], [`distribution`] and [`deliveries`]. It speaks the model's types and
//! refuses with the model's error; it knows no wire. It stands on two ports, [`store::MetaStore`] and
//! [`audit::log::AuditLog`]; where everything lies is in [`keys`]. Every edit is one commit, with its audit entry in it, and
//! guarded by what it has read. [`grpc`] is the thin edge: it converts, takes the principal, and makes the one tenant check.
//!
//! [`ControlPlane`] puts it together: [`ControlPlane::open`], then [`ControlPlane::services`] on a server, and after that
//! server's drain [`ControlPlane::close`]. The binary `sluice-control-plane` and `sluice dev` do just that.
//!
//! # What it leaves to others
//!
//! Compiling (`sluice-compiler`), evaluating (`sluice-sandbox`), who is calling and how a server drains (`sluice-serve`), and
//! running Actions in sign-ins (`sluice-executor`).

mod app;
pub mod archive;
pub mod audit;
mod bytes;
pub mod catalogue;
mod clock;
pub mod config;
mod deliveries;
mod distribution;
mod etag;
pub mod export;
mod faults;
mod flows;
mod frames;
mod grpc;
mod keys;
mod metrics;
mod page;
mod requests;
mod rows;
mod secrets;
mod shared;
pub mod store;
mod tenants;

pub use app::{ControlPlane, OpenError, Running, Tools};
pub use clock::Clock;
