//! What the runs of a case reach, and those of `sluice test --input`: the same rules as in an executor, and nothing beyond this
//! process. Servers answer what the case says that they do, secrets are those that it brings, counters and kv are in memory.

use jiff::Timestamp;
use parking_lot::Mutex;
use sluice_counters::{Backend, BackendError, KeyMaker, Memory, MemoryConfig, Shared as SharedBy, Terms};
use sluice_model::case::{Case, HttpAnswer};
use sluice_model::counter::{CounterScope, KvSet, Take, Taken};
use sluice_model::http::{
    HostPattern, HttpError, HttpFailure, HttpRequest, HttpResponse, MAX_REDIRECTS, RedirectPolicy, check_url,
};
use sluice_model::manifest::Capability;
use sluice_model::{Grants, Manifest, Object, Slug};
use sluice_sandbox::{Answer, Ports, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Tenant, flow and attachment of a test: each is called so, and counters are shared by them.
const TEST: &str = "test";
/// All that the counters and kv of a case keep; the memory is taken as it is needed.
const MEMORY_BYTES: usize = 8 << 20;
/// Memory answers at once; the port asks for a bound.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is shown of a URL.
const MAX_SHOWN_CHARS: usize = 200;

/// What the runs of one case may ask for, at one time. Clones and those [`at`](TestPorts::at) another time share what is kept:
/// what servers answered already, counters and kv.
#[derive(Clone)]
pub struct TestPorts {
    world: Arc<World>,
    now_ms: Option<u64>,
}

struct World {
    grants: Grants,
    slug: Slug,
    hosts: Vec<HostPattern>,
    /// The names that may be asked for, and what was given, by name.
    readable: BTreeSet<String>,
    secrets: BTreeMap<String, String>,
    lacked_a_secret: AtomicBool,
    http: Vec<HttpAnswer>,
    /// Which of them were given, beside them.
    given: Mutex<Vec<bool>>,
    said: Said,
    kept: OnceLock<Kept>,
}

/// Where it is said what servers answer and secrets are: it is named where something lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The case.
    Case,
    /// The flags of `sluice test --input`, with `--http` or without.
    Flags { http: bool },
}

struct Kept {
    memory: Memory,
    keys: KeyMaker,
}

impl fmt::Debug for TestPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPorts").field("slug", &self.world.slug).finish_non_exhaustive()
    }
}

/// The hosts that the runs of a package may ask, by its config, with its defaults, and by the secrets that are given.
pub(super) fn hosts(grants: &Grants, config: &Object, secrets: &BTreeMap<String, String>) -> Vec<HostPattern> {
    let mut hosts = grants.hosts_with(config);
    let in_secrets = grants.hosts_in_secrets(config);
    let urls = in_secrets.iter().filter_map(|name| Url::parse(secrets.get(name)?).ok());
    hosts.extend(urls.filter_map(|url| HostPattern::of_url(&url)));
    hosts
}

impl TestPorts {
    /// Those of a case. `config` has its defaults.
    pub fn of_case(manifest: &Manifest, config: &Object, case: &Case) -> TestPorts {
        TestPorts::new(manifest, config, case.secrets.clone(), case.http.clone(), Said::Case)
    }

    /// Those of one run whose secrets and answers are in the files of flags; `http` is `None` where no file says what servers
    /// answer. `config` has its defaults.
    pub fn of_flags(
        manifest: &Manifest,
        config: &Object,
        secrets: BTreeMap<String, String>,
        http: Option<Vec<HttpAnswer>>,
    ) -> TestPorts {
        let said = Said::Flags { http: http.is_some() };
        TestPorts::new(manifest, config, secrets, http.unwrap_or_default(), said)
    }

    fn new(
        manifest: &Manifest,
        config: &Object,
        secrets: BTreeMap<String, String>,
        http: Vec<HttpAnswer>,
        said: Said,
    ) -> TestPorts {
        let grants = Grants::of(manifest);
        let world = World {
            hosts: hosts(&grants, config, &secrets),
            readable: grants.secrets_with(config),
            slug: manifest.slug.clone(),
            grants,
            secrets,
            lacked_a_secret: AtomicBool::new(false),
            given: Mutex::new(vec![false; http.len()]),
            http,
            said,
            kept: OnceLock::new(),
        };
        TestPorts { world: Arc::new(world), now_ms: None }
    }

    /// The same, where counters and kv read this clock; `None` is the clock of this machine.
    #[must_use]
    pub fn at(&self, now: Option<Timestamp>) -> TestPorts {
        let now_ms = now.map(|now| u64::try_from(now.as_millisecond()).unwrap_or_default());
        TestPorts { world: self.world.clone(), now_ms }
    }

    /// Whether a run asked for a secret that it may read and that was not given: it ended as `unavailable` by a mistake of the
    /// case, and by no fault of the platform.
    pub fn lacked_a_secret(&self) -> bool {
        self.world.lacked_a_secret.load(Ordering::Relaxed)
    }

    fn terms(&self) -> Terms {
        Terms { now_ms: self.now_ms, ..Terms::by(Instant::now() + PATIENCE) }
    }
}

impl World {
    /// Checks that a URL may be asked for.
    fn check(&self, url: &Url) -> Result<(), HttpError> {
        check_url(url)?;
        let host = url.host_str().unwrap_or_default();
        match self.hosts.iter().any(|pattern| pattern.matches(host)) {
            true => Ok(()),
            false => Err(HttpError::new(HttpFailure::HostNotDeclared, self.grants.host_denied(host))),
        }
    }

    /// What a server answers: the next answer to such a request, the last one again and again.
    fn next(&self, method: &str, url: &Url) -> Result<HttpResponse, HttpError> {
        let mut given = self.given.lock();
        let fits: Vec<usize> = (0..self.http.len()).filter(|at| self.http[*at].fits(method, url)).collect();
        let Some(at) = fits.iter().find(|at| !given[**at]).or(fits.last()) else {
            return Err(self.unanswered(method, url));
        };
        given[*at] = true;
        self.http[*at].answer.clone().map_err(|failure| {
            let host = url.host_str().unwrap_or_default();
            HttpError::new(failure, format!("{host}: {failure}, as the test says"))
        })
    }

    fn unanswered(&self, method: &str, url: &Url) -> HttpError {
        let shown: String = url.as_str().chars().take(MAX_SHOWN_CHARS).collect();
        let message = match self.said {
            Said::Case => format!("the case has no answer for {method} {shown}: add it to \"http\""),
            Said::Flags { http: true } => format!("the file of --http has no answer for {method} {shown}: add it"),
            Said::Flags { http: false } => {
                format!("sluice test asks no server: give --http with a file that says what {method} {shown} answers")
            }
        };
        HttpError::new(HttpFailure::RequestRefused, message)
    }

    /// Answers a request, and follows where it is sent, by the rules of `crates/egress`.
    fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let HttpRequest { mut method, mut url, redirect, .. } = request;
        url.set_fragment(None);
        self.check(&url)?;
        let mut redirects = 0;
        loop {
            let response = self.next(&method, &url)?;
            let refused = |why: String| {
                let host = url.host_str().unwrap_or_default();
                Err(HttpError::new(HttpFailure::RedirectRefused, format!("{host}: {why}")))
            };
            let is_redirect = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let location = response.headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value);
            let to = match (redirect, location) {
                (RedirectPolicy::Error, _) if is_redirect => {
                    return refused("the server redirects, and the request takes that for an error".to_owned());
                }
                (RedirectPolicy::Follow, Some(location)) if is_redirect => location,
                _ => return Ok(HttpResponse { url: url.into(), redirected: redirects > 0, ..response }),
            };
            if redirects == MAX_REDIRECTS {
                return refused(format!("the server redirects once more after {MAX_REDIRECTS} redirects"));
            }
            let next = url.join(to).ok().filter(|_| to.is_ascii());
            let Some(mut next) = next else {
                return refused("the server redirects, and where to is no URL".to_owned());
            };
            next.set_fragment(None);
            if let Err(error) = self.check(&next) {
                return refused(format!("the server redirects: {}", error.message));
            }
            let becomes_get = match response.status {
                301 | 302 => method == "POST",
                303 => method != "HEAD",
                _ => false,
            };
            if becomes_get {
                "GET".clone_into(&mut method);
            }
            redirects += 1;
            url = next;
        }
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        if !self.readable.contains(name) {
            return Err(Refusal::Denied(self.grants.secret_denied(name)));
        }
        if let Some(value) = self.secrets.get(name) {
            return Ok(value.clone());
        }
        self.lacked_a_secret.store(true, Ordering::Relaxed);
        let give = if self.said == Said::Case { "" } else { ": give it with --secrets" };
        Err(Refusal::Unavailable(format!("the secret {name} is not set{give}")))
    }

    fn kept(&self, capability: Capability) -> Result<&Kept, Refusal> {
        if !self.grants.allows(capability) {
            return Err(Refusal::Denied(self.grants.capability_denied(capability)));
        }
        Ok(self.kept.get_or_init(|| Kept {
            memory: Memory::new(MemoryConfig { max_bytes: MEMORY_BYTES }),
            keys: KeyMaker::new(TEST, &[0; 32]),
        }))
    }
}

fn away(error: BackendError) -> Refusal {
    match error {
        BackendError::Unavailable(_) => Refusal::Away(error.to_string()),
        BackendError::TooLarge { .. } => Refusal::Invalid(error.to_string()),
    }
}

impl Ports for TestPorts {
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        Box::pin(ready(self.world.fetch(request).map_err(Refusal::from)))
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        self.world.secret(name)
    }

    fn take(&self, take: Take, _: u32) -> Answer<Taken> {
        let (world, terms) = (self.world.clone(), self.terms());
        Box::pin(async move {
            let kept = world.kept(Capability::Counters)?;
            let shared = match take.scope {
                CounterScope::Attachment => SharedBy::Attachment(TEST),
                CounterScope::Flow => SharedBy::Flow(TEST),
                CounterScope::Tenant => SharedBy::Tenant,
            };
            // Nobody sends a run of a test again: each call counts.
            let answered = kept.memory.take(&kept.keys.counter(shared, &take), None, take.rule(), terms).await;
            Ok(answered.map_err(away)?.taken)
        })
    }

    fn kv_get(&self, key: String) -> Answer<Option<String>> {
        let (world, terms) = (self.world.clone(), self.terms());
        Box::pin(async move {
            let kept = world.kept(Capability::Kv)?;
            kept.memory.kv_get(&kept.keys.kv(world.slug.as_str(), &key), terms).await.map_err(away)
        })
    }

    fn kv_set(&self, set: KvSet) -> Answer<()> {
        let (world, terms) = (self.world.clone(), self.terms());
        Box::pin(async move {
            let kept = world.kept(Capability::Kv)?;
            let key = kept.keys.kv(world.slug.as_str(), &set.key);
            kept.memory.kv_set(&key, &set.value_json, set.ttl_s, terms).await.map_err(away)
        })
    }

    fn kv_delete(&self, key: String) -> Answer<()> {
        let (world, terms) = (self.world.clone(), self.terms());
        Box::pin(async move {
            let kept = world.kept(Capability::Kv)?;
            kept.memory.kv_delete(&kept.keys.kv(world.slug.as_str(), &key), terms).await.map_err(away)
        })
    }
}

#[cfg(test)]
mod tests;
