//! An executor's side of the watch.

use crate::support::{Plane, answered};
use sluice_api::distribution::v1 as wire;
use sluice_api::distribution::v1::distribution_service_client::DistributionServiceClient;
use sluice_api::distribution::v1::{hello::Subscription, resource, watch_request, watch_response};
use sluice_api::status;
use sluice_model::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

/// An executor as the control plane sees it.
pub(crate) struct Executor {
    pub(crate) says: mpsc::Sender<wire::WatchRequest>,
    pub(crate) hears: Streaming<wire::WatchResponse>,
    /// How many executors are connected, by the last that was heard.
    pub(crate) connected: u32,
    /// Where it is, by the last status that was heard.
    pub(crate) stands: u64,
}

/// A state, put together.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) cursor: u64,
    pub(crate) full: bool,
    pub(crate) base: u64,
    pub(crate) parts: u32,
    pub(crate) upserts: Vec<resource::Resource>,
    pub(crate) removals: Vec<wire::ResourceName>,
}

impl State {
    /// The revisions of flows in it: flow, number, newest.
    pub(crate) fn revisions(&self) -> Vec<(String, u64, bool)> {
        let revision = |resource: &resource::Resource| match resource {
            resource::Resource::FlowRevision(revision) => {
                let flow = revision.flow.clone().unwrap();
                assert_eq!(revision.newest, revision.expires_at.is_none());
                Some((flow.flow, flow.revision, revision.newest))
            }
            _ => None,
        };
        self.upserts.iter().filter_map(revision).collect()
    }

    pub(crate) fn versions(&self) -> Vec<String> {
        let version = |resource: &resource::Resource| match resource {
            resource::Resource::Version(version) => {
                Some(format!("{}/{}@{}", version.tenant, version.slug, version.version))
            }
            _ => None,
        };
        self.upserts.iter().filter_map(version).collect()
    }

    pub(crate) fn tenants(&self) -> Vec<&wire::TenantState> {
        let tenants = self.upserts.iter().filter_map(|resource| match resource {
            resource::Resource::Tenant(tenant) => Some(tenant),
            _ => None,
        });
        tenants.collect()
    }
}

pub(crate) fn hello(executor: &str) -> wire::Hello {
    wire::Hello {
        executor_id: executor.into(),
        epoch: 1,
        sluice_version: "0.1.0".into(),
        engine: None,
        subscription: Some(Subscription::All(wire::AllTenants {})),
        resume_cursor: 0,
        send_full: false,
        missing_modules: None,
    }
}

pub(crate) fn on_demand(tenants: &[&str]) -> Option<Subscription> {
    Some(Subscription::OnDemand(wire::TenantSet { tenants: tenants.iter().map(ToString::to_string).collect() }))
}

pub(crate) fn only(tenants: &[&str]) -> Option<Subscription> {
    Some(Subscription::Tenants(wire::TenantSet { tenants: tenants.iter().map(ToString::to_string).collect() }))
}

impl Executor {
    pub(crate) async fn connect(plane: &Plane, hello: wire::Hello) -> Executor {
        Executor::try_connect(plane, watch_request::Message::Hello(hello)).await.unwrap()
    }

    pub(crate) async fn try_connect(plane: &Plane, first: watch_request::Message) -> Result<Executor, Error> {
        Executor::connect_by(plane.distribution(), first).await
    }

    pub(crate) async fn connect_by(
        mut distribution: DistributionServiceClient<Channel>,
        first: watch_request::Message,
    ) -> Result<Executor, Error> {
        let (says, said) = mpsc::channel(8);
        says.send(wire::WatchRequest { message: Some(first) }).await.unwrap();
        let hears = answered(distribution.watch(ReceiverStream::new(said)).await)?;
        Ok(Executor { says, hears, connected: 0, stands: 0 })
    }

    /// The next message, but for the number of executors.
    pub(crate) async fn part(&mut self) -> Result<wire::State, Error> {
        loop {
            match self.hears.message().await.map_err(|status| status::from_status(&status))? {
                Some(wire::WatchResponse { message: Some(watch_response::Message::State(state)) }) => {
                    self.connected = state.connected_executors;
                    return Ok(state);
                }
                Some(wire::WatchResponse { message: Some(watch_response::Message::Status(status)) }) => {
                    self.heard(&status);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn heard(&mut self, status: &wire::Status) {
        (self.connected, self.stands) = (status.connected_executors, status.cursor);
    }

    /// The next state.
    pub(crate) async fn state(&mut self) -> Result<State, Error> {
        let mut first = self.part().await?;
        let (cursor, full, base) = (first.cursor, first.full, first.base_cursor);
        let mut state = State { cursor, full, base, parts: 0, upserts: Vec::new(), removals: Vec::new() };
        loop {
            assert_eq!((first.cursor, first.full, first.part), (state.cursor, state.full, state.parts));
            assert_eq!((first.base_cursor, first.base_cursor == 0), (state.base, state.full));
            assert!(prost::Message::encoded_len(&first) <= 1 << 20 || first.upserts.len() == 1);
            state.parts += 1;
            state.upserts.extend(first.upserts.into_iter().map(|upsert| upsert.resource.unwrap()));
            state.removals.extend(first.removals);
            if first.last {
                return Ok(state);
            }
            first = self.part().await?;
        }
    }

    /// The next state, acknowledged.
    pub(crate) async fn applied(&mut self) -> State {
        let state = self.state().await.unwrap();
        self.ack(state.cursor).await;
        state
    }

    pub(crate) async fn ack(&self, cursor: u64) {
        let message = Some(watch_request::Message::Ack(wire::Ack { cursor }));
        self.says.send(wire::WatchRequest { message }).await.unwrap();
    }

    pub(crate) async fn nack(&self, cursor: u64) {
        self.say(watch_request::Message::Nack(wire::Nack { cursor, reason: "no room".into(), ..Default::default() }))
            .await;
    }

    pub(crate) async fn say(&self, message: watch_request::Message) {
        self.says.send(wire::WatchRequest { message: Some(message) }).await.unwrap();
    }

    pub(crate) async fn change(&self, subscribe: &[&str], unsubscribe: &[&str]) {
        let texts = |slugs: &[&str]| slugs.iter().map(ToString::to_string).collect();
        let change = wire::ChangeSubscription { subscribe: texts(subscribe), unsubscribe: texts(unsubscribe) };
        self.say(watch_request::Message::ChangeSubscription(change)).await;
    }

    /// The next status that says where it is.
    pub(crate) async fn stands_at(&mut self) -> u64 {
        loop {
            match self.hears.message().await.unwrap().unwrap().message.unwrap() {
                watch_response::Message::Status(status) if status.cursor > 0 => return status.cursor,
                watch_response::Message::Status(_) => {}
                watch_response::Message::State(state) => panic!("{state:?}"),
            }
        }
    }

    /// Waits until so many executors are connected.
    pub(crate) async fn sees(&mut self, connected: u32) {
        while self.connected != connected {
            match self.hears.message().await.unwrap().unwrap().message.unwrap() {
                watch_response::Message::Status(status) => self.heard(&status),
                watch_response::Message::State(state) => panic!("{state:?}"),
            }
        }
    }

    /// Why the stream ended.
    pub(crate) async fn ended(mut self) -> Error {
        loop {
            if let Err(error) = self.part().await {
                return error;
            }
        }
    }
}
