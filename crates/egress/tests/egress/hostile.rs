//! What a hostile author asks for, and what hostile names lead to: each refused, and no connection made.

use crate::support::*;
use sluice_egress::Attempts;
use sluice_model::http::{HostPattern, HttpFailure};
use std::net::IpAddr;
use tokio::time::Instant;
use url::Url;

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What becomes of a URL, by its word in the table.
async fn outcome(world: &World, url: &Url, hosts: &[HostPattern]) -> &'static str {
    let attempts = Attempts::new();
    let request = sluice_model::http::HttpRequest { url: url.clone(), ..get("https://x/") };
    let deadline = Instant::now() + PATIENCE;
    let who = caller("acme", "greet", "1.0.0");
    let answer = world.egress.fetch(&who, hosts, request, deadline, &attempts).await;
    let attempts = attempts.take();
    let Err(error) = answer else { return "answered" };
    assert_eq!(attempts.len(), 1, "{url}");
    assert_eq!(attempts[0].failure, Some(error.failure), "{url}");
    assert_eq!(attempts[0].host, url.host_str().unwrap_or_default(), "{url}");
    assert!(!error.message.contains("latest"), "{}", error.message);
    error.failure.as_str()
}

#[tokio::test]
async fn hostile_urls_are_refused_and_nobody_is_connected_to() {
    let mut config = config(&[]);
    config.connect_timeout_ms = 1000;
    let world = world(&config);
    let (mut count, mut wrong) = (0, Vec::new());
    let declared = patterns(&["api.example.com", "*.wild.example.org"]);
    for row in rows(include_str!("data/hostile_urls.txt")) {
        let [first, second, url] = row.splitn(3, '|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let text = url.replace("\\t", "\t").replace("\\r", "\r").replace("\\n", "\n").replace("\\\\", "\\");
        count += 1;
        let got = match Url::parse(&text) {
            Err(_) => ["unparsable"; 2],
            Ok(url) => {
                if let Some(name) = url.host_str() {
                    world.names.set(name, vec![Ok(vec![IpAddr::from([10, 6, 6, 6])])]);
                }
                let own: Vec<HostPattern> = HostPattern::of_url(&url).into_iter().collect();
                let undeclared = outcome(&world, &url, &declared).await;
                if undeclared != "address_refused" {
                    assert_eq!(world.names.asked(), [], "{url}: looked up");
                }
                let got = [undeclared, outcome(&world, &url, &own).await];
                world.names.forget();
                got
            }
        };
        if got != [first, second] {
            wrong.push(format!("{url}: {got:?}, and not {first}, {second}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(count >= 180, "{count}");
    assert_eq!(world.dials.dialed(), []);
}

#[tokio::test]
async fn names_that_lead_to_refused_addresses_are_refused_also_among_public_ones() {
    let world = world(&config(&[]));
    let public: IpAddr = "93.184.215.14".parse().unwrap();
    for row in rows(include_str!("data/refused_addresses.txt")) {
        let (address, kind) = row.split_once('|').unwrap();
        let address: IpAddr = address.parse().unwrap();
        for answer in [vec![address], vec![public, address], vec![address, public]] {
            world.names.set("api.example.com", vec![Ok(answer)]);
            let (answer, attempts) = ask(&world, get("https://api.example.com/p?q")).await;
            let error = answer.unwrap_err();
            assert_eq!(error.failure, HttpFailure::AddressRefused, "{row}");
            assert_eq!(error.message, format!("api.example.com leads to {address}, which is {kind}"));
            assert_eq!(seen(&attempts), [("api.example.com", None, Some(HttpFailure::AddressRefused))]);
        }
    }
    assert_eq!(world.dials.dialed(), []);
}

#[tokio::test]
async fn names_that_lead_to_public_addresses_are_connected_to() {
    let world = world(&config(&[]));
    let mut expected = Vec::new();
    for row in rows(include_str!("data/public_addresses.txt")) {
        let address: IpAddr = row.parse().unwrap();
        expected.push(std::net::SocketAddr::new(address, 443));
        world.names.set("api.example.com", vec![Ok(vec![address])]);
        let error = ask(&world, get("https://api.example.com/")).await.0.unwrap_err();
        assert_eq!(error.failure, HttpFailure::ConnectFailed, "{row}: {error}");
    }
    assert_eq!(world.dials.dialed(), expected);
}

#[tokio::test]
async fn an_entry_of_the_allow_list_opens_what_it_names_and_nothing_beside() {
    let entry = |host: &str, cidr: &str, port| sluice_egress::AllowEntry {
        host: host.to_owned(),
        cidr: cidr.parse().unwrap(),
        port,
        http: false,
    };
    let mut config = config(&[]);
    config.allow =
        vec![entry("api.example.com", "10.1.0.0/16", Some(9443)), entry("*.wild.example.org", "fd00::/8", None)];
    let world = world(&config);
    let cases = [
        ("https://api.example.com:9443/", "10.1.2.3", true),
        ("https://api.example.com:9443/", "10.2.0.1", false),
        ("https://api.example.com:9443/", "93.184.215.14", false),
        ("https://api.example.com/", "10.1.2.3", false),
        ("https://api.example.com/", "93.184.215.14", true),
        ("https://other.example.com/", "10.1.2.3", false),
        ("https://a.wild.example.org/", "fd00::1", true),
        ("https://a.wild.example.org:8443/", "fd00::1", true),
        ("https://a.wild.example.org/", "fc00::1", false),
        ("https://api.example.com/", "fd00::1", false),
    ];
    for (url, address, reached) in cases {
        let parsed = Url::parse(url).unwrap();
        world.names.set(parsed.host_str().unwrap(), vec![Ok(vec![address.parse().unwrap()])]);
        let error = ask(&world, get(url)).await.0.unwrap_err();
        let expected = if reached { HttpFailure::ConnectFailed } else { HttpFailure::AddressRefused };
        assert_eq!(error.failure, expected, "{url} at {address}: {error}");
    }
    let error = ask(&world, get("https://other.example.com:9443/")).await.0.unwrap_err();
    assert_eq!(
        (error.failure, error.message.as_str()),
        (HttpFailure::UrlRefused, "other.example.com: port 9443 is not allowed")
    );
}
