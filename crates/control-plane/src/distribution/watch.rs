//! One executor's session: the whole state, then every change, one state at a time.
//!
//! The next state is told when the one before was answered. An executor that is slow is so told less often, and of more; and
//! when it refuses a state, the next one starts again from what it serves.

use super::resources::{Also, Name, Resource, Told};
use super::roster::Place;
use super::{Distribution, Hello, Subscription};
use crate::keys::{self, Subject};
use crate::store::{Changes, MAX_PAGE, Revision};
use semver::Version;
use sluice_model::{Code, Error, Slug};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A state that was refused is told again after this, or with the next change.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What an executor is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A state begins.
    Begin {
        /// Its place in the order of changes.
        cursor: u64,
        /// Whether it replaces everything known.
        full: bool,
        /// How many executors are connected.
        connected: u32,
    },
    /// Part of the state: new or changed.
    Upsert(Box<Resource>),
    /// Part of the state: gone.
    Remove(Name),
    /// The state is whole.
    End,
    /// How many executors are connected.
    Connected(u32),
}

/// What an executor answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The state with this cursor serves.
    Ack(u64),
    /// The state with this cursor could not be applied, for this reason.
    Nack(u64, String),
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
    connected: watch::Receiver<u32>,
}

impl Session {
    pub(super) fn connect(distribution: &Distribution, hello: Hello) -> Result<Session, Error> {
        let place = distribution.roster.join(&hello)?;
        Ok(Session {
            distribution: distribution.clone(),
            place,
            base: distribution.cursors.revision(hello.resume_cursor),
            subscription: hello.subscription,
            connected: distribution.roster.connected(),
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
            let refused = match self.state(told).await? {
                Looked::Nothing => None,
                Looked::State(cursor) => self.answered(cursor, answers, told).await?,
            };
            let serves_all = self.base.is_some_and(|base| base >= *hint.borrow());
            if refused.is_some() || serves_all {
                self.rest(refused, &mut hint, answers, told).await?;
            }
        }
    }

    /// Waits for the next change. Where a state was refused it has to be one that the executor hears of, or every commit of
    /// the platform would have the state told again; and it waits for some time at most.
    async fn rest(
        &mut self,
        mut refused: Option<Revision>,
        hint: &mut watch::Receiver<Revision>,
        answers: &mut mpsc::Receiver<Answer>,
        told: &mpsc::Sender<Event>,
    ) -> Result<(), Ended> {
        let again = tokio::time::sleep(RETRY_AFTER);
        tokio::pin!(again);
        loop {
            tokio::select! {
                changed = hint.changed() => {
                    changed.map_err(|_ended| Ended::Gone)?;
                    let Some(after) = refused else { return Ok(()) };
                    match self.heard(after).await? {
                        Some(heard) if heard.is_nothing() => refused = Some(heard.through),
                        _ => return Ok(()),
                    }
                }
                () = &mut again, if refused.is_some() => return Ok(()),
                answer = answers.recv() => self.unasked(answer)?,
                _ = self.connected.changed() => self.tell_connected(told).await?,
            }
        }
    }

    /// Waits until the executor has answered a state; where it refused it, which one that was.
    async fn answered(
        &mut self,
        cursor: Revision,
        answers: &mut mpsc::Receiver<Answer>,
        told: &mpsc::Sender<Event>,
    ) -> Result<Option<Revision>, Ended> {
        let asked = self.distribution.cursors.cursor(cursor);
        loop {
            tokio::select! {
                answer = answers.recv() => match answer {
                    Some(Answer::Ack(acked)) if acked == asked => {
                        self.base = Some(cursor);
                        self.place.serves(cursor);
                        self.distribution.shared.metrics.state("ack");
                        return Ok(None);
                    }
                    Some(Answer::Nack(nacked, reason)) if nacked == asked => {
                        tracing::warn!(executor = self.place.executor(), cursor = nacked, reason, "an executor refused a state");
                        self.distribution.shared.metrics.state("nack");
                        self.place.refused(reason);
                        return Ok(Some(cursor));
                    }
                    other => self.unasked(other)?,
                },
                _ = self.connected.changed() => self.tell_connected(told).await?,
            }
        }
    }

    /// An answer to nothing that was just told.
    fn unasked(&self, answer: Option<Answer>) -> Result<(), Ended> {
        let Some(Answer::Ack(cursor) | Answer::Nack(cursor, _)) = answer else { return Err(Ended::Gone) };
        let message = format!("cursor {cursor} is not that of a state that waits for an answer");
        Err(Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", message).into())
    }

    async fn tell_connected(&mut self, told: &mpsc::Sender<Event>) -> Result<(), Ended> {
        let connected = *self.connected.borrow_and_update();
        send(told, Event::Connected(connected)).await
    }

    /// What was changed past a commit that the executor hears of; `None` where the store does not know any more.
    async fn heard(&self, after: Revision) -> Result<Option<Heard>, Ended> {
        match self.distribution.shared.store.changes(after, MAX_PAGE).await.map_err(Error::from)? {
            Changes::Compacted { .. } => Ok(None),
            Changes::Entries { entries, through } => {
                let mut heard =
                    Heard { through, tenants: BTreeSet::new(), versions: BTreeSet::new(), flows: BTreeMap::new() };
                for change in &entries {
                    match keys::subject(&change.key) {
                        Some(Subject::Tenant(tenant)) if self.subscription.has(&tenant) => {
                            heard.tenants.insert(tenant);
                        }
                        Some(Subject::Version(tenant, slug, version)) if self.subscription.has(&tenant) => {
                            heard.versions.insert((tenant, slug, version));
                        }
                        Some(Subject::Revision(tenant, flow, number)) if self.subscription.has(&tenant) => {
                            heard.flows.entry((tenant, flow)).or_default().insert(number);
                        }
                        _ => {}
                    }
                }
                Ok(Some(heard))
            }
        }
    }

    /// Tells what there is to tell.
    async fn state(&mut self, told: &mpsc::Sender<Event>) -> Result<Looked, Ended> {
        let Some(base) = self.base else { return self.full(told).await };
        let Some(heard) = self.heard(base).await? else { return self.full(told).await };
        let through = heard.through;
        if heard.is_nothing() {
            // It serves all of it already.
            self.base = Some(through);
            self.place.serves(through);
            return Ok(Looked::Nothing);
        }
        self.begin(through, false, told).await?;
        for tenant in &heard.tenants {
            let event = match self.distribution.resources.tenant(tenant).await? {
                Ok(resource) => Event::Upsert(Box::new(resource)),
                Err(gone) => Event::Remove(gone),
            };
            send(told, event).await?;
        }
        let mut versions = Told::new();
        for (tenant, slug, version) in heard.versions {
            let resource = self.distribution.resources.version(&tenant, &slug, &version).await?;
            send(told, Event::Upsert(Box::new(resource))).await?;
            versions.insert((tenant, slug, version));
        }
        for ((tenant, flow), numbers) in &heard.flows {
            self.tell_flow(tenant, flow, Also::These(numbers), &mut versions, told).await?;
        }
        send(told, Event::End).await?;
        self.distribution.shared.metrics.state("delta");
        Ok(Looked::State(through))
    }

    async fn begin(&mut self, cursor: Revision, full: bool, told: &mpsc::Sender<Event>) -> Result<(), Ended> {
        let connected = *self.connected.borrow_and_update();
        send(told, Event::Begin { cursor: self.distribution.cursors.cursor(cursor), full, connected }).await
    }

    /// Tells everything. What is committed meanwhile may be told in part; the next change tells it whole.
    async fn full(&mut self, told: &mpsc::Sender<Event>) -> Result<Looked, Ended> {
        let cursor = self.distribution.shared.store.newest().await.map_err(Error::from)?;
        // It counts from 1: the first commit gave the store its number.
        self.begin(cursor, true, told).await?;
        match self.subscription.clone() {
            Subscription::All => {
                let mut after = None;
                loop {
                    let page = self.distribution.resources.tenants(after).await?;
                    for tenant in page.entries {
                        let slug = tenant.tenant.clone();
                        send(told, Event::Upsert(Box::new(Resource::Tenant(tenant)))).await?;
                        self.tell_flows(&slug, told).await?;
                    }
                    match page.next {
                        Some(next) => after = Some(next),
                        None => break,
                    }
                }
            }
            Subscription::Tenants(tenants) => {
                for tenant in &tenants {
                    if let Ok(resource) = self.distribution.resources.tenant(tenant).await? {
                        send(told, Event::Upsert(Box::new(resource))).await?;
                        self.tell_flows(tenant, told).await?;
                    }
                }
            }
        }
        send(told, Event::End).await?;
        self.distribution.shared.metrics.state("full");
        Ok(Looked::State(cursor))
    }

    async fn tell_flows(&self, tenant: &Slug, told: &mpsc::Sender<Event>) -> Result<(), Ended> {
        let (mut after, mut versions) = (None, Told::new());
        loop {
            let page = self.distribution.resources.flows(tenant, after).await?;
            for flow in &page.entries {
                self.tell_flow(tenant, flow, Also::All, &mut versions, told).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn tell_flow(
        &self,
        tenant: &Slug,
        flow: &Slug,
        also: Also<'_>,
        versions: &mut Told,
        told: &mpsc::Sender<Event>,
    ) -> Result<(), Ended> {
        for resource in self.distribution.resources.flow(tenant, flow, also, versions).await? {
            send(told, Event::Upsert(Box::new(resource))).await?;
        }
        Ok(())
    }
}

/// What a look at the store has led to.
enum Looked {
    /// Nothing had to be told.
    Nothing,
    /// A state, which waits for its answer.
    State(Revision),
}

/// Changes that an executor hears of.
struct Heard {
    /// The last commit that was looked at.
    through: Revision,
    tenants: BTreeSet<Slug>,
    /// Versions that were revoked.
    versions: BTreeSet<(Slug, Slug, Version)>,
    /// Revisions that are new or were replaced, by flow.
    flows: BTreeMap<(Slug, Slug), BTreeSet<u64>>,
}

impl Heard {
    fn is_nothing(&self) -> bool {
        self.tenants.is_empty() && self.versions.is_empty() && self.flows.is_empty()
    }
}

/// A session does not end by itself.
enum Never {}

async fn send(told: &mpsc::Sender<Event>, event: Event) -> Result<(), Ended> {
    told.send(event).await.map_err(|_hung_up| Ended::Gone)
}
