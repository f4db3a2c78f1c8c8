//! What Actions reach beyond their own memory: the sandbox's ports over outgoing HTTP, secrets, counters and kv.
//!
//! A run gets what its version declares, and what its attachment's config grants where the version says so; whatever else it
//! asks for is denied by name. A version that declares nothing costs nothing here. What a run reached is told by its
//! [`Trace`], also of a run that nobody waits for any more: its audit has each attempt, and whether a counter was local.

mod metrics;

use crate::{config::ExecutorConfig, secrets::Readable, state::plan::AttachmentPlan};
use metrics::Fetches;
use opentelemetry::metrics::Meter;
use sluice_counters::{
    Answered, Backend, BackendError, CallId, FallbackConfig, KeyMaker, Memory, MemoryConfig, Redis, RedisConfig,
    Shared, Terms, WithFallback,
};
use sluice_egress::{Attempts, Caller, Egress};
use sluice_model::{
    Attachment, AttachmentId, Failure, FlowRevision, Grants, Object, OnCountersUnavailable, Outcome, Slug,
    counter::{CounterScope, KvSet, Take, Taken},
    emit::{self, By, Held, May},
    http::{HostPattern, HttpAttempt, HttpFailure, HttpRequest, HttpResponse},
    manifest::Capability,
};
use sluice_sandbox::{Answer, NoPorts, Ports, Refusal};
use std::{
    fmt,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The most attempts of one run that its audit has: five requests of twelve attempts each, by `crates/egress`.
const MAX_ATTEMPTS: usize = 60;

/// What all runs of this process share.
pub(crate) struct Reach {
    egress: Egress,
    counters: Arc<dyn Backend>,
    memory: Arc<Memory>,
    fallback: Option<Arc<WithFallback>>,
    fetches: Arc<Fetches>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("shared", &self.fallback.is_some()).finish_non_exhaustive()
    }
}

impl Reach {
    /// By the settings; `executors` are those that are connected.
    ///
    /// # Errors
    /// The setting that is at fault, and what it takes.
    pub(crate) fn new(config: &ExecutorConfig, executors: Arc<AtomicU32>) -> Result<Arc<Reach>, String> {
        let egress = Egress::new(&config.egress.0).map_err(|error| error.to_string())?;
        let counters = &config.counters;
        let memory = Arc::new(Memory::new(MemoryConfig { max_bytes: counters.memory_bytes }));
        let (backend, fallback): (Arc<dyn Backend>, _) = match &counters.redis_url {
            None => (memory.clone(), None),
            Some(url) => {
                let redis = RedisConfig {
                    prefix: counters.redis_prefix.clone(),
                    timeout: Duration::from_millis(counters.redis_timeout_ms),
                    ..RedisConfig::new(url)
                };
                let redis = Redis::new(&redis).map_err(|error| format!("counters.redis_url: {error}"))?;
                let terms = FallbackConfig { retry_after: Duration::from_millis(counters.redis_retry_ms) };
                let both = Arc::new(WithFallback::new(Arc::new(redis), memory.clone(), executors, terms));
                (both.clone(), Some(both))
            }
        };
        Ok(Arc::new(Reach { egress, counters: backend, memory, fallback, fetches: Arc::default() }))
    }

    /// Shows what there is to measure.
    pub(crate) fn show(self: &Arc<Reach>, meter: &Meter) {
        metrics::show(self, meter);
    }

    /// What a run emits, checked by what its attachment may send to and by what this operator lets be asked for.
    ///
    /// # Errors
    /// Those of [`emit::resolve`].
    pub(crate) fn emits(
        &self,
        attachment: &AttachmentPlan,
        outcome: &Outcome,
        by: By<'_>,
    ) -> Result<Vec<Held>, Failure> {
        let nothing = Grants::default();
        let may = match &attachment.granted {
            Some(granted) => granted.emits(),
            None => May { grants: &nothing, hosts: &[], secrets: &[], hosts_in_secrets: &[] },
        };
        emit::resolve(outcome, may, by, |url| self.egress.check_url(url))
    }

    /// The ports of one run.
    pub(crate) fn ports(self: &Arc<Reach>, run: Run<'_>, trace: &Trace) -> Arc<dyn Ports> {
        let Run { attachment, execution, secrets, keys, deadline } = run;
        let reached = &trace.0;
        let Some(granted) = &attachment.granted else { return Arc::new(Undeclared(reached.clone())) };
        Arc::new(RunPorts {
            reach: self.clone(),
            hosts: granted.hosts(&secrets),
            granted: granted.clone(),
            secrets,
            keys,
            execution: execution.map(str::to_owned),
            deadline,
            reached: reached.clone(),
        })
    }
}

/// What an attachment may reach, looked up when its flow revision is planned.
#[derive(Debug)]
pub(crate) struct Granted {
    grants: Arc<Grants>,
    caller: Caller,
    flow: Slug,
    attachment: AttachmentId,
    on_counters_unavailable: OnCountersUnavailable,
    /// The names of the secrets that it may read.
    pub(crate) secrets: Vec<String>,
    /// The hosts that it may send to, those of URLs in its config among them.
    hosts: Arc<[HostPattern]>,
    /// Secrets that hold URLs whose hosts it may send to.
    hosts_in_secrets: Vec<String>,
}

impl Granted {
    /// By what the version declares and the config, which has its defaults, adds; none where nothing is declared.
    pub(crate) fn of(
        revision: &FlowRevision,
        attachment: &Attachment,
        grants: &Arc<Grants>,
        config: &Object,
    ) -> Option<Arc<Granted>> {
        (!grants.is_empty()).then(|| {
            Arc::new(Granted {
                caller: Caller {
                    tenant: revision.tenant.clone(),
                    slug: attachment.slug.clone(),
                    version: attachment.version.clone(),
                },
                flow: revision.flow.clone(),
                attachment: attachment.id.clone(),
                on_counters_unavailable: attachment.on_counters_unavailable,
                secrets: grants.secrets_with(config).into_iter().collect(),
                hosts: grants.hosts_with(config).into(),
                hosts_in_secrets: grants.hosts_in_secrets(config),
                grants: Arc::clone(grants),
            })
        })
    }

    /// What its runs may emit to.
    pub(crate) fn emits(&self) -> May<'_> {
        let Granted { grants, hosts, secrets, hosts_in_secrets, .. } = self;
        May { grants, hosts, secrets, hosts_in_secrets }
    }

    /// The hosts that a run may send to which may read these secrets.
    fn hosts(&self, secrets: &Readable) -> Arc<[HostPattern]> {
        if self.hosts_in_secrets.is_empty() {
            return self.hosts.clone();
        }
        let in_secrets = self.hosts_in_secrets.iter().filter_map(|name| {
            let url = url::Url::parse(secrets.get(name)?.expose()).ok()?;
            HostPattern::of_url(&url)
        });
        self.hosts.iter().cloned().chain(in_secrets).collect()
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) attachment: &'a AttachmentPlan,
    /// The execution's id where the caller sent it: only then the same call can come again.
    pub(crate) execution: Option<&'a str>,
    /// The secrets that it may read and that are set.
    pub(crate) secrets: Readable,
    /// What makes the keys of the tenant's counters and of kv.
    pub(crate) keys: Option<Arc<KeyMaker>>,
    /// When the run is over.
    pub(crate) deadline: Instant,
}

/// What a run reached, and what it tried to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<Reached>);

#[derive(Debug, Default)]
struct Reached {
    attempts: Attempts,
    fell_back: AtomicBool,
}

impl Trace {
    /// Takes the attempts that have ended; those of a run that is gone all have.
    pub(crate) fn attempts(&self) -> Vec<HttpAttempt> {
        let mut attempts = self.0.attempts.take();
        attempts.truncate(MAX_ATTEMPTS);
        attempts
    }

    /// Whether a counter was answered by this executor alone, because the one that all share was away.
    pub(crate) fn fell_back(&self) -> bool {
        self.0.fell_back.load(Ordering::Relaxed)
    }
}

/// Of a run whose version declares nothing: all is denied, and what it tried to send is told.
#[derive(Debug)]
struct Undeclared(Arc<Reached>);

impl Ports for Undeclared {
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        self.0.attempts.undeclared(request.url.host_str().unwrap_or_default());
        NoPorts.fetch(request)
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        NoPorts.secret(name)
    }

    fn take(&self, take: Take, call: u32) -> Answer<Taken> {
        NoPorts.take(take, call)
    }

    fn kv_get(&self, key: String) -> Answer<Option<String>> {
        NoPorts.kv_get(key)
    }

    fn kv_set(&self, set: KvSet) -> Answer<()> {
        NoPorts.kv_set(set)
    }

    fn kv_delete(&self, key: String) -> Answer<()> {
        NoPorts.kv_delete(key)
    }
}

/// See the [module](self).
struct RunPorts {
    reach: Arc<Reach>,
    granted: Arc<Granted>,
    hosts: Arc<[HostPattern]>,
    secrets: Readable,
    keys: Option<Arc<KeyMaker>>,
    execution: Option<String>,
    deadline: Instant,
    reached: Arc<Reached>,
}

impl fmt::Debug for RunPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunPorts").field("attachment", &self.granted.attachment).finish_non_exhaustive()
    }
}

fn refused<T: Send + 'static>(refusal: Refusal) -> Answer<T> {
    Box::pin(ready(Err(refusal)))
}

impl RunPorts {
    /// Where the keys of counters and kv come from.
    fn keys(&self, capability: Capability) -> Result<&Arc<KeyMaker>, Refusal> {
        if !self.granted.grants.allows(capability) {
            return Err(Refusal::Denied(self.granted.grants.capability_denied(capability)));
        }
        self.keys.as_ref().ok_or_else(|| {
            Refusal::Unavailable(format!("{capability}: the control plane has sent no key for the tenant's keys"))
        })
    }

    fn terms(&self) -> Terms {
        Terms { on_unavailable: self.granted.on_counters_unavailable, ..Terms::by(self.deadline) }
    }
}

fn away(error: BackendError) -> Refusal {
    match error {
        BackendError::Unavailable(_) => Refusal::Away(error.to_string()),
        BackendError::TooLarge { .. } => Refusal::Invalid(error.to_string()),
    }
}

impl Ports for RunPorts {
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        let (egress, granted, hosts) = (self.reach.egress.clone(), self.granted.clone(), self.hosts.clone());
        let (deadline, reached, under_way) = (self.deadline, self.reached.clone(), self.reach.fetches.begin());
        Box::pin(async move {
            let host = request.url.host_str().unwrap_or_default().to_owned();
            let answered = egress.fetch(&granted.caller, &hosts, request, deadline, &reached.attempts).await;
            under_way.ended(&answered);
            answered.map_err(|error| match error.failure {
                HttpFailure::HostNotDeclared => Refusal::Denied(granted.grants.host_denied(&host)),
                _ => Refusal::Http(error),
            })
        })
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        if let Some(secret) = self.secrets.get(name) {
            return Ok(secret.expose().to_owned());
        }
        match self.granted.secrets.iter().any(|declared| declared == name) {
            true => Err(Refusal::Unavailable(format!("the secret {name} is not set: sluice secret set {name}"))),
            false => Err(Refusal::Denied(self.granted.grants.secret_denied(name))),
        }
    }

    fn take(&self, take: Take, call: u32) -> Answer<Taken> {
        let keys = match self.keys(Capability::Counters) {
            Ok(keys) => keys,
            Err(refusal) => return refused(refusal),
        };
        let shared = match take.scope {
            CounterScope::Attachment => Shared::Attachment(&self.granted.attachment),
            CounterScope::Flow => Shared::Flow(self.granted.flow.as_str()),
            CounterScope::Tenant => Shared::Tenant,
        };
        let key = keys.counter(shared, &take);
        let call = self.execution.as_ref().map(|execution| CallId::new(execution, &self.granted.attachment, call));
        let (counters, terms, reached) = (self.reach.counters.clone(), self.terms(), self.reached.clone());
        Box::pin(async move {
            let answered = counters.take(&key, call.as_ref(), take.rule(), terms).await;
            let Answered { taken, fallback: fell_back } =
                answered.map_err(|error| Refusal::Unavailable(error.to_string()))?;
            if fell_back {
                reached.fell_back.store(true, Ordering::Relaxed);
            }
            Ok(taken)
        })
    }

    fn kv_get(&self, key: String) -> Answer<Option<String>> {
        let key = match self.keys(Capability::Kv) {
            Ok(keys) => keys.kv(self.granted.caller.slug.as_str(), &key),
            Err(refusal) => return refused(refusal),
        };
        let (counters, terms) = (self.reach.counters.clone(), self.terms());
        Box::pin(async move { counters.kv_get(&key, terms).await.map_err(away) })
    }

    fn kv_set(&self, set: KvSet) -> Answer<()> {
        let key = match self.keys(Capability::Kv) {
            Ok(keys) => keys.kv(self.granted.caller.slug.as_str(), &set.key),
            Err(refusal) => return refused(refusal),
        };
        let (counters, terms) = (self.reach.counters.clone(), self.terms());
        Box::pin(async move { counters.kv_set(&key, &set.value_json, set.ttl_s, terms).await.map_err(away) })
    }

    fn kv_delete(&self, key: String) -> Answer<()> {
        let key = match self.keys(Capability::Kv) {
            Ok(keys) => keys.kv(self.granted.caller.slug.as_str(), &key),
            Err(refusal) => return refused(refusal),
        };
        let (counters, terms) = (self.reach.counters.clone(), self.terms());
        Box::pin(async move { counters.kv_delete(&key, terms).await.map_err(away) })
    }
}
