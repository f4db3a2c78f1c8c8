//! Log, traces and metrics.
//!
//! The log goes to standard error. Metrics are always collected, for `/metrics`; with `telemetry.otlp_endpoint` they go to
//! a collector too, and so do traces. Later parts only add instruments: `opentelemetry::global::meter("sluice")`.

use crate::{
    admin::About,
    config::{LogConfig, LogFormat, TelemetryConfig},
};
use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{Sampler, SdkTracerProvider},
};
use std::time::Duration;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How long the last spans and metrics may take to be sent at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// An exporter cannot be made.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(String),
    /// `/metrics` cannot be made.
    #[error("the metrics' exporter cannot be made: {0}")]
    Metrics(String),
    /// `log.level` is not understood.
    #[error("log.level: {0}")]
    Filter(String),
    /// The process has a log already.
    #[error("the log is set up already")]
    Installed,
}

/// The telemetry of a process. [`Telemetry::shutdown`] sends what is left.
#[derive(Debug)]
pub struct Telemetry {
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    exposition: Exposition,
}

impl Telemetry {
    /// Sets up the log, and the globals of `tracing` and `opentelemetry`: once a process, inside a tokio runtime.
    pub fn start(about: &About, log: &LogConfig, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
        let telemetry = Telemetry::new(about, config)?;
        let filter = filter(&log.level).map_err(TelemetryError::Filter)?;
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match log.format {
            LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        // Spans of calls are sent whatever the log shows; the exporter's own spans must not feed it.
        let traces = telemetry.tracers.as_ref().map(|tracers| {
            let own =
                tracing_subscriber::filter::filter_fn(|meta| meta.is_span() && meta.target().starts_with("sluice"));
            tracing_opentelemetry::layer().with_tracer(tracers.tracer(about.name)).with_filter(own)
        });
        tracing_subscriber::registry()
            .with(traces)
            .with(lines.with_filter(filter))
            .try_init()
            .map_err(|_installed| TelemetryError::Installed)?;
        opentelemetry::global::set_meter_provider(telemetry.meters.clone());
        if let Some(tracers) = &telemetry.tracers {
            opentelemetry::global::set_tracer_provider(tracers.clone());
        }
        Ok(telemetry)
    }

    /// The same without the log and the globals, for a process that has its own, as a test has.
    pub fn new(about: &About, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
        let resource = Resource::builder()
            .with_service_name(about.name)
            .with_attribute(KeyValue::new("service.version", about.version))
            .build();
        let registry = prometheus::Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // Every instrument is Sluice's own: a scope label would be the same on all lines.
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Metrics(error.to_string()))?;
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader);
        let mut tracers = None;
        if let Some(endpoint) = &config.otlp_endpoint {
            let refused = |error: opentelemetry_otlp::ExporterBuildError| TelemetryError::Exporter(error.to_string());
            let metrics = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(refused)?;
            let interval = Duration::from_secs(config.metrics_interval_s);
            meters = meters.with_reader(PeriodicReader::builder(metrics).with_interval(interval).build());
            let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(refused)?;
            let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_ratio)));
            let provider = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler);
            tracers = Some(provider.with_batch_exporter(spans).build());
        }
        Ok(Telemetry { meters: meters.build(), tracers, exposition: Exposition { registry } })
    }

    /// The meter of Sluice's instruments.
    pub fn meter(&self) -> Meter {
        self.meters.meter("sluice")
    }

    /// The metrics as `/metrics` shows them.
    pub fn exposition(&self) -> Exposition {
        self.exposition.clone()
    }

    /// Whether traces go anywhere.
    pub fn is_traced(&self) -> bool {
        self.tracers.is_some()
    }

    /// Sends what is left, for at most some seconds, and ends.
    pub async fn shutdown(self) {
        // The exporters wait for their threads, which need this runtime to send.
        let ended = tokio::task::spawn_blocking(move || {
            let traces = self.tracers.map(|tracers| tracers.shutdown_with_timeout(FLUSH_TIMEOUT));
            (traces, self.meters.shutdown_with_timeout(FLUSH_TIMEOUT))
        });
        match tokio::time::timeout(FLUSH_TIMEOUT * 2, ended).await {
            Ok(Ok((None | Some(Ok(())), Ok(())))) => {}
            Ok(Ok((traces, metrics))) => tracing::warn!(?traces, ?metrics, "the last telemetry was not sent"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last telemetry was not sent"),
        }
    }
}

/// The metrics of a process in the text format of Prometheus.
#[derive(Clone, Debug)]
pub struct Exposition {
    registry: prometheus::Registry,
}

impl Exposition {
    /// Collects all metrics. The error is the exporter's.
    pub fn text(&self) -> Result<String, String> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|error| error.to_string())
    }
}

/// The filter that `log.level` describes; the error is the reason why it does not.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    // Alone, a word that is no level would be taken as the name of a target, and log nothing.
    let words = |directive: &str| {
        let level = directive.rsplit('=').next().unwrap_or(directive).trim();
        ["error", "warn", "info", "debug", "trace", "off"].contains(&level.to_ascii_lowercase().as_str())
    };
    if !level.split(',').all(words) {
        return Err(format!("{level:?} has a part that ends in no level"));
    }
    EnvFilter::builder().parse(level).map_err(|error| error.to_string())
}
