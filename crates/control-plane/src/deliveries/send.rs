//! One attempt: what is sent, to where, and what came of it.

use super::rows::{Attempt, Content, Delivery, To};
use crate::clock::Clock;
use crate::secrets::Secrets;
use jiff::Timestamp;
use sluice_egress::{Attempts, Caller, Egress};
use sluice_model::delivery::{self, SigningKey};
use sluice_model::http::{HostPattern, HttpError, HttpFailure, HttpRequest, RedirectPolicy};
use sluice_model::outcome::EmitFormat;
use sluice_model::{Error, Slug};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Where Slack takes messages.
const SLACK_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];
/// How the path of such a URL begins.
const SLACK_PATH: &str = "/services/";

/// Sends.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) egress: Egress,
    pub(super) secrets: Secrets,
    pub(super) clock: Clock,
    /// See [`crate::config::DeliveriesConfig::slack_test_hosts`].
    pub(super) slack_test_hosts: Arc<[String]>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was tried.
    Tried {
        attempt: Attempt,
        /// How long the receiver asks to be left alone.
        wait: Option<Duration>,
    },
    /// There was no place for it: nothing was tried.
    NoPlace,
}

/// A mistake that was found before anything was sent; for people, without any value.
struct Wrong(&'static str);

impl Sender {
    /// Tries once. `body` is the content's own, or that of what stands for several.
    pub(super) async fn send(
        &self,
        tenant: &Slug,
        delivery: &Delivery,
        content: &Content,
        body: &str,
    ) -> Result<Sent, Error> {
        let (at, began) = (self.clock.now(), Instant::now());
        let ended = |status, failure: Option<String>| Attempt {
            at,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            status,
            failure,
        };
        let (request, hosts) = match self.prepare(tenant, delivery, content, body, at).await? {
            Ok(prepared) => prepared,
            Err(Wrong(what)) => {
                return Ok(Sent::Tried { attempt: ended(None, Some(what.to_owned())), wait: None });
            }
        };
        let caller = Caller { tenant: tenant.clone(), slug: delivery.slug.clone(), version: delivery.version.clone() };
        let deadline = began + Duration::from_millis(content.timeout_ms.into());
        let attempts = Attempts::new();
        let answer = self.egress.fetch(&caller, &hosts, request, deadline, &attempts).await;
        if matches!(&answer, Err(HttpError { failure: HttpFailure::Overloaded, .. })) {
            return Ok(Sent::NoPlace);
        }
        // What counts is the status, also where the rest of the answer was too large or too slow.
        let status = attempts.take().last().and_then(|attempt| attempt.status);
        let failure = match (&answer, status) {
            (Err(error), None) => Some(error.failure.as_str().to_owned()),
            _ => None,
        };
        let asked = |name: &str, value: &str| name == "retry-after" && !value.is_empty();
        let wait = answer.ok().and_then(|answer| {
            let (_, value) = answer.headers.into_iter().find(|(name, value)| asked(name, value))?;
            delivery::read_retry_after(&value, self.clock.now())
        });
        Ok(Sent::Tried { attempt: ended(status, failure), wait })
    }

    async fn prepare(
        &self,
        tenant: &Slug,
        delivery: &Delivery,
        content: &Content,
        body: &str,
        at: Timestamp,
    ) -> Result<Result<(HttpRequest, Vec<HostPattern>), Wrong>, Error> {
        let (url, hosts) = match &content.to {
            To::Url(text) => {
                let Ok(url) = Url::parse(text) else { return Ok(Err(Wrong("url_refused"))) };
                let hosts = own_host(&url);
                (url, hosts)
            }
            To::UrlSecret { name, own_host: is_own } => {
                let Some((_, text)) = self.secrets.value(tenant, name).await? else {
                    return Ok(Err(Wrong("url_secret_not_set")));
                };
                let Ok(url) = Url::parse(text.expose().trim()) else {
                    return Ok(Err(Wrong("url_secret_is_no_url")));
                };
                let declared = || content.hosts.iter().filter_map(|host| HostPattern::parse(host).ok()).collect();
                let hosts = if *is_own { own_host(&url) } else { declared() };
                (url, hosts)
            }
        };
        if delivery.format == EmitFormat::Slack && !is_slack(&url, &self.slack_test_hosts) {
            return Ok(Err(Wrong("url_is_not_slacks")));
        }
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let own = |name: &str| {
            name == delivery::ID_HEADER || name == delivery::TIMESTAMP_HEADER || name == delivery::SIGNATURE_HEADER
        };
        for (name, value) in content.headers.iter().filter(|(name, _)| !own(name)) {
            headers.retain(|(there, _)| there != name);
            headers.push((name.clone(), value.clone()));
        }
        if delivery.format == EmitFormat::Standard {
            headers.push((delivery::ID_HEADER.to_owned(), delivery.id.clone()));
            headers.push((delivery::TIMESTAMP_HEADER.to_owned(), at.as_second().to_string()));
            if let Some(name) = &content.signing_secret {
                let values = self.secrets.signing(tenant, name).await?;
                if values.is_empty() {
                    return Ok(Err(Wrong("signing_secret_not_set")));
                }
                // A former value that was none must not keep the present one from signing.
                let mut keys = values.iter().map(|value| SigningKey::parse(value.expose()));
                let Some(Ok(present)) = keys.next() else { return Ok(Err(Wrong("signing_secret_is_none"))) };
                let keys: Vec<SigningKey> = std::iter::once(present).chain(keys.filter_map(Result::ok)).collect();
                let signature = delivery::sign(&keys, &delivery.id, at.as_second(), body.as_bytes());
                headers.push((delivery::SIGNATURE_HEADER.to_owned(), signature));
            }
        }
        let request = HttpRequest {
            method: "POST".to_owned(),
            url,
            headers,
            body: Some(body.as_bytes().to_vec()),
            redirect: RedirectPolicy::Manual,
        };
        Ok(Ok((request, hosts)))
    }
}

fn own_host(url: &Url) -> Vec<HostPattern> {
    HostPattern::of_url(url).into_iter().collect()
}

/// Whether Slack takes messages there, or a test does in its place. Over what and at which port is egress's to say.
pub(crate) fn is_slack(url: &Url, test_hosts: &[String]) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_slacks = url.scheme() == "https"
        && SLACK_HOSTS.contains(&host)
        && url.port().is_none()
        && url.path().starts_with(SLACK_PATH);
    is_slacks || test_hosts.iter().any(|test| test == host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn slack_is_two_hosts_and_one_path() {
        let tests = ["127.0.0.1".to_owned()];
        for (url, is) in [
            ("https://hooks.slack.com/services/T0/B0/x", true),
            ("https://hooks.slack-gov.com/services/T0/B0/x", true),
            ("https://hooks.slack.com/workflows/T0", false),
            ("https://hooks.slack.com.example/services/T0", false),
            ("https://a.hooks.slack.com/services/T0", false),
            ("https://hooks.slack.com:8443/services/T0", false),
            ("http://hooks.slack.com/services/T0", false),
            ("https://hooks.slack.com/services/../x", false),
            ("http://127.0.0.1:9000/x", true),
            ("http://127.0.0.2:9000/x", false),
        ] {
            assert_eq!(is_slack(&Url::parse(url).unwrap(), &tests), is, "{url}");
        }
    }
}
