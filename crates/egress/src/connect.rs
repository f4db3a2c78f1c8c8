//! A new connection: the name looked up once, every address checked, and then the addresses themselves connected to.

use crate::{
    allow::{AllowList, Refused},
    attempt::{Phase, Shown, Trail},
    link::{Link, Stream},
    resolve::{Lookups, NameScope},
    target::{Origin, Scheme},
    tls,
};
use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::{ClientConfig, pki_types::ServerName};
use sluice_model::{
    Slug,
    http::{HttpError, HttpFailure},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use url::Host;

/// How long one address is waited for before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const MAX_TRIED: usize = 8;

/// Makes connections. A seam for tests and for a network that is not the machine's own.
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// Connects to this address, which was checked, and to no other. The caller gives up after `egress.connect_timeout_ms` by
    /// dropping the future; the error's text is for logs only.
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// TCP as the machine has it; no proxy, whatever the environment says.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDialer;

#[async_trait]
impl Dialer for TcpDialer {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

pub(crate) struct Connector {
    pub(crate) allow: AllowList,
    pub(crate) lookups: Lookups,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) timeout: Duration,
}

impl Connector {
    pub(crate) async fn connect(
        &self,
        tenant: &Slug,
        origin: &Origin,
        trail: &mut Trail<'_>,
    ) -> Result<Link, HttpError> {
        trail.phase = Phase::Address;
        let addresses = self.addresses(tenant, origin).await?;
        trail.phase = Phase::Connection;
        let connect = async {
            let (stream, peer) = self.dial(&addresses, origin).await?;
            let stream = match origin.scheme {
                Scheme::Https => Stream::Tls(Box::new(self.handshake(stream, &origin.host).await?)),
                Scheme::Http => Stream::Plain(stream),
            };
            Ok((stream, peer))
        };
        let failed = |what: &str| HttpError::new(HttpFailure::ConnectFailed, format!("{}: {what}", origin.host));
        let (stream, peer) = match timeout(self.timeout, connect).await {
            Ok(connected) => connected?,
            Err(_) => return Err(failed(&format!("no connection within {}", Shown(self.timeout)))),
        };
        Link::new(stream, peer).await.map_err(|_| failed("the connection could not be taken up"))
    }

    /// The checked addresses of a host, families in turn. One that is refused refuses the host: a name with a public address
    /// and a private one is a trap or a mistake, and which of them answers must not be left to chance.
    async fn addresses(&self, tenant: &Slug, origin: &Origin) -> Result<Vec<IpAddr>, HttpError> {
        let literal = match Host::parse(&origin.host) {
            Ok(Host::Ipv4(address)) => Some(IpAddr::from(address)),
            Ok(Host::Ipv6(address)) => Some(IpAddr::from(address)),
            Ok(Host::Domain(_)) => None,
            Err(_) => {
                let message = format!("{}: this is no host", origin.host);
                return Err(HttpError::new(HttpFailure::UrlRefused, message));
            }
        };
        let found = match literal {
            Some(address) => vec![address],
            None => {
                let public = !self.allow.names(&origin.host);
                let scope = if public { NameScope::Public } else { NameScope::Operator };
                self.lookups.addresses(tenant, &origin.host, scope).await?
            }
        };
        for address in &found {
            self.allow.admits(origin.scheme, &origin.host, origin.port, *address).map_err(|why| {
                let host = &origin.host;
                let leads = if literal.is_some() { host.clone() } else { format!("{host} leads to {address}, which") };
                let is = match why {
                    Refused::Kind(kind) => format!("{leads} is {kind}"),
                    Refused::NotInEntry => format!("{leads} is not allowed on port {}", origin.port),
                };
                HttpError::new(HttpFailure::AddressRefused, is)
            })?;
        }
        Ok(in_turn(found))
    }

    /// The first that answers; the next is tried when one fails or lets wait.
    async fn dial(&self, addresses: &[IpAddr], origin: &Origin) -> Result<(TcpStream, IpAddr), HttpError> {
        let mut waiting = addresses.iter().take(MAX_TRIED);
        let mut trying = FuturesUnordered::new();
        let mut last = None;
        loop {
            if let Some(address) = waiting.next() {
                let address = *address;
                let port = origin.port;
                trying.push(async move { (self.dialer.dial(SocketAddr::new(address, port)).await, address) });
            }
            let more = waiting.len() > 0;
            let ended = tokio::select! {
                ended = trying.next() => ended,
                () = sleep(STAGGER), if more => continue,
            };
            match ended {
                Some((Ok(stream), address)) => {
                    // Requests are small and wait for their answers: nothing is won by holding a packet back.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a socket takes no option");
                    }
                    return Ok((stream, address));
                }
                Some((Err(error), _)) => last = Some(error),
                None => {
                    let why = last.as_ref().map_or("no address was tried", refusal);
                    let message = format!("{}: {why}", origin.host);
                    return Err(HttpError::new(HttpFailure::ConnectFailed, message));
                }
            }
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, HttpError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| {
            let message = format!("{host}: this is no name that a certificate could be for");
            HttpError::new(HttpFailure::TlsFailed, message)
        })?;
        TlsConnector::from(self.tls.clone()).connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(wrong) => {
                    tracing::debug!(host, error = %wrong, "a TLS handshake failed");
                    HttpError::new(HttpFailure::TlsFailed, format!("{host}: {}", tls::wrong(wrong)))
                }
                None => {
                    let message = format!("{host}: the server ended the connection during the TLS handshake");
                    HttpError::new(HttpFailure::ConnectionLost, message)
                }
            }
        })
    }
}

/// Why a connection was not made, in words of ours: the system's tell of the network.
fn refusal(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "the connection was reset",
        io::ErrorKind::TimedOut => "nobody answered",
        _ => "no connection could be made",
    }
}

/// Each family in its order, one after the other in turn, beginning with the first's.
fn in_turn(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = found.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return turns;
        }
        turns.extend(one.into_iter().chain(other));
    }
}
