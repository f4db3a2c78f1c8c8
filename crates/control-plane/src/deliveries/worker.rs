//! The worker: takes what is due, endpoint by endpoint, and sends it.
//!
//! What it holds in memory is only whose turn it is; what is due is in the store, so that a start takes up everything where the
//! end left it. A delivery has one attempt under way at most.

use super::digest;
use super::lanes::{Bounds, Lanes};
use super::pulse::Pulse;
use super::rows::{Content, Delivery, Endpoint, LaneKey, State, time_and_id};
use super::send::{Sender, Sent};
use super::settle::{Settler, WINDOW};
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, MAX_PAGE, Scan};
use crate::tenants::Tenant;
use jiff::{SignedDuration, Timestamp};
use sluice_model::{Error, Slug};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a lane rests after the store failed, or where there was no place for a request.
const REST: Duration = Duration::from_secs(1);
/// How long what is under way may take when the control plane ends. What has not ended is sent again by the next start.
const GRACE: Duration = Duration::from_secs(5);
/// How long it sleeps at most: clocks are set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Sends what is due.
pub(crate) struct Worker {
    shared: Shared,
    pulse: Arc<Pulse>,
    sender: Sender,
    settler: Settler,
    lanes: Lanes,
    sends: JoinSet<()>,
    under_way: HashMap<Id, (LaneKey, Vec<String>)>,
}

/// What goes in one message.
struct Message {
    deliveries: Vec<Delivery>,
    content: Content,
    /// That of the content, or what stands for several.
    body: String,
}

impl Worker {
    /// Takes up what is to be sent, and counts what there is.
    pub(super) async fn open(
        shared: Shared,
        pulse: Arc<Pulse>,
        sender: Sender,
        bounds: Bounds,
    ) -> Result<Worker, Error> {
        let settler = Settler { shared: shared.clone(), pulse: Arc::clone(&pulse) };
        let (lanes, sends, under_way) = (Lanes::new(bounds), JoinSet::new(), HashMap::new());
        let mut worker = Worker { shared, pulse, sender, settler, lanes, sends, under_way };
        worker.take_up().await?;
        Ok(worker)
    }

    async fn take_up(&mut self) -> Result<(), Error> {
        let (store, queues) = (Arc::clone(&self.shared.store), keys::delivery_queues());
        let mut after = None;
        loop {
            let page = store.scan(Scan::of(queues.clone()).after(after)).await?;
            self.pulse.count(State::Pending, count(page.entries.len()));
            for entry in &page.entries {
                let Some(mut parts) = entry.key.parts_after(&queues) else { continue };
                let (Some(tenant), Some(endpoint)) = (parts.text(), parts.text()) else { continue };
                let Ok(tenant) = Slug::parse(&tenant) else { continue };
                self.lanes.wake(&LaneKey { tenant, endpoint });
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.pulse.disabled(self.count_all(keys::disabled_endpoints()).await?);
        let mut after = None;
        loop {
            let page = rows::scan::<Tenant>(&*store, Scan::of(keys::tenants()).after(after)).await?;
            for row in page.entries {
                let dead = keys::deliveries_in(&row.value.tenant, State::Dead.as_str());
                self.pulse.count(State::Dead, self.count_all(dead).await?);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn count_all(&self, prefix: crate::store::Key) -> Result<i64, Error> {
        let (mut after, mut all) = (None, 0);
        loop {
            let page = self.shared.store.scan(Scan::of(prefix.clone()).after(after)).await?;
            all += count(page.entries.len());
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Sends until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let pulse = Arc::clone(&self.pulse);
        loop {
            for key in pulse.woken() {
                self.lanes.wake(&key);
            }
            let now = self.shared.clock.now();
            if let Some(key) = self.lanes.next(now) {
                if let Err(error) = self.look(&key, now).await {
                    tracing::error!(tenant = %key.tenant, %error, "what is due cannot be read; it is tried again");
                    self.lanes.until(&key, now + seconds(REST), now);
                }
                // Whatever ended meanwhile makes room, also where there is always something to look at.
                while let Some(ended) = self.sends.try_join_next_with_id() {
                    self.ended(ended);
                }
                if stop.is_cancelled() {
                    break;
                }
                continue;
            }
            pulse.oldest(self.lanes.oldest());
            let rest = self.lanes.timer().map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            // A key has no parts of milliseconds; what is due within one is due in the next.
            let rest = rest.map_or(LONGEST_SLEEP, |rest| (rest + Duration::from_millis(1)).min(LONGEST_SLEEP));
            tokio::select! {
                () = pulse.told() => {}
                Some(ended) = self.sends.join_next_with_id() => self.ended(ended),
                () = sleep(rest) => {}
                () = stop.cancelled() => break,
            }
        }
        let until = Instant::now() + GRACE;
        while let Ok(Some(_)) = timeout_at(until, self.sends.join_next()).await {}
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "an attempt to deliver has broken off; it is made again");
                error.id()
            }
        };
        if let Some((key, ids)) = self.under_way.remove(&id) {
            self.lanes.ended(&key, &ids);
        }
    }

    /// Looks what is to be done for an endpoint, and begins it.
    async fn look(&mut self, key: &LaneKey, now: Timestamp) -> Result<(), Error> {
        let store = Arc::clone(&self.shared.store);
        let Some((due, id)) = self.waiting(key, 1).await?.into_iter().next() else {
            self.lanes.empty(key);
            return Ok(());
        };
        if due > now {
            self.lanes.until(key, due, due);
            return Ok(());
        }
        let place = keys::delivery_queue(&key.tenant, &key.endpoint).number(super::rows::ms(due)).text(&id);
        let found = rows::get::<Delivery>(&*store, &keys::delivery(&key.tenant, &id)).await?.map(|row| row.value);
        let Some(delivery) = found.filter(|found| found.queued(&key.tenant).as_ref() == Some(&place)) else {
            tracing::error!(tenant = %key.tenant, delivery = id, "a queue of deliveries named one that is not in it");
            rows::commit(&*store, Batch::new().delete(place)).await?;
            self.lanes.wake(key);
            return Ok(());
        };
        let endpoint = rows::get::<Endpoint>(&*store, &keys::endpoint(&key.tenant, &key.endpoint)).await?;
        let endpoint = endpoint.map(|row| row.value);
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.disabled.is_some()) {
            self.settler.refuse(key, &id).await?;
            self.lanes.wake(key);
            return Ok(());
        }
        let mut deliveries = vec![delivery];
        if let Some(most) = deliveries[0].max_per_minute {
            let lane = self.lanes.lane(key);
            let recent = lane.recent.get_or_insert_with(|| endpoint.into_iter().flat_map(|e| e.recent).collect());
            recent.retain(|at| now.duration_since(*at) < WINDOW);
            let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
            if let Some(oldest) = recent.len().checked_sub(most).and_then(|over| recent.get(over)) {
                let at = *oldest + WINDOW;
                lane.held = true;
                self.lanes.until(key, at, due);
                return Ok(());
            }
            recent.push_back(now);
            if std::mem::take(&mut lane.held) && deliveries[0].is_digest() {
                deliveries = self.gather(key, now).await?;
            }
        }
        let Some(message) = self.message(key, deliveries).await? else { return Ok(()) };
        self.begin(key, due, message);
        Ok(())
    }

    /// The first deliveries of an endpoint that are not under way, with when they are due.
    async fn waiting(&mut self, key: &LaneKey, limit: usize) -> Result<Vec<(Timestamp, String)>, Error> {
        let store = Arc::clone(&self.shared.store);
        let queue = keys::delivery_queue(&key.tenant, &key.endpoint);
        let under_way = &self.lanes.lane(key).under_way;
        // Of so many at least as many are not under way as are asked for.
        let page = store.scan(Scan::of(queue.clone()).limit((under_way.len() + limit).min(MAX_PAGE))).await?;
        let all = page.entries.iter().filter_map(|entry| time_and_id(&entry.key, &queue));
        Ok(all.filter(|(_, id)| !under_way.contains(id)).take(limit).collect())
    }

    /// What waits for the pace of an endpoint and may go in one message.
    async fn gather(&mut self, key: &LaneKey, now: Timestamp) -> Result<Vec<Delivery>, Error> {
        let mut gathered = Vec::new();
        for (due, id) in self.waiting(key, digest::MOST).await? {
            if due > now {
                break;
            }
            let found = rows::get::<Delivery>(&*self.shared.store, &keys::delivery(&key.tenant, &id)).await?;
            gathered
                .extend(found.map(|row| row.value).filter(|found| found.state == State::Pending && found.is_digest()));
        }
        Ok(gathered)
    }

    async fn message(&mut self, key: &LaneKey, deliveries: Vec<Delivery>) -> Result<Option<Message>, Error> {
        let Some(first) = deliveries.first() else {
            self.lanes.wake(key);
            return Ok(None);
        };
        let place = keys::delivery_content(&key.tenant, &first.id);
        let Some(content) = rows::get::<Content>(&*self.shared.store, &place).await?.map(|row| row.value) else {
            return Err(Error::internal(format!("the content of delivery {} is not there", first.id)));
        };
        let body = if deliveries.len() > 1 { digest::body(&deliveries) } else { content.body.clone() };
        Ok(Some(Message { deliveries, content, body }))
    }

    fn begin(&mut self, key: &LaneKey, due: Timestamp, message: Message) {
        let ids: Vec<String> = message.deliveries.iter().map(|delivery| delivery.id.clone()).collect();
        let (sender, settler) = (self.sender.clone(), self.settler.clone());
        let (lane, of_message) = (key.clone(), ids.clone());
        let task = self.sends.spawn(async move {
            if let Err(error) = attempt(&sender, &settler, &lane, &of_message, &message).await {
                tracing::error!(tenant = %lane.tenant, %error, "an attempt to deliver cannot be written down; it is made again");
                sleep(REST).await;
            }
        });
        self.under_way.insert(task.id(), (key.clone(), ids.clone()));
        self.lanes.began(key, due, &ids);
    }
}

/// One attempt, and what becomes of it.
async fn attempt(
    sender: &Sender,
    settler: &Settler,
    lane: &LaneKey,
    ids: &[String],
    message: &Message,
) -> Result<(), Error> {
    let Some(first) = message.deliveries.first() else { return Ok(()) };
    match sender.send(&lane.tenant, first, &message.content, &message.body).await? {
        Sent::Tried { attempt, wait } => settler.tried(lane, ids, &attempt, wait).await,
        Sent::NoPlace => {
            sleep(REST).await;
            Ok(())
        }
    }
}

fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}

fn seconds(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(WINDOW)
}
