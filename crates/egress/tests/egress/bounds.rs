//! Bounds on what is under way, for a tenant and in all.

use crate::support::*;
use sluice_egress::{Attempts, EgressConfig};
use sluice_model::http::{HttpError, HttpFailure, HttpResponse};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

/// A server that answers when it is let to.
async fn gated() -> (Server, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let open = gate.clone();
    let server = Server::tls(good(), move |mut conn| {
        let open = open.clone();
        Box::pin(async move {
            while conn.request().await.is_some() {
                open.acquire().await.unwrap().forget();
                conn.write(ok("x")).await;
            }
            None
        })
    })
    .await;
    (server, gate)
}

type Answer = JoinHandle<Result<HttpResponse, HttpError>>;

fn start(world: &Arc<World>, tenant: &str, url: String) -> Answer {
    let (world, who) = (world.clone(), caller(tenant, "greet", "1.0.0"));
    tokio::spawn(async move {
        world.egress.fetch(&who, &hosts(), get(&url), Instant::now() + PATIENCE, &Attempts::new()).await
    })
}

#[tokio::test]
async fn a_tenant_that_is_full_is_refused_and_the_others_are_not() {
    let (server, gate) = gated().await;
    let config = EgressConfig { max_in_flight_per_tenant: 2, queue_timeout_ms: 0, ..config(&[&server]) };
    let world = Arc::new(world(&config));
    let first: Vec<Answer> = (0..2).map(|_| start(&world, "acme", url(&server, "/"))).collect();
    server.connected(2).await;
    let error = start(&world, "acme", url(&server, "/")).await.unwrap().unwrap_err();
    assert_eq!(error.failure, HttpFailure::Overloaded);
    assert_eq!(error.message, "api.example.com: too many requests of this tenant are under way");
    let other = start(&world, "other", url(&server, "/"));
    server.connected(3).await;
    gate.add_permits(3);
    for answer in first.into_iter().chain([other]) {
        assert_eq!(answer.await.unwrap().unwrap().body, b"x");
    }
    // The places are free again.
    gate.add_permits(1);
    start(&world, "acme", url(&server, "/")).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_whole_is_bounded_and_who_waits_is_served() {
    let (server, gate) = gated().await;
    let bounds = EgressConfig { max_in_flight: 2, queue_timeout_ms: 0, ..config(&[&server]) };
    let full = Arc::new(world(&bounds));
    let first: Vec<Answer> = ["acme", "other"].map(|tenant| start(&full, tenant, url(&server, "/"))).into();
    server.connected(2).await;
    let error = start(&full, "third", url(&server, "/")).await.unwrap().unwrap_err();
    assert_eq!(error.message, "api.example.com: too many requests are under way");
    gate.add_permits(2);
    for answer in first {
        answer.await.unwrap().unwrap();
    }

    let waiting = EgressConfig { max_in_flight: 1, queue_timeout_ms: 20_000, ..config(&[&server]) };
    let world = Arc::new(world(&waiting));
    let many: Vec<Answer> =
        (0..20).map(|n| start(&world, if n % 2 == 0 { "acme" } else { "other" }, url(&server, "/"))).collect();
    gate.add_permits(20);
    for answer in many {
        assert_eq!(answer.await.unwrap().unwrap().body, b"x");
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_a_request_is_dropped() {
    let (server, _gate) = gated().await;
    let config = EgressConfig { max_in_flight: 1, queue_timeout_ms: 20_000, ..config(&[&server]) };
    let world = Arc::new(world(&config));
    let first = start(&world, "acme", url(&server, "/"));
    server.connected(1).await;
    let second = start(&world, "acme", url(&server, "/"));
    first.abort();
    server.connected(2).await;
    second.abort();
    server.settled(0).await;
}

#[tokio::test]
async fn names_that_hang_hold_up_their_own_tenant_and_no_other() {
    let server = Server::answering(|_| ok("x")).await;
    let config = EgressConfig { max_lookups_per_tenant: 2, dns_timeout_ms: 250, ..config(&[&server]) };
    let world = Arc::new(world(&config));
    world.names.set("a.wild.example.org", vec![Err(())]);
    let hanging = |world: &Arc<World>| start(world, "acme", format!("https://a.wild.example.org:{}/", server.port));
    for _ in 0..2 {
        let error = hanging(&world).await.unwrap().unwrap_err();
        assert_eq!(error.message, "a.wild.example.org: no address within 250 ms");
    }
    // Nobody waits for them any more, and they still hold their threads.
    let error = hanging(&world).await.unwrap().unwrap_err();
    assert_eq!(error.failure, HttpFailure::Overloaded);
    assert_eq!(error.message, "a.wild.example.org: too many names are being looked up for this tenant");
    assert_eq!(world.names.asked().len(), 2);
    assert_eq!(start(&world, "other", url(&server, "/")).await.unwrap().unwrap().body, b"x");
}

#[tokio::test]
async fn lookups_are_bounded_in_all() {
    let config = EgressConfig { max_lookups: 2, dns_timeout_ms: 100, ..config(&[]) };
    let world = Arc::new(world(&config));
    world.names.set("api.example.com", vec![Err(())]);
    for (tenant, message) in [
        ("one", "api.example.com: no address within 100 ms"),
        ("two", "api.example.com: no address within 100 ms"),
        ("three", "api.example.com: too many names are being looked up"),
    ] {
        let error = start(&world, tenant, "https://api.example.com/".to_owned()).await.unwrap().unwrap_err();
        assert_eq!(error.message, message);
    }
}

#[tokio::test]
async fn the_systems_resolver_finds_what_the_machine_knows() {
    let server = Server::answering(|_| ok("x")).await;
    let mut config = config(&[&server]);
    config.allow[0].host = "localhost".to_owned();
    let egress = sluice_egress::Egress::new(&config).unwrap();
    let attempts = Attempts::new();
    let who = caller("acme", "greet", "1.0.0");
    let request = get(&format!("https://localhost:{}/", server.port));
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = egress.fetch(&who, &patterns(&["localhost"]), request, deadline, &attempts).await.unwrap_err();
    // It gets as far as the certificate, which is for others; or the machine says ::1 as well, which is not allowed.
    assert!([HttpFailure::TlsFailed, HttpFailure::AddressRefused].contains(&error.failure), "{error}");
}
