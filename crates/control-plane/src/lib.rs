//! The control plane of Sluice: it owns what runs where, and what ran.

pub mod audit;
pub mod store;
