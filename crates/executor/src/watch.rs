//! The watch: hears from the control plane what to run, and makes it the state that serves.
//!
//! A state is applied all or nothing. Its resources are read, the next picture is planned, the modules that it brings are
//! made, and only then it serves and is acknowledged. One that cannot be read or planned is nacked with the reason and the
//! resource, and the one before serves on.
//!
//! A version whose module cannot be made is not a reason to keep a state from all other tenants: the state is applied and
//! acknowledged, the version's runs end as `unavailable` and follow that policy, the log and `modules.failed` tell, and the
//! module is tried again when it is next asked for.
//!
//! While the control plane is away, what is known serves on.

use crate::{
    backoff::Backoff,
    catalog::{Catalog, Touched},
    chain,
    identity::Identity,
    last::{AsItCame, LastState},
    modules::{Module, Modules},
    remote::Remote,
    state::{
        State,
        update::{Assembly, Refused, Update},
    },
    telemetry::Metrics,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use sluice_api::{distribution::v1 as wire, types::v1::EngineIdentity};
use sluice_model::Slug;
use sluice_serve::Condition;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// Messages to the control plane that may wait.
const OUTBOUND: usize = 16;
/// Modules that are looked after at once while a state is applied; how many are made at once is [`Modules`]' own bound.
const MODULES_AT_ONCE: usize = 16;
/// Attempts to have a module before a state is applied without it.
const ATTEMPTS: usize = 3;
/// The pause between them.
const PAUSE: Duration = Duration::from_millis(200);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) remote: Remote,
    pub(crate) catalog: Arc<Catalog>,
    /// Where what is applied is kept.
    pub(crate) last: LastState,
    pub(crate) modules: Modules,
    pub(crate) identity: Identity,
    pub(crate) engine: EngineIdentity,
    pub(crate) subscription: wire::hello::Subscription,
    /// Holds once there is a state to serve.
    pub(crate) ready: Condition,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
}

impl Watcher {
    /// Watches until it is stopped.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new();
        while !self.stop.is_cancelled() {
            let ended = tokio::select! {
                () = self.stop.cancelled() => break,
                ended = self.watch(&mut backoff) => ended,
            };
            self.metrics.watch_connected(false);
            let serving = self.catalog.applied().is_some();
            tracing::warn!(error = ended, serving, "the control plane is not heard; trying again");
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = backoff.wait() => {}
            }
        }
    }

    /// One stream. The answer is why it ended.
    async fn watch(&self, backoff: &mut Backoff) -> String {
        let (requests, outbound) = mpsc::channel(OUTBOUND);
        let resume_cursor = self.catalog.applied().map_or(0, |applied| applied.state.cursor);
        let hello = wire::Hello {
            executor_id: self.identity.id.clone(),
            epoch: self.identity.epoch,
            sluice_version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: Some(self.engine.clone()),
            subscription: Some(self.subscription.clone()),
            resume_cursor,
        };
        say(&requests, wire::watch_request::Message::Hello(hello)).await;
        let mut answers = match self.remote.distribution().watch(ReceiverStream::new(outbound)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return chain(&status),
        };
        self.metrics.watch_connected(true);
        tracing::info!(resume_cursor, "the control plane is heard");
        let mut assembly = Assembly::default();
        loop {
            let part = match answers.message().await {
                Ok(Some(wire::WatchResponse { message: Some(wire::watch_response::Message::State(part)) })) => part,
                Ok(Some(wire::WatchResponse { message: Some(wire::watch_response::Message::Status(status)) })) => {
                    self.catalog.counted(status.connected_executors);
                    continue;
                }
                // Something that only a newer executor understands.
                Ok(Some(wire::WatchResponse { message: None })) => continue,
                Ok(None) => return "the control plane ended the watch".into(),
                Err(status) => return chain(&status),
            };
            let cursor = part.cursor;
            let parts = match assembly.add(part) {
                Ok(None) => continue,
                Ok(Some(parts)) => Ok(parts),
                Err(refused) => Err(refused),
            };
            let applied = match parts {
                Ok(parts) => self.apply(parts).await,
                Err(refused) => Err(refused),
            };
            let heard = match applied {
                Ok(()) => {
                    backoff.reset();
                    say(&requests, wire::watch_request::Message::Ack(wire::Ack { cursor })).await
                }
                Err(Refused { reason, resource }) => {
                    self.metrics.state_refused();
                    tracing::error!(cursor, reason, ?resource, "a state is refused; the one before serves on");
                    say(&requests, wire::watch_request::Message::Nack(wire::Nack { cursor, reason, resource })).await
                }
            };
            if !heard {
                return "the control plane ended the watch".into();
            }
        }
    }

    /// Makes a state the one that serves, with its modules, or says why it cannot be.
    async fn apply(&self, parts: Vec<wire::State>) -> Result<(), Refused> {
        let (catalog, full) = (Arc::clone(&self.catalog), parts.first().is_some_and(|p| p.full));
        // A large state takes a while to read: not on a worker that sign-ins wait for.
        let planned = tokio::task::spawn_blocking(move || {
            let as_it_came = AsItCame::of(&parts, Timestamp::now());
            let update = Update::read(parts)?;
            let touched = Touched::by(&update);
            let state = match catalog.applied() {
                Some(applied) => applied.state.updated(update, &catalog.planner)?,
                None => State::default().updated(update, &catalog.planner)?,
            };
            Ok::<_, Refused>((state, touched, as_it_came))
        });
        let lost = |_| Refused::new("planning the state ended without an answer");
        let (state, touched, as_it_came) = planned.await.map_err(lost)??;
        self.prepare(&state).await;
        // Before it serves: who was told that it does finds it again after a restart.
        self.last.keep(as_it_came).await;
        let (tenants, revisions) = state.counts();
        tracing::info!(cursor = state.cursor, full, tenants, revisions, "a state serves");
        self.catalog.counted(state.connected_executors);
        self.catalog.replace(state, touched).await;
        self.ready.holds();
        let (modules, catalog) = (self.modules.clone(), Arc::clone(&self.catalog));
        // Nobody waits for it.
        let _sweeping = tokio::task::spawn_blocking(move || {
            catalog.planner.sweep();
            modules.sweep(full);
        });
        Ok(())
    }

    /// Has every module made that was never asked for yet, before a sign-in needs it.
    async fn prepare(&self, state: &State) {
        let new = state.modules().filter(|(_, module)| module.is_new());
        let new: Vec<_> = new.map(|(tenant, module)| (tenant.clone(), Arc::clone(module))).collect();
        let makes = futures_util::stream::iter(new).map(|(tenant, module)| make(self.modules.clone(), tenant, module));
        makes.buffer_unordered(MODULES_AT_ONCE).collect::<()>().await;
    }
}

/// Has a module made, with some patience for a control plane that stumbles.
async fn make(modules: Modules, tenant: Slug, module: Arc<Module>) {
    for attempt in 1..=ATTEMPTS {
        match modules.load(&tenant, &module).await {
            Ok(_) => return,
            // It will be tried again when it is asked for.
            Err(_) if attempt == ATTEMPTS || module.is_resting() => return,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Sends a message; false where the stream has ended.
async fn say(requests: &mpsc::Sender<wire::WatchRequest>, message: wire::watch_request::Message) -> bool {
    requests.send(wire::WatchRequest { message: Some(message) }).await.is_ok()
}
