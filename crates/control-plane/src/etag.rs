//! Etags: a name for the state of a thing, so that a change can be refused that was made up from another state.

use crate::rows;
use serde::Serialize;
use sluice_model::{Code, Error};

/// How many digits it has: 64 bits, so that no two states of one thing ever meet.
const DIGITS: usize = 16;

/// The etag of a state. It is made of the content alone, so it means the same after a restore.
pub(crate) fn of(state: &impl Serialize) -> Result<String, Error> {
    let digest = blake3::hash(&rows::encode(state)?).to_hex();
    Ok(digest[..DIGITS].to_owned())
}

/// ABORTED `ETAG_MISMATCH` where a caller has read another state than there is. An empty etag is any.
pub(crate) fn check(asked: &str, is: &str, kind: &str, name: impl Into<String>) -> Result<(), Error> {
    if asked.is_empty() || asked == is {
        return Ok(());
    }
    let (shown, name) = (asked.chars().take(80).collect::<String>(), name.into());
    let message = format!("{kind} {name} was changed since etag {shown:?} was read; read it again");
    Err(Error::new(Code::Aborted, "ETAG_MISMATCH", message)
        .with_field("etag", format!("is not that of the {kind} as it is now"))
        .about(kind, name))
}
