//! Audit: what happened, kept.

pub mod log;
