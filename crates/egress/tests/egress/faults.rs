//! Servers that do wrong: each ends in time, by its name, on as many connections as it takes, and none stays open.

use crate::support::*;
use sluice_model::http::HttpFailure::{
    self, BodyTooLarge, ConnectFailed, ConnectionLost, HeadersTooLarge, ProtocolError, TimedOut, TlsFailed,
};
use std::time::{Duration, Instant};

type Script = fn(Conn) -> Ended;

/// What the client waits for where a server does nothing.
const SHORT: Duration = Duration::from_millis(400);

/// Asks a server of this kind. Its answer must fail so, within the deadline where that is what ends it, and no connection may
/// be left.
async fn fails(server: Server, time: Duration, failure: HttpFailure, message: &str) {
    let world = world(&config(&[&server]));
    let began = Instant::now();
    let (answer, attempts) = ask_within(&world, get(&url(&server, "/path?secret")), time).await;
    let took = began.elapsed();
    let error = answer.unwrap_err();
    assert_eq!(error.failure, failure, "{error}");
    if failure == TimedOut {
        assert!(error.message.starts_with(&format!("api.example.com: {message} within 4")), "{error}");
        assert!(took >= time && took < time + Duration::from_secs(5), "{took:?}");
    } else {
        assert_eq!(error.message, format!("api.example.com: {message}"));
    }
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0].failure, Some(failure));
    assert_eq!(server.accepted(), 1);
    // The other side sees the end while this one still stands: it is not its drop that closes what is open.
    tokio::time::timeout(PATIENCE, server.settled(0)).await.unwrap();
    assert_eq!(world.egress.idle_connections(), 0);
}

/// Reads a request and does this.
fn after(
    script: impl Fn(Conn) -> Ended + Send + Sync + Clone + 'static,
) -> impl Fn(Conn) -> Ended + Send + Sync + 'static {
    move |mut conn| {
        let script = script.clone();
        Box::pin(async move {
            conn.request().await?;
            script(conn).await
        })
    }
}

/// Answers with this and waits for the end.
fn says(text: impl AsRef<[u8]> + Send + Sync + Clone + 'static) -> impl Fn(Conn) -> Ended + Send + Sync + 'static {
    after(move |mut conn| {
        let text = text.clone();
        Box::pin(async move {
            conn.write(text).await;
            Some(conn)
        })
    })
}

/// Answers with this, and then with more of the same until nobody listens.
fn goes_on(
    begin: &'static str,
    more: &'static str,
    pause: Option<Duration>,
) -> impl Fn(Conn) -> Ended + Send + Sync + 'static {
    after(move |mut conn| {
        Box::pin(async move {
            conn.write(begin).await;
            while conn.write(more).await {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => tokio::task::yield_now().await,
                }
            }
            None
        })
    })
}

const ENDED: &str = "the server ended the connection before its answer was whole";
const GARBLED: &str = "what the server sends is no HTTP/1.1 answer";
const HEADERS: &str = "the answer's headers are over 100 or over 16384 bytes together";
const BODY: &str = "the answer's body is over 65536 bytes";
const HANDSHAKE: &str = "the server ended the connection during the TLS handshake";

#[tokio::test]
async fn it_closes_before_anything_is_said() {
    fails(
        Server::tcp(|conn| {
            Box::pin(async {
                drop(conn);
                None
            })
        })
        .await,
        PATIENCE,
        ConnectionLost,
        HANDSHAKE,
    )
    .await;
}

#[tokio::test]
async fn it_resets_at_once() {
    let script: Script = |conn| {
        Box::pin(async move {
            conn.tcp().set_zero_linger().unwrap();
            drop(conn);
            None
        })
    };
    fails(Server::tcp(script).await, PATIENCE, ConnectionLost, HANDSHAKE).await;
}

#[tokio::test]
async fn it_closes_or_resets_instead_of_an_answer_and_within_one() {
    for begin in [
        "",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nha\r\n",
        // A body that ends with its connection, which is cut off without a word of TLS.
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf",
    ] {
        for how in ["close", "drop", "reset"] {
            if how == "close" && begin.contains("connection: close") {
                continue;
            }
            let script = after(move |mut conn: Conn| -> Ended {
                Box::pin(async move {
                    conn.write(begin).await;
                    match how {
                        "close" => conn.close().await,
                        "drop" => drop(conn),
                        _ => {
                            conn.tcp().set_zero_linger().unwrap();
                            drop(conn);
                        }
                    }
                    None
                })
            });
            fails(Server::tls(good(), script).await, PATIENCE, ConnectionLost, ENDED).await;
        }
    }
}

#[tokio::test]
async fn it_sends_garbage() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/3.7 200 OK\r\n\r\n",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ] {
        fails(Server::tls(good(), says(garbage)).await, PATIENCE, ProtocolError, GARBLED).await;
    }
}

#[tokio::test]
async fn its_status_ends_no_request() {
    for status in [101, 600, 999] {
        let text = format!("HTTP/1.1 {status} Odd\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
        let message = format!("the server answers with the status {status}, which is none that ends a request");
        fails(Server::tls(good(), says(text)).await, PATIENCE, ProtocolError, &message).await;
    }
}

#[tokio::test]
async fn its_headers_do_not_end() {
    let begin = "HTTP/1.1 200 OK\r\n";
    fails(
        Server::tls(good(), goes_on(begin, "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", None)).await,
        PATIENCE,
        HeadersTooLarge,
        HEADERS,
    )
    .await;
    fails(
        Server::tls(good(), goes_on("HTTP/1.1 200 OK\r\nx: ", "yyyyyyyyyyyyyyyyyyyyyyyyy", None)).await,
        PATIENCE,
        HeadersTooLarge,
        HEADERS,
    )
    .await;
    fails(
        Server::tls(good(), goes_on("HTTP/1.1 200 ", "OKOKOKOKOKOKOKOKOK", None)).await,
        PATIENCE,
        HeadersTooLarge,
        HEADERS,
    )
    .await;
}

#[tokio::test]
async fn its_headers_are_too_many_or_too_large() {
    let head = |lines: String| format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n");
    let many = head("x: y\r\n".repeat(100));
    fails(Server::tls(good(), says(many)).await, PATIENCE, HeadersTooLarge, HEADERS).await;
    let large = head(format!("x: {}\r\n", "y".repeat(16 << 10)));
    fails(Server::tls(good(), says(large)).await, PATIENCE, HeadersTooLarge, HEADERS).await;
    // What is just within is taken.
    let within = head("x: y\r\n".repeat(99));
    let server = Server::answering(move |_| within.clone()).await;
    assert_eq!(ask(&world(&config(&[&server])), get(&url(&server, "/"))).await.0.unwrap().headers.len(), 100);
    let within = head(format!("x: {}\r\n", "y".repeat((16 << 10) - 16)));
    let server = Server::answering(move |_| within.clone()).await;
    assert!(ask(&world(&config(&[&server])), get(&url(&server, "/"))).await.0.is_ok());
}

#[tokio::test]
async fn its_body_is_too_large() {
    let huge = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    // By what it says, at once, without waiting for a byte of it.
    fails(Server::tls(good(), says(huge)).await, PATIENCE, BodyTooLarge, BODY).await;
    let over = format!("HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n{}", "x".repeat(65537));
    fails(Server::tls(good(), says(over)).await, PATIENCE, BodyTooLarge, BODY).await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    fails(Server::tls(good(), goes_on(chunked, "4\r\nabcd\r\n", None)).await, PATIENCE, BodyTooLarge, BODY).await;
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    fails(
        Server::tls(good(), goes_on(until_close, "abcdefghijklmnopqrstuvwxyz", None)).await,
        PATIENCE,
        BodyTooLarge,
        BODY,
    )
    .await;
}

#[tokio::test]
async fn a_body_that_goes_on_after_its_end_costs_the_connection() {
    let server = Server::tls(good(), says(format!("{}more", ok("x")))).await;
    let world = world(&config(&[&server]));
    assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().body, b"x");
    server.settled(0).await;
    assert_eq!(world.egress.idle_connections(), 0);
}

#[tokio::test]
async fn it_says_nothing() {
    fails(Server::tls(good(), says("")).await, SHORT, TimedOut, "no answer").await;
}

#[tokio::test]
async fn it_says_nothing_of_tls() {
    fails(Server::tcp(|conn| Box::pin(async { Some(conn) })).await, SHORT, TimedOut, "no connection").await;
    // And within the time for a connection, where that is the shorter.
    let server = Server::tcp(|conn| Box::pin(async { Some(conn) })).await;
    let world = world(&sluice_egress::EgressConfig { connect_timeout_ms: 250, ..config(&[&server]) });
    let error = ask(&world, get(&url(&server, "/"))).await.0.unwrap_err();
    assert_eq!(
        (error.failure, error.message.as_str()),
        (ConnectFailed, "api.example.com: no connection within 250 ms")
    );
    server.settled(0).await;
}

#[tokio::test]
async fn it_says_its_headers_slowly() {
    let slow = Some(Duration::from_millis(20));
    fails(Server::tls(good(), goes_on("HTTP/1.1 200 OK\r\nx: ", "y", slow)).await, SHORT, TimedOut, "no answer").await;
    // Nor does it help to say that an answer will come.
    fails(
        Server::tls(good(), goes_on("", "HTTP/1.1 102 Processing\r\n\r\n", slow)).await,
        SHORT,
        TimedOut,
        "no answer",
    )
    .await;
}

#[tokio::test]
async fn it_says_its_body_slowly() {
    let slow = Some(Duration::from_millis(20));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n";
    fails(Server::tls(good(), goes_on(head, "y", slow)).await, SHORT, TimedOut, "no whole answer").await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    fails(Server::tls(good(), goes_on(chunked, "1\r\ny\r\n", slow)).await, SHORT, TimedOut, "no whole answer").await;
    fails(Server::tls(good(), says(head)).await, SHORT, TimedOut, "no whole answer").await;
}

#[tokio::test]
async fn it_does_not_read_what_is_sent() {
    let server = Server::tls(good(), |conn| {
        Box::pin(async move {
            // Holds it without a read until the client has gone, which only the peer's state tells.
            let mut byte = [0];
            while conn.tcp().peek(&mut byte).await.is_ok_and(|read| read > 0) && conn.tcp().take_error().is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if conn.nth == 0 && conn.tcp().try_write(b"x").is_err() {
                    break;
                }
            }
            None
        })
    })
    .await;
    let world = world(&config(&[&server]));
    let request = post(&url(&server, "/"), &"x".repeat(64 << 10));
    let (answer, attempts) = ask_within(&world, request, SHORT).await;
    // What the server writes beside TLS is an error of TLS, if it comes before the end of the time.
    assert!([TimedOut, TlsFailed].contains(&answer.unwrap_err().failure));
    assert_eq!(attempts.len(), 1);
    server.settled(0).await;
}

#[tokio::test]
async fn its_certificate_is_not_as_it_must_be() {
    for (kind, names, message) in [
        (Cert::Good, "other.example.com", "the server's certificate is for another name"),
        (Cert::Good, "*.api.example.com", "the server's certificate is for another name"),
        (Cert::Good, "127.0.0.1", "the server's certificate is for another name"),
        (Cert::Expired, "api.example.com", "the server's certificate has expired"),
        (Cert::NotYet, "api.example.com", "the server's certificate is not valid yet"),
        (Cert::SelfSigned, "api.example.com", "the server's certificate is from an issuer that is not trusted"),
        (Cert::Foreign, "api.example.com", "the server's certificate is from an issuer that is not trusted"),
    ] {
        let server = Server::tls(acceptor(kind, &[names]), |conn| Box::pin(async { Some(conn) })).await;
        fails(server, PATIENCE, TlsFailed, message).await;
    }
}

#[tokio::test]
async fn it_speaks_no_tls() {
    for text in [
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 mail.example.com ESMTP\r\n",
    ] {
        let script = move |mut conn: Conn| -> Ended {
            Box::pin(async move {
                conn.write(text).await;
                Some(conn)
            })
        };
        fails(Server::tcp(script).await, PATIENCE, TlsFailed, "the server does not speak TLS").await;
    }
}

#[tokio::test]
async fn it_answers_in_an_encoding_that_was_not_asked_for() {
    let text = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\u{0}";
    let message = "the server answers in a content-encoding that was not asked for";
    fails(Server::tls(good(), says(text)).await, PATIENCE, ProtocolError, message).await;
}

#[tokio::test]
async fn nobody_listens() {
    let port = tokio::net::TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap().port();
    let mut config = config(&[]);
    config.allow = vec![allow("*", port)];
    let (answer, attempts) = ask(&world(&config), get(&format!("https://api.example.com:{port}/"))).await;
    let error = answer.unwrap_err();
    assert_eq!((error.failure, error.message.as_str()), (ConnectFailed, "api.example.com: the connection was refused"));
    assert_eq!(seen(&attempts), [("api.example.com", None, Some(ConnectFailed))]);
}

#[tokio::test]
async fn names_that_are_not_resolved_say_so() {
    let world = world(&sluice_egress::EgressConfig { dns_timeout_ms: 250, ..config(&[]) });
    for (answer, message) in [
        (Ok(vec![]), "the name has no address"),
        (Err(()), "no address within 250 ms"),
        (Ok(vec!["93.184.215.14".parse().unwrap(); 65]), "the name has over 64 addresses"),
    ] {
        world.names.set("api.example.com", vec![answer]);
        let error = ask(&world, get("https://api.example.com/")).await.0.unwrap_err();
        assert_eq!(
            (error.failure, error.message),
            (HttpFailure::NameNotResolved, format!("api.example.com: {message}"))
        );
    }
    world.names.set("api.example.com", vec![Err(())]);
    let slow = crate::support::world(&config(&[]));
    slow.names.set("api.example.com", vec![Err(())]);
    let error = ask_within(&slow, get("https://api.example.com/"), SHORT).await.0.unwrap_err();
    assert_eq!(error.failure, TimedOut);
    assert!(error.message.starts_with("api.example.com: no address within 4"), "{error}");
}
