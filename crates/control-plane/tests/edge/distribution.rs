//! How executors are told: on demand, after they refused, when nothing changes, many at once; and how they are shown.

use crate::support::{Plane, answered, assert_refused, attachment, gate};
use crate::watching::{Executor, State, hello, on_demand, only};
use sluice_api::control::v1 as control;
use sluice_api::convert;
use sluice_api::distribution::v1 as wire;
use sluice_api::distribution::v1::distribution_service_client::DistributionServiceClient;
use sluice_api::distribution::v1::{resource_name, watch_request};
use sluice_control_plane::config::PlaneConfig;
use sluice_model::{Code, Cursor};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::transport::Channel;

const LONG: Duration = Duration::from_secs(10);
/// What does not happen has not happened by then.
const SHORT: Duration = Duration::from_millis(300);

async fn rollout(plane: &Plane, wait: Duration) -> (u32, u32) {
    let wait = Some(convert::to_duration(wait));
    let request = control::GetRolloutRequest { tenant: "acme".into(), flow: "login".into(), revision: 0, wait };
    let rollout = plane.flows().get_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    (rollout.have, rollout.waiting)
}

/// The tenants among the removals of a state.
fn gone(state: &State) -> Vec<&str> {
    let name = |name: &'_ wire::ResourceName| match &name.name {
        Some(resource_name::Name::Tenant(name)) => Some(name.tenant.clone()),
        _ => None,
    };
    let names = state.removals.iter().filter_map(name);
    names.map(|name| &*String::leak(name)).collect()
}

fn tenants(state: &State) -> Vec<&str> {
    state.tenants().into_iter().map(|tenant| tenant.tenant.as_str()).collect()
}

/// A plane that says how things stand as often as a test wants.
async fn talkative() -> Plane {
    let mut config = PlaneConfig::default();
    config.distribution.status_interval_ms = 20;
    let plane = Plane::with(config).await;
    plane.create_tenant("acme").await;
    plane.publish("acme", &gate("1")).await.unwrap();
    plane.create_flow("acme", "login").await.unwrap();
    plane
}

#[tokio::test]
async fn a_tenant_on_demand_is_told_whole_and_then_as_it_changes() {
    let plane = Plane::with_gate().await;
    plane.create_tenant("other").await;
    plane.create_flow("other", "login").await.unwrap();
    let hello = wire::Hello { subscription: on_demand(&[]), ..hello("e1") };
    let mut executor = Executor::connect(&plane, hello.clone()).await;
    let first = executor.applied().await;
    assert_eq!((first.full, first.upserts.len()), (true, 0));
    // Nobody who hears of the tenant: nobody to wait for.
    assert_eq!(rollout(&plane, Duration::ZERO).await, (0, 0));

    executor.change(&["acme", "nobody"], &[]).await;
    let told = executor.state().await.unwrap();
    assert!(!told.full && told.base >= first.cursor);
    assert_eq!((gone(&told), tenants(&told)), (vec!["acme", "nobody"], vec!["acme"]));
    assert_eq!(told.revisions(), [("login".into(), 1, true)]);
    assert_eq!(rollout(&plane, SHORT).await, (0, 1), "asked for, and not served yet");
    executor.ack(told.cursor).await;
    assert_eq!(rollout(&plane, LONG).await, (1, 0));
    let known = plane.executors().await.pop().unwrap();
    assert_eq!(known.subscription(), control::SubscriptionKind::OnDemand);
    assert_eq!((known.tenants, known.tenant_count), (vec!["acme".to_owned()], 1), "nobody is not subscribed to");

    plane.create_flow("other", "second").await.unwrap();
    plane.attach(attachment("gate", "")).await.unwrap();
    let change = executor.applied().await;
    assert_eq!(change.revisions(), [("login".into(), 1, false), ("login".into(), 2, true)]);
    assert_eq!((gone(&change), tenants(&change)), (vec![], vec![]), "nothing of others");

    // Let go and asked for again it is whole again.
    executor.change(&[], &["acme"]).await;
    executor.change(&["acme"], &[]).await;
    let again = executor.applied().await;
    assert_eq!((gone(&again), tenants(&again)), (vec!["acme"], vec!["acme"]));
    assert_eq!(again.revisions(), [("login".into(), 1, false), ("login".into(), 2, true)]);

    // What it has is not told again when it comes back, and what is gone is.
    drop(executor);
    plane.attach(attachment("gate", "")).await.unwrap();
    let resumed =
        wire::Hello { subscription: on_demand(&["acme"]), epoch: 2, resume_cursor: again.cursor, ..hello.clone() };
    let mut executor = Executor::connect(&plane, resumed).await;
    let change = executor.applied().await;
    assert!(!change.full);
    assert_eq!(change.revisions(), [("login".into(), 2, false), ("login".into(), 3, true)]);
    let lost = wire::Hello { subscription: on_demand(&["acme", "nobody"]), epoch: 3, ..hello };
    let mut executor = Executor::connect(&plane, lost).await;
    let all = executor.applied().await;
    assert!(all.full);
    assert_eq!((gone(&all), tenants(&all)), (vec!["nobody"], vec!["acme"]));
}

#[tokio::test]
async fn a_tenant_that_is_let_go_is_not_waited_for() {
    let plane = Plane::with_gate().await;
    let hello = wire::Hello { subscription: on_demand(&["acme"]), ..hello("e1") };
    let mut executor = Executor::connect(&plane, hello).await;
    executor.applied().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    let told = executor.state().await.unwrap();
    assert_eq!(rollout(&plane, SHORT).await, (0, 1));
    let let_go = async {
        executor.change(&[], &["acme"]).await;
        executor.ack(told.cursor).await;
    };
    let (far, ()) = tokio::join!(rollout(&plane, LONG), let_go);
    assert_eq!(far, (0, 0));
}

#[tokio::test]
async fn only_an_executor_on_demand_changes_what_it_hears_of() {
    let plane = Plane::with_gate().await;
    for subscription in [hello("e1").subscription, only(&["acme"])] {
        let mut executor = Executor::connect(&plane, wire::Hello { subscription, ..hello("e1") }).await;
        executor.applied().await;
        executor.change(&["acme"], &[]).await;
        assert_eq!(&*executor.ended().await.reason, "PROTOCOL_VIOLATION");
    }
    let demand = || wire::Hello { subscription: on_demand(&[]), ..hello("e1") };
    let mut executor = Executor::connect(&plane, demand()).await;
    executor.applied().await;
    executor.change(&["acme", "Not A Slug"], &[]).await;
    let error = executor.ended().await;
    let field = "change_subscription.subscribe[1]";
    assert_refused::<()>(Err(error), Code::InvalidArgument, "INVALID_FIELD", &[field]);
    let mut executor = Executor::connect(&plane, demand()).await;
    executor.applied().await;
    executor.change(&["acme"; 1001], &[]).await;
    let error = executor.ended().await;
    assert_refused::<()>(Err(error), Code::InvalidArgument, "INVALID_FIELD", &["change_subscription.subscribe"]);
}

#[tokio::test]
async fn a_module_that_is_missing_keeps_a_revision_waiting() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    executor.applied().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    let told = executor.state().await.unwrap();
    let name = wire::VersionName { tenant: "acme".into(), slug: "gate".into(), version: "1.0.0".into() };
    let missing = wire::MissingModule { version: Some(name), reason: "no such bundle".into() };
    let report = |modules| watch_request::Message::MissingModules(wire::MissingModules { modules });
    executor.say(report(vec![missing.clone()])).await;
    executor.ack(told.cursor).await;
    assert_eq!(rollout(&plane, SHORT).await, (0, 1), "it serves the revision, and cannot run it");
    // One that does not pin it is run.
    let first = control::GetRolloutRequest {
        tenant: "acme".into(),
        flow: "login".into(),
        revision: 1,
        wait: Some(convert::to_duration(LONG)),
    };
    assert_eq!(plane.flows().get_rollout(first).await.unwrap().into_inner().rollout.unwrap().have, 1);
    let known = plane.executors().await.pop().unwrap();
    assert_eq!((known.missing_modules, known.missing_module_count), (vec![missing.clone()], 1));
    let (far, ()) = tokio::join!(rollout(&plane, LONG), executor.say(report(Vec::new())));
    assert_eq!(far, (1, 0));
    // So it is from the first moment where the hello says it.
    drop(executor);
    let lacking = wire::MissingModules { modules: vec![missing] };
    let hello = wire::Hello { epoch: 2, missing_modules: Some(lacking), ..hello("e1") };
    let mut executor = Executor::connect(&plane, hello).await;
    executor.applied().await;
    assert_eq!(rollout(&plane, SHORT).await, (0, 1));
}

#[tokio::test]
async fn everything_is_told_at_once_to_who_asks_for_it_in_a_nack_but_not_twice_in_a_row() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    executor.applied().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    let change = executor.state().await.unwrap();
    assert!(!change.full);
    let nack = |cursor| {
        let name = wire::VersionName { tenant: "acme".into(), slug: "gate".into(), version: "1.0.0".into() };
        watch_request::Message::Nack(wire::Nack {
            cursor,
            reason: "what is it".into(),
            resource: Some(wire::ResourceName { name: Some(resource_name::Name::Version(name)) }),
            cause: wire::NackCause::Unresolved.into(),
            send_full: true,
        })
    };
    executor.say(nack(change.cursor)).await;
    let all = executor.state().await.unwrap();
    assert!(all.full && all.cursor >= change.cursor);
    executor.say(nack(all.cursor)).await;
    // It has to change first.
    assert!(tokio::time::timeout(SHORT, executor.state()).await.is_err(), "it is not told what it has just refused");
    let known = plane.executors().await.pop().unwrap();
    let last = known.last_nack.unwrap();
    assert_eq!((known.nacks, last.cursor, last.cause()), (2, all.cursor, wire::NackCause::Unresolved));
    assert_eq!((last.reason.as_str(), last.resource.as_str()), ("what is it", "version acme/gate@1.0.0"));
    assert!(known.lag_commits > 0 && known.lag.is_some());
    let metrics = plane.telemetry.exposition().text().unwrap();
    let nacks = metrics.lines().find(|line| line.starts_with("sluice_watch_nacks_total{cause=\"unresolved\""));
    assert!(nacks.is_some_and(|line| line.ends_with(" 2")), "{metrics}");
    plane.create_flow("acme", "second").await.unwrap();
    let again = executor.applied().await;
    assert!(again.full, "everything was asked for");
    assert_eq!(rollout(&plane, LONG).await, (1, 0));
    let metrics = plane.telemetry.exposition().text().unwrap();
    let lag = metrics
        .lines()
        .find(|line| line.starts_with("sluice_watch_lag_max{") || line.starts_with("sluice_watch_lag_max "));
    assert!(lag.is_some(), "{metrics}");
}

#[tokio::test]
async fn everything_is_told_to_who_asks_for_it_in_the_hello() {
    let plane = Plane::with_gate().await;
    let mut executor = Executor::connect(&plane, hello("e1")).await;
    let cursor = executor.applied().await.cursor;
    drop(executor);
    let asks = wire::Hello { resume_cursor: cursor, send_full: true, epoch: 2, ..hello("e1") };
    let all = Executor::connect(&plane, asks).await.applied().await;
    assert!(all.full && all.cursor >= cursor, "and not older than what it has");
}

#[tokio::test]
async fn where_nothing_changes_a_status_says_where_an_executor_is() {
    let plane = talkative().await;
    let hello = wire::Hello { subscription: only(&["acme"]), ..hello("e1") };
    let mut executor = Executor::connect(&plane, hello).await;
    let state = executor.applied().await;
    plane.create_tenant("other").await;
    // What it does not hear of takes it along.
    let newest = loop {
        let stands = executor.stands_at().await;
        if stands > state.cursor {
            break stands;
        }
    };
    assert_eq!(Cursor::from_number(newest).store(), Cursor::from_number(state.cursor).store());
    plane.attach(attachment("gate", "")).await.unwrap();
    let change = executor.state().await.unwrap();
    assert!(change.base >= newest && change.base == executor.stands.max(newest), "{change:?}");
    // While it has not answered it is nowhere, and hears something all the same.
    loop {
        let message = executor.hears.message().await.unwrap().unwrap().message.unwrap();
        let wire::watch_response::Message::Status(status) = message else { panic!("{message:?}") };
        if status.cursor == 0 {
            break;
        }
    }
    executor.ack(change.cursor).await;
    assert!(executor.stands_at().await >= change.cursor);
    // The audit of the edits is still on its way to the log, and every step of it is a commit.
    let mut every = tokio::time::interval(Duration::from_millis(5));
    let current = async {
        loop {
            every.tick().await;
            let known = plane.executors().await.pop().unwrap();
            if (known.lag_commits, known.lag.unwrap_or_default()) == (0, prost_types::Duration::default()) {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, current).await.unwrap();
}

#[tokio::test]
async fn many_who_come_at_once_have_the_store_read_once() {
    let plane = Plane::with_gate().await;
    plane.attach(attachment("gate", "")).await.unwrap();
    let connect = |number: usize| {
        let plane = &plane;
        async move {
            let mut executor = Executor::connect(plane, hello(&format!("e{number:02}"))).await;
            (executor.applied().await, executor)
        }
    };
    let told = futures_util::future::join_all((0..20).map(connect)).await;
    for (state, _) in &told {
        assert!(state.full);
        assert_eq!(state.revisions(), [("login".into(), 1, false), ("login".into(), 2, true)]);
    }
    let metrics = plane.telemetry.exposition().text().unwrap();
    let read = metrics.lines().find(|line| line.starts_with("sluice_watch_pictures_total"));
    assert!(read.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
    // What was committed after it was read comes as a change.
    plane.attach(attachment("gate", "")).await.unwrap();
    let mut late = Executor::connect(&plane, hello("late")).await;
    late.applied().await;
    assert_eq!(rollout(&plane, Duration::ZERO).await.1, 21, "nobody has answered it yet");
    let change = late.applied().await;
    assert_eq!(change.revisions(), [("login".into(), 2, false), ("login".into(), 3, true)]);
}

#[tokio::test]
async fn the_roster_shows_who_is_connected_in_pages() {
    let plane = Plane::with_gate().await;
    let mut connected = Vec::new();
    for number in 0..5 {
        let engine = sluice_api::types::v1::EngineIdentity { engine: "a".repeat(64), base_image: "b".repeat(64) };
        let hello = wire::Hello { epoch: 3, engine: Some(engine), ..hello(&format!("e{number}")) };
        let mut executor = Executor::connect(&plane, hello).await;
        executor.applied().await;
        connected.push(executor);
    }
    let list = |page_size, page_token: String| {
        let request = control::ListExecutorsRequest { page_size, page_token };
        let mut roster = plane.roster();
        async move { answered(roster.list_executors(request).await) }
    };
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = list(2, token).await.unwrap();
        found.extend(page.executors);
        (token, pages) = (page.next_page_token, pages + 1);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, 3);
    let ids: Vec<&str> = found.iter().map(|executor| executor.executor.as_str()).collect();
    assert_eq!(ids, ["e0", "e1", "e2", "e3", "e4"]);
    let first = &found[0];
    assert_eq!((first.epoch, first.subscription()), (3, control::SubscriptionKind::All));
    assert_eq!(first.engine.as_ref().unwrap().base_image, "b".repeat(64));
    assert!(first.cursor > 0 && first.connected_at.is_some() && first.last_nack.is_none());
    assert_refused(list(1001, String::new()).await, Code::InvalidArgument, "INVALID_FIELD", &["page_size"]);
    assert_refused(list(0, "x".into()).await, Code::InvalidArgument, "INVALID_FIELD", &["page_token"]);
}

#[tokio::test]
async fn an_executor_that_is_cut_off_is_noticed() {
    let plane = Plane::with_gate().await;
    let mut other = Executor::connect(&plane, hello("other")).await;
    other.applied().await;
    let (proxy, cut) = proxy(plane.address()).await;
    let channel = Channel::from_shared(format!("http://{proxy}")).unwrap().connect().await.unwrap();
    let first = watch_request::Message::Hello(hello("cut-off"));
    let mut executor = Executor::connect_by(DistributionServiceClient::new(channel), first).await.unwrap();
    executor.applied().await;
    other.sees(2).await;
    cut.send(()).unwrap();
    other.sees(1).await;
    drop(executor);
}

/// A way to a server that can be cut so that neither end is told.
async fn proxy(server: SocketAddr) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, (cut, is_cut)) = (listener.local_addr().unwrap(), oneshot::channel::<()>());
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let up = async {
            let mut bytes = vec![0; 16 << 10];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                to_server.write_all(&bytes[..read]).await.unwrap();
            }
        };
        let down = async {
            let mut bytes = vec![0; 16 << 10];
            while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                to_client.write_all(&bytes[..read]).await.unwrap();
            }
        };
        tokio::select! {
            _ = async { tokio::join!(up, down) } => {}
            // The sockets stay open.
            _ = is_cut => std::future::pending().await,
        }
    });
    (address, cut)
}
