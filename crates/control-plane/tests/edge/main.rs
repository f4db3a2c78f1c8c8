//! The control plane through its gRPC edge: a server in this process, its own store, its own engine, its own compiler.

#![allow(clippy::unwrap_used, clippy::panic, clippy::unreachable, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "measurements are printed")]

mod attached;
mod audit;
mod deliveries;
mod distribution;
mod edits;
mod effective;
mod executors;
mod exports;
mod flows;
mod identity;
mod ingest;
mod marks;
mod mutations;
mod packages;
mod past;
mod publish;
mod reach;
mod requests;
mod restart;
mod scale;
mod secrets;
mod support;
mod templates;
mod tenants;
mod watching;
