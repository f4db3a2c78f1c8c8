//! Names to addresses: the port, the system's resolver behind it, and the bounds on how many names are looked up at once.

use crate::{
    attempt::Shown,
    places::{Full, Places},
};
use async_trait::async_trait;
use sluice_model::{
    Slug,
    http::{HttpError, HttpFailure},
};
use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// The addresses of a name. The most that are looked at; a name with more is refused.
const MAX_ADDRESSES: usize = 64;

/// Whose name it is, which says how it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameScope {
    /// A name of the Internet: as it stands, and not under the search domains of this machine.
    Public,
    /// A name that the operator's allow list names: as any other program of this machine would.
    Operator,
}

/// Looks names up. Every connection asks once; nothing is kept between.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `name` (ASCII, lower case, no dot at its end), in the order in which they are to be tried. An error or
    /// none at all is a name that is not resolved; the error's text is for logs only. It is given up by the caller after
    /// `egress.dns_timeout_ms`, and counts against the bounds on lookups until it ends.
    async fn resolve(&self, name: &str, scope: NameScope) -> io::Result<Vec<IpAddr>>;
}

/// `getaddrinfo`, on the threads that the runtime has for calls that block.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str, scope: NameScope) -> io::Result<Vec<IpAddr>> {
        let name = match scope {
            NameScope::Public => format!("{name}."),
            NameScope::Operator => name.to_owned(),
        };
        let lookup = move || -> io::Result<Vec<IpAddr>> {
            Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect())
        };
        tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)?
    }
}

/// A resolver within its bounds.
pub(crate) struct Lookups {
    resolver: Arc<dyn Resolver>,
    places: Arc<Places>,
    timeout: Duration,
}

impl Lookups {
    pub(crate) fn new(resolver: Arc<dyn Resolver>, places: Arc<Places>, timeout: Duration) -> Lookups {
        Lookups { resolver, places, timeout }
    }

    /// The addresses of `host`, at least one. A lookup that is not waited for any more goes on and keeps its place: the
    /// system's cannot be ended, and a name that is never answered must not take a thread for each time it is asked.
    pub(crate) async fn addresses(
        &self,
        tenant: &Slug,
        host: &str,
        scope: NameScope,
    ) -> Result<Vec<IpAddr>, HttpError> {
        let failed = |what: String| HttpError::new(HttpFailure::NameNotResolved, format!("{host}: {what}"));
        let until = Instant::now() + self.timeout;
        let place = self.places.take(tenant, self.timeout).await.map_err(|full| {
            let whose = if full == Full::Tenant { " for this tenant" } else { "" };
            let message = format!("{host}: too many names are being looked up{whose}");
            HttpError::new(HttpFailure::Overloaded, message)
        })?;
        let (resolver, name) = (self.resolver.clone(), host.to_owned());
        let lookup = tokio::spawn(async move {
            let found = resolver.resolve(&name, scope).await;
            drop(place);
            found
        });
        match timeout_at(until, lookup).await {
            Err(_) => Err(failed(format!("no address within {}", Shown(self.timeout)))),
            Ok(Ok(Ok(found))) if found.is_empty() => Err(failed("the name has no address".to_owned())),
            Ok(Ok(Ok(found))) if found.len() > MAX_ADDRESSES => {
                Err(failed(format!("the name has over {MAX_ADDRESSES} addresses")))
            }
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(Ok(Err(error))) => {
                tracing::debug!(host, %error, "a name is not resolved");
                Err(failed("the name is not resolved".to_owned()))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a resolver broke off");
                Err(failed("the name is not resolved".to_owned()))
            }
        }
    }
}
