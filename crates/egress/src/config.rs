//! What the operator sets, and what each setting takes.

use crate::allow::AllowHost;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

/// The settings of outgoing HTTP, `egress.*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressConfig {
    /// What may be reached although it is no public address, no usual port, or no https. Default: nothing. Each entry is a
    /// hole: what it names can be reached by every tenant whose version declares the host.
    pub allow: Vec<AllowEntry>,
    /// A PEM file of certificates that are trusted beside the system's. Default: none. Read once, at the start.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificates of the system are trusted (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others). Default: true.
    /// Costs some 10 ms at the start.
    pub native_roots: bool,
    /// How long a connection may take, TLS included, in milliseconds. Default 2000 ms, 10 to 60,000.
    pub connect_timeout_ms: u64,
    /// How long a name may take to resolve, in milliseconds. Default 2000 ms, 10 to 60,000.
    pub dns_timeout_ms: u64,
    /// How long a request waits for its place when too many are under way, in milliseconds. Default 500 ms, 0 to 60,000.
    pub queue_timeout_ms: u64,
    /// Requests under way at once. Default 1024, 1 to 100,000. Each costs a file descriptor and up to some 150 KiB.
    pub max_in_flight: usize,
    /// Requests of one tenant under way at once. Default 128, 1 to 100,000. What is over waits its turn, in order.
    pub max_in_flight_per_tenant: usize,
    /// Names that are being resolved at once. Default 64, 1 to 500. Each costs a thread of the runtime's blocking pool (which
    /// has 512) for as long as the system's resolver takes, which is not ended by a timeout.
    pub max_lookups: usize,
    /// Names of one tenant that are being resolved at once. Default 8, 1 to 500.
    pub max_lookups_per_tenant: usize,
    /// Connections that are kept for the next request. Default 512, 0 to 100,000. Each costs a file descriptor and some
    /// 40 KiB; the least recently used one goes first.
    pub max_idle: usize,
    /// Connections that one version keeps to one host. Default 4, 0 to 1000.
    pub max_idle_per_host: usize,
    /// How long a connection is kept unused, in milliseconds. Default 30,000 ms, 10 to 600,000.
    pub idle_timeout_ms: u64,
    /// How old a connection may be when it is used again, in milliseconds: a name that has moved is followed after this.
    /// Default 300,000 ms, 10 to 3,600,000.
    pub max_connection_age_ms: u64,
}

impl Default for EgressConfig {
    fn default() -> EgressConfig {
        EgressConfig {
            allow: Vec::new(),
            ca_file: None,
            native_roots: true,
            connect_timeout_ms: 2000,
            dns_timeout_ms: 2000,
            queue_timeout_ms: 500,
            max_in_flight: 1024,
            max_in_flight_per_tenant: 128,
            max_lookups: 64,
            max_lookups_per_tenant: 8,
            max_idle: 512,
            max_idle_per_host: 4,
            idle_timeout_ms: 30_000,
            max_connection_age_ms: 300_000,
        }
    }
}

/// One entry of the allow list. A connection is let through by it only where the host, the address and the port all match;
/// it then overrules every refusal of that address, so that `0.0.0.0/0` opens loopback as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowEntry {
    /// The host of the URL: a name or an address, `*.example.com` for the names under it, or `*` for every host.
    pub host: String,
    /// The addresses that the connection may go to, such as `10.1.0.0/16` or `10.1.2.3/32`.
    pub cidr: IpNet,
    /// The port; absent for the usual ones, which are 443 and 8443, and for plain http 80.
    #[serde(default)]
    pub port: Option<u16>,
    /// Whether plain http is allowed as well. Default: false. Whoever is on the way then reads and changes what is sent.
    #[serde(default)]
    pub http: bool,
}

/// What one setting takes, and whether it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The setting, without `egress.`: `allow`, `ca_file`.
    pub key: &'static str,
    /// Whether its value is one that it takes.
    pub holds: bool,
    /// What it takes, in words.
    pub takes: String,
}

/// A setting that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting, such as `egress.ca_file`.
    pub key: String,
    /// What it takes, and where that is not plain what was found.
    pub takes: String,
}

impl ConfigError {
    pub(crate) fn ca_file(path: &Path, found: impl fmt::Display) -> ConfigError {
        ConfigError {
            key: "egress.ca_file".to_owned(),
            takes: format!("the path of a PEM file of certificates; {}: {found}", path.display()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} takes {}", self.key, self.takes)
    }
}

impl std::error::Error for ConfigError {}

impl EgressConfig {
    /// What each setting takes, and whether it is so; for a server that tells all mistakes of its settings at once. Files are
    /// not read.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        let wrong = self.allow.iter().map(|entry| &entry.host).find(|host| AllowHost::parse(host).is_none());
        rules.push(Rule {
            key: "allow",
            holds: wrong.is_none() && self.allow.iter().all(|entry| entry.port != Some(0)),
            takes: "entries {host, cidr, port, http}, the host a name in lower case, an address, *.example.com or *, \
                    the port 1 to 65535 or absent"
                .to_owned(),
        });
        let path = self.ca_file.as_ref();
        rules.push(Rule {
            key: "ca_file",
            holds: path.is_none_or(|path| !path.as_os_str().is_empty()),
            takes: "the path of a PEM file of certificates".to_owned(),
        });
        rules.push(Rule {
            key: "native_roots",
            holds: self.native_roots || self.ca_file.is_some(),
            takes: "true, or false where ca_file names the certificates to trust".to_owned(),
        });
        let mut number = |key, value: u64, range: RangeInclusive<u64>, unit: &str| {
            let takes = format!("{} to {} {unit}", range.start(), range.end());
            rules.push(Rule { key, holds: range.contains(&value), takes });
        };
        number("connect_timeout_ms", self.connect_timeout_ms, 10..=60_000, "milliseconds");
        number("dns_timeout_ms", self.dns_timeout_ms, 10..=60_000, "milliseconds");
        number("queue_timeout_ms", self.queue_timeout_ms, 0..=60_000, "milliseconds");
        number("max_in_flight", self.max_in_flight as u64, 1..=100_000, "requests");
        number("max_in_flight_per_tenant", self.max_in_flight_per_tenant as u64, 1..=100_000, "requests");
        number("max_lookups", self.max_lookups as u64, 1..=500, "names");
        number("max_lookups_per_tenant", self.max_lookups_per_tenant as u64, 1..=500, "names");
        number("max_idle", self.max_idle as u64, 0..=100_000, "connections");
        number("max_idle_per_host", self.max_idle_per_host as u64, 0..=1000, "connections");
        number("idle_timeout_ms", self.idle_timeout_ms, 10..=600_000, "milliseconds");
        number("max_connection_age_ms", self.max_connection_age_ms, 10..=3_600_000, "milliseconds");
        rules
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self.rules().into_iter().find(|rule| !rule.holds) {
            Some(rule) => Err(ConfigError { key: format!("egress.{}", rule.key), takes: rule.takes }),
            None => Ok(()),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn dns_timeout(&self) -> Duration {
        Duration::from_millis(self.dns_timeout_ms)
    }

    pub(crate) fn queue_timeout(&self) -> Duration {
        Duration::from_millis(self.queue_timeout_ms)
    }
}
