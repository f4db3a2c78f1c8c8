//! Secrets, as runs read them: from the state that serves, so that one that is set anew is read by the next run.
//!
//! A value is in memory alone. What the cache folder keeps is [sealed](crate::last) by a key of the executor's own, or is
//! not there. [`crate::redact`] takes values out of what a run lets out.

use crate::{catalog::Applied, redact};
use arc_swap::ArcSwapOption;
use sluice_model::Slug;
use sluice_serve::seal::SecretText;
use std::{collections::HashMap, sync::Arc};

/// A secret. Nothing shows its value but [`Secret::expose`].
#[derive(Debug)]
pub(crate) struct Secret {
    name: String,
    value: SecretText,
    /// How the value may turn up in text, the longest first.
    forms: Vec<SecretText>,
}

impl Secret {
    pub(crate) fn new(name: String, value: SecretText) -> Secret {
        Secret { forms: redact::forms(value.expose()), name, value }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its value, for the Action that may read it.
    pub(crate) fn expose(&self) -> &str {
        self.value.expose()
    }

    /// How its value may turn up in text, the longest first.
    pub(crate) fn forms(&self) -> impl Iterator<Item = &str> {
        self.forms.iter().map(SecretText::expose)
    }
}

/// Secrets of a tenant, by name.
pub(crate) type ByName = HashMap<String, Arc<Secret>>;

/// The secrets of the state that serves. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Vault(Arc<ArcSwapOption<Applied>>);

impl Vault {
    /// By the state that serves.
    pub(crate) fn of(state: Arc<ArcSwapOption<Applied>>) -> Vault {
        Vault(state)
    }

    /// What an attachment may read now, of the `names` that it may: what the state has, or else what was `sent` with a
    /// revision that was fetched. One look for a run: what it reads and what is taken out of its words are the same.
    pub(crate) fn readable(&self, tenant: &Slug, sent: &ByName, names: &[String]) -> Readable {
        if names.is_empty() {
            return Readable::default();
        }
        let applied = self.0.load();
        let known = applied.as_ref().and_then(|applied| applied.state.tenant(tenant));
        let find = |name: &String| known.and_then(|known| known.secret(name)).or_else(|| sent.get(name)).cloned();
        Readable(names.iter().filter_map(find).collect())
    }
}

/// The secrets that one run may read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readable(Vec<Arc<Secret>>);

impl Readable {
    /// A secret; none where it is not set, or not among what the run may read.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Secret>> {
        self.0.iter().find(|secret| secret.name == name)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Secret>] {
        &self.0
    }
}

impl FromIterator<Arc<Secret>> for Readable {
    fn from_iter<T: IntoIterator<Item = Arc<Secret>>>(secrets: T) -> Readable {
        Readable(secrets.into_iter().collect())
    }
}
