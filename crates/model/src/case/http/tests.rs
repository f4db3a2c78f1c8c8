#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::json;

fn read(value: Value) -> HttpAnswer {
    let mut read = HttpAnswer::list_from_json(json!([value])).unwrap();
    assert_eq!(read.len(), 1);
    read.remove(0)
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn an_answer_is_a_get_of_200_unless_it_says_otherwise() {
    let HttpAnswer { method, url, answer } = read(json!({ "url": "https://API.example.com" }));
    assert_eq!((method.as_str(), url.as_str()), ("GET", "https://api.example.com/"));
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.headers.len(), answer.body.len()), (200, 0, 0));
    assert_eq!((answer.url.as_str(), answer.redirected), ("https://api.example.com/", false));
}

#[test]
fn a_body_says_of_what_kind_it_is_unless_a_header_does() {
    let answer = |more: Value| {
        let mut value = json!({ "method": "POST", "url": "https://a.example/", "status": 201 });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = read(value).answer.unwrap();
        let headers: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        (String::from_utf8(answer.body).unwrap(), headers)
    };
    assert_eq!(answer(json!({ "json": null })), ("null".to_owned(), vec!["content-type: application/json".to_owned()]));
    assert_eq!(
        answer(json!({ "text": "made", "headers": { "X-Id": " 7 " } })),
        ("made".to_owned(), vec!["x-id: 7".to_owned(), "content-type: text/plain;charset=utf-8".to_owned()])
    );
    assert_eq!(
        answer(json!({ "json": [1], "headers": { "Content-Type": "application/problem+json" } })),
        ("[1]".to_owned(), vec!["content-type: application/problem+json".to_owned()])
    );
}

#[test]
fn a_failure_stands_alone() {
    let found = read(json!({ "url": "https://a.example:8443/x?y=1", "failure": "timed_out" }));
    assert_eq!(found.answer, Err(HttpFailure::TimedOut));
}

#[test]
fn a_request_is_answered_by_its_method_and_url_to_the_letter() {
    let found = read(json!({ "url": "https://a.example/x?y=1" }));
    for asked in ["https://a.example/x?y=1", "https://A.example:443/x?y=1#part"] {
        assert!(found.fits("GET", &url(asked)), "{asked}");
    }
    for asked in ["https://a.example/x", "https://a.example/x?y=2", "https://a.example:8443/x?y=1"] {
        assert!(!found.fits("GET", &url(asked)), "{asked}");
    }
    assert!(!found.fits("POST", &url("https://a.example/x?y=1")));
}

#[test]
fn what_no_server_sends_is_refused_with_its_place() {
    let with = |more: Value| {
        let mut value = json!({ "url": "https://a.example/" });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        HttpAnswer::list_from_json(json!([{ "url": "https://a.example/" }, value])).unwrap_err().to_string()
    };
    let many: serde_json::Map<String, Value> = (0..=100).map(|n| (format!("x-{n}"), json!(""))).collect();
    for (more, says) in [
        (json!({ "url": 7 }), "/1/url: expected a string, got a number"),
        (json!({ "url": "/v1/users" }), "/1/url: expected an absolute URL such as"),
        (json!({ "url": "http://a.example/" }), "/1/url: a URL must begin with https://"),
        (json!({ "url": "data:,x" }), "/1/url: a URL must begin with https://"),
        (json!({ "url": "https://u@a.example/" }), "/1/url: a.example: a URL must not carry a user name"),
        (json!({ "url": "https://a.example:444/" }), "/1/url: a.example: port 444 is not allowed"),
        (json!({ "url": "https://a.example/#x" }), "/1/url: what follows # is never sent"),
        (
            json!({ "url": format!("https://a.example/{}", "x".repeat(9000)) }),
            "/1/url: a.example: the URL is over 8192",
        ),
        (json!({ "method": "get" }), "/1/method: expected a method in capitals; did you mean \"GET\"?"),
        (json!({ "method": "A B" }), "/1/method: expected a method such as GET"),
        (json!({ "method": "Trace" }), "/1/method: no Action can send TRACE"),
        (json!({ "status": 199 }), "/1/status: expected a status from 200 to 599, got 199"),
        (json!({ "status": "200" }), "/1/status: expected a whole number, got a string"),
        (json!({ "statsu": 200 }), "/1/statsu: unknown key \"statsu\"; did you mean \"status\"?"),
        (json!({ "json": 1, "text": "1" }), "/1/text: does not stand beside \"json\""),
        (json!({ "failure": "timed_out", "status": 200 }), "/1/status: does not stand beside \"failure\""),
        (json!({ "failure": "timed_out", "json": null }), "/1/json: does not stand beside \"failure\""),
        (json!({ "failure": "timedout" }), "/1/failure: expected one of url_refused"),
        (json!({ "failure": "timedout" }), "did you mean \"timed_out\"?"),
        (json!({ "failure": "host_not_declared" }), "/1/failure: expected one of url_refused"),
        (json!({ "status": 204, "text": "x" }), "/1/text: an answer of the status 204 has no body"),
        (json!({ "method": "HEAD", "json": {} }), "/1/json: an answer to HEAD has no body"),
        (json!({ "text": "x".repeat(65537) }), "/1/text: has 65537 bytes; an Action is given at most 65536"),
        (json!({ "headers": { "x y": "" } }), "/1/headers/x y: is not the name of a header"),
        (json!({ "headers": { "x": "a\nb" } }), "/1/headers/x: a header holds characters"),
        (json!({ "headers": { "x": "\u{20ac}" } }), "/1/headers/x: a header holds characters"),
        (json!({ "headers": { "x": 1 } }), "/1/headers/x: expected a string"),
        (json!({ "headers": many }), "/1/headers: 101 headers have"),
    ] {
        let told = with(more.clone());
        assert!(told.contains(says), "{more}: {told}");
    }
    let told = |value| HttpAnswer::list_from_json(value).unwrap_err().to_string();
    assert_eq!(told(json!({})), "expected a list of answers, got an object");
    assert_eq!(told(json!([{}])), "/0: \"url\" is missing");
    let many: Vec<Value> = (0..=MAX_ANSWERS).map(|_| json!({ "url": "https://a.example/" })).collect();
    assert_eq!(told(json!(many)), "expected at most 500 answers, got 501");
}
