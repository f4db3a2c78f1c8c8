//! The admin pages, on a port of their own: what is alive, what is ready, what is measured.

use crate::{listener::Listener, readiness::Readiness, readiness::is_ready, telemetry::Exposition};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse},
    routing::get,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tokio::task::JoinHandle;

/// What a server says of itself.
#[derive(Clone)]
pub struct About {
    /// Its binary's name: `sluice-executor`.
    pub name: &'static str,
    /// Its version: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// What else belongs on the health page, such as the engine's identity. No secrets.
    pub details: serde_json::Map<String, Value>,
    /// What is asked for whenever the page is.
    live: Vec<(&'static str, Live)>,
}

/// Says how something is now.
type Live = Arc<dyn Fn() -> Value + Send + Sync>;

impl std::fmt::Debug for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("About").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl About {
    /// A server without details.
    pub fn new(name: &'static str, version: &'static str) -> About {
        About { name, version, details: serde_json::Map::new(), live: Vec::new() }
    }

    /// The same, with one more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> About {
        self.details.insert(key.into(), value.into());
        self
    }

    /// The same, with one more detail that is asked for whenever the page is. It must not block.
    #[must_use]
    pub fn showing(mut self, key: &'static str, now: impl Fn() -> Value + Send + Sync + 'static) -> About {
        self.live.push((key, Arc::new(now)));
        self
    }
}

/// The pages `/`, `/healthz`, `/readyz` and `/metrics`, to be served.
#[derive(Debug)]
pub struct Admin {
    pages: Router,
}

struct Pages {
    about: About,
    readiness: Readiness,
    metrics: Exposition,
    started: Instant,
}

impl Admin {
    /// The pages of this server.
    pub fn new(about: About, readiness: &Readiness, metrics: Exposition) -> Admin {
        let state = Pages { about, readiness: readiness.clone(), metrics, started: Instant::now() };
        let pages = Router::new()
            .route("/", get(index))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics_text))
            .with_state(Arc::new(state));
        Admin { pages }
    }

    /// Adds more pages.
    #[must_use]
    pub fn merge(self, pages: Router) -> Admin {
        Admin { pages: self.pages.merge(pages) }
    }

    /// Serves the pages on the current tokio runtime until the answer is dropped: they are the last to go, so that the
    /// drain can be watched.
    pub fn spawn(self, listener: Listener) -> ServingAdmin {
        let address = listener.address();
        let pages = self.pages;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener.socket, pages).await {
                tracing::error!(%error, "the admin pages ended");
            }
        });
        ServingAdmin { address, task }
    }
}

/// The admin pages while they are served.
#[derive(Debug)]
pub struct ServingAdmin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl ServingAdmin {
    /// Where they are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ServingAdmin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn index(State(pages): State<Arc<Pages>>) -> Html<String> {
    let About { name, version, .. } = &pages.about;
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title><h1>{name} {version}</h1><ul>\
         <li><a href=\"/healthz\">/healthz</a> whether the process is alive, and what it is</li>\
         <li><a href=\"/readyz\">/readyz</a> whether it wants traffic, and if not, why</li>\
         <li><a href=\"/metrics\">/metrics</a> its metrics, for Prometheus</li></ul></html>\n"
    ))
}

async fn healthz(State(pages): State<Arc<Pages>>) -> Json<Value> {
    let About { name, version, details, live } = &pages.about;
    let mut details = details.clone();
    details.extend(live.iter().map(|(key, now)| ((*key).to_owned(), now())));
    let uptime_s = pages.started.elapsed().as_secs();
    Json(json!({ "status": "alive", "name": name, "version": version, "uptime_s": uptime_s, "details": details }))
}

async fn readyz(State(pages): State<Arc<Pages>>) -> (StatusCode, Json<Value>) {
    let conditions = pages.readiness.snapshot();
    let ready = is_ready(&conditions);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons: serde_json::Map<String, Value> = conditions
        .iter()
        .filter_map(|(name, reason)| Some(((*name).to_owned(), Value::from(reason.as_deref()?))))
        .collect();
    let conditions: Vec<&str> = conditions.keys().copied().collect();
    (code, Json(json!({ "ready": ready, "reasons": reasons, "conditions": conditions })))
}

async fn metrics_text(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    // Collecting walks all instruments; it is short, but not for a thread that answers sign-ins.
    let text = tokio::task::spawn_blocking(move || pages.metrics.text()).await;
    match text {
        Ok(Ok(text)) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Ok(Err(reason)) => failed(&reason),
        Err(panicked) => failed(&panicked.to_string()),
    }
}

fn failed(reason: &str) -> axum::response::Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be collected: {reason}")).into_response()
}
