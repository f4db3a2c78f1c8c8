//! One executor's session: the whole state, then every change, one state at a time.
//!
//! The next state is told when the one before was answered. An executor that is slow is so told less often, and of more; and
//! when it refuses a state, the next one starts again from what it serves, after a pause that grows while it goes on
//! refusing. An executor on demand asks for tenants as it needs them: each is told whole, and from then on as it changes.

use super::nack::{Missing, Nack, Refusals};
use super::picture::{self, Picture};
use super::resources::{Also, Changed, Name, Resource, Told};
use super::roster::Place;
use super::subscription::Subscription;
use super::{Distribution, Hello};
use crate::keys::{self, Subject};
use crate::store::{Changes, MAX_PAGE, Revision};
use semver::Version;
use sluice_model::{Code, Error, Slug};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// The most tenants that an executor may subscribe to by name.
pub(crate) const MAX_TENANTS: usize = 100_000;

/// What an executor is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A state begins.
    Begin {
        /// Its place in the order of changes.
        cursor: u64,
        /// The state that it changes; `None` where it replaces everything known.
        base: Option<u64>,
        /// How many executors are connected.
        connected: u32,
    },
    /// Part of the state: new or changed.
    Upsert(Arc<Resource>),
    /// Part of the state: gone, or replaced by what comes after.
    Remove(Name),
    /// The state is whole.
    End,
    /// How it stands.
    Status {
        /// How many executors are connected.
        connected: u32,
        /// Where the executor is, 0 where it is not up to date.
        cursor: u64,
    },
}

/// What an executor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The state with this cursor serves.
    Ack(u64),
    /// A state could not be applied.
    Nack(Nack),
    /// It wants to hear of other tenants.
    Subscription {
        /// Of these too.
        subscribe: Vec<Slug>,
        /// Of these no more.
        unsubscribe: Vec<Slug>,
    },
    /// The modules that it cannot have, all of them.
    Missing(Vec<Missing>),
}

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The executor hung up.
    Gone,
    /// It is told why.
    Refused(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        Ended::Refused(error)
    }
}

/// A session.
pub(crate) struct Session {
    distribution: Distribution,
    place: Place,
    subscription: Subscription,
    /// What the executor serves; `None` where it has to be told everything.
    base: Option<Revision>,
    /// Where the executor takes itself to be: its last ack, or a status after it. Behind `base` while nothing that it hears
    /// of changes.
    known: u64,
    /// Tenants that it has asked for and does not have yet.
    fresh: BTreeSet<Slug>,
    /// Those of them that are in the state that waits for its answer, and whether there are any such.
    telling: BTreeMap<Slug, bool>,
    refusals: Refusals,
    connected: watch::Receiver<u32>,
    /// When it is told how it stands.
    beat: Interval,
}

impl Session {
    pub(super) fn connect(distribution: &Distribution, hello: Hello) -> Result<Session, Error> {
        let place = distribution.roster.join(&hello, distribution.shared.clock.now())?;
        let mut beat = interval(distribution.status_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let resumed = distribution.cursors.revision(hello.resume_cursor).filter(|_| !hello.send_full);
        Ok(Session {
            distribution: distribution.clone(),
            place,
            base: resumed,
            known: hello.resume_cursor,
            subscription: hello.subscription,
            fresh: BTreeSet::new(),
            telling: BTreeMap::new(),
            refusals: Refusals::default(),
            connected: distribution.roster.connected(),
            beat,
        })
    }

    /// Tells the executor until it hangs up, breaks the protocol, or is replaced by a later session of its own. `answers`
    /// are what it says; `told` is what it is told.
    pub(crate) async fn run(mut self, mut answers: mpsc::Receiver<Answer>, told: mpsc::Sender<Event>) -> Ended {
        let superseded = self.place.superseded();
        tokio::select! {
            biased;
            error = superseded => Ended::Refused(error),
            ended = self.tell(&mut answers, &told) => match ended {
                Ok(never) => match never {},
                Err(ended) => ended,
            },
        }
    }

    async fn tell(&mut self, answers: &mut mpsc::Receiver<Answer>, told: &mpsc::Sender<Event>) -> Result<Never, Ended> {
        let mut hint = self.distribution.shared.store.watch();
        loop {
            hint.borrow_and_update();
            if let Some(cursor) = self.state(told).await?
                && let Some(send_full) = self.answered(cursor, answers, told).await?
            {
                if send_full {
                    self.base = None;
                }
                if !self.refusals.refused(send_full) {
                    self.cool(cursor, &mut hint, answers, told).await?;
                }
            } else if self.fresh.is_empty() && self.base.is_some_and(|base| base >= *hint.borrow()) {
                self.rest(&mut hint, answers, told).await?;
            }
        }
    }

    /// Waits for the next change.
    async fn rest(
        &mut self,
        hint: &mut watch::Receiver<Revision>,
        answers: &mut mpsc::Receiver<Answer>,
        told: &mpsc::Sender<Event>,
    ) -> Result<(), Ended> {
        loop {
            tokio::select! {
                changed = hint.changed() => return changed.map_err(|_ended| Ended::Gone),
                answer = answers.recv() => if self.said(answer)? {
                    return Ok(());
                },
                _ = self.connected.changed() => self.tell_status(true, told)?,
                _ = self.beat.tick() => self.tell_status(true, told)?,
            }
        }
    }

    /// Waits until a state is told again after one was refused: for a change that the executor hears of, or every commit of
    /// the platform would have it told again, and some time at least, the longer the more it has refused; or for some time
    /// at most.
    async fn cool(
        &mut self,
        mut after: Revision,
        hint: &mut watch::Receiver<Revision>,
        answers: &mut mpsc::Receiver<Answer>,
        told: &mpsc::Sender<Event>,
    ) -> Result<(), Ended> {
        let (pause, again) = (sleep(self.refusals.pause()), sleep(self.refusals.retry_after()));
        tokio::pin!(pause, again);
        let mut is_changed = false;
        loop {
            tokio::select! {
                () = &mut again => return Ok(()),
                () = &mut pause, if is_changed => return Ok(()),
                changed = hint.changed() => {
                    changed.map_err(|_ended| Ended::Gone)?;
                    if !is_changed {
                        match self.heard(after).await? {
                            Some(heard) if heard.is_nothing() => after = heard.through,
                            _ => is_changed = true,
                        }
                    }
                }
                answer = answers.recv() => is_changed |= self.said(answer)?,
                _ = self.connected.changed() => self.tell_status(false, told)?,
                _ = self.beat.tick() => self.tell_status(false, told)?,
            }
        }
    }

    /// Waits until the executor has answered a state; where it refused it, whether it asked for everything.
    async fn answered(
        &mut self,
        commit: Revision,
        answers: &mut mpsc::Receiver<Answer>,
        told: &mpsc::Sender<Event>,
    ) -> Result<Option<bool>, Ended> {
        let asked = self.distribution.cursors.cursor(commit);
        loop {
            tokio::select! {
                answer = answers.recv() => match answer {
                    Some(Answer::Ack(acked)) if acked == asked => {
                        self.applied(commit);
                        return Ok(None);
                    }
                    Some(Answer::Nack(nack)) if nack.cursor == asked => return Ok(Some(self.refused(nack))),
                    other => {
                        self.said(other)?;
                    }
                },
                _ = self.connected.changed() => self.tell_status(false, told)?,
                _ = self.beat.tick() => self.tell_status(false, told)?,
            }
        }
    }

    fn applied(&mut self, commit: Revision) {
        (self.base, self.known) = (Some(commit), self.distribution.cursors.cursor(commit));
        self.refusals.applied();
        self.place.serves(commit);
        self.distribution.shared.metrics.state("ack");
        if self.telling.is_empty() {
            return;
        }
        for (tenant, is_there) in std::mem::take(&mut self.telling) {
            self.fresh.remove(&tenant);
            if !is_there {
                self.subscription.remove(&[tenant]);
            }
        }
        self.place.hears(&self.subscription, self.fresh.iter().cloned());
    }

    fn refused(&mut self, nack: Nack) -> bool {
        let (executor, cause) = (self.place.executor(), nack.cause.as_str());
        let Nack { cursor, cause: _, reason, resource, send_full } = &nack;
        tracing::warn!(executor, cursor, cause, reason, resource, send_full, "an executor refused a state");
        self.distribution.shared.metrics.state("nack");
        self.distribution.shared.metrics.nacked(cause);
        self.telling.clear();
        let send_full = nack.send_full;
        self.place.refused(nack, self.distribution.shared.clock.now());
        send_full
    }

    /// What it says besides the answer to a state: whether it wants to hear of other tenants.
    fn said(&mut self, answer: Option<Answer>) -> Result<bool, Ended> {
        let message = match answer {
            None => return Err(Ended::Gone),
            Some(Answer::Missing(missing)) => {
                self.place.misses(missing);
                return Ok(false);
            }
            Some(Answer::Subscription { subscribe, unsubscribe }) => match &self.subscription {
                Subscription::OnDemand(tenants) if tenants.len() + subscribe.len() <= MAX_TENANTS => {
                    self.change(&subscribe, &unsubscribe);
                    return Ok(true);
                }
                Subscription::OnDemand(_) => format!("more than {MAX_TENANTS} tenants; subscribe to all"),
                _ => "the hello was not on demand, so the subscription does not change".to_owned(),
            },
            Some(Answer::Ack(cursor) | Answer::Nack(Nack { cursor, .. })) => {
                format!("cursor {cursor} is not that of a state that waits for an answer")
            }
        };
        Err(Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", message).into())
    }

    fn change(&mut self, subscribe: &[Slug], unsubscribe: &[Slug]) {
        self.subscription.remove(unsubscribe);
        self.subscription.add(subscribe);
        for tenant in unsubscribe {
            self.fresh.remove(tenant);
            self.telling.remove(tenant);
        }
        for tenant in subscribe {
            // Also where it is in the state that waits for its answer: it was forgotten since, or it would not be asked for.
            self.fresh.insert(tenant.clone());
            self.telling.remove(tenant);
        }
        self.place.hears(&self.subscription, self.fresh.iter().cloned());
    }

    /// Tells how it stands. Whoever is not ready to be told knows by what it has not read yet that it is not cut off.
    fn tell_status(&mut self, is_current: bool, told: &mpsc::Sender<Event>) -> Result<(), Ended> {
        let connected = *self.connected.borrow_and_update();
        let base = self.base.filter(|_| is_current && self.fresh.is_empty());
        let cursor = base.map_or(0, |base| self.distribution.cursors.cursor(base));
        match told.try_send(Event::Status { connected, cursor }) {
            Ok(()) if cursor > 0 => self.known = cursor,
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Ended::Gone),
        }
        Ok(())
    }

    /// What was changed past a commit that the executor hears of; `None` where the store does not know any more.
    async fn heard(&self, after: Revision) -> Result<Option<Heard>, Ended> {
        match self.distribution.shared.store.changes(after, MAX_PAGE).await.map_err(Error::from)? {
            Changes::Compacted { .. } => Ok(None),
            Changes::Entries { entries, through } => {
                let mut heard = Heard { through, ..Heard::default() };
                for change in &entries {
                    match keys::subject(&change.key) {
                        Some(Subject::Tenant(tenant)) if self.hears(&tenant) => {
                            heard.tenants.insert(tenant);
                        }
                        Some(Subject::Version(tenant, slug, version)) if self.hears(&tenant) => {
                            heard.versions.insert((tenant, slug, version));
                        }
                        Some(Subject::Secret(tenant, name)) if self.hears(&tenant) => {
                            heard.secrets.insert((tenant, name));
                        }
                        Some(Subject::Revision(tenant, flow, number)) if self.hears(&tenant) => {
                            heard.flows.entry((tenant, flow)).or_default().insert(number);
                        }
                        _ => {}
                    }
                }
                Ok(Some(heard))
            }
        }
    }

    /// Whether the changes of a tenant are told. What is told whole anyway is not told as a change besides.
    fn hears(&self, tenant: &Slug) -> bool {
        self.subscription.has(tenant) && !self.fresh.contains(tenant)
    }

    /// Tells what there is to tell; the answer is the commit of a state that waits for its answer.
    async fn state(&mut self, told: &mpsc::Sender<Event>) -> Result<Option<Revision>, Ended> {
        let Some(base) = self.base else { return self.full(told).await.map(Some) };
        let Some(heard) = self.heard(base).await? else { return self.full(told).await.map(Some) };
        let through = heard.through;
        if heard.is_nothing() && self.fresh.is_empty() {
            // It serves all of it already.
            self.base = Some(through);
            self.place.serves(through);
            return Ok(None);
        }
        self.begin(through, Some(self.known), told).await?;
        for tenant in &heard.tenants {
            let event = match self.distribution.resources.tenant(tenant).await? {
                Ok(resource) => Event::Upsert(Arc::new(resource)),
                Err(gone) => Event::Remove(gone),
            };
            send(told, event).await?;
        }
        let mut already = Told::default();
        for (tenant, slug, version) in heard.versions {
            let resource = self.distribution.resources.version(&tenant, &slug, &version).await?;
            already.take(&resource);
            send(told, Event::Upsert(Arc::new(resource))).await?;
        }
        for (tenant, name) in &heard.secrets {
            match self.distribution.resources.changed_secret(tenant, name).await? {
                Changed::Set(resource) => {
                    already.take(&resource);
                    send(told, Event::Upsert(Arc::new(resource))).await?;
                }
                Changed::Gone(name) => send(told, Event::Remove(name)).await?,
                Changed::NotNeeded => {}
            }
        }
        for ((tenant, flow), numbers) in &heard.flows {
            let resources = self.distribution.resources.flow(tenant, flow, Also::These(numbers), &mut already).await?;
            for resource in resources {
                send(told, Event::Upsert(Arc::new(resource))).await?;
            }
        }
        for tenant in self.fresh.clone() {
            // The removal says that what comes is all of it; or that there is nothing.
            send(told, Event::Remove(Name::Tenant(tenant.clone()))).await?;
            let is_there = self.tell_whole(&tenant, told).await?;
            self.telling.insert(tenant, is_there);
        }
        send(told, Event::End).await?;
        self.distribution.shared.metrics.state("delta");
        Ok(Some(through))
    }

    async fn begin(&mut self, commit: Revision, base: Option<u64>, told: &mpsc::Sender<Event>) -> Result<(), Ended> {
        let connected = *self.connected.borrow_and_update();
        send(told, Event::Begin { cursor: self.distribution.cursors.cursor(commit), base, connected }).await
    }

    /// Tells everything; the answer is the commit of the state. What is committed meanwhile may be told in part; the next
    /// change tells it whole.
    async fn full(&mut self, told: &mpsc::Sender<Event>) -> Result<Revision, Ended> {
        let commit = match self.subscription.clone() {
            Subscription::All => {
                let picture = self.picture(told).await?;
                self.begin(picture.through, None, told).await?;
                let now = self.distribution.shared.clock.now();
                for resource in picture.tenants.values().flatten().filter(|resource| !resource.has_expired(now)) {
                    send(told, Event::Upsert(Arc::clone(resource))).await?;
                }
                picture.through
            }
            Subscription::Tenants(tenants) => {
                let commit = self.begin_full(told).await?;
                for tenant in &tenants {
                    self.tell_whole(tenant, told).await?;
                }
                commit
            }
            Subscription::OnDemand(tenants) => {
                let commit = self.begin_full(told).await?;
                for tenant in tenants {
                    let is_there = self.tell_whole(&tenant, told).await?;
                    if !is_there {
                        send(told, Event::Remove(Name::Tenant(tenant.clone()))).await?;
                    }
                    self.telling.insert(tenant, is_there);
                }
                commit
            }
        };
        send(told, Event::End).await?;
        self.distribution.shared.metrics.state("full");
        Ok(commit)
    }

    async fn begin_full(&mut self, told: &mpsc::Sender<Event>) -> Result<Revision, Ended> {
        // It counts from 1: the first commit gave the store its number.
        let commit = self.distribution.shared.store.newest().await.map_err(Error::from)?;
        self.begin(commit, None, told).await?;
        Ok(commit)
    }

    /// Everything, read once for all who need it now; not older than what the executor has, and not what it has refused.
    async fn picture(&mut self, told: &mpsc::Sender<Event>) -> Result<Arc<Picture>, Ended> {
        let distribution = self.distribution.clone();
        let newest = distribution.shared.store.newest().await.map_err(Error::from)?;
        let floor = match self.refusals.is_none() {
            true => distribution.cursors.revision(self.known).unwrap_or_default().min(newest),
            false => newest,
        };
        let made = distribution.pictures.get(&distribution.shared, &distribution.resources, floor);
        tokio::pin!(made);
        loop {
            tokio::select! {
                picture = &mut made => return Ok(picture?),
                // It takes a while where there is much.
                _ = self.beat.tick() => self.tell_status(false, told)?,
            }
        }
    }

    /// Tells everything of a tenant; false where there is no such tenant.
    async fn tell_whole(&self, tenant: &Slug, told: &mpsc::Sender<Event>) -> Result<bool, Ended> {
        let Ok(resource) = self.distribution.resources.tenant(tenant).await? else { return Ok(false) };
        for resource in picture::whole(&self.distribution.resources, resource, tenant).await? {
            send(told, Event::Upsert(resource)).await?;
        }
        Ok(true)
    }
}

/// Changes that an executor hears of.
#[derive(Default)]
struct Heard {
    /// The last commit that was looked at.
    through: Revision,
    tenants: BTreeSet<Slug>,
    /// Versions that were revoked.
    versions: BTreeSet<(Slug, Slug, Version)>,
    /// Secrets that were set or removed.
    secrets: BTreeSet<(Slug, String)>,
    /// Revisions that are new or were replaced, by flow.
    flows: BTreeMap<(Slug, Slug), BTreeSet<u64>>,
}

impl Heard {
    fn is_nothing(&self) -> bool {
        self.tenants.is_empty() && self.versions.is_empty() && self.secrets.is_empty() && self.flows.is_empty()
    }
}

/// A session does not end by itself.
enum Never {}

async fn send(told: &mpsc::Sender<Event>, event: Event) -> Result<(), Ended> {
    told.send(event).await.map_err(|_hung_up| Ended::Gone)
}
