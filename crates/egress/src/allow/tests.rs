use super::*;

fn list(entries: &[(&str, &str, Option<u16>, bool)]) -> AllowList {
    let entries: Vec<AllowEntry> = entries
        .iter()
        .map(|(host, cidr, port, http)| AllowEntry {
            host: (*host).to_owned(),
            cidr: cidr.parse().unwrap(),
            port: *port,
            http: *http,
        })
        .collect();
    AllowList::new(&entries)
}

fn admits(list: &AllowList, scheme: Scheme, host: &str, port: u16, address: &str) -> bool {
    list.admits(scheme, host, port, address.parse().unwrap()).is_ok()
}

#[test]
fn without_entries_only_public_addresses_by_https_on_the_usual_ports() {
    let none = list(&[]);
    for port in 0..=u16::MAX {
        let usual = port == 443 || port == 8443;
        assert_eq!(admits(&none, Scheme::Https, "a.example", port, "93.184.215.14"), usual);
        assert!(!admits(&none, Scheme::Http, "a.example", port, "93.184.215.14"));
        assert!(!admits(&none, Scheme::Https, "a.example", port, "10.0.0.1"));
        assert_eq!(none.could_reach(Scheme::Https, "a.example", port).is_ok(), usual);
        assert!(none.could_reach(Scheme::Http, "a.example", port).is_err());
    }
}

#[test]
fn an_entry_must_match_in_host_address_and_port_at_once() {
    let two =
        list(&[("a.example", "10.0.0.0/8", Some(9000), false), ("b.example", "192.168.0.0/16", Some(9001), false)]);
    assert!(admits(&two, Scheme::Https, "a.example", 9000, "10.1.1.1"));
    for (host, port, address) in [
        ("b.example", 9000, "10.1.1.1"),
        ("a.example", 9001, "10.1.1.1"),
        ("a.example", 9000, "192.168.1.1"),
        ("a.example", 443, "10.1.1.1"),
        ("x.a.example", 9000, "10.1.1.1"),
        ("a.example", 9000, "::ffff:10.1.1.1"),
    ] {
        assert!(!admits(&two, Scheme::Https, host, port, address), "{host}:{port} {address}");
    }
}

#[test]
fn an_entry_without_a_port_is_for_the_usual_ones() {
    let one = list(&[("*", "10.0.0.0/8", None, true)]);
    for (scheme, port, fits) in [
        (Scheme::Https, 443, true),
        (Scheme::Https, 8443, true),
        (Scheme::Https, 80, false),
        (Scheme::Https, 22, false),
        (Scheme::Http, 80, true),
        (Scheme::Http, 443, false),
        (Scheme::Http, 22, false),
    ] {
        assert_eq!(admits(&one, scheme, "a.example", port, "10.1.1.1"), fits, "{scheme:?} {port}");
    }
}

#[test]
fn plain_http_takes_an_entry_that_says_so_for_public_addresses_as_well() {
    let one = list(&[("a.example", "93.184.215.0/24", Some(80), true), ("a.example", "0.0.0.0/0", Some(81), false)]);
    assert!(admits(&one, Scheme::Http, "a.example", 80, "93.184.215.14"));
    assert!(!admits(&one, Scheme::Http, "a.example", 80, "1.1.1.1"));
    assert!(!admits(&one, Scheme::Http, "a.example", 81, "1.1.1.1"));
    assert_eq!(one.admits(Scheme::Http, "a.example", 80, "1.1.1.1".parse().unwrap()), Err(Refused::NotInEntry));
}
