//! Servers that send elsewhere: each hop is checked as the first was.

use crate::support::*;
use sluice_model::http::{HttpFailure, HttpRequest, RedirectPolicy};
use std::sync::{Arc, Mutex};

const REFUSED: HttpFailure = HttpFailure::RedirectRefused;

type Memory = Arc<Mutex<Vec<Asked>>>;

/// A server that answers by path: `/to?STATUS&LOCATION` sends to LOCATION, where PORT is its own port and `+` a slash; any
/// other path is answered with its name.
async fn sending() -> (Server, Memory) {
    let memory = Memory::default();
    let asked = memory.clone();
    let server = Server::answering(move |request| {
        asked.lock().unwrap().push(request.clone());
        let path = request.line().split(' ').nth(1).unwrap();
        let port = request.header("host").unwrap().rsplit(':').next().unwrap();
        match path.strip_prefix("/to?") {
            Some(to) => {
                let (status, location) = to.split_once('&').unwrap();
                redirect(status.parse().unwrap(), &location.replace('+', "/").replace("PORT", port))
            }
            None => ok(path),
        }
    })
    .await;
    (server, memory)
}

#[tokio::test]
async fn where_a_server_may_not_send_nobody_is_sent() {
    let (server, memory) = sending().await;
    let world = world(&config(&[&server]));
    let cases = [
        (
            "http:++169.254.169.254+latest+meta-data",
            "169.254.169.254 is not among the hosts that this version declares",
        ),
        ("https:++127.0.0.1:PORT+", "127.0.0.1 is not among the hosts that this version declares"),
        ("https:++2130706433:PORT+", "127.0.0.1 is not among the hosts that this version declares"),
        ("https:++[::1]:PORT+", "[::1] is not among the hosts that this version declares"),
        ("https:++10.0.0.1+", "10.0.0.1 is not among the hosts that this version declares"),
        ("++127.0.0.1:PORT+", "127.0.0.1 is not among the hosts that this version declares"),
        ("\\\\127.0.0.1:PORT\\", "127.0.0.1 is not among the hosts that this version declares"),
        ("https:++evil.net+", "evil.net is not among the hosts that this version declares"),
        (
            "https:++api.example.com.evil.net+",
            "api.example.com.evil.net is not among the hosts that this version declares",
        ),
        ("https:++wild.example.org+", "wild.example.org is not among the hosts that this version declares"),
        ("https:++api.example.com.:PORT+", "api.example.com. is not among the hosts that this version declares"),
        (
            "https:++user:secret@api.example.com:PORT+",
            "api.example.com: a URL must not carry a user name or a password",
        ),
        ("https:++api.example.com@evil.net+", "evil.net: a URL must not carry a user name or a password"),
        ("http:++api.example.com:PORT+", "api.example.com: plain http is not allowed"),
        ("http:++api.example.com+", "api.example.com: plain http is not allowed"),
        ("https:++api.example.com:22+", "api.example.com: port 22 is not allowed"),
        ("file:+++etc+passwd", "a URL must begin with https://"),
        ("data:text+plain,x", "a URL must begin with https://"),
        ("javascript:alert(1)", "a URL must begin with https://"),
        ("ftp:++api.example.com+", "a URL must begin with https://"),
        ("https:++[::1+", "where to is no URL"),
        ("https:++1.2.3.4.5+", "where to is no URL"),
        ("https:++api.example.com:99999+", "where to is no URL"),
        ("https:++", "where to is no URL"),
    ];
    for (location, why) in cases {
        let (answer, attempts) = ask(&world, get(&url(&server, &format!("/to?302&{location}")))).await;
        let error = answer.unwrap_err();
        assert_eq!(
            (error.failure, error.message),
            (REFUSED, format!("api.example.com redirects: {why}")),
            "{location}"
        );
        assert_eq!(seen(&attempts), [("api.example.com", Some(302), Some(REFUSED))]);
    }
    assert_eq!(memory.lock().unwrap().len(), cases.len());
    assert!(world.dials.dialed().iter().all(|to| to.port() == server.port));
}

#[tokio::test]
async fn a_location_that_is_no_ascii_is_refused() {
    let server = Server::answering(|_| redirect(302, "/caf\u{e9}")).await;
    let world = world(&config(&[&server]));
    let error = ask(&world, get(&url(&server, "/"))).await.0.unwrap_err();
    assert_eq!(error.message, "api.example.com redirects: where to is no URL");
}

#[tokio::test]
async fn a_declared_host_that_leads_inside_is_refused_when_it_is_come_to() {
    let (server, _) = sending().await;
    let mut config = config(&[&server]);
    config.allow[0].host = "api.example.com".to_owned();
    let world = world(&config);
    let (answer, attempts) = ask(&world, get(&url(&server, "/to?307&https:++a.wild.example.org+"))).await;
    let error = answer.unwrap_err();
    assert_eq!(error.failure, HttpFailure::AddressRefused);
    assert_eq!(error.message, "a.wild.example.org leads to 127.0.0.1, which is a loopback address");
    assert_eq!(
        seen(&attempts),
        [("api.example.com", Some(307), None), ("a.wild.example.org", None, Some(HttpFailure::AddressRefused))]
    );
    assert_eq!(world.dials.dialed().len(), 1);
}

#[tokio::test]
async fn five_redirects_are_followed_and_a_sixth_is_not() {
    for (hops, followed) in [(5, true), (6, false)] {
        let server = Server::answering(move |asked| {
            let at: usize = asked.line().split(' ').nth(1).unwrap()[1..].parse().unwrap();
            if at < hops { redirect(302, &format!("{}", at + 1)) } else { ok("there") }
        })
        .await;
        let world = world(&config(&[&server]));
        let (answer, attempts) = ask(&world, get(&url(&server, "/0"))).await;
        assert_eq!(attempts.len(), 6);
        assert_eq!(answer.is_ok(), followed);
        match answer {
            Ok(answer) => {
                assert_eq!((answer.body.as_slice(), answer.redirected), (&b"there"[..], true));
                assert_eq!(answer.url, url(&server, "/5"));
            }
            Err(error) => {
                assert_eq!(error.message, "api.example.com: the server redirects once more after 5 redirects");
                assert_eq!(seen(&attempts)[5], ("api.example.com", Some(302), Some(REFUSED)));
            }
        }
        // One connection was enough: bodies of hops that are there already do not cost it.
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test]
async fn a_loop_is_left() {
    let server = Server::answering(|_| redirect(301, "/")).await;
    let world = world(&config(&[&server]));
    let (answer, attempts) = ask(&world, get(&url(&server, "/"))).await;
    assert_eq!((answer.unwrap_err().failure, attempts.len()), (REFUSED, 6));
}

#[tokio::test]
async fn places_are_told_relative_and_without_their_fragment() {
    let (server, _) = sending().await;
    let world = world(&config(&[&server]));
    for (location, path) in [
        ("there", "/there"),
        ("+a+b?c=d#fragment", "/a/b?c=d"),
        ("..+..+up", "/up"),
        ("https:++API.EXAMPLE.com:PORT+x", "/x"),
    ] {
        let start = url(&server, &format!("/to?307&{location}#start"));
        let answer = ask(&world, get(&start)).await.0;
        let answer = answer.unwrap();
        assert_eq!((answer.url.clone(), answer.redirected), (url(&server, path), true), "{location}");
        assert_eq!(answer.body, path.as_bytes());
    }
}

#[tokio::test]
async fn an_answer_that_sends_nowhere_is_the_answer() {
    let server = Server::answering(|_| "HTTP/1.1 302 Found\r\ncontent-length: 4\r\n\r\nbody".to_owned()).await;
    let world = world(&config(&[&server]));
    assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().body, b"body");
    for status in [300, 304, 305, 306] {
        let server = Server::answering(move |_| redirect(status, "https://evil.net/")).await;
        let world = crate::support::world(&config(&[&server]));
        assert_eq!(ask(&world, get(&url(&server, "/"))).await.0.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_redirect_is_an_error_where_the_request_says_so() {
    let (server, _) = sending().await;
    let world = world(&config(&[&server]));
    let request = HttpRequest { redirect: RedirectPolicy::Error, ..get(&url(&server, "/to?302&there")) };
    let (answer, attempts) = ask(&world, request).await;
    let error = answer.unwrap_err();
    assert_eq!(error.message, "api.example.com: the server redirects, and the request takes that for an error");
    assert_eq!(seen(&attempts), [("api.example.com", Some(302), Some(REFUSED))]);
    let request = HttpRequest { redirect: RedirectPolicy::Error, ..get(&url(&server, "/there")) };
    assert_eq!(ask(&world, request).await.0.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_secret_does_not_go_to_another_origin_nor_come_back() {
    let (server, memory) = sending().await;
    let (beside, heard) = sending().await;
    let world = world(&config(&[&server, &beside]));
    let with = |location: String| {
        let mut request = get(&url(&server, &format!("/to?302&{location}")));
        for (name, value) in
            [("authorization", "a"), ("cookie", "b"), ("cookie2", "c"), ("x-own", "d"), ("accept", "e")]
        {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        request
    };
    let names = ["authorization", "cookie", "cookie2", "x-own", "accept"];
    let had = |asked: &Asked| names.map(|name| asked.header(name).is_some());

    // The same origin, another host, another port, and back again.
    ask(&world, with("+same".to_owned())).await.0.unwrap();
    ask(&world, with("https:++other.example.com:PORT+host".to_owned())).await.0.unwrap();
    ask(&world, with(format!("https:++api.example.com:{}+port", beside.port))).await.0.unwrap();
    ask(
        &world,
        with(format!("https:++api.example.com:{}+to?302&https:++api.example.com:{}+back", beside.port, server.port)),
    )
    .await
    .0
    .unwrap();
    let asked = memory.lock().unwrap();
    let lines: Vec<_> = asked.iter().filter(|asked| !asked.line().contains("/to?")).collect();
    assert_eq!(had(lines[0]), [true; 5], "{}", lines[0].head);
    assert_eq!(had(lines[1]), [false, false, false, true, true], "{}", lines[1].head);
    assert_eq!(had(lines[2]), [false, false, false, true, true], "{}", lines[2].head);
    assert!(lines[2].line().contains("/back"));
    assert!(lines[1].header("host").unwrap().starts_with("other.example.com:"));
    for asked in heard.lock().unwrap().iter() {
        assert_eq!(had(asked), [false, false, false, true, true], "{}", asked.head);
    }
}

#[tokio::test]
async fn methods_and_bodies_follow_by_the_rules_of_fetch() {
    let (server, memory) = sending().await;
    let world = world(&config(&[&server]));
    for (status, method, then) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (307, "PUT", "PUT"),
        (308, "DELETE", "DELETE"),
        (301, "HEAD", "HEAD"),
        (303, "HEAD", "HEAD"),
        (303, "GET", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "DELETE", "GET"),
        (302, "PATCH", "PATCH"),
    ] {
        let body = ["POST", "PUT", "PATCH"].contains(&method).then(|| b"body".to_vec());
        let mut request = get(&url(&server, &format!("/to?{status}&+next")));
        (request.method, request.body) = (method.to_owned(), body.clone());
        request.headers = vec![
            ("content-type".to_owned(), "text/plain".to_owned()),
            ("content-language".to_owned(), "en".to_owned()),
        ];
        memory.lock().unwrap().clear();
        let answer = ask(&world, request).await.0;
        let asked = memory.lock().unwrap();
        let last = asked.last().unwrap();
        // This server answers a HEAD with a body, which is no answer.
        assert!(answer.is_ok() || method == "HEAD", "{status} {method}: {answer:?}");
        assert_eq!(last.line(), format!("{then} /next HTTP/1.1"), "{status} {method}");
        let kept = then == method;
        assert_eq!(last.body, if kept { body.clone().unwrap_or_default() } else { Vec::new() }, "{status} {method}");
        assert_eq!(last.header("content-type").is_some(), kept, "{status} {method}: {}", last.head);
        assert_eq!(last.header("content-language").is_some(), kept);
        assert_eq!(last.header("content-length").is_some(), kept && body.is_some(), "{status} {method}: {}", last.head);
    }
}
