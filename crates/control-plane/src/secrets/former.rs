//! Former values of secrets, which sign for a while beside the present ones and then go.

use super::SecretRow;
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, Scan};
use sluice_model::{Error, Slug};

/// Forgets the former values that sign no more; the answer is of how many secrets.
pub(crate) async fn forget_former(shared: &Shared) -> Result<usize, Error> {
    let now = shared.clock.now();
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let (mut forgotten, mut after) = (0, None);
    loop {
        let page = shared.store.scan(Scan::of(keys::former_secrets()).after(after)).await?;
        for entry in &page.entries {
            let Some(mut parts) = entry.key.parts_after(&keys::former_secrets()) else { continue };
            let (Some(until), Some(tenant), Some(name)) = (parts.number(), parts.text(), parts.text()) else {
                continue;
            };
            if until > now_ms {
                return Ok(forgotten);
            }
            let mut batch = Batch::new().delete(entry.key.clone());
            if let Ok(tenant) = Slug::parse(&tenant)
                && let Some(row) = rows::get::<SecretRow>(&*shared.store, &keys::secret(&tenant, &name)).await?
            {
                let key = keys::secret(&tenant, &name);
                let mut secret = row.value;
                secret.formers.retain(|former| former.until > now);
                batch = batch.at(key.clone(), row.revision).put(key, rows::encode(&secret)?);
            }
            forgotten += usize::from(rows::commit(&*shared.store, batch).await?.is_some());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(forgotten),
        }
    }
}
