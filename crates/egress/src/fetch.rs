//! One request of an Action, from its checks to its answer, over as many hops as it takes.

use crate::{
    allow::AllowList,
    answer,
    attempt::{Attempts, Phase, Trail},
    config::{ConfigError, EgressConfig},
    connect::{Connector, Dialer, TcpDialer},
    link::Link,
    outgoing::Outgoing,
    places::{Full, Places},
    pool::{Key, Pool},
    resolve::{Lookups, Resolver, SystemResolver},
    target::{Scheme, Target},
    tls,
};
use http::{Response, header::LOCATION};
use hyper::body::Incoming;
use semver::Version;
use sluice_model::{
    Slug,
    http::{HostPattern, HttpError, HttpFailure, HttpRequest, HttpResponse, MAX_REDIRECTS, RedirectPolicy},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Who asks. Connections are shared by what is the same caller, and by nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The tenant; bounds are for each.
    pub tenant: Slug,
    /// The Action.
    pub slug: Slug,
    /// Its version.
    pub version: Version,
}

/// Outgoing HTTP: one a process. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    connector: Connector,
    pool: Arc<Pool>,
    places: Arc<Places>,
    queue_timeout: Duration,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("idle", &self.idle_connections()).finish_non_exhaustive()
    }
}

impl Egress {
    /// Outgoing HTTP over the system's resolver and network. Reads the trusted certificates, which blocks for some 10 ms. The
    /// error is the first setting that is not as it must be.
    pub fn new(config: &EgressConfig) -> Result<Egress, ConfigError> {
        Egress::over(config, Arc::new(SystemResolver), Arc::new(TcpDialer))
    }

    /// As [`Egress::new`], over another resolver and another network.
    pub fn over(
        config: &EgressConfig,
        resolver: Arc<dyn Resolver>,
        dialer: Arc<dyn Dialer>,
    ) -> Result<Egress, ConfigError> {
        config.check()?;
        let lookups = Places::new(config.max_lookups, config.max_lookups_per_tenant);
        let connector = Connector {
            allow: AllowList::new(&config.allow),
            lookups: Lookups::new(resolver, lookups, config.dns_timeout()),
            dialer,
            tls: tls::client(config)?,
            timeout: config.connect_timeout(),
        };
        Ok(Egress(Arc::new(Inner {
            connector,
            pool: Pool::new(config),
            places: Places::new(config.max_in_flight, config.max_in_flight_per_tenant),
            queue_timeout: config.queue_timeout(),
        })))
    }

    /// Checks that `url` is one that could be asked for, by its words alone: its scheme, its length, its port, and that it
    /// carries no user name. What its host leads to is only known when it is asked for.
    ///
    /// # Errors
    /// [`HttpFailure::UrlRefused`], with what is wrong.
    pub fn check_url(&self, url: &Url) -> Result<(), HttpError> {
        let host = HostPattern::of_url(url);
        Target::of(url, host.as_slice(), &self.0.connector.allow).map(drop)
    }

    /// Sends `request`, whose caller may send to `hosts`, follows where it is sent if it says so, and answers with the whole
    /// answer. Must be called on a tokio runtime with its time and network.
    ///
    /// It ends by `deadline` at the latest ([`HttpFailure::TimedOut`]). Dropping the future closes the socket. Every attempt
    /// is in `attempts` when it has ended, whichever way. The error is for the author; its kinds are of [`HttpFailure`], all
    /// but [`HttpFailure::Canceled`], which is only ever written down.
    pub async fn fetch(
        &self,
        caller: &Caller,
        hosts: &[HostPattern],
        request: HttpRequest,
        deadline: Instant,
        attempts: &Attempts,
    ) -> Result<HttpResponse, HttpError> {
        let mut trail = Trail::new(attempts);
        trail.begin(request.url.host_str().unwrap_or_default());
        // A timeout polls what it bounds first: nothing is begun that is over already.
        let ended = match Instant::now() < deadline {
            true => timeout_at(deadline, self.0.run(caller, hosts, request, &mut trail)).await.ok(),
            false => None,
        };
        let ended = ended.unwrap_or_else(|| Err(trail.timed_out()));
        trail.end(ended.as_ref().err().map(|error| error.failure));
        ended
    }

    /// Connections that wait for their next request, of all callers.
    pub fn idle_connections(&self) -> usize {
        self.0.pool.len()
    }
}

impl Inner {
    async fn run(
        &self,
        caller: &Caller,
        hosts: &[HostPattern],
        request: HttpRequest,
        trail: &mut Trail<'_>,
    ) -> Result<HttpResponse, HttpError> {
        let allow = &self.connector.allow;
        let (mut url, policy) = (request.url.clone(), request.redirect);
        url.set_fragment(None);
        let mut target = Target::of(&url, hosts, allow)?;
        let mut outgoing = Outgoing::of(&target.origin.host, request)?;
        let _place = self.places.take(&caller.tenant, self.queue_timeout).await.map_err(|full| {
            let whose = if full == Full::Tenant { " of this tenant" } else { "" };
            let message = format!("{}: too many requests{whose} are under way", target.origin.host);
            HttpError::new(HttpFailure::Overloaded, message)
        })?;
        let mut redirects = 0;
        loop {
            let (mut link, answer) = self.ask(caller, &target, &outgoing, trail).await?;
            let (head, body) = answer.into_parts();
            let host = target.origin.host.as_str();
            let status = head.status.as_u16();
            trail.status(status);
            answer::check_head(host, &head)?;
            let next = match policy {
                RedirectPolicy::Manual => None,
                RedirectPolicy::Error | RedirectPolicy::Follow if !matches!(status, 301 | 302 | 303 | 307 | 308) => {
                    None
                }
                RedirectPolicy::Error => {
                    let message = format!("{host}: the server redirects, and the request takes that for an error");
                    return Err(HttpError::new(HttpFailure::RedirectRefused, message));
                }
                RedirectPolicy::Follow => head.headers.get(LOCATION).map(|location| location.as_bytes()),
            };
            let key = |target: &Target| Key { caller: caller.clone(), origin: target.origin.clone() };
            let Some(location) = next else {
                answer::check_encoding(host, &head, &outgoing)?;
                trail.phase = Phase::Body;
                let body = answer::read_body(host, &mut link, body).await?;
                self.pool.put(key(&target), link);
                return Ok(answer::response(&head, body, url.into(), redirects > 0));
            };
            if redirects == MAX_REDIRECTS {
                let message = format!("{host}: the server redirects once more after {MAX_REDIRECTS} redirects");
                return Err(HttpError::new(HttpFailure::RedirectRefused, message));
            }
            let (next_url, next_target) = self.follow(&url, &target, location, hosts)?;
            if answer::skip_body(&mut link, body) {
                self.pool.put(key(&target), link);
            }
            redirects += 1;
            outgoing.redirect(status, next_target.origin == target.origin);
            (url, target) = (next_url, next_target);
            trail.begin(&target.origin.host);
        }
    }

    /// Where an answer sends, with every check that the first URL had; what fails there is told as a redirect that is refused.
    fn follow(
        &self,
        url: &Url,
        target: &Target,
        location: &[u8],
        hosts: &[HostPattern],
    ) -> Result<(Url, Target), HttpError> {
        let host = &target.origin.host;
        let refused = |why: &str| HttpError::new(HttpFailure::RedirectRefused, format!("{host} redirects: {why}"));
        // Of no byte beyond ASCII is it known what it means; the web guesses, and a check must not.
        let text = std::str::from_utf8(location).ok().filter(|text| text.is_ascii());
        let next = text.and_then(|text| url.join(text).ok());
        let mut next = next.ok_or_else(|| refused("where to is no URL"))?;
        next.set_fragment(None);
        let next_target = Target::of(&next, hosts, &self.connector.allow).map_err(|error| refused(&error.message))?;
        if target.origin.scheme == Scheme::Https && next_target.origin.scheme == Scheme::Http {
            return Err(refused(&format!("{}: from https to plain http", next_target.origin.host)));
        }
        Ok((next, next_target))
    }

    /// Sends to one server and waits for the head of its answer. A connection that was kept and turns out to be closed is made
    /// good once, by a new one: where no byte of the request was sent, or where no byte of an answer came and the request is
    /// safe to send again (GET, HEAD, OPTIONS). What was sent counts as an attempt.
    async fn ask(
        &self,
        caller: &Caller,
        target: &Target,
        outgoing: &Outgoing,
        trail: &mut Trail<'_>,
    ) -> Result<(Link, Response<Incoming>), HttpError> {
        let origin = &target.origin;
        if let Some(mut link) = self.pool.take(&Key { caller: caller.clone(), origin: origin.clone() }) {
            // The same check as for a new one: a connection that was kept is no way around.
            if self.connector.allow.admits(origin.scheme, &origin.host, origin.port, link.peer).is_ok() {
                trail.phase = Phase::Head;
                match link.send(outgoing.to(target)).await {
                    Ok(answer) => return Ok((link, answer)),
                    Err(lost) if lost.untouched => {}
                    Err(lost) if lost.silent && outgoing.is_safe() => {
                        trail.end(Some(HttpFailure::ConnectionLost));
                        trail.begin(&origin.host);
                    }
                    Err(lost) => return Err(answer::lost(&origin.host, &lost.error)),
                }
            }
        }
        let mut link = self.connector.connect(&caller.tenant, origin, trail).await?;
        trail.phase = Phase::Head;
        match link.send(outgoing.to(target)).await {
            Ok(answer) => Ok((link, answer)),
            Err(lost) => Err(answer::lost(&origin.host, &lost.error)),
        }
    }
}
