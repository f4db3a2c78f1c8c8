//! What goes over the wire when all is well, and requests that are none.

use crate::support::*;
use sluice_egress::AllowEntry;
use sluice_model::http::{HttpFailure, HttpRequest, RedirectPolicy};
use std::sync::{Arc, Mutex};

/// A server that remembers what it was asked.
async fn remembering(answer: &'static str) -> (Server, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let memory = asked.clone();
    let server = Server::answering(move |request| {
        memory.lock().unwrap().push(request.clone());
        answer.to_owned()
    })
    .await;
    (server, asked)
}

#[tokio::test]
async fn a_request_and_its_answer_are_what_was_said() {
    let (server, asked) = remembering(
        "HTTP/1.1 201 Made Up\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Name: caf\u{e9}\r\n\r\nhello",
    )
    .await;
    let world = world(&config(&[&server]));
    let mut request = post(&url(&server, "/a/b?c=d%20e#fragment"), "{\"a\":1}");
    request.headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-name".to_owned(), "\u{e9}t\u{e9}".to_owned()),
    ];
    let (answer, attempts) = ask(&world, request).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.status_text.as_str(), answer.body.as_slice()), (201, "Made Up", &b"hello"[..]));
    assert!(answer.headers.contains(&("set-cookie".to_owned(), "a=1".to_owned())));
    assert!(answer.headers.contains(&("set-cookie".to_owned(), "b=2".to_owned())));
    assert!(answer.headers.contains(&("x-name".to_owned(), "caf\u{c3}\u{a9}".to_owned())), "{:?}", answer.headers);
    assert_eq!(answer.url, url(&server, "/a/b?c=d%20e"));
    assert!(!answer.redirected);
    assert_eq!(seen(&attempts), [("api.example.com", Some(201), None)]);

    let asked = asked.lock().unwrap();
    assert_eq!(asked[0].line(), "POST /a/b?c=d%20e HTTP/1.1");
    assert_eq!(asked[0].header("host").unwrap(), format!("api.example.com:{}", server.port));
    assert_eq!(asked[0].header("content-length"), Some("7"));
    assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    assert_eq!(asked[0].header("accept"), Some("*/*"));
    assert_eq!(asked[0].header("user-agent"), Some("sluice"));
    assert_eq!(asked[0].header("x-name"), Some("\u{e9}t\u{e9}"));
    assert_eq!(asked[0].header("transfer-encoding"), None);
    assert_eq!(asked[0].body, b"{\"a\":1}");
}

#[tokio::test]
async fn a_post_without_a_body_says_so_and_a_get_says_nothing() {
    let (server, asked) = remembering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let world = world(&config(&[&server]));
    for method in ["POST", "put", "GET", "DELETE", "PATCH"] {
        let request = HttpRequest { method: method.to_owned(), ..get(&url(&server, "/")) };
        assert_eq!(ask(&world, request).await.0.unwrap().status, 204);
    }
    let asked = asked.lock().unwrap();
    let lengths: Vec<_> = asked.iter().map(|asked| (asked.line(), asked.header("content-length"))).collect();
    assert_eq!(
        lengths,
        [
            ("POST / HTTP/1.1", Some("0")),
            ("PUT / HTTP/1.1", Some("0")),
            ("GET / HTTP/1.1", None),
            ("DELETE / HTTP/1.1", None),
            ("PATCH / HTTP/1.1", None)
        ]
    );
}

#[tokio::test]
async fn answers_without_a_body_have_none_whatever_they_say() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\ncontent-encoding: gzip\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 12\r\n\r\n"),
    ] {
        let (server, _) = remembering(answer).await;
        let world = world(&config(&[&server]));
        let request = HttpRequest { method: method.to_owned(), ..get(&url(&server, "/")) };
        assert_eq!(ask(&world, request).await.0.unwrap().body, b"", "{answer}");
        assert_eq!(world.egress.idle_connections(), 1, "{answer}");
    }
}

#[tokio::test]
async fn answers_of_every_framing_are_read_whole() {
    let all = "x".repeat(64 << 10);
    let cases = [
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n".to_owned() + &ok("after"), "after"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: t\r\n\r\n"
                .to_owned(),
            "abcde",
        ),
        ("HTTP/1.1 200\r\ncontent-length: 2\r\ncontent-encoding: identity\r\n\r\nok".to_owned(), "ok"),
        (ok(&all), all.as_str()),
    ];
    for (answer, body) in &cases {
        let sent = answer.clone();
        let server = Server::answering(move |_| sent.clone()).await;
        let world = world(&config(&[&server]));
        let (got, _) = ask(&world, get(&url(&server, "/"))).await;
        assert_eq!(got.unwrap().body, body.as_bytes());
    }
    // Until the connection is closed, in order.
    let server = Server::tls(good(), |mut conn| {
        Box::pin(async move {
            conn.request().await?;
            conn.write("HTTP/1.0 200 OK\r\n\r\nto the end").await;
            conn.close().await;
            None
        })
    })
    .await;
    let world = world(&config(&[&server]));
    assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().body, b"to the end");
    assert_eq!(world.egress.idle_connections(), 0);
}

#[tokio::test]
async fn an_encoding_is_taken_where_it_was_asked_for() {
    let (server, asked) = remembering("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nzz").await;
    let world = world(&config(&[&server]));
    let (refused, attempts) = ask(&world, get(&url(&server, "/"))).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.failure, HttpFailure::ProtocolError);
    assert_eq!(refused.message, "api.example.com: the server answers in a content-encoding that was not asked for");
    assert_eq!(seen(&attempts), [("api.example.com", Some(200), Some(HttpFailure::ProtocolError))]);
    let mut request = get(&url(&server, "/"));
    request.headers.push(("accept-encoding".to_owned(), "gzip".to_owned()));
    assert_eq!(ask(&world, request).await.0.unwrap().body, b"zz");
    assert_eq!(asked.lock().unwrap()[1].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_redirect_is_the_answer_where_the_request_says_so() {
    let (server, _) =
        remembering("HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\ncontent-length: 2\r\n\r\nhi").await;
    let world = world(&config(&[&server]));
    let request = HttpRequest { redirect: RedirectPolicy::Manual, ..get(&url(&server, "/")) };
    let answer = ask(&world, request).await.0.unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.redirected), (302, &b"hi"[..], false));
}

#[tokio::test]
async fn plain_http_goes_where_an_entry_says_so_and_nowhere_else() {
    let server = Server::tcp(|mut conn| {
        Box::pin(async move {
            while conn.request().await.is_some() {
                conn.write(ok("plain")).await;
            }
            None
        })
    })
    .await;
    let plain = format!("http://api.example.com:{}/", server.port);
    let closed = world(&config(&[&server]));
    let error = ask(&closed, get(&plain)).await.0.unwrap_err();
    assert_eq!(
        (error.failure, error.message.as_str()),
        (HttpFailure::UrlRefused, "api.example.com: plain http is not allowed")
    );
    assert_eq!(server.accepted(), 0);

    let mut config = config(&[&server]);
    config.allow[0].http = true;
    let open = world(&config);
    assert_eq!(ask(&open, get(&plain)).await.0.unwrap().body, b"plain");
    // A public address is none of the entry's: by plain http it is not asked.
    open.names.set("other.example.com", vec![Ok(vec!["93.184.215.14".parse().unwrap()])]);
    let error = ask(&open, get(&plain.replace("api.", "other."))).await.0.unwrap_err();
    assert_eq!(error.failure, HttpFailure::AddressRefused, "{error}");
    assert_eq!(open.dials.dialed().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_declared_is_verified_by_its_certificate() {
    let (server, _) = remembering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let world = world(&config(&[&server]));
    let attempts = sluice_egress::Attempts::new();
    let request = get(&format!("https://127.0.0.1:{}/", server.port));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let who = caller("acme", "greet", "1.0.0");
    let answer = world.egress.fetch(&who, &patterns(&["127.0.0.1"]), request, deadline, &attempts).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(world.names.asked(), []);
}

#[tokio::test]
async fn a_public_name_is_asked_for_as_it_stands_and_an_operators_as_the_machine_would() {
    let world = world(&config(&[]));
    for (host, scope) in [("api.example.com", sluice_egress::NameScope::Public)] {
        ask(&world, get(&format!("https://{host}/"))).await.0.unwrap_err();
        assert_eq!(world.names.asked(), [(host.to_owned(), scope)]);
    }
    let (server, _) = remembering("HTTP/1.1 204 No\r\n\r\n").await;
    let world = crate::support::world(&config(&[&server]));
    ask(&world, get(&url(&server, "/"))).await.0.unwrap();
    assert_eq!(world.names.asked()[0].1, sluice_egress::NameScope::Operator);
}

#[tokio::test]
async fn what_is_no_request_is_refused_before_anything_is_done() {
    let world = world(&config(&[]));
    let url = "https://api.example.com/secret-path?secret=query";
    let header =
        |name: &str, value: &str| HttpRequest { headers: vec![(name.to_owned(), value.to_owned())], ..get(url) };
    let method = |method: &str| HttpRequest { method: method.to_owned(), ..get(url) };
    let mut cases = vec![
        method("CONNECT"),
        method("connect"),
        method("TRACE"),
        method("Track"),
        method(""),
        method("G ET"),
        method("GET\r\nx: y"),
        method("G\u{e9}T"),
        method(&"A".repeat(33)),
        header("x", "a\r\nb: c"),
        header("x", "a\nb"),
        header("x", "a\0b"),
        header("x", "tail\r\n"),
        header("x", "\u{100}"),
        header("x", "\u{7f}"),
        header("", "a"),
        header("a b", "c"),
        header("a:b", "c"),
        header("\u{e9}", "c"),
        header("x\r\n", "c"),
        HttpRequest { body: Some(Vec::new()), ..get(url) },
        HttpRequest { method: "HEAD".to_owned(), body: Some(vec![1]), ..get(url) },
        HttpRequest { body: Some(vec![0; (64 << 10) + 1]), ..post(url, "") },
        HttpRequest { headers: vec![("x".to_owned(), "y".to_owned()); 101], ..get(url) },
        header("x", &"y".repeat(16 << 10)),
    ];
    for name in [
        "host",
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "Upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
        "Proxy-Connection",
        "proxy-anything",
        "http2-settings",
    ] {
        cases.push(header(name, "1"));
    }
    for request in cases {
        let shown = format!("{request:?}");
        let (answer, attempts) = ask(&world, request).await;
        let error = answer.unwrap_err();
        assert_eq!(error.failure, HttpFailure::RequestRefused, "{shown}");
        assert!(error.message.starts_with("api.example.com: ") && !error.message.contains("secret"), "{error}");
        assert_eq!(seen(&attempts), [("api.example.com", None, Some(HttpFailure::RequestRefused))]);
    }
    assert_eq!((world.dials.dialed(), world.names.asked()), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_over_before_it_begins_is_not_begun() {
    let (server, _) = remembering("HTTP/1.1 204 No\r\n\r\n").await;
    let world = world(&config(&[&server]));
    let (answer, attempts) = ask_within(&world, get(&url(&server, "/")), std::time::Duration::ZERO).await;
    assert_eq!(answer.unwrap_err().failure, HttpFailure::TimedOut);
    assert_eq!(seen(&attempts), [("api.example.com", None, Some(HttpFailure::TimedOut))]);
    assert_eq!(world.names.asked(), []);
}

/// An emit's URL is checked where it is written, by its words alone: with what the operator allows, and nobody is asked.
#[tokio::test]
async fn a_url_is_checked_by_its_words_and_what_the_operator_allows() {
    let mut settings = config(&[]);
    settings.allow = vec![AllowEntry { http: true, ..allow("api.example.com", 8080) }];
    let world = world(&settings);
    for (url, refused) in [
        ("https://anybody.example.org/hook", None),
        ("https://anybody.example.org:8443/hook", None),
        ("http://api.example.com:8080/hook", None),
        ("http://api.example.com:8081/hook", Some("plain http is not allowed")),
        ("http://anybody.example.org/hook", Some("plain http is not allowed")),
        ("https://anybody.example.org:8080/hook", Some("port 8080")),
        ("https://me:secret@anybody.example.org/hook", Some("user name")),
        ("ftp://anybody.example.org/hook", Some("https://")),
    ] {
        let checked = world.egress.check_url(&url.parse().unwrap());
        match (&checked, refused) {
            (Ok(()), None) => {}
            (Err(error), Some(why)) => {
                assert_eq!(error.failure, HttpFailure::UrlRefused, "{url}");
                assert!(error.message.contains(why) && !error.message.contains("secret"), "{url}: {}", error.message);
            }
            _ => panic!("{url}: {checked:?}"),
        }
    }
}
