//! Conversions between the wire and the model.
//!
//! Inbound they are `TryFrom`, and a [`FieldError`] names the field from the outside in, as callers know it:
//! `input.user.emails[0].address`. A level adds its own name with [`Ctx::ctx`] only when something is wrong, so that a
//! correct message allocates nothing for it. Outbound they are `From`. Both move: texts and maps change hands, they are
//! not copied. What is kept in `google.protobuf.Struct` goes through [`json`].

mod audit;
mod emit;
mod field;
mod flow;
mod input;
pub mod json;
mod outcome;
mod run;
mod slot;
mod time;
mod version;
mod word;

pub use field::{Ctx, FieldError, required};
pub use time::{duration, timestamp, to_duration, to_timestamp};
pub use version::{exact_version, grants, next_version, slug, trigger};
pub use word::Word;

#[cfg(test)]
mod tests;

/// A number that the model bounds far below 2^32, where the wire has 32 bits.
fn bounded(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Converts every item of a list; the error says which one it was.
fn list<W, M: TryFrom<W, Error = FieldError>>(items: Vec<W>) -> Result<Vec<M>, FieldError> {
    items.into_iter().enumerate().map(|(i, item)| M::try_from(item).map_err(|e| e.at_index(i))).collect()
}

/// Converts a message that may be absent.
fn optional<W, M: TryFrom<W, Error = FieldError>>(message: Option<W>) -> Result<Option<M>, FieldError> {
    message.map(M::try_from).transpose()
}

/// Converts every item of a list, where none can be wrong.
fn each<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}
