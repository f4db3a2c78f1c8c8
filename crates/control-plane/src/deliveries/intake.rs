//! Deliveries made of what runs emitted, in the records of their audit.
//!
//! They are committed before the records are acknowledged, each under its own id: what is sent twice is made once, and what is
//! acknowledged is never without its deliveries.

use super::dead_record;
use super::pulse::Pulse;
use super::rows::{Content, DeadReason, Delivery, Endpoint, LaneKey, State};
use crate::audit::outbox;
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::Batch;
use jiff::Timestamp;
use sluice_model::delivery::{Emitted, EmittedTarget};
use sluice_model::{AuditRecord, Error, Slug, limits};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Deliveries of one commit: each is six writes at most.
const AT_ONCE: usize = 400;

/// Makes deliveries.
#[derive(Clone)]
pub(crate) struct Intake {
    shared: Shared,
    pulse: Arc<Pulse>,
}

/// One that may be made.
struct New {
    tenant: Slug,
    delivery: Delivery,
    content: Content,
}

impl Intake {
    pub(super) fn new(shared: Shared, pulse: Arc<Pulse>) -> Intake {
        Intake { shared, pulse }
    }

    /// Takes the emits out of records and makes their deliveries, where they are not there yet.
    pub(crate) async fn take(&self, records: &mut [AuditRecord]) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let mut all = Vec::new();
        for (index, record) in records.iter_mut().enumerate() {
            for emitted in std::mem::take(&mut record.emits) {
                let Emitted { kind, body, hosts, to } = emitted;
                for target in to {
                    all.push(new(record, index, (&kind, &body, &hosts), target, now)?);
                }
            }
        }
        // An id that stands twice in one batch is one delivery.
        let mut seen = HashSet::new();
        all.retain(|new| seen.insert((new.tenant.clone(), new.delivery.id.clone())));
        for chunk in all.chunks(AT_ONCE) {
            while !self.make(chunk, now).await? {}
        }
        Ok(())
    }

    /// Makes some; false where somebody else made one of them, or its endpoint, at the same moment.
    async fn make(&self, chunk: &[New], now: Timestamp) -> Result<bool, Error> {
        let store = &*self.shared.store;
        let mut batch = Batch::new();
        let mut disabled: HashMap<LaneKey, bool> = HashMap::new();
        let mut made = Vec::new();
        for New { tenant, delivery, content } in chunk {
            let lane = LaneKey::of(tenant, &delivery.endpoint);
            // Told in any case: a batch that comes again may be the first that this process has heard of it.
            let key = keys::delivery(tenant, &delivery.id);
            if store.get(&key).await?.is_some() {
                self.pulse.wake(lane);
                continue;
            }
            let is_disabled = match disabled.get(&lane) {
                Some(is) => *is,
                None => {
                    let place = keys::endpoint(tenant, &lane.endpoint);
                    let found = rows::get::<Endpoint>(store, &place).await?;
                    if found.is_none() {
                        let endpoint = delivery.endpoint.clone();
                        let row = Endpoint { endpoint, made_at: now, disabled: None, recent: Vec::new() };
                        batch = batch.absent(place.clone()).put(place, rows::encode(&row)?);
                    }
                    let is = found.is_some_and(|row| row.value.disabled.is_some());
                    disabled.insert(lane.clone(), is);
                    is
                }
            };
            let mut delivery = delivery.clone();
            if is_disabled {
                delivery.end(State::Dead, Some(DeadReason::EndpointDisabled), now);
                batch = batch.append(keys::outbox(), outbox::row(&dead_record(tenant, &delivery, now))?);
            }
            batch = delivery.write(batch.absent(key), tenant, None)?;
            batch = batch.put(keys::delivery_content(tenant, &delivery.id), rows::encode(content)?);
            made.push((lane, delivery.state));
        }
        if made.is_empty() {
            return Ok(true);
        }
        if rows::commit(store, batch).await?.is_none() {
            return Ok(false);
        }
        self.pulse.made(made.len());
        for (lane, state) in made {
            self.pulse.count(state, 1);
            if state == State::Pending {
                self.pulse.wake(lane);
            }
        }
        Ok(true)
    }
}

/// The delivery of one target.
fn new(
    record: &AuditRecord,
    index: usize,
    (kind, body, hosts): (&str, &str, &[String]),
    target: EmittedTarget,
    now: Timestamp,
) -> Result<New, Error> {
    let at = |field: &str| format!("batch.records[{index}].{field}");
    let required = |field: &str| Error::field(at(field), "is required of a record with emits");
    limits::check_id(&target.id).map_err(|invalid| Error::invalid(&at("emits.to.id"), invalid))?;
    let delivery = Delivery {
        id: target.id,
        endpoint: target.address.endpoint(),
        kind: kind.to_owned(),
        format: target.format,
        flow: record.flow.clone(),
        trigger: record.trigger,
        attachment: record.attachment.clone(),
        slug: record.slug.clone().ok_or_else(|| required("slug"))?,
        version: record.version.clone().ok_or_else(|| required("version"))?,
        execution_id: record.execution_id.clone(),
        made_at: now,
        state: State::Pending,
        due_at: Some(now),
        ended_at: None,
        dead: None,
        tries: 0,
        attempts: Vec::new(),
        max_attempts: target.max_attempts,
        max_per_minute: target.max_per_minute,
        digest: target.digest,
        told_by: None,
    };
    let content = Content {
        body: body.to_owned(),
        to: target.address.into(),
        hosts: hosts.to_vec(),
        signing_secret: target.signing_secret,
        headers: target.headers,
        timeout_ms: target.timeout_ms,
    };
    Ok(New { tenant: record.tenant.clone(), delivery, content })
}
