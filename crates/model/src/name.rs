//! Slugs: the one grammar of the names of tenants, flows and Actions.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, sync::Arc};

/// The most characters a slug may have.
pub const MAX_SLUG_CHARS: usize = 63;

/// The name of a tenant, a flow or an Action: `[a-z][a-z0-9-]{0,62}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(Arc<str>);

impl Slug {
    /// Checks a name against the grammar. The error says what a slug takes; its pointer is empty.
    pub fn parse(text: &str) -> Result<Slug, Invalid> {
        let bytes = text.as_bytes();
        let fits = (1..=MAX_SLUG_CHARS).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if fits {
            return Ok(Slug(text.into()));
        }
        // Hostile names must not fill logs and answers.
        let shown: String = text.chars().take(80).collect();
        Err(Invalid::here(format!(
            "{shown:?} is not a slug: 1 to {MAX_SLUG_CHARS} characters of a-z, 0-9 and -, the first a letter"
        )))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl AsRef<str> for Slug {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Slug {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Slug, Invalid> {
        Slug::parse(text)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Slug, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Slug::parse(&text).map_err(serde::de::Error::custom)
    }
}
