//! What a declared host takes.

use proptest::prelude::*;
use sluice_model::http::HostPattern;
use url::Url;

#[test]
fn a_pattern_takes_what_it_says_and_nothing_beside() {
    for (pattern, host, matches) in [
        ("api.example.com", "api.example.com", true),
        ("api.example.com", "a.api.example.com", false),
        ("api.example.com", "example.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.c.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "aexample.com", false),
        ("*.example.com", "a.example.com.", false),
        ("*.example.com", "a.example.com.evil.net", false),
        ("localhost", "localhost", true),
        ("127.0.0.1", "127.0.0.1", true),
        ("[2001:db8::1]", "[2001:db8::1]", true),
        ("[2001:db8::1]", "[2001:db8::2]", false),
    ] {
        assert_eq!(HostPattern::parse(pattern).unwrap().matches(host), matches, "{pattern} {host}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for text in [
        "",
        ".",
        "*",
        "*.",
        "*.com",
        "*.*.example.com",
        "a.*.example.com",
        "a*.example.com",
        "*example.com",
        "API.example.com",
        "api.example.com.",
        ".example.com",
        "a..example.com",
        "api.example.com:443",
        "https://api.example.com",
        "api.example.com/",
        "user@api.example.com",
        "127.1",
        "0x7f.1",
        "2130706433",
        "127.0.0.1.",
        "*.127.0.0.1",
        "*.0.0.1",
        "[::1",
        "::1",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "*.[::1]",
        "caf\u{e9}.example",
        "a b.example",
        "a\n.example",
        "%61.example.com",
        "1.2.3.4.5",
    ] {
        let error = HostPattern::parse(text).unwrap_err();
        assert!(error.message.contains("is not a host such as"), "{text}: {error:?}");
    }
    HostPattern::parse(&format!("{}.example", "a".repeat(64))).unwrap_err();
    HostPattern::parse(&format!("{}example", "a.".repeat(130))).unwrap_err();
}

#[test]
fn a_url_of_a_config_grants_its_host_alone() {
    let of = |url: &str| HostPattern::of_url(&Url::parse(url).unwrap()).map(|pattern| pattern.to_string());
    assert_eq!(of("https://API.example.com:9443/x?y"), Some("api.example.com".to_owned()));
    assert_eq!(of("https://0x7f.1/"), Some("127.0.0.1".to_owned()));
    assert_eq!(of("https://*.example.com/"), None);
    assert_eq!(of("https://api.example.com./"), None);
    assert_eq!(of("data:text/plain,x"), None);
}

proptest! {
    #[test]
    fn no_name_under_a_domain_is_an_address(a: u8, b: u8, c: u8, d: u8) {
        let pattern = HostPattern::parse("*.example.com").unwrap();
        let address = format!("{a}.{b}.{c}.{d}");
        prop_assert!(!pattern.matches(&address));
        prop_assert!(HostPattern::parse(&address).unwrap().matches(&address));
    }

    #[test]
    fn a_pattern_that_is_taken_is_shown_as_it_was(text in "(\\*\\.)?[a-z0-9.-]{1,20}") {
        if let Ok(pattern) = HostPattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }
}
