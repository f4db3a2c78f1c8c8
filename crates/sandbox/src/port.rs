//! The ports: what a run may ask of the host beyond its own memory. Adapters stand at the edge, in the executor and in whatever
//! runs cases; the sandbox knows how to ask and how to hand the answer back.

use sluice_model::Grants;
use sluice_model::counter::{KvSet, Take, Taken};
use sluice_model::http::{HttpError, HttpFailure, HttpRequest, HttpResponse};
use sluice_model::manifest::Capability;
use std::fmt;
use std::future::ready;
use std::pin::Pin;

/// An answer that may take its time. It is polled with the run, in the runtime that the run is in or in the slow lane's; what
/// has to go on while the run computes belongs into a task. Dropped, it must let go of what it holds.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The version does not declare what was asked for. The Action may catch it; where it does not, its run is
    /// `capability_denied`.
    Denied(String),
    /// The request failed; an ordinary error for the Action.
    Http(HttpError),
    /// What was asked for makes no sense; a TypeError for the Action.
    Invalid(String),
    /// It cannot be had now; an ordinary error for the Action.
    Away(String),
    /// A part that the run needs cannot be had: it ends as `unavailable`, whatever the Action answers.
    Unavailable(String),
}

/// What a run may ask for. Each method is called on the thread of the run and must not block.
pub trait Ports: fmt::Debug + Send + Sync {
    /// An HTTP request. The sandbox has counted it and checked the size of its body.
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse>;

    /// A secret's value.
    ///
    /// # Errors
    /// [`Refusal::Denied`] for one that is not declared, [`Refusal::Unavailable`] for one that is not set.
    fn secret(&self, name: &str) -> Result<String, Refusal>;

    /// Takes from a counter; `call` numbers the calls of one run from 0.
    fn take(&self, take: Take, call: u32) -> Answer<Taken>;

    /// What a key of kv holds, as JSON text; `None` where there is nothing.
    fn kv_get(&self, key: String) -> Answer<Option<String>>;

    /// Keeps a value for a while.
    fn kv_set(&self, set: KvSet) -> Answer<()>;

    /// Forgets a key.
    fn kv_delete(&self, key: String) -> Answer<()>;
}

/// Ports for runs that may ask for nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoPorts;

fn denied<T: Send + 'static>(says: impl FnOnce(&Grants) -> String) -> Answer<T> {
    Box::pin(ready(Err(Refusal::Denied(says(&Grants::default())))))
}

impl Ports for NoPorts {
    fn fetch(&self, request: HttpRequest) -> Answer<HttpResponse> {
        denied(|grants| grants.host_denied(request.url.host_str().unwrap_or_default()))
    }

    fn secret(&self, name: &str) -> Result<String, Refusal> {
        Err(Refusal::Denied(Grants::default().secret_denied(name)))
    }

    fn take(&self, _: Take, _: u32) -> Answer<Taken> {
        denied(|grants| grants.capability_denied(Capability::Counters))
    }

    fn kv_get(&self, _: String) -> Answer<Option<String>> {
        denied(|grants| grants.capability_denied(Capability::Kv))
    }

    fn kv_set(&self, _: KvSet) -> Answer<()> {
        denied(|grants| grants.capability_denied(Capability::Kv))
    }

    fn kv_delete(&self, _: String) -> Answer<()> {
        denied(|grants| grants.capability_denied(Capability::Kv))
    }
}

impl From<HttpError> for Refusal {
    fn from(error: HttpError) -> Refusal {
        match error.failure {
            HttpFailure::HostNotDeclared => Refusal::Denied(error.message),
            _ => Refusal::Http(error),
        }
    }
}
