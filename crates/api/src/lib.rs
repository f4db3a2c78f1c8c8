//! The wire: what the files of `proto/` become in Rust.
//!
//! [`types`], [`control`], [`executor`] and [`distribution`] are generated. [`convert`] turns them into the types of
//! `sluice_model` and back: inbound by `TryFrom`, whose error names the field, outbound by `From`. [`status`] is the one
//! table between `sluice_model::Error` and gRPC statuses, both ways; [`codec`] puts messages on the wire. What a message means is the model's business; what a
//! handler does with it is the servers'.

pub mod codec;
pub mod convert;
mod generated;
mod secret;
pub mod status;

pub use convert::{Ctx, FieldError};
pub use generated::{FILE_DESCRIPTOR_SET, control, distribution, executor, types};
