//! Deliveries: what Actions emit, on its way to receivers.
//!
//! [`intake`] makes deliveries of the emits in runs' audit records, before the records are acknowledged. The [`worker`] takes
//! what is due: [`lanes`] say whose turn it is, [`send`] makes one attempt, [`settle`] writes down what became of it, and
//! [`digest`] stands for many where Slack would get too many. [`endpoints`] are where deliveries go. All state is in the store
//! ([`rows`]): at least once, whatever is killed.

mod digest;
mod endpoints;
mod intake;
mod lanes;
mod pulse;
mod rows;
mod send;
mod settle;
pub(crate) mod sweep;
mod worker;

pub(crate) use endpoints::{EnableEndpoint, Endpoints, canonical};
pub(crate) use intake::Intake;
pub(crate) use pulse::Pulse;
pub(crate) use rows::{Attempt, Content, Delivery, Endpoint, State};
pub(crate) use send::is_slack;
pub(crate) use worker::Worker;

use self::rows::{LaneKey, ms, shown, time_and_id};
use crate::audit::outbox;
use crate::config::DeliveriesConfig;
use crate::etag;
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows::{self as store_rows, Page, Row};
use crate::secrets::Secrets;
use crate::shared::Shared;
use crate::store::{Batch, Key, Scan};
use crate::tenants::Tenants;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sluice_egress::Egress;
use sluice_model::{AuditKind, AuditRecord, Error, Slug};
use std::sync::Arc;

/// Who does what the control plane does by itself.
const CONTROL_PLANE: &str = "control-plane";
/// Rows that are read for one page at most, where a filter leaves few of them.
const MAX_READ: usize = 2_000;

/// Which deliveries are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Those in this state.
    pub(crate) state: Option<State>,
    /// Those that go there.
    pub(crate) endpoint: Option<String>,
    /// Those of this Action.
    pub(crate) slug: Option<Slug>,
}

/// Which delivery is sent again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Resend {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The delivery.
    pub(crate) id: String,
    /// The etag of the delivery; empty for whatever it is.
    pub(crate) etag: String,
}

/// Lists deliveries and sends them again.
#[derive(Clone)]
pub(crate) struct Deliveries {
    shared: Shared,
    tenants: Tenants,
    endpoints: Endpoints,
    pulse: Arc<Pulse>,
}

impl Deliveries {
    pub(crate) fn new(shared: Shared, tenants: Tenants, endpoints: Endpoints, pulse: Arc<Pulse>) -> Deliveries {
        Deliveries { shared, tenants, endpoints, pulse }
    }

    /// What makes deliveries of audit records.
    pub(crate) fn intake(&self) -> Intake {
        Intake::new(self.shared.clone(), Arc::clone(&self.pulse))
    }

    /// What sends them. It takes up all that is to be sent.
    pub(crate) async fn worker(
        &self,
        egress: Egress,
        secrets: Secrets,
        config: &DeliveriesConfig,
    ) -> Result<Worker, Error> {
        let slack_test_hosts = config.slack_test_hosts.clone().into();
        let sender = send::Sender { egress, secrets, clock: self.shared.clock.clone(), slack_test_hosts };
        let bounds = lanes::Bounds {
            all: config.max_in_flight,
            tenant: config.max_in_flight_per_tenant,
            endpoint: config.max_in_flight_per_endpoint,
        };
        Worker::open(self.shared.clone(), Arc::clone(&self.pulse), sender, bounds).await
    }

    /// The deliveries of a tenant, newest first. A page may have fewer than asked for, or none, and still name a next one.
    pub(crate) async fn list(
        &self,
        tenant: &Slug,
        filter: &Filter,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page<Delivery>, Error> {
        self.tenants.get(tenant).await?;
        let order = order(tenant);
        let mut last = after.and_then(|key| time_and_id(&key, &order));
        let (mut entries, mut read) = (Vec::new(), 0);
        loop {
            let names = self.names(tenant, filter, last.as_ref(), limit).await?;
            let ended = names.len() < limit;
            for (at, id) in names {
                read += 1;
                let found = store_rows::get::<Delivery>(&*self.shared.store, &keys::delivery(tenant, &id)).await?;
                last = Some((at, id));
                let found = found.map(|row| row.value).filter(|delivery| filter.takes(delivery));
                entries.extend(found);
                if entries.len() >= limit || read >= MAX_READ {
                    let next = last.map(|(at, id)| order.clone().number(ms(at)).text(&id));
                    return Ok(Page { entries, next });
                }
            }
            if ended {
                return Ok(Page { entries, next: None });
            }
        }
    }

    /// The next deliveries of the states that are asked for, newest first.
    async fn names(
        &self,
        tenant: &Slug,
        filter: &Filter,
        last: Option<&(Timestamp, String)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, String)>, Error> {
        let mut names = Vec::new();
        for state in State::ALL.into_iter().filter(|state| filter.state.is_none_or(|asked| asked == *state)) {
            let prefix = keys::deliveries_in(tenant, state.as_str());
            let after = last.map(|(at, id)| prefix.clone().number(ms(*at)).text(id));
            let page = self.shared.store.scan(Scan::of(prefix.clone()).after(after).limit(limit).descending()).await?;
            names.extend(page.entries.iter().filter_map(|entry| time_and_id(&entry.key, &prefix)));
        }
        names.sort_by(|one, other| other.cmp(one));
        // One that went from one state to another between two reads.
        names.dedup();
        names.truncate(limit);
        Ok(names)
    }

    /// A delivery with what is delivered. NOT_FOUND `DELIVERY_NOT_FOUND`.
    pub(crate) async fn get(&self, tenant: &Slug, id: &str) -> Result<(Delivery, Content), Error> {
        self.tenants.get(tenant).await?;
        let row = self.find(tenant, id).await?;
        let content = keys::delivery_content(tenant, id);
        match store_rows::get::<Content>(&*self.shared.store, &content).await? {
            Some(content) => Ok((row.value, content.value)),
            None => Err(not_found(tenant, id)),
        }
    }

    async fn find(&self, tenant: &Slug, id: &str) -> Result<Row<Delivery>, Error> {
        sluice_model::limits::check_id(id).map_err(|invalid| Error::invalid("delivery", invalid))?;
        let found = store_rows::get::<Delivery>(&*self.shared.store, &keys::delivery(tenant, id)).await?;
        found.ok_or_else(|| not_found(tenant, id))
    }

    /// Sends a delivery again, at once, whatever became of it; one that is pending does not wait any longer. NOT_FOUND
    /// `DELIVERY_NOT_FOUND`, FAILED_PRECONDITION `ENDPOINT_DISABLED`.
    pub(crate) async fn resend(&self, who: &str, resend: &Resend, request_id: &str) -> Result<Delivery, Error> {
        let Resend { tenant, id, etag } = resend;
        let request = RequestId::of(Some(tenant), request_id, "ResendDelivery", resend)?;
        loop {
            self.tenants.get(tenant).await?;
            let keep = match requests::look::<Delivery>(&self.shared, request.as_ref()).await? {
                Seen::Answered(delivery) => return Ok(delivery),
                Seen::New(keep) => keep,
            };
            let row = self.find(tenant, id).await?;
            etag::check(etag, &row.value.etag()?, "delivery", id)?;
            let (former, mut delivery) = (&row.value, row.value.clone());
            let endpoint = self.endpoints.find(tenant, &delivery.endpoint).await?;
            if endpoint.is_some_and(|row| row.value.disabled.is_some()) {
                let message = format!(
                    "nothing is sent to {}: it said that it is gone; enable it first",
                    shown(&delivery.endpoint)
                );
                return Err(
                    Error::precondition("ENDPOINT_DISABLED", message).about("endpoint", shown(&delivery.endpoint))
                );
            }
            let now = self.shared.clock.now();
            if former.state != State::Pending {
                // All the attempts that it may have, anew.
                (delivery.tries, delivery.told_by) = (0, None);
            }
            delivery.queue(now);
            let mut record = AuditRecord::new(now, AuditKind::DeliveryResent, tenant.clone(), who);
            record.slug = Some(delivery.slug.clone());
            record.version = Some(delivery.version.clone());
            record.execution_id.clone_from(&delivery.execution_id);
            record.from = Some(json!({ "delivery": id, "state": former.state }));
            record.to = Some(json!({ "delivery": id, "endpoint": shown(&delivery.endpoint), "state": State::Pending }));
            let batch =
                Batch::new().at(keys::delivery(tenant, id), row.revision).append(keys::outbox(), outbox::row(&record)?);
            let batch = keep.keep(delivery.write(batch, tenant, Some(former))?, &delivery, now)?;
            if store_rows::commit(&*self.shared.store, batch).await?.is_some() {
                self.pulse.moved(former.state, State::Pending);
                self.pulse.wake(LaneKey::of(tenant, &delivery.endpoint));
                return Ok(delivery);
            }
        }
    }

    /// The endpoints of a tenant.
    pub(crate) async fn endpoints(
        &self,
        tenant: &Slug,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Page<Endpoint>, Error> {
        self.tenants.get(tenant).await?;
        self.endpoints.list(tenant, after, limit).await
    }

    /// Enables an endpoint: see [`Endpoints::enable`].
    pub(crate) async fn enable(&self, who: &str, enable: &EnableEndpoint, request_id: &str) -> Result<Endpoint, Error> {
        self.tenants.get(&enable.tenant).await?;
        self.endpoints.enable(who, enable, request_id).await
    }
}

impl Filter {
    fn takes(&self, delivery: &Delivery) -> bool {
        self.state.is_none_or(|state| state == delivery.state)
            && self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == delivery.endpoint)
            && self.slug.as_ref().is_none_or(|slug| *slug == delivery.slug)
    }
}

/// What page tokens of a list carry: where it has come to, whichever state that was in.
pub(crate) fn order(tenant: &Slug) -> Key {
    Key::tenant(tenant, "delivery-list")
}

fn not_found(tenant: &Slug, id: &str) -> Error {
    Error::not_found("DELIVERY_NOT_FOUND", format!("tenant {tenant} has no delivery {id}, or not any more"))
        .about("delivery", id)
}

/// The record of a dead letter.
fn dead_record(tenant: &Slug, delivery: &Delivery, now: Timestamp) -> AuditRecord {
    let mut record = AuditRecord::new(now, AuditKind::DeliveryDead, tenant.clone(), CONTROL_PLANE);
    record.flow.clone_from(&delivery.flow);
    record.trigger = delivery.trigger;
    record.attachment.clone_from(&delivery.attachment);
    record.slug = Some(delivery.slug.clone());
    record.version = Some(delivery.version.clone());
    record.execution_id.clone_from(&delivery.execution_id);
    let last = delivery.attempts.last();
    record.to = Some(json!({
        "delivery": delivery.id,
        "endpoint": shown(&delivery.endpoint),
        "reason": delivery.dead,
        "attempts": delivery.tries,
        "status": last.and_then(|attempt| attempt.status),
        "failure": last.and_then(|attempt| attempt.failure.as_ref()),
    }));
    record
}
