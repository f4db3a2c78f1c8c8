//! Redirects: a URL that an Action names, and the origins that a tenant allows.
//!
//! An open redirect is refused by the HOST for every Action, at save and at run.

use crate::outcome::MAX_URL_BYTES;
use std::{collections::BTreeMap, fmt};
use url::Url;

/// An origin that redirects may lead to, such as `https://app.example.com` or `https://app.example.com:8443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin: scheme, host and port, nothing after them. `http` is taken for localhost alone, and works
    /// only where the operator allows it. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Origin, String> {
        let url = parse(text)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        // `https://a.example/` and `https://a.example` are one origin; `https://a.example/x` is none.
        if !bare || text.ends_with(['?', '#']) {
            return Err("an origin is scheme, host and port, such as https://app.example.com, and nothing after them"
                .to_owned());
        }
        Ok(Origin(url.origin().ascii_serialization()))
    }

    /// The origin as browsers write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads an absolute URL as WHATWG does, and refuses what has ever fooled somebody: userinfo, backslashes, control
/// characters and spaces, a missing `//`, another scheme than https (http for localhost).
pub fn parse(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL_BYTES {
        return Err(format!("a URL has at most {MAX_URL_BYTES} bytes"));
    }
    if let Some(odd) = text.chars().find(|c| *c == '\\' || c.is_control() || c.is_whitespace()) {
        return Err(format!("U+{:04X} cannot stand in a URL", u32::from(odd)));
    }
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if !lower.starts_with("https://") && !lower.starts_with("http://") {
        return Err("expected an absolute https URL such as https://app.example.com/welcome".to_owned());
    }
    let url = Url::parse(text).map_err(|e| format!("not a URL: {e}"))?;
    let authority = text.split_once("//").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or("");
    if authority.is_empty() {
        return Err("the host is missing after //".to_owned());
    }
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err("a URL here has no user name or password".to_owned());
    }
    if url.scheme() == "http" && !is_localhost(&url) {
        return Err("expected https; http is for localhost alone".to_owned());
    }
    Ok(url)
}

fn is_localhost(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Whether a redirect may go to this URL: its origin is exactly one that the tenant allows, and http only where the
/// operator allows localhost. The error says what is allowed without telling all of it.
pub fn check(text: &str, allowed: &[Origin], http_localhost: bool) -> Result<Url, String> {
    let url = parse(text)?;
    if url.scheme() == "http" && !http_localhost {
        return Err("expected https; http leads to localhost alone, and only where the operator sets \
                    redirect.http_localhost to true"
            .to_owned());
    }
    let origin = url.origin().ascii_serialization();
    if allowed.iter().any(|o| o.0 == origin) {
        return Ok(url);
    }
    Err(format!("{origin} is not among the tenant's allowed redirect origins"))
}

/// The URL with parameters added, percent-encoded.
pub fn with_query(mut url: Url, query: &BTreeMap<String, String>) -> Url {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

#[cfg(test)]
mod tests;
