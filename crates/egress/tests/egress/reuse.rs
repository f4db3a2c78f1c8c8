//! Which connections are used again, and by whom.

use crate::support::*;
use sluice_egress::{Attempts, Caller, EgressConfig};
use sluice_model::http::{HttpError, HttpFailure, HttpRequest, HttpResponse};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

async fn asks(world: &World, who: &Caller, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    world.egress.fetch(who, &hosts(), request, Instant::now() + PATIENCE, &Attempts::new()).await
}

async fn idle(world: &World, count: usize) {
    let wait = async {
        while world.egress.idle_connections() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?} idle", world.egress));
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_own_version_and_by_nobody_else() {
    let server = Server::answering(|_| ok("x")).await;
    let world = world(&config(&[&server]));
    let steps = [
        (caller("acme", "greet", "1.0.0"), "api", 1),
        (caller("acme", "greet", "1.0.0"), "api", 1),
        (caller("acme", "greet", "1.0.1"), "api", 2),
        (caller("acme", "greet", "1.0.0+build"), "api", 3),
        (caller("acme", "leave", "1.0.0"), "api", 4),
        (caller("other", "greet", "1.0.0"), "api", 5),
        (caller("acme", "greet", "1.0.0"), "other", 6),
        (caller("acme", "greet", "1.0.0"), "api", 6),
        (caller("other", "greet", "1.0.0"), "api", 6),
        (caller("acme", "greet", "1.0.1"), "api", 6),
    ];
    for (who, host, connections) in steps {
        let request = get(&format!("https://{host}.example.com:{}/", server.port));
        assert_eq!(asks(&world, &who, request).await.unwrap().body, b"x");
        assert_eq!(server.accepted(), connections, "{who:?} {host}");
    }
    assert_eq!(world.egress.idle_connections(), 6);
    // A connection that is used again needs no name.
    assert_eq!(world.names.asked().len(), 6);
    // The last of it lets go of them.
    drop(world);
    server.settled(0).await;
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_the_least_recently_used_goes_first() {
    let server = Server::answering(|_| ok("x")).await;
    let world = world(&EgressConfig { max_idle: 2, ..config(&[&server]) });
    let version = |version: &str| caller("acme", "greet", version);
    for (who, connections) in [("1.0.0", 1), ("2.0.0", 2), ("1.0.0", 2), ("3.0.0", 3), ("1.0.0", 3), ("2.0.0", 4)] {
        asks(&world, &version(who), get(&url(&server, "/"))).await.unwrap();
        assert_eq!(server.accepted(), connections, "{who}");
    }
    assert_eq!(world.egress.idle_connections(), 2);
    server.settled(2).await;
}

#[tokio::test]
async fn one_version_keeps_so_many_to_one_host() {
    let barrier = Arc::new(tokio::sync::Barrier::new(5));
    let together = barrier.clone();
    let server = Server::tls(good(), move |mut conn| {
        let together = together.clone();
        Box::pin(async move {
            while conn.request().await.is_some() {
                together.wait().await;
                conn.write(ok("x")).await;
            }
            None
        })
    })
    .await;
    let world = Arc::new(world(&EgressConfig { max_idle_per_host: 2, ..config(&[&server]) }));
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let (world, request) = (world.clone(), get(&url(&server, "/")));
            tokio::spawn(async move { asks(&world, &caller("acme", "greet", "1.0.0"), request).await.unwrap() })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
    assert_eq!((server.accepted(), world.egress.idle_connections()), (5, 2));
    server.settled(2).await;
}

#[tokio::test]
async fn none_is_kept_where_none_may_be_or_where_the_server_says_so() {
    let server =
        Server::answering(|_| "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let closing = world(&config(&[&server]));
    ask(&closing, get(&url(&server, "/"))).await.0.unwrap();
    assert_eq!(closing.egress.idle_connections(), 0);
    server.settled(0).await;
    let server = Server::answering(|_| ok("x")).await;
    let none = world(&EgressConfig { max_idle: 0, ..config(&[&server]) });
    ask(&none, get(&url(&server, "/"))).await.0.unwrap();
    server.settled(0).await;
}

#[tokio::test]
async fn a_connection_that_waits_too_long_is_closed() {
    let server = Server::answering(|_| ok("x")).await;
    let world = world(&EgressConfig { idle_timeout_ms: 50, ..config(&[&server]) });
    ask(&world, get(&url(&server, "/"))).await.0.unwrap();
    server.settled(0).await;
    assert_eq!(world.egress.idle_connections(), 0);
    // The sweep that ended begins again.
    ask(&world, get(&url(&server, "/"))).await.0.unwrap();
    assert_eq!(server.accepted(), 2);
    server.settled(0).await;
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_used_again() {
    let server = Server::answering(|_| ok("x")).await;
    let world = world(&EgressConfig { max_connection_age_ms: 10, ..config(&[&server]) });
    for _ in 0..2 {
        ask(&world, get(&url(&server, "/"))).await.0.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_connection_that_the_server_closes_while_it_waits_is_let_go() {
    let close = Arc::new(Notify::new());
    let closing = close.clone();
    let server = Server::tls(good(), move |mut conn| {
        let closing = closing.clone();
        Box::pin(async move {
            conn.request().await?;
            conn.write(ok("x")).await;
            closing.notified().await;
            conn.close().await;
            None
        })
    })
    .await;
    let world = world(&config(&[&server]));
    ask(&world, get(&url(&server, "/"))).await.0.unwrap();
    assert_eq!(world.egress.idle_connections(), 1);
    close.notify_one();
    idle(&world, 0).await;
    assert_eq!(ask(&world, post(&url(&server, "/"), "x")).await.0.unwrap().body, b"x");
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_server_that_sends_what_nobody_asked_for_is_not_asked_on_that_connection() {
    let taken = Arc::new(Notify::new());
    let taking = taken.clone();
    let server = Server::tls(good(), move |mut conn| {
        let taking = taking.clone();
        Box::pin(async move {
            conn.request().await?;
            conn.write(ok("asked")).await;
            taking.notified().await;
            conn.write(ok("poison")).await;
            Some(conn)
        })
    })
    .await;
    let world = world(&config(&[&server]));
    assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().body, b"asked");
    taken.notify_one();
    idle(&world, 0).await;
    assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().body, b"asked");
    assert_eq!(server.accepted(), 2);
}

/// A server that answers the first request of its first connection, and ends that as the second comes.
async fn ends_on_the_second() -> Server {
    Server::tls(good(), |mut conn| {
        Box::pin(async move {
            let (first, mut answered) = (conn.nth == 0, 0);
            while conn.request().await.is_some() {
                if first && answered == 1 {
                    return None;
                }
                conn.write(ok("x")).await;
                answered += 1;
            }
            None
        })
    })
    .await
}

#[tokio::test]
async fn a_safe_request_on_a_connection_that_ends_is_made_again_once() {
    let server = ends_on_the_second().await;
    let world = world(&config(&[&server]));
    ask(&world, get(&url(&server, "/"))).await.0.unwrap();
    let (answer, attempts) = ask(&world, get(&url(&server, "/"))).await;
    assert_eq!(answer.unwrap().body, b"x");
    assert_eq!(
        seen(&attempts),
        [("api.example.com", None, Some(HttpFailure::ConnectionLost)), ("api.example.com", Some(200), None)]
    );
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn another_request_is_not_since_the_server_may_have_done_it() {
    let server = ends_on_the_second().await;
    let world = world(&config(&[&server]));
    ask(&world, get(&url(&server, "/"))).await.0.unwrap();
    let (answer, attempts) = ask(&world, post(&url(&server, "/"), "pay")).await;
    assert_eq!(answer.unwrap_err().failure, HttpFailure::ConnectionLost);
    assert_eq!(seen(&attempts), [("api.example.com", None, Some(HttpFailure::ConnectionLost))]);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_request_that_ends_half_way_takes_its_connection_with_it() {
    for begin in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let said = Arc::new(Notify::new());
        let saying = said.clone();
        let server = Server::tls(good(), move |mut conn| {
            let said = saying.clone();
            Box::pin(async move {
                while conn.request().await.is_some() {
                    if conn.nth > 0 {
                        conn.write(ok("next")).await;
                        continue;
                    }
                    conn.write(begin).await;
                    said.notify_one();
                }
                None
            })
        })
        .await;
        let world = world(&config(&[&server]));
        let attempts = Attempts::new();
        let (who, hosts) = (caller("acme", "greet", "1.0.0"), hosts());
        {
            let fetch = world.egress.fetch(&who, &hosts, get(&url(&server, "/")), Instant::now() + PATIENCE, &attempts);
            tokio::select! {
                _ = fetch => panic!("it has no end"),
                () = said.notified() => {}
            }
        }
        // The server sees it while the client does nothing more.
        server.settled(0).await;
        let attempts = attempts.take();
        assert_eq!((attempts.len(), attempts[0].failure), (1, Some(HttpFailure::Canceled)));
        assert_eq!(world.egress.idle_connections(), 0);
        assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().body, b"next");
        assert_eq!(server.accepted(), 2);
    }
}
