//! What becomes of deliveries after an attempt, in one commit.

use super::pulse::Pulse;
use super::rows::{Attempt, DeadReason, Delivery, Disabled, Endpoint, LaneKey, State, shown};
use super::{CONTROL_PLANE, dead_record};
use crate::audit::outbox;
use crate::keys;
use crate::rows::{self, Row};
use crate::shared::Shared;
use crate::store::Batch;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sluice_model::delivery::retry_after;
use sluice_model::outcome::EmitFormat;
use sluice_model::{AuditKind, AuditRecord, Error};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

/// The minute that a pace is counted in.
pub(super) const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Writes down what became of deliveries.
#[derive(Clone)]
pub(super) struct Settler {
    pub(super) shared: Shared,
    pub(super) pulse: Arc<Pulse>,
}

impl Settler {
    /// An attempt for `ids`, which went in one message, has ended.
    pub(super) async fn tried(
        &self,
        lane: &LaneKey,
        ids: &[String],
        attempt: &Attempt,
        wait: Option<Duration>,
    ) -> Result<(), Error> {
        let mut counted = false;
        loop {
            let rows = self.pending(lane, ids).await?;
            let Some(first) = rows.first() else { return Ok(()) };
            let gone = is_gone(first.value.format, attempt.status);
            if !counted {
                let result = if attempt.is_success() { "delivered" } else { "failed" };
                self.pulse.attempted(if gone { "gone" } else { result }, attempt.duration_ms);
                counted = true;
            }
            let now = self.shared.clock.now();
            let told_by = (rows.len() > 1).then(|| first.value.id.clone());
            let mut batch = self.endpoint(Batch::new(), lane, &first.value, attempt, gone, now).await?;
            let disables = batch.1;
            let mut ends = Vec::new();
            for row in &rows {
                let former = &row.value;
                let mut delivery = former.clone();
                delivery.attempted(attempt.clone());
                if attempt.is_success() {
                    delivery.end(State::Delivered, None, now);
                    delivery.told_by = told_by.clone().filter(|id| *id != delivery.id);
                } else if gone {
                    delivery.end(State::Dead, Some(DeadReason::EndpointGone), now);
                } else if delivery.tries >= delivery.max_attempts {
                    delivery.end(State::Dead, Some(DeadReason::Exhausted), now);
                } else {
                    let random = RandomState::new().hash_one(&delivery.id);
                    let after = retry_after(delivery.tries, wait, random);
                    delivery.queue(now + SignedDuration::try_from(after).unwrap_or(WINDOW));
                }
                if delivery.state == State::Dead {
                    batch.0 = batch.0.append(keys::outbox(), outbox::row(&dead_record(&lane.tenant, &delivery, now))?);
                }
                batch.0 = batch.0.at(keys::delivery(&lane.tenant, &delivery.id), row.revision);
                batch.0 = delivery.write(batch.0, &lane.tenant, Some(former))?;
                ends.push(delivery);
            }
            if rows::commit(&*self.shared.store, batch.0).await?.is_some() {
                for delivery in &ends {
                    self.pulse.moved(State::Pending, delivery.state);
                    if delivery.state == State::Dead {
                        let Delivery { id, slug, endpoint, .. } = delivery;
                        tracing::warn!(tenant = %lane.tenant, delivery = id, %slug, endpoint = shown(endpoint), "a delivery is dead");
                    }
                }
                self.pulse.disabled(i64::from(disables));
                return Ok(());
            }
        }
    }

    /// Makes a dead letter of a delivery whose endpoint is disabled.
    pub(super) async fn refuse(&self, lane: &LaneKey, id: &str) -> Result<(), Error> {
        loop {
            let rows = self.pending(lane, std::slice::from_ref(&id.to_owned())).await?;
            let Some(row) = rows.first() else { return Ok(()) };
            let now = self.shared.clock.now();
            let mut delivery = row.value.clone();
            delivery.end(State::Dead, Some(DeadReason::EndpointDisabled), now);
            let batch = Batch::new()
                .at(keys::delivery(&lane.tenant, id), row.revision)
                .append(keys::outbox(), outbox::row(&dead_record(&lane.tenant, &delivery, now))?);
            let batch = delivery.write(batch, &lane.tenant, Some(&row.value))?;
            if rows::commit(&*self.shared.store, batch).await?.is_some() {
                self.pulse.moved(State::Pending, State::Dead);
                return Ok(());
            }
        }
    }

    /// Those of them that are still pending.
    async fn pending(&self, lane: &LaneKey, ids: &[String]) -> Result<Vec<Row<Delivery>>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let key = keys::delivery(&lane.tenant, id);
            found.extend(rows::get::<Delivery>(&*self.shared.store, &key).await?);
        }
        found.retain(|row| row.value.state == State::Pending);
        Ok(found)
    }

    /// What of the endpoint changes: it is disabled, or its pace is counted. The answer says whether it is disabled by this.
    async fn endpoint(
        &self,
        mut batch: Batch,
        lane: &LaneKey,
        delivery: &Delivery,
        attempt: &Attempt,
        gone: bool,
        now: Timestamp,
    ) -> Result<(Batch, bool), Error> {
        if !gone && delivery.max_per_minute.is_none() {
            return Ok((batch, false));
        }
        let key = keys::endpoint(&lane.tenant, &lane.endpoint);
        let Some(row) = rows::get::<Endpoint>(&*self.shared.store, &key).await? else { return Ok((batch, false)) };
        let mut endpoint = row.value;
        if delivery.max_per_minute.is_some() {
            endpoint.recent.retain(|at| now.duration_since(*at) < WINDOW);
            endpoint.recent.push(attempt.at);
        }
        let disables = gone && endpoint.disabled.is_none();
        if disables {
            let status = attempt.status.unwrap_or_default();
            endpoint.disabled = Some(Disabled { at: now, status, delivery: delivery.id.clone() });
            let mut record = AuditRecord::new(now, AuditKind::EndpointDisabled, lane.tenant.clone(), CONTROL_PLANE);
            let endpoint = shown(&delivery.endpoint);
            record.to = Some(json!({ "endpoint": endpoint, "status": status, "delivery": delivery.id }));
            batch = batch
                .append(keys::outbox(), outbox::row(&record)?)
                .put(keys::disabled_endpoint(&lane.tenant, &lane.endpoint), Vec::new());
            tracing::warn!(tenant = %lane.tenant, endpoint, status, "an endpoint is gone: nothing more is sent to it");
        }
        Ok((batch.at(key.clone(), row.revision).put(key, rows::encode(&endpoint)?), disables))
    }
}

/// Whether an answer says that nothing must come any more.
fn is_gone(format: EmitFormat, status: Option<u16>) -> bool {
    match status {
        Some(410) => true,
        Some(404) => format == EmitFormat::Slack,
        _ => false,
    }
}
