//! The settings that every server has.

use super::{Checks, Loaded, Refusal, Settings, Sources};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// What both servers are told in the same words. A server's own settings struct flattens it (`#[serde(flatten)]`), so
/// that the keys are `listen`, `grpc.max_in_flight` and so on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerConfig {
    /// The address that gRPC is served on. Port 0 takes a free one; `addresses.json` in the data folder tells it. Only
    /// loopback is accepted as long as there is no identity.
    pub listen: SocketAddr,
    /// The address of the admin pages (`/healthz`, `/readyz`, `/metrics`). Port 0 and loopback as for `listen`.
    pub admin_listen: SocketAddr,
    /// The folder that the server owns. One process a folder; made when it is not there.
    pub data: PathBuf,
    /// The bounds of the gRPC server.
    pub grpc: GrpcConfig,
    /// The log.
    pub log: LogConfig,
    /// Where traces and metrics go, beside `/metrics`.
    pub telemetry: TelemetryConfig,
    /// How the server ends.
    pub drain: DrainConfig,
}

impl ServerConfig {
    /// The defaults of a server on these loopback ports, with this data folder.
    pub fn on(port: u16, admin_port: u16, data: impl Into<PathBuf>) -> ServerConfig {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], admin_port)),
            data: data.into(),
            grpc: GrpcConfig::default(),
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
            drain: DrainConfig::default(),
        }
    }

    /// As [`Settings::check`], for the struct that flattens this one.
    pub fn check(&self, at: &mut Checks<'_>) {
        let loopback = "a loopback address such as 127.0.0.1:7070; others wait until callers can prove who they are";
        at.require("listen", self.listen.ip().is_loopback(), loopback);
        at.require("admin_listen", self.admin_listen.ip().is_loopback(), loopback);
        at.require("data", !self.data.as_os_str().is_empty(), "the path of a folder");
        at.section("grpc", &self.grpc);
        at.section("log", &self.log);
        at.section("telemetry", &self.telemetry);
        at.section("drain", &self.drain);
    }
}

/// The bounds of a gRPC server. What is over a bound is refused at once; nothing queues for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrpcConfig {
    /// The calls that are being answered at once; more are refused with RESOURCE_EXHAUSTED. A streaming call counts until
    /// its answer begins. Default 1024 calls; each costs its messages' memory.
    pub max_in_flight: usize,
    /// The connections; one more is closed as it comes. Default 1024 connections; each costs a file descriptor and some
    /// 40 KiB.
    pub max_connections: usize,
    /// The calls that one connection may have open, streams included. Default 1024 calls.
    pub max_concurrent_streams: u32,
    /// The largest message that is taken or sent, in bytes; services apply it to themselves. Default 4 MiB (the largest
    /// bundle is 1 MiB).
    pub max_message_bytes: usize,
    /// The largest list of headers of a call, in bytes. Default 16 KiB.
    pub max_header_bytes: u32,
    /// How often an idle connection is pinged, in seconds. Default 30 s.
    pub keep_alive_interval_s: u64,
    /// How long a ping may stay without its answer before the connection is closed, in seconds. Default 10 s.
    pub keep_alive_timeout_s: u64,
    /// How long a new connection may stay silent before it is closed, in milliseconds. Default 10,000 ms.
    pub first_byte_timeout_ms: u64,
}

impl Default for GrpcConfig {
    fn default() -> GrpcConfig {
        GrpcConfig {
            max_in_flight: 1024,
            max_connections: 1024,
            max_concurrent_streams: 1024,
            max_message_bytes: 4 * 1024 * 1024,
            max_header_bytes: 16 * 1024,
            keep_alive_interval_s: 30,
            keep_alive_timeout_s: 10,
            first_byte_timeout_ms: 10_000,
        }
    }
}

impl Settings for GrpcConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("max_in_flight", self.max_in_flight, 1..=1_000_000, "calls");
        at.range("max_connections", self.max_connections, 1..=1_000_000, "connections");
        at.range("max_concurrent_streams", self.max_concurrent_streams, 1..=1_000_000, "calls");
        at.range("max_message_bytes", self.max_message_bytes, 64 * 1024..=64 * 1024 * 1024, "bytes");
        at.range("max_header_bytes", self.max_header_bytes, 4 * 1024..=1024 * 1024, "bytes");
        at.range("keep_alive_interval_s", self.keep_alive_interval_s, 1..=3600, "seconds");
        at.range("keep_alive_timeout_s", self.keep_alive_timeout_s, 1..=3600, "seconds");
        at.range("first_byte_timeout_ms", self.first_byte_timeout_ms, 10..=600_000, "milliseconds");
    }
}

/// The log, on standard error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogConfig {
    /// What is logged: a level, or directives as `info,sluice_executor=debug`. Default `info`. From `info` on every call
    /// has a span, which costs about 1 us.
    pub level: String,
    /// `text` for people, `json` for machines (one object a line). Default `text`.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { level: "info".into(), format: LogFormat::Text }
    }
}

impl Settings for LogConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let holds = crate::telemetry::filter(&self.level).is_ok();
        at.require(
            "level",
            holds,
            "error, warn, info, debug, trace, off, or directives such as info,sluice_executor=debug",
        );
        at.takes("format", "\"text\" or \"json\"");
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Where traces and metrics go. Metrics are on the admin port's `/metrics` in any case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TelemetryConfig {
    /// An OpenTelemetry collector that takes OTLP over gRPC without TLS, such as `http://127.0.0.1:4317`. Default: none.
    /// A traced call costs about 5 us more.
    pub otlp_endpoint: Option<String>,
    /// The part of the calls that is traced where the caller does not say, 0 to 1. Default 0.01.
    pub trace_ratio: f64,
    /// How often metrics are sent to the collector, in seconds. Default 30 s.
    pub metrics_interval_s: u64,
}

impl Default for TelemetryConfig {
    fn default() -> TelemetryConfig {
        TelemetryConfig { otlp_endpoint: None, trace_ratio: 0.01, metrics_interval_s: 30 }
    }
}

impl Settings for TelemetryConfig {
    fn check(&self, at: &mut Checks<'_>) {
        let plain = self.otlp_endpoint.as_deref().is_none_or(|url| {
            url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
        });
        at.require("otlp_endpoint", plain, "a URL such as http://127.0.0.1:4317");
        at.range("trace_ratio", self.trace_ratio, 0.0..=1.0, "");
        at.range("metrics_interval_s", self.metrics_interval_s, 1..=3600, "seconds");
    }
}

/// How a server ends after SIGTERM or SIGINT.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrainConfig {
    /// How long the server goes on accepting after it says that it is not ready, so that balancers see it, in
    /// milliseconds. Default 0 ms.
    pub notice_ms: u64,
    /// After this what is still open is cut, in seconds, counted from the end of the notice. Default 20 s.
    pub timeout_s: u64,
}

impl Default for DrainConfig {
    fn default() -> DrainConfig {
        DrainConfig { notice_ms: 0, timeout_s: 20 }
    }
}

impl Settings for DrainConfig {
    fn check(&self, at: &mut Checks<'_>) {
        at.range("notice_ms", self.notice_ms, 0..=60_000, "milliseconds");
        at.range("timeout_s", self.timeout_s, 0..=600, "seconds");
    }
}

/// The flags that every server has. A server flattens them into its own (`#[command(flatten)]`).
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServerArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one setting, as in --set grpc.max_in_flight=512; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Serve gRPC on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Serve health, readiness and metrics on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// The folder that the server owns
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<String>,
    /// Print the effective settings, each with its source, and end
    #[arg(long)]
    pub print_config: bool,
}

impl ServerArgs {
    /// Adds these flags to the sources.
    pub fn apply(&self, mut sources: Sources) -> Sources {
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        for pair in &self.set {
            // Without `=` there is no key of that name, and the refusal says so.
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            sources = sources.flag("--set", key.trim(), value);
        }
        for (flag, key, value) in [
            ("--listen", "listen", &self.listen),
            ("--admin-listen", "admin_listen", &self.admin_listen),
            ("--data", "data", &self.data),
        ] {
            if let Some(value) = value {
                sources = sources.flag(flag, key, value);
            }
        }
        sources
    }

    /// Settings from these flags, the process's environment, and the file.
    pub fn load<T: Settings>(&self, prefix: &'static str) -> Result<Loaded<T>, Refusal> {
        self.apply(Sources::new(prefix).environment(std::env::vars_os())).load()
    }
}
