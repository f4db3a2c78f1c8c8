//! URLs that have fooled somebody, and those that are fine.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn allowed() -> Vec<Origin> {
    ["https://app.example.com", "https://xn--bcher-kva.example", "http://localhost:3000"]
        .iter()
        .map(|o| Origin::parse(o).unwrap())
        .collect()
}

#[test]
fn only_an_allowed_origin_is_taken() {
    for url in [
        "https://app.example.com",
        "https://app.example.com/a?b#c",
        "HTTPS://APP.example.com:443/",
        "https://bücher.example/x",
    ] {
        check(url, &allowed(), false).unwrap();
    }
    for url in [
        "https://app.example.com:8443/",
        "https://app.example.com.evil.example/",
        "https://evil.example/app.example.com",
        "https://app.example.com@evil.example/",
        "https://user@app.example.com/",
        "https://@app.example.com/",
        "https:\\\\app.example.com",
        "https:/app.example.com",
        "https:app.example.com",
        "https:///app.example.com/",
        "//app.example.com/",
        "http://app.example.com/",
        "javascript:alert(1)",
        "https://app.example.com\\.evil.example/",
        "https://app.example.com/\n",
        " https://app.example.com/",
        "https://app.example.com/a b",
        "ht\ttps://app.example.com/",
        "data:text/html,x",
        "",
        "https://",
    ] {
        assert!(check(url, &allowed(), false).is_err(), "{url:?} must be refused");
    }
}

#[test]
fn http_is_for_localhost_where_the_operator_allows_it() {
    check("http://localhost:3000/x", &allowed(), true).unwrap();
    assert!(check("http://localhost:3000/x", &allowed(), false).is_err());
}

#[test]
fn an_origin_is_nothing_but_an_origin() {
    assert_eq!(Origin::parse("https://App.Example.com:443/").unwrap().as_str(), "https://app.example.com");
    for text in [
        "https://a.example/x",
        "https://a.example/?",
        "https://a.example#",
        "*.example.com",
        "https://*.example.com/x",
        "a.example",
    ] {
        assert!(Origin::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn parameters_are_encoded() {
    let query = BTreeMap::from([("a b".to_owned(), "c&d=é".to_owned())]);
    let url = with_query(Url::parse("https://a.example/?x=1").unwrap(), &query);
    assert_eq!(url.as_str(), "https://a.example/?x=1&a+b=c%26d%3D%C3%A9");
}
