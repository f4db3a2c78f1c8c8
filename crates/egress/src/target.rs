//! Where a request goes, checked by what the version declares and by the ports and schemes that are allowed. Nothing is
//! resolved here.

use crate::allow::AllowList;
use http::{HeaderValue, Uri};
use sluice_model::http::{HostPattern, HttpError, HttpFailure, check_words};
use url::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Https,
    Http,
}

/// The other end: what a connection is made to, and made again for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// As the URL has it: IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A URL that may be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) origin: Origin,
    /// The path and the query.
    pub(crate) uri: Uri,
    /// The `host` header.
    pub(crate) authority: HeaderValue,
}

impl Target {
    /// Checks `url`: its length, scheme, user name, host and port, in this order.
    pub(crate) fn of(url: &Url, hosts: &[HostPattern], allow: &AllowList) -> Result<Target, HttpError> {
        let refused = |message: String| HttpError::new(HttpFailure::UrlRefused, message);
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(refused("a URL must begin with https://".to_owned())),
        };
        let (host, port) = check_words(url)?;
        if !hosts.iter().any(|pattern| pattern.matches(host)) {
            let message = format!("{host} is not among the hosts that this version declares");
            return Err(HttpError::new(HttpFailure::HostNotDeclared, message));
        }
        allow.could_reach(scheme, host, port).map_err(|why| refused(format!("{host}: {why}")))?;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let uri = path.parse().map_err(|_| refused(format!("{host}: the URL's path cannot be sent")))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let authority =
            HeaderValue::from_str(&authority).map_err(|_| refused(format!("{host}: the host cannot be sent")))?;
        Ok(Target { origin: Origin { scheme, host: host.to_owned(), port }, uri, authority })
    }
}
