//! The world of `proto/wit/action.wit`: what a component finds, over the same calls and bounds as the engine's.

use super::State;
use crate::calls::Calls;
use crate::port::{Answer, Refusal};
use futures_util::future::join_all;
use sluice_model::LogLevel;
use sluice_model::counter::{Algorithm, CounterScope, Taken};
use sluice_model::http::{HttpRequest, HttpResponse, MAX_FETCHES, RedirectPolicy};

wasmtime::component::bindgen!({
    path: "../../proto/wit",
    world: "action",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub(crate) use sluice::action::types::{Error, Failure};
use sluice::action::{counters, http, kv, log, secrets, types};

/// What a component is told of a refusal; one that decides the run is noted.
fn refused(calls: &mut Calls, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Denied(message) => {
            calls.note_denied(&message);
            Error::Denied(message)
        }
        Refusal::Invalid(message) => Error::Invalid(message),
        Refusal::Http(error) => {
            Error::Failed(Failure { code: error.failure.as_str().to_owned(), message: error.message })
        }
        Refusal::Away(message) => Error::Unavailable(message),
        Refusal::Unavailable(message) => {
            calls.note_unavailable(&message);
            Error::Unavailable(message)
        }
    }
}

impl State {
    fn answered<T>(&mut self, answer: Result<T, Refusal>) -> wasmtime::Result<Result<T, Error>> {
        Ok(answer.map_err(|refusal| refused(&mut self.calls, refusal)))
    }

    /// Waits for an answer, saying so to whoever ends the run meanwhile.
    async fn wait<T>(
        &mut self,
        what: impl FnOnce() -> String,
        began: Result<Answer<T>, Refusal>,
    ) -> wasmtime::Result<Result<T, Error>> {
        let answer = match began {
            Ok(answer) => {
                self.waits_for = Some(what());
                let answer = answer.await;
                self.waits_for = None;
                answer
            }
            Err(refusal) => Err(refusal),
        };
        self.answered(answer)
    }
}

impl types::Host for State {}

impl log::Host for State {
    async fn write(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.line(level, &text);
        Ok(())
    }
}

fn request(asked: http::Request) -> Result<HttpRequest, Refusal> {
    let http::Request { method, url, headers, body, redirect } = asked;
    let redirect = match redirect {
        http::Redirect::Follow => RedirectPolicy::Follow,
        http::Redirect::Error => RedirectPolicy::Error,
        http::Redirect::Manual => RedirectPolicy::Manual,
    };
    crate::calls::http_request(&url, method, headers, body, redirect)
}

fn response(answer: HttpResponse) -> http::Response {
    let HttpResponse { status, status_text, headers, body, url, redirected } = answer;
    http::Response { status, status_text, headers, body, url, redirected }
}

/// The host that is asked, as the run's failure names it.
fn asked_host(url: &str) -> String {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    format!("fetch of {}", host.unwrap_or_default())
}

impl http::Host for State {
    async fn fetch(&mut self, asked: http::Request) -> wasmtime::Result<Result<http::Response, Error>> {
        let what = asked_host(&asked.url);
        let began = self.calls.fetch(|| request(asked));
        Ok(self.wait(|| what, began).await?.map(response))
    }

    async fn fetch_all(&mut self, asked: Vec<http::Request>) -> wasmtime::Result<Vec<Result<http::Response, Error>>> {
        let what: Vec<String> = asked.iter().take(MAX_FETCHES as usize).map(|asked| asked_host(&asked.url)).collect();
        let began: Vec<_> = asked.into_iter().map(|asked| self.calls.fetch(|| request(asked))).collect();
        self.waits_for = Some(what.join(", "));
        let answers = join_all(began.into_iter().map(|began| async move {
            match began {
                Ok(answer) => answer.await,
                Err(refusal) => Err(refusal),
            }
        }));
        let answers = answers.await;
        self.waits_for = None;
        answers.into_iter().map(|answer| self.answered(answer.map(response))).collect()
    }
}

impl secrets::Host for State {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        let secret = self.calls.secret(&name);
        self.answered(secret)
    }
}

impl counters::Host for State {
    async fn take(
        &mut self,
        key: String,
        options: counters::Options,
    ) -> wasmtime::Result<Result<counters::Taken, Error>> {
        let counters::Options { limit, window_s, algorithm, burst, block_s, scope, cost, reset } = options;
        let algorithm = match algorithm {
            counters::Algorithm::SlidingWindow => Algorithm::SlidingWindow,
            counters::Algorithm::TokenBucket => Algorithm::TokenBucket,
        };
        let scope = match scope {
            counters::Scope::Attachment => CounterScope::Attachment,
            counters::Scope::Flow => CounterScope::Flow,
            counters::Scope::Tenant => CounterScope::Tenant,
        };
        // Put as an Action in TypeScript would put it, so that it is checked by the same rules, and told in the same words.
        let mut asked = serde_json::json!({
            "key": key, "limit": limit, "window_s": window_s, "algorithm": algorithm.as_str(), "block_s": block_s,
            "scope": scope.as_str(), "cost": cost, "reset": reset,
        });
        if let Some(burst) = burst {
            asked["burst"] = burst.into();
        }
        let began = self.calls.take(asked);
        let taken = self.wait(|| "counters.take".to_owned(), began).await?;
        Ok(taken.map(|Taken { allowed, remaining, retry_after_s }| counters::Taken {
            allowed,
            // At most a limit, which is a million.
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            retry_after_s,
        }))
    }
}

impl kv::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        let began = self.calls.kv_get(key.into());
        self.wait(|| "kv.get".to_owned(), began).await
    }

    async fn set(&mut self, key: String, value: String, ttl_s: u32) -> wasmtime::Result<Result<(), Error>> {
        let began = serde_json::from_str::<serde_json::Value>(&value)
            .map_err(|error| Refusal::Invalid(format!("kv.set: the value is no JSON: {error}")))
            .and_then(|value| self.calls.kv_set(serde_json::json!({"key": key, "value": value, "ttl_s": ttl_s})));
        self.wait(|| "kv.set".to_owned(), began).await
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        let began = self.calls.kv_delete(key.into());
        self.wait(|| "kv.delete".to_owned(), began).await
    }
}
