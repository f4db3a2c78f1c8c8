//! Settings are refused at the start, with their names and what they take.

use crate::support::*;
use sluice_egress::{Egress, EgressConfig};

#[tokio::test]
async fn every_setting_is_checked_and_named() {
    let mut garbage = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut garbage, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let empty = tempfile::NamedTempFile::new().unwrap();
    let with = |change: &dyn Fn(&mut EgressConfig)| {
        let mut config = config(&[]);
        change(&mut config);
        config
    };
    let entry = |host: &str| EgressConfig { allow: vec![allow(host, 443)], ..config(&[]) };
    let cases = [
        (entry("https://x"), "egress.allow takes entries {host, cidr, port, http}"),
        (entry("UPPER.example.com"), "egress.allow takes"),
        (entry("*.com"), "egress.allow takes"),
        (entry(""), "egress.allow takes"),
        (entry("127.1"), "egress.allow takes"),
        (with(&|config| config.allow = vec![allow("*", 0)]), "egress.allow takes"),
        (with(&|config| config.ca_file = Some("".into())), "egress.ca_file takes the path"),
        (
            with(&|config| config.ca_file = Some("/nowhere/ca.pem".into())),
            "egress.ca_file takes the path of a PEM file of certificates; /nowhere/ca.pem: ",
        ),
        (with(&|config| config.ca_file = Some(garbage.path().into())), "egress.ca_file takes"),
        (with(&|config| config.ca_file = Some(empty.path().into())), "it has no certificate"),
        (with(&|config| config.ca_file = None), "egress.native_roots takes"),
        (with(&|config| config.connect_timeout_ms = 9), "egress.connect_timeout_ms takes 10 to 60000 milliseconds"),
        (with(&|config| config.dns_timeout_ms = 60_001), "egress.dns_timeout_ms takes"),
        (with(&|config| config.queue_timeout_ms = 60_001), "egress.queue_timeout_ms takes"),
        (with(&|config| config.max_in_flight = 0), "egress.max_in_flight takes 1 to 100000 requests"),
        (with(&|config| config.max_in_flight_per_tenant = 0), "egress.max_in_flight_per_tenant takes"),
        (with(&|config| config.max_lookups = 501), "egress.max_lookups takes"),
        (with(&|config| config.max_lookups_per_tenant = 0), "egress.max_lookups_per_tenant takes"),
        (with(&|config| config.max_idle = 100_001), "egress.max_idle takes"),
        (with(&|config| config.max_idle_per_host = 1001), "egress.max_idle_per_host takes"),
        (with(&|config| config.idle_timeout_ms = 0), "egress.idle_timeout_ms takes"),
        (with(&|config| config.max_connection_age_ms = 0), "egress.max_connection_age_ms takes"),
    ];
    for (config, expected) in cases {
        let error = Egress::new(&config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn the_defaults_are_good_and_settings_are_read_by_their_names() {
    Egress::new(&EgressConfig::default()).unwrap();
    let text = r#"{"allow": [{"host": "*.internal.example", "cidr": "10.0.0.0/8", "port": 9443}], "max_idle": 7}"#;
    let config: EgressConfig = serde_json::from_str(text).unwrap();
    assert_eq!((config.max_idle, config.allow[0].port, config.allow[0].http), (7, Some(9443), false));
    assert_eq!(config.max_in_flight, EgressConfig::default().max_in_flight);
    for wrong in [
        r#"{"alow": []}"#,
        r#"{"allow": [{"host": "x", "cidr": "10.0.0.0/99"}]}"#,
        r#"{"allow": [{"host": "x"}]}"#,
        r#"{"allow": [{"host": "x", "cidr": "10.0.0.0/8", "ports": 1}]}"#,
    ] {
        serde_json::from_str::<EgressConfig>(wrong).unwrap_err();
    }
}
