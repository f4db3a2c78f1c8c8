use super::*;
use proptest::prelude::*;
use sluice_model::http::RedirectPolicy;

fn request(method: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: "https://a.example/".parse().unwrap(),
        headers: Vec::new(),
        body: None,
        redirect: RedirectPolicy::Follow,
    }
}

#[test]
fn methods_are_spelled_as_the_web_spells_them() {
    for (said, sent) in
        [("get", "GET"), ("Post", "POST"), ("oPTIONS", "OPTIONS"), ("patch", "patch"), ("PROPFIND", "PROPFIND")]
    {
        assert_eq!(Outgoing::of("a.example", request(said)).unwrap().method.as_str(), sent);
    }
}

#[test]
fn what_may_be_sent_twice() {
    for (method, safe) in
        [("GET", true), ("HEAD", true), ("OPTIONS", true), ("POST", false), ("PUT", false), ("DELETE", false)]
    {
        assert_eq!(Outgoing::of("a.example", request(method)).unwrap().is_safe(), safe, "{method}");
    }
}

proptest! {
    #[test]
    fn no_header_breaks_out_of_its_line(name in ".{0,12}", value in "[\\x00-\\u{ff}]{0,24}") {
        if let Ok((name, value)) = header(&name, &value) {
            prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            prop_assert!(!name.as_str().contains(['\r', '\n', ':', ' ', '\0']));
            prop_assert!(!REFUSED_HEADERS.contains(&name.as_str()));
        }
    }

    #[test]
    fn no_method_breaks_out_of_its_line(text in ".{0,12}") {
        if let Ok(method) = method(&text) {
            prop_assert!(!method.as_str().contains(['\r', '\n', ' ', '/', '\0']));
        }
    }
}
