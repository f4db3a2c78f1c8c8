//! What a connection may go to: public addresses by https on the usual ports, and what the operator's allow list names.

use crate::{address, config::AllowEntry, target::Scheme};
use sluice_model::http::{HostPattern, USUAL_PORTS};
use std::net::IpAddr;

/// The port of plain http.
const HTTP_PORT: u16 = 80;

/// The host of an entry.
#[derive(Clone, Debug)]
pub(crate) enum AllowHost {
    /// `*`: every name and every address.
    Any,
    /// A host, or the names under a domain.
    Pattern(HostPattern),
}

impl AllowHost {
    pub(crate) fn parse(text: &str) -> Option<AllowHost> {
        if text == "*" {
            return Some(AllowHost::Any);
        }
        HostPattern::parse(text).ok().map(AllowHost::Pattern)
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            AllowHost::Any => true,
            AllowHost::Pattern(pattern) => pattern.matches(host),
        }
    }
}

/// The operator's allow list.
#[derive(Clone, Debug)]
pub(crate) struct AllowList {
    entries: Vec<(AllowHost, AllowEntry)>,
}

impl AllowList {
    /// Of entries that were checked; one whose host is none allows nothing.
    pub(crate) fn new(entries: &[AllowEntry]) -> AllowList {
        let parsed = entries.iter().filter_map(|entry| Some((AllowHost::parse(&entry.host)?, entry.clone())));
        AllowList { entries: parsed.collect() }
    }

    fn entries<'a>(&'a self, scheme: Scheme, host: &'a str, port: u16) -> impl Iterator<Item = &'a AllowEntry> {
        let fits = move |entry: &AllowEntry| {
            let usual = match scheme {
                Scheme::Https => USUAL_PORTS.contains(&port),
                Scheme::Http => port == HTTP_PORT,
            };
            (scheme == Scheme::Https || entry.http) && entry.port.map_or(usual, |allowed| allowed == port)
        };
        let named = self.entries.iter().filter(move |(pattern, _)| pattern.matches(host));
        named.map(|(_, entry)| entry).filter(move |entry| fits(entry))
    }

    /// Whether there is an entry that names this host at all. Such a name is the operator's: it is looked up as it is written,
    /// search domains and the hosts file included.
    pub(crate) fn names(&self, host: &str) -> bool {
        self.entries.iter().any(|(pattern, _)| pattern.matches(host))
    }

    /// Before anything is resolved: whether a connection of this kind could be let through, or why not.
    pub(crate) fn could_reach(&self, scheme: Scheme, host: &str, port: u16) -> Result<(), String> {
        if self.entries(scheme, host, port).next().is_some() {
            return Ok(());
        }
        match scheme {
            Scheme::Http => Err("plain http is not allowed".to_owned()),
            Scheme::Https if USUAL_PORTS.contains(&port) => Ok(()),
            Scheme::Https => Err(format!("port {port} is not allowed")),
        }
    }

    /// Whether a connection to this address may be made for this host, or what is wrong with it.
    pub(crate) fn admits(&self, scheme: Scheme, host: &str, port: u16, address: IpAddr) -> Result<(), Refused> {
        if self.entries(scheme, host, port).any(|entry| entry.cidr.contains(&address)) {
            return Ok(());
        }
        if let Some(kind) = address::refused(address) {
            return Err(Refused::Kind(kind));
        }
        if scheme == Scheme::Https && USUAL_PORTS.contains(&port) { Ok(()) } else { Err(Refused::NotInEntry) }
    }
}

/// Why an address is none to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not of the public Internet, but this.
    Kind(&'static str),
    /// It is, but the port or plain http is allowed for other addresses only.
    NotInEntry,
}

#[cfg(test)]
mod tests;
