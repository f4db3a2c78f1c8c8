//! The executor's settings.

use serde::{Deserialize, Serialize};
use sluice_egress::EgressConfig;
use sluice_model::Slug;
use sluice_serve::config::{Checks, ServerConfig, Settings};
use std::path::PathBuf;

/// The port of Execute.
pub const PORT: u16 = 7071;
/// The port of the admin pages.
pub const ADMIN_PORT: u16 = 7073;

/// What an executor is told. The keys of [`ServerConfig`] stand at the top level: `listen`, `grpc.max_in_flight`, ...
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutorConfig {
    /// What every server is told. `grpc.max_in_flight` bounds the executions in flight; each costs its messages and,
    /// while an Action runs, a slot of the sandbox.
    #[serde(flatten)]
    pub server: ServerConfig,
    /// The control plane, such as `http://127.0.0.1:7070`. Default that.
    pub control_url: String,
    /// What the executor hears of.
    pub subscription: SubscriptionConfig,
    /// The modules that it keeps.
    pub modules: ModulesConfig,
    /// The answers that it keeps for callers that ask again.
    pub retries: RetriesConfig,
    /// How audit is kept until the control plane has it.
    pub audit: AuditConfig,
    /// Where redirects may lead, beside the tenants' own origins.
    pub redirect: RedirectConfig,
    /// Tenants' secrets.
    pub secrets: SecretsConfig,
    /// What Actions may reach by HTTP.
    pub egress: EgressSettings,
    /// What Actions share between runs.
    pub counters: CountersConfig,
    /// The JavaScript engine, where the executor starts one of its own.
    pub engine: EngineConfig,
}

impl Default for ExecutorConfig {
    fn default() -> ExecutorConfig {
        ExecutorConfig {
            server: ServerConfig::on(PORT, ADMIN_PORT, "sluice-executor-data"),
            control_url: "http://127.0.0.1:7070".into(),
            subscription: SubscriptionConfig::default(),
            modules: ModulesConfig::default(),
            retries: RetriesConfig::default(),
            audit: AuditConfig::default(),
            redirect: RedirectConfig::default(),
            secrets: SecretsConfig::default(),
            egress: EgressSettings::default(),
            counters: CountersConfig::default(),
            engine: EngineConfig::default(),
        }
    }
}

impl Settings for ExecutorConfig {
    fn check(&self, at: &mut Checks<'_>) {
        self.server.check(at);
        let is_url = tonic::transport::Endpoint::from_shared(self.control_url.clone())
            .is_ok_and(|e| e.uri().scheme_str() == Some("http") && e.uri().host().is_some());
        at.require("control_url", is_url, "a URL such as http://127.0.0.1:7070");
        at.section("subscription", &self.subscription);
        at.section("modules", &self.modules);
        at.section("retries", &self.retries);
        at.section("audit", &self.audit);
        at.section("redirect", &self.redirect);
        at.section("secrets", &self.secrets);
        at.section("egress", &self.egress);
        at.section("counters", &self.counters);
        at.section("engine", &self.engine);
    }
}

/// What the executor hears of, and how it notices that it hears no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubscriptionConfig {
    /// Which tenants are served. Default `all`. A tenant costs its flow revisions in memory, and its modules.
    pub mode: SubscriptionMode,
    /// With `mode = "tenants"`, the tenants by slug; another tenant's calls are refused with TENANT_NOT_FOUND.
    pub tenants: Vec<String>,
    /// With `mode = "on_demand"`, after how long a tenant is let go that nobody asks for, in seconds. Default 3,600 s. A tenant
    /// that is asked for again costs its first call the time until its state and its modules are here.
    pub idle_s: u64,
    /// After how long without a word from the control plane it is taken to be cut off and another connection is made, in
    /// milliseconds. Default 7,000 ms. The control plane says something every `distribution.status_interval_ms`, 2,000 ms
    /// unless set.
    pub silence_ms: u64,
}

impl Default for SubscriptionConfig {
    fn default() -> SubscriptionConfig {
        SubscriptionConfig { mode: SubscriptionMode::All, tenants: Vec::new(), idle_s: 3_600, silence_ms: 7_000 }
    }
}

impl Settings for SubscriptionConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.takes("mode", "\"all\", \"tenants\" or \"on_demand\"");
        let slugs = self.tenants.iter().all(|t| Slug::parse(t).is_ok());
        let named = self.tenants.is_empty() != (self.mode == SubscriptionMode::Tenants);
        let takes = "a list of tenants' slugs with subscription.mode \"tenants\", and an empty one otherwise";
        at.require("tenants", slugs && named, takes);
        at.range("idle_s", self.idle_s, 1..=30 * 24 * 60 * 60, "seconds");
        at.range("silence_ms", self.silence_ms, 100..=600_000, "milliseconds");
    }
}

/// Which tenants an executor serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionMode {
    /// All of them, those made later too.
    All,
    /// Those in `subscription.tenants`.
    Tenants,
    /// Those that are asked for, from when they are first asked for until nobody asks any more.
    OnDemand,
}

/// The modules that an executor keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModulesConfig {
    /// What modules may take in memory, in bytes. Default 512 MiB: some 20,000 small Actions. It is never passed, but by
    /// what runs at the moment. What no newest revision needs goes first, what was used longest ago before the rest; a
    /// module that was put out is read from the cache folder when it is needed again, which costs that run less than a
    /// millisecond.
    pub memory_bytes: u64,
    /// What bundles and snapshots may take in the cache folder, in bytes. Default 4 GiB. Those that no flow needs go
    /// first; what flows need stays, also above the bound.
    pub disk_bytes: u64,
    /// How many snapshots are made at once when many versions are new. Default 0: half of the cores, at least one. Each
    /// takes a core for 1 to 20 ms.
    pub parallel: usize,
}

impl Default for ModulesConfig {
    fn default() -> ModulesConfig {
        ModulesConfig { memory_bytes: 512 << 20, disk_bytes: 4 << 30, parallel: 0 }
    }
}

impl Settings for ModulesConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("memory_bytes", self.memory_bytes, 1 << 20..=1 << 40, "bytes");
        at.range("disk_bytes", self.disk_bytes, 1 << 20..=1 << 44, "bytes");
        at.range("parallel", self.parallel, 0..=256, "snapshots");
    }
}

/// The answers that an executor keeps, so that a caller that asks again by the same execution id gets the same answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetriesConfig {
    /// What they may take in memory, in bytes. Default 64 MiB: some 60,000 answers, of the last five minutes at most. Where
    /// that is less than what callers may still ask for again, the metric `sluice.executor.answers.oldest` shows how far
    /// back it reaches. Only calls that send an id cost anything.
    pub memory_bytes: u64,
}

impl Default for RetriesConfig {
    fn default() -> RetriesConfig {
        RetriesConfig { memory_bytes: 64 << 20 }
    }
}

impl Settings for RetriesConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("memory_bytes", self.memory_bytes, 1 << 20..=1 << 36, "bytes");
    }
}

/// How audit is kept until the control plane has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditConfig {
    /// What an answer waits for. Default `process`.
    pub durability: Durability,
    /// What the spool may take on disk, in bytes. Default 1 GiB: some four million runs.
    pub spool_max_bytes: u64,
    /// What happens when the spool is full or cannot be written. Default `refuse`.
    pub on_spool_failure: OnSpoolFailure,
    /// Whether records go to the control plane. Default true. With `false` they stay in the spool, until it is full: for
    /// measuring what an executor costs alone, never for service.
    pub ship: bool,
    /// How long records are gathered before they are sent, in milliseconds. Default 20 ms. Shorter costs both planes
    /// more CPU a record; with `durability = "acked"` it is not applied.
    pub linger_ms: u64,
    /// How long the end of the executor waits for the control plane to take what is in the spool, in seconds. Default
    /// 10 s. What is left is sent by the next start.
    pub drain_timeout_s: u64,
}

impl Default for AuditConfig {
    fn default() -> AuditConfig {
        AuditConfig {
            durability: Durability::Process,
            spool_max_bytes: 1 << 30,
            on_spool_failure: OnSpoolFailure::Refuse,
            ship: true,
            linger_ms: 20,
            drain_timeout_s: 10,
        }
    }
}

impl Settings for AuditConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.takes("durability", "\"process\", \"disk\" or \"acked\"");
        at.range("spool_max_bytes", self.spool_max_bytes, 1 << 20..=1 << 40, "bytes");
        at.takes("on_spool_failure", "\"refuse\" or \"count_gap\"");
        let both = self.ship || self.durability != Durability::Acked;
        at.require("ship", both, "true where audit.durability is \"acked\": nothing would ever be acknowledged");
        at.range("linger_ms", self.linger_ms, 1..=1_000, "milliseconds");
        at.range("drain_timeout_s", self.drain_timeout_s, 0..=600, "seconds");
    }
}

/// What an answer waits for, so that its audit is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The operating system has it: it outlives the process, not the machine. Costs 5 us.
    Process,
    /// The disk has it, by an fsync that the calls of one moment share. Costs the disk's time, often 1 to 10 ms.
    Disk,
    /// The control plane has it on its disk. Costs a round trip and that disk's time; for executors without a disk of
    /// their own.
    Acked,
}

/// What happens when audit cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSpoolFailure {
    /// Executions are refused with UNAVAILABLE `AUDIT_UNAVAILABLE`: no run without its record.
    Refuse,
    /// Executions go on, and what is missing is counted in a record of its own, `audit.gap`.
    CountGap,
}

/// Where redirects may lead, beside the tenants' own origins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RedirectConfig {
    /// Whether an http origin on localhost may be among a tenant's, for development. Default false.
    pub http_localhost: bool,
}

impl Settings for RedirectConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.takes("http_localhost", "true or false");
    }
}

/// Tenants' secrets, which executors hold in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SecretsConfig {
    /// The file with the key that seals secrets in the cache folder: 32 random bytes that only their owner may read, such as
    /// `head -c 32 /dev/urandom` makes. Default: none, and secrets are not kept there; an executor that starts while the
    /// control plane is away then runs without them, and what needs them ends as `unavailable`.
    pub cache_key_file: Option<PathBuf>,
}

impl Settings for SecretsConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let named = self.cache_key_file.as_ref().is_none_or(|path| !path.as_os_str().is_empty());
        at.require("cache_key_file", named, "the path of a file");
    }
}

/// What Actions may reach by HTTP: the settings of [`EgressConfig`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EgressSettings(pub EgressConfig);

impl Settings for EgressSettings {
    fn check(&self, at: &mut Checks<'_>) {
        for rule in self.0.rules() {
            at.require(rule.key, rule.holds, rule.takes);
        }
    }
}

/// Counters and kv.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CountersConfig {
    /// The Redis or Valkey that all executors share, such as `redis://:password@127.0.0.1:6379/0`; version 5 or later, with
    /// `maxmemory-policy noeviction`. Default: none, and each executor counts for itself, which is right where there is one.
    pub redis_url: Option<String>,
    /// What stands before every key in Redis, 1 to 64 visible characters. Default `sluice:`. Executors that are to share
    /// counters have the same.
    pub redis_prefix: String,
    /// How long one operation on Redis may take, in milliseconds. Default 100 ms. A Redis that hangs costs a run that much
    /// once; while it is away, counters are local and kv finds nothing.
    pub redis_timeout_ms: u64,
    /// After how long a Redis that failed is tried again, in milliseconds. Default 1,000 ms.
    pub redis_retry_ms: u64,
    /// What counters and kv may take in this process's memory, in bytes. Default 64 MiB: some 200,000 counters. When
    /// it is full, kv goes before counters, and what a tenant has beyond its share before all others.
    pub memory_bytes: usize,
}

impl Default for CountersConfig {
    fn default() -> CountersConfig {
        CountersConfig {
            redis_url: None,
            redis_prefix: "sluice:".into(),
            redis_timeout_ms: 100,
            redis_retry_ms: 1_000,
            memory_bytes: 64 << 20,
        }
    }
}

impl Settings for CountersConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let is_url =
            |url: &String| ["redis://", "unix://", "redis+unix://"].iter().any(|scheme| url.starts_with(scheme));
        at.secret("redis_url", self.redis_url.as_ref().is_none_or(is_url), "a URL such as redis://127.0.0.1:6379/0");
        let prefix = &self.redis_prefix;
        let fits =
            (1..=64).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_graphic() && !b"{}".contains(&b));
        at.require("redis_prefix", fits, "1 to 64 visible ASCII characters other than { and }");
        at.range("redis_timeout_ms", self.redis_timeout_ms, 1..=10_000, "milliseconds");
        at.range("redis_retry_ms", self.redis_retry_ms, 10..=600_000, "milliseconds");
        at.range("memory_bytes", self.memory_bytes, 1 << 20..=1 << 36, "bytes");
    }
}

/// The JavaScript engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineConfig {
    /// The folder of the compiled engine, some 5 MiB, shared by all servers of this user. Default: `sluice` in the user's
    /// cache folder (`XDG_CACHE_HOME`, or `.cache` in `HOME`), or none where there is no such folder. Without it every start
    /// compiles the engine, which takes seconds.
    pub cache: Option<PathBuf>,
    /// Runs of Actions that may be in flight at once; more wait, up to their wall limit. Default 256 runs, each 64 MiB of
    /// memory at most.
    pub max_runs: u32,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        EngineConfig { cache: cache.map(|cache| cache.join("sluice")), max_runs: 256 }
    }
}

impl Settings for EngineConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let named = self.cache.as_ref().is_none_or(|path| !path.as_os_str().is_empty());
        at.require("cache", named, "the path of a folder");
        at.range("max_runs", self.max_runs, 1..=10_000, "runs");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_serve::config::{EXECUTOR_PREFIX, Sources};

    #[test]
    fn the_defaults_are_accepted() {
        let loaded = Sources::new(EXECUTOR_PREFIX).load::<ExecutorConfig>();
        assert!(loaded.is_ok(), "{loaded:?}");
    }

    #[test]
    fn every_bad_setting_is_refused_by_its_name() {
        for (key, value) in [
            ("control_url", "control-plane:7070"),
            ("subscription.mode", "some"),
            ("subscription.tenants", "acme"),
            ("subscription.idle_s", "0"),
            ("subscription.silence_ms", "5"),
            ("modules.memory_bytes", "12"),
            ("modules.disk_bytes", "12"),
            ("modules.parallel", "-1"),
            ("retries.memory_bytes", "12"),
            ("audit.durability", "hope"),
            ("audit.spool_max_bytes", "0"),
            ("audit.on_spool_failure", "ignore"),
            ("audit.linger_ms", "0"),
            ("audit.drain_timeout_s", "9999"),
            ("redirect.http_localhost", "maybe"),
            ("engine.max_runs", "0"),
            ("audit.spool_max", "1"),
        ] {
            let refusal = Sources::new(EXECUTOR_PREFIX).flag("--set", key, value).load::<ExecutorConfig>().unwrap_err();
            assert_eq!(refusal.problems.len(), 1, "{refusal}");
            assert_eq!(refusal.problems[0].key, key, "{refusal}");
        }
        for (mode, tenants) in [("tenants", "acme,Not A Slug"), ("tenants", ""), ("on_demand", "acme")] {
            let set = |sources: Sources, key, value| sources.flag("--set", key, value);
            let sources = set(Sources::new(EXECUTOR_PREFIX), "subscription.mode", mode);
            let refusal = set(sources, "subscription.tenants", tenants).load::<ExecutorConfig>().unwrap_err();
            assert_eq!(refusal.problems[0].key, "subscription.tenants", "{mode} {tenants}");
        }
        let acked = Sources::new(EXECUTOR_PREFIX)
            .flag("--set", "audit.durability", "acked")
            .flag("--set", "audit.ship", "false")
            .load::<ExecutorConfig>();
        assert_eq!(acked.unwrap_err().problems[0].key, "audit.ship");
    }
}
