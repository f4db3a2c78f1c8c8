//! Typed rows over the store: JSON, since a store is read for years by builds that do not know each other.

use crate::store::{Batch, CommitError, Key, MetaStore, Revision, Scan};
use serde::{Serialize, de::DeserializeOwned};
use sluice_model::Error;

/// A row and the commit that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    /// What was written.
    pub(crate) value: T,
    /// The commit.
    pub(crate) revision: Revision,
}

/// A page of rows.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    /// The rows, in the order of the scan.
    pub(crate) entries: Vec<T>,
    /// Where the next page starts.
    pub(crate) next: Option<Key>,
}

/// The bytes of a row.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "a row cannot be written as JSON");
        Error::internal("the store failed on this request")
    })
}

/// The row of its bytes.
pub(crate) fn decode<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| {
        tracing::error!(%key, %error, "a row of the store is not what this build reads");
        Error::internal("the store failed on this request")
    })
}

/// The row of a key.
pub(crate) async fn get<T: DeserializeOwned>(store: &dyn MetaStore, key: &Key) -> Result<Option<Row<T>>, Error> {
    let Some(found) = store.get(key).await? else { return Ok(None) };
    Ok(Some(Row { value: decode(key, &found.value)?, revision: found.revision }))
}

/// A page of rows.
pub(crate) async fn scan<T: DeserializeOwned>(store: &dyn MetaStore, scan: Scan) -> Result<Page<Row<T>>, Error> {
    let page = store.scan(scan).await?;
    let row = |entry: crate::store::Entry| {
        Ok::<_, Error>(Row { value: decode(&entry.key, &entry.value)?, revision: entry.revision })
    };
    Ok(Page { entries: page.entries.into_iter().map(row).collect::<Result<_, _>>()?, next: page.next })
}

/// Commits; `None` where a precondition did not hold, and the caller's picture is stale.
pub(crate) async fn commit(store: &dyn MetaStore, batch: Batch) -> Result<Option<Revision>, Error> {
    match store.commit(batch).await {
        Ok(revision) => Ok(Some(revision)),
        Err(CommitError::PreconditionFailed { .. }) => Ok(None),
        Err(CommitError::Store(error)) => Err(error.into()),
    }
}
