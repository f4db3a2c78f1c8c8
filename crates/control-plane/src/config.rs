//! The settings of the control plane.

use serde::{Deserialize, Serialize};
use sluice_egress::EgressConfig;
use sluice_model::http::HostPattern;
use sluice_serve::config::{Checks, ServerConfig, Settings};
use std::path::PathBuf;

/// The settings of `sluice-control-plane`: those of every server, and its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Ports, data folder, bounds, log, telemetry, drain.
    #[serde(flatten)]
    pub server: ServerConfig,
    /// The control plane's own.
    #[serde(flatten)]
    pub plane: PlaneConfig,
    /// The JavaScript engine, which evaluates what is published.
    pub engine: EngineConfig,
}

impl Default for Config {
    fn default() -> Config {
        let mut server = ServerConfig::on(7070, 7072, "sluice-control-plane");
        // Executors keep a connection open for ever: one that is cut off without a word is noticed within seconds, so that
        // a save does not wait for an executor that is not there.
        (server.grpc.keep_alive_interval_s, server.grpc.keep_alive_timeout_s) = (3, 3);
        Config { server, plane: PlaneConfig::default(), engine: EngineConfig::default() }
    }
}

impl Settings for Config {
    fn check(&self, at: &mut Checks<'_>) {
        self.server.check(at);
        self.plane.check(at);
        at.section("engine", &self.engine);
    }
}

/// What a control plane is told, wherever it runs: in a server of its own or in `sluice dev`. Flattened into its settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlaneConfig {
    /// Flows and their revisions.
    pub flows: FlowsConfig,
    /// The store.
    pub store: StoreConfig,
    /// Publishing.
    pub publish: PublishConfig,
    /// What executors are told.
    pub distribution: DistributionConfig,
    /// Tenants' secrets.
    pub secrets: SecretsConfig,
    /// Deliveries of what Actions emit.
    pub deliveries: DeliveriesConfig,
    /// What deliveries may reach by HTTP.
    pub egress: EgressSettings,
}

impl PlaneConfig {
    /// As [`Settings::check`], for the struct that flattens this one.
    pub fn check(&self, at: &mut Checks<'_>) {
        at.section("flows", &self.flows);
        at.section("store", &self.store);
        at.section("publish", &self.publish);
        at.section("distribution", &self.distribution);
        at.section("secrets", &self.secrets);
        at.section("deliveries", &self.deliveries);
        at.section("egress", &self.egress);
    }
}

/// Flows and their revisions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowsConfig {
    /// How long a revision can be executed after it was replaced, in seconds: at least as long as a sign-in may take.
    /// Default 86,400 s (24 h). Executors keep the modules of all that can be executed.
    pub revision_ttl_s: u64,
}

impl Default for FlowsConfig {
    fn default() -> FlowsConfig {
        FlowsConfig { revision_ttl_s: 24 * 60 * 60 }
    }
}

impl Settings for FlowsConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("revision_ttl_s", self.revision_ttl_s, 60..=30 * 24 * 60 * 60, "seconds");
    }
}

/// The store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreConfig {
    /// How many commits the store can tell the changes of. An executor that was away for longer is told everything again.
    /// Default 100,000 commits; each costs some 100 bytes of disk.
    pub changes_kept: u64,
    /// How often a checkpoint of the store is taken where anything was written, in seconds: what the commit journal, which is read at
    /// a start, is cut to. Default 900 s. Each writes all rows to a file, some kilobytes for an Action.
    pub checkpoint_every_s: u64,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig { changes_kept: 100_000, checkpoint_every_s: 900 }
    }
}

impl Settings for StoreConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("changes_kept", self.changes_kept, 100..=100_000_000, "commits");
        at.range("checkpoint_every_s", self.checkpoint_every_s, 1..=24 * 60 * 60, "seconds");
    }
}

/// Publishing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishConfig {
    /// Packages that are compiled and evaluated at once; more wait. Default 2 packages; each may use a core, and up to 1 GiB
    /// of memory where it is hostile.
    pub at_once: usize,
}

impl Default for PublishConfig {
    fn default() -> PublishConfig {
        PublishConfig { at_once: 2 }
    }
}

impl Settings for PublishConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("at_once", self.at_once, 1..=256, "packages");
    }
}

/// What executors are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DistributionConfig {
    /// How often an executor hears something where nothing has changed, in milliseconds: so it knows that what it serves is
    /// up to date, and that it is not cut off. Default 2,000 ms. Less than half of the executors' `subscription.silence_ms`; a
    /// message of some 40 bytes each.
    pub status_interval_ms: u64,
}

impl Default for DistributionConfig {
    fn default() -> DistributionConfig {
        DistributionConfig { status_interval_ms: 2_000 }
    }
}

impl Settings for DistributionConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("status_interval_ms", self.status_interval_ms, 10..=60_000, "milliseconds");
    }
}

/// Tenants' secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretsConfig {
    /// The file with the key that seals them: 32 random bytes that only their owner may read. Default: `keys/secrets.key` in
    /// the data folder, made at the first start. It is in no export: keep a copy of it apart. A control plane with secrets
    /// does not start without the key that sealed them.
    pub key_file: Option<PathBuf>,
    /// How long deliveries are signed by the former value of a secret too, after it was set again, in seconds: the time that
    /// receivers have to take the new one. Default 86,400 s (24 h). Until then the former value is kept, sealed; 0 keeps none.
    pub rotation_overlap_s: u64,
}

impl Default for SecretsConfig {
    fn default() -> SecretsConfig {
        SecretsConfig { key_file: None, rotation_overlap_s: 24 * 60 * 60 }
    }
}

impl Settings for SecretsConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let named = self.key_file.as_ref().is_none_or(|path| !path.as_os_str().is_empty());
        at.require("key_file", named, "the path of a file");
        at.range("rotation_overlap_s", self.rotation_overlap_s, 0..=30 * 24 * 60 * 60, "seconds");
    }
}

/// Deliveries of what Actions emit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveriesConfig {
    /// Deliveries that are sent at once. Default 256. Each costs a connection and its body in memory, 20 kB at most. Their
    /// connections are bounded by `egress.max_in_flight` too.
    pub max_in_flight: usize,
    /// Deliveries of one tenant that are sent at once. Default 64: receivers that do not answer keep no other tenant waiting.
    pub max_in_flight_per_tenant: usize,
    /// Deliveries that are sent to one endpoint at once. Default 8.
    pub max_in_flight_per_endpoint: usize,
    /// How long a delivery that has arrived is kept to be looked at, in seconds. Default 604,800 s (7 days). An emit with the
    /// `dedupe_key` of one that is kept is not sent again.
    pub delivered_kept_s: u64,
    /// How long a dead letter is kept to be sent again, in seconds. Default 2,592,000 s (30 days).
    pub dead_kept_s: u64,
    /// Hosts that take Slack's messages beside hooks.slack.com and hooks.slack-gov.com, whatever the path: for tests. Default
    /// none.
    pub slack_test_hosts: Vec<String>,
}

impl Default for DeliveriesConfig {
    fn default() -> DeliveriesConfig {
        const DAY_S: u64 = 24 * 60 * 60;
        DeliveriesConfig {
            max_in_flight: 256,
            max_in_flight_per_tenant: 64,
            max_in_flight_per_endpoint: 8,
            delivered_kept_s: 7 * DAY_S,
            dead_kept_s: 30 * DAY_S,
            slack_test_hosts: Vec::new(),
        }
    }
}

impl Settings for DeliveriesConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("max_in_flight", self.max_in_flight, 1..=100_000, "deliveries");
        at.range("max_in_flight_per_tenant", self.max_in_flight_per_tenant, 1..=100_000, "deliveries");
        at.range("max_in_flight_per_endpoint", self.max_in_flight_per_endpoint, 1..=1_000, "deliveries");
        at.range("delivered_kept_s", self.delivered_kept_s, 60..=366 * 24 * 60 * 60, "seconds");
        at.range("dead_kept_s", self.dead_kept_s, 60..=366 * 24 * 60 * 60, "seconds");
        let hosts = self.slack_test_hosts.iter().all(|host| HostPattern::parse(host).is_ok());
        at.require("slack_test_hosts", hosts, "hosts such as slack.example.com or 127.0.0.1, without a port");
    }
}

/// What deliveries may reach by HTTP: the settings of [`EgressConfig`], which executors have too.
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

/// The JavaScript engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineConfig {
    /// The folder of the compiled engine, some 5 MiB, shared by all servers of this user. Default: `sluice` in the user's
    /// cache folder (`XDG_CACHE_HOME`, or `.cache` in `HOME`), or none where there is no such folder. Without it every start
    /// compiles the engine, which takes seconds.
    pub cache: Option<PathBuf>,
    /// Runs of test cases that may be in flight at once, while packages are published. Default 16 runs, 64 MiB at most each.
    pub max_runs: u32,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        EngineConfig { cache: cache.map(|cache| cache.join("sluice")), max_runs: 16 }
    }
}

impl Settings for EngineConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let named = self.cache.as_ref().is_none_or(|path| !path.as_os_str().is_empty());
        at.require("cache", named, "the path of a folder");
        at.range("max_runs", self.max_runs, 1..=10_000, "runs");
    }
}
