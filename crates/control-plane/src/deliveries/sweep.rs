//! What was kept long enough goes: deliveries that have arrived, and dead letters.

use super::pulse::Pulse;
use super::rows::{Delivery, State, time_and_id};
use crate::config::DeliveriesConfig;
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, Scan};
use crate::tenants::Tenant;
use jiff::{SignedDuration, Timestamp};
use sluice_model::{Error, Slug};

/// Forgets what has ended longer ago than the settings say; the answer is how many.
pub(crate) async fn forget_old(shared: &Shared, pulse: &Pulse, config: &DeliveriesConfig) -> Result<usize, Error> {
    let (mut forgotten, mut after) = (0, None);
    loop {
        let page = rows::scan::<Tenant>(&*shared.store, Scan::of(keys::tenants()).after(after)).await?;
        for row in page.entries {
            for (state, kept_s) in [(State::Delivered, config.delivered_kept_s), (State::Dead, config.dead_kept_s)] {
                let kept = SignedDuration::from_secs(i64::try_from(kept_s).unwrap_or(i64::MAX));
                forgotten += forget(shared, pulse, &row.value.tenant, state, shared.clock.now() - kept).await?;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(forgotten),
        }
    }
}

async fn forget(
    shared: &Shared,
    pulse: &Pulse,
    tenant: &Slug,
    state: State,
    before: Timestamp,
) -> Result<usize, Error> {
    let listed = keys::deliveries_in(tenant, state.as_str());
    let (mut forgotten, mut after) = (0, None);
    loop {
        let page = shared.store.scan(Scan::of(listed.clone()).after(after)).await?;
        for entry in &page.entries {
            let Some((made_at, id)) = time_and_id(&entry.key, &listed) else { continue };
            if made_at > before {
                return Ok(forgotten);
            }
            let key = keys::delivery(tenant, &id);
            let Some(row) = rows::get::<Delivery>(&*shared.store, &key).await? else { continue };
            // Made long ago, and ended since.
            if row.value.state != state || row.value.ended_at.is_some_and(|at| at > before) {
                continue;
            }
            let batch = Batch::new()
                .at(key.clone(), row.revision)
                .delete(key)
                .delete(keys::delivery_content(tenant, &id))
                .delete(entry.key.clone());
            if rows::commit(&*shared.store, batch).await?.is_some() {
                pulse.count(state, -1);
                forgotten += 1;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(forgotten),
        }
    }
}
