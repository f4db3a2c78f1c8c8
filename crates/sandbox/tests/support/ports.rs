//! What a run of a test may ask for: servers, secrets, counters and kv that live in this process.

use parking_lot::Mutex;
use serde_json::{Value, json};
use sluice_model::counter::{KvSet, Take, Taken};
use sluice_model::http::{HttpError, HttpFailure, HttpRequest, HttpResponse};
use sluice_sandbox::{Answer, Ports, Refusal};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A world with these places:
///
/// | what | how it is |
/// | --- | --- |
/// | `https://echo.example/` | answers JSON of what it got; `/status/404`, `/redirect?to=/x`, `/slow`, `/bytes`, `/json`, `/empty`, `/headers` do as they are called |
/// | `https://refused.example/` | takes no connection |
/// | the secrets `API_KEY` and `UNSET` | `s3cret-value`; declared and not set |
/// | counters | count up to their limit, and never down |
/// | kv | keeps what it is given |
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    counts: Arc<Mutex<HashMap<String, u64>>>,
    kept: Arc<Mutex<HashMap<String, String>>>,
    /// Whether counters and kv answer only after a while, as those of another process do.
    pub(crate) late: bool,
}

impl World {
    fn answer<T: Send + 'static>(&self, answer: Result<T, Refusal>) -> Answer<T> {
        let late = self.late;
        Box::pin(async move {
            if late {
                a_while().await;
            }
            answer
        })
    }
}

async fn a_while() {
    tokio::time::sleep(Duration::from_micros(100)).await;
}

impl Ports for World {
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        Box::pin(async move {
            a_while().await;
            match request.url.host_str().unwrap_or_default() {
                "echo.example" => echo(request).await,
                "refused.example" => {
                    Err(HttpError::new(HttpFailure::ConnectFailed, "refused.example: the connection was refused")
                        .into())
                }
                host => Err(Refusal::Denied(format!("the host {host} is not declared by the version"))),
            }
        })
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        match name {
            "API_KEY" => Ok("s3cret-value".into()),
            "UNSET" => Err(Refusal::Unavailable("the secret UNSET is not set".into())),
            _ => Err(Refusal::Denied(format!("the secret {name} is not declared by the version"))),
        }
    }

    fn take(&self, take: Take, _: u32) -> Answer<Taken> {
        let mut counts = self.counts.lock();
        let count = counts.entry(take.key).or_default();
        let allowed = *count + u64::from(take.cost) <= take.limit;
        *count += u64::from(take.cost);
        let remaining = take.limit.saturating_sub(*count);
        let retry_after_s = if allowed { 0 } else { take.window_s };
        self.answer(Ok(Taken { allowed, remaining, retry_after_s }))
    }

    fn kv_get(&self, key: String) -> Answer<Option<String>> {
        self.answer(Ok(self.kept.lock().get(&key).cloned()))
    }

    fn kv_set(&self, set: KvSet) -> Answer<()> {
        self.kept.lock().insert(set.key, set.value_json);
        self.answer(Ok(()))
    }

    fn kv_delete(&self, key: String) -> Answer<()> {
        self.kept.lock().remove(&key);
        self.answer(Ok(()))
    }
}

async fn echo(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let url = request.url.clone();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let plain = HttpResponse { status: 200, status_text: "OK".into(), url: url.to_string(), ..HttpResponse::default() };
    let in_json = |value: Value| HttpResponse {
        headers: vec![header("content-type", "application/json")],
        body: value.to_string().into_bytes(),
        ..plain.clone()
    };
    Ok(match url.path() {
        "/slow" => std::future::pending().await,
        "/bytes" => HttpResponse { body: (0..=255).collect(), ..plain },
        "/json" => in_json(json!({"answer": 42, "list": [1, 2, 3], "text": "grüezi"})),
        "/empty" => HttpResponse { status: 204, status_text: "No Content".into(), ..plain },
        "/headers" => {
            let headers = vec![
                header("set-cookie", "a=1"),
                header("x-one", "1"),
                header("set-cookie", "b=2"),
                header("x-one", "2"),
            ];
            HttpResponse { headers, ..plain }
        }
        "/redirect" => {
            let to =
                url.query_pairs().find(|(name, _)| name == "to").map(|(_, to)| to.into_owned()).unwrap_or_default();
            let to = url.join(&to).map_err(|e| Refusal::Invalid(e.to_string()))?;
            match request.redirect.as_str() {
                "manual" => {
                    let headers = vec![header("location", to.as_str())];
                    HttpResponse { status: 302, status_text: "Found".into(), headers, ..plain }
                }
                "error" => {
                    let error =
                        HttpError::new(HttpFailure::RedirectRefused, "echo.example: the answer sends elsewhere");
                    return Err(error.into());
                }
                _ => {
                    let followed = Box::pin(echo(HttpRequest { url: to, ..request })).await?;
                    HttpResponse { redirected: true, ..followed }
                }
            }
        }
        path => match path.strip_prefix("/status/").and_then(|status| status.parse().ok()) {
            Some(status) => HttpResponse { status, status_text: String::new(), ..plain },
            None => {
                let headers: serde_json::Map<_, _> = request.headers.into_iter().map(|(n, v)| (n, v.into())).collect();
                let body = request.body.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
                in_json(json!({ "method": request.method, "path": path, "headers": headers, "body": body }))
            }
        },
    })
}
