//! Requests that may be sent again: the same id with the same request gets the same answer.
//!
//! The answer is kept in the commit that made it true, so a caller whose connection broke can ask again and nothing is
//! done twice. It is kept for [`KEPT`]; another request under the same id is refused.

use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, Key, Revision, Scan};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sluice_model::{Code, Error, Slug, limits};

/// How long an answer is kept.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// The id of a request, with what it asked for.
#[derive(Clone, Debug)]
pub(crate) struct RequestId {
    tenant: Option<Slug>,
    id: String,
    digest: String,
}

/// What is kept of a request.
#[derive(Serialize, Deserialize)]
struct Answered {
    digest: String,
    at: Timestamp,
    answer: Value,
}

/// Whether a request was answered before.
pub(crate) enum Seen<A> {
    /// It was, with this.
    Answered(A),
    /// It was not: what it is answered now can be kept.
    New(Keep),
}

/// Where an answer will be kept. Without a request id it keeps nothing.
pub(crate) struct Keep(Option<(RequestId, Option<Revision>)>);

impl RequestId {
    /// The id that came with a request, `None` where it is empty. `asked` is the whole request without its id.
    pub(crate) fn of(
        tenant: Option<&Slug>,
        id: &str,
        method: &str,
        asked: &impl Serialize,
    ) -> Result<Option<RequestId>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        limits::check_id(id).map_err(|invalid| Error::invalid("request_id", invalid))?;
        let digest = blake3::hash(&rows::encode(&(method, asked))?).to_hex().to_string();
        Ok(Some(RequestId { tenant: tenant.cloned(), id: id.to_owned(), digest }))
    }

    fn key(&self) -> Key {
        keys::request(self.tenant.as_ref(), &self.id)
    }
}

/// Looks whether a request was answered before.
pub(crate) async fn look<A: DeserializeOwned>(shared: &Shared, request: Option<&RequestId>) -> Result<Seen<A>, Error> {
    let Some(request) = request else { return Ok(Seen::New(Keep(None))) };
    let key = request.key();
    let found = rows::get::<Answered>(&*shared.store, &key).await?;
    match found {
        Some(row) if shared.clock.now().duration_since(row.value.at) < KEPT => {
            if row.value.digest != request.digest {
                let message = format!("the request id {:?} was used with another request", request.id);
                let reused = Error::new(Code::InvalidArgument, "REQUEST_ID_REUSED", message);
                return Err(reused.with_field("request_id", "was used with another request; take a new one"));
            }
            let answer = serde_json::from_value(row.value.answer).map_err(|error| {
                tracing::error!(%key, %error, "a kept answer is not what this build reads");
                Error::internal("the store failed on this request")
            })?;
            Ok(Seen::Answered(answer))
        }
        other => Ok(Seen::New(Keep(Some((request.clone(), other.map(|row| row.revision)))))),
    }
}

impl Keep {
    /// Whether there is a request id.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_some()
    }

    /// The batch, with the answer kept in it. The commit is refused where the same id was answered meanwhile.
    pub(crate) fn keep<A: Serialize>(self, batch: Batch, answer: &A, now: Timestamp) -> Result<Batch, Error> {
        let Some((request, expired)) = self.0 else { return Ok(batch) };
        let key = request.key();
        let answer = serde_json::to_value(answer).map_err(|error| {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Error::internal("the store failed on this request")
        })?;
        let row = rows::encode(&Answered { digest: request.digest, at: now, answer })?;
        let age = age_key(now, request.tenant.as_ref(), &request.id);
        let batch = match expired {
            Some(revision) => batch.at(key.clone(), revision),
            None => batch.absent(key.clone()),
        };
        Ok(batch.put(key, row).put(age, Vec::new()))
    }
}

fn age_key(at: Timestamp, tenant: Option<&Slug>, id: &str) -> Key {
    let millisecond = u64::try_from(at.as_millisecond()).unwrap_or(0);
    keys::request_ages().number(millisecond).text(tenant.map_or("", Slug::as_str)).text(id)
}

/// Forgets the answers that are older than [`KEPT`]; the answer is how many.
pub(crate) async fn forget_old(shared: &Shared) -> Result<usize, Error> {
    let now = shared.clock.now();
    let mut forgotten = 0;
    let mut after = None;
    loop {
        let page = shared.store.scan(Scan::of(keys::request_ages()).after(after)).await?;
        for entry in &page.entries {
            let mut parts = match entry.key.parts_after(&keys::request_ages()) {
                Some(parts) => parts,
                None => continue,
            };
            let at = parts.number().and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
            let (Some(at), Some(tenant), Some(id)) = (at, parts.text(), parts.text()) else { continue };
            if now.duration_since(at) < KEPT {
                return Ok(forgotten);
            }
            let key = keys::request(Slug::parse(&tenant).ok().as_ref(), &id);
            let mut batch = Batch::new().delete(entry.key.clone());
            // The id may have been used again since: then only this trace of its first use goes.
            if let Some(row) = rows::get::<Answered>(&*shared.store, &key).await?
                && now.duration_since(row.value.at) >= KEPT
            {
                batch = batch.at(key.clone(), row.revision).delete(key);
            }
            forgotten += usize::from(rows::commit(&*shared.store, batch).await?.is_some());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(forgotten),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::clock::Clock;
    use crate::metrics::Metrics;
    use crate::store::{MemoryStore, MetaStore};
    use std::sync::{Arc, Mutex};

    async fn kept(shared: &Shared, prefix: Key) -> usize {
        shared.store.scan(Scan::of(prefix)).await.unwrap().entries.len()
    }

    #[tokio::test]
    async fn answers_are_forgotten_after_24_hours_and_not_before() {
        let now = Arc::new(Mutex::new(Timestamp::UNIX_EPOCH));
        let clock = {
            let now = Arc::clone(&now);
            Clock::new(move || *now.lock().unwrap())
        };
        let store: Arc<dyn MetaStore> = Arc::new(MemoryStore::new(100));
        let metrics = Arc::new(Metrics::new(&opentelemetry::global::meter("test")));
        let shared = Shared { store, clock, metrics };
        let tenant = Slug::parse("acme").unwrap();
        let answer = async |id: &str, at: Timestamp| {
            *now.lock().unwrap() = at;
            let request = RequestId::of(Some(&tenant), id, "Test", &id).unwrap();
            let Seen::New(keep) = look::<String>(&shared, request.as_ref()).await.unwrap() else { return false };
            let batch = keep.keep(Batch::new(), &"done".to_owned(), at).unwrap();
            rows::commit(&*shared.store, batch).await.unwrap().is_some()
        };
        let (start, hour) = (Timestamp::UNIX_EPOCH, SignedDuration::from_hours(1));
        assert!(answer("first", start).await);
        assert!(answer("second", start + hour).await);
        assert!(!answer("first", start + hour * 23).await, "it is kept");
        assert!(answer("first", start + hour * 24).await, "it is used anew");

        *now.lock().unwrap() = start + hour * 25;
        assert_eq!(forget_old(&shared).await.unwrap(), 2);
        // The second use of `first` is still kept, and so is its age.
        assert_eq!(kept(&shared, Key::tenant(&tenant, "request")).await, 1);
        assert_eq!(kept(&shared, keys::request_ages()).await, 1);
        *now.lock().unwrap() = start + hour * 48;
        assert_eq!(forget_old(&shared).await.unwrap(), 1);
        assert_eq!(kept(&shared, Key::tenant(&tenant, "request")).await, 0);
        assert_eq!(kept(&shared, keys::request_ages()).await, 0);
    }
}
