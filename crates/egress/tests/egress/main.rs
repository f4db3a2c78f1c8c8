//! Outgoing HTTP against real servers on loopback, friendly and hostile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bounds;
mod config;
mod faults;
mod hostile;
mod patterns;
mod plain;
mod rebinding;
mod redirects;
mod reuse;
mod support;
