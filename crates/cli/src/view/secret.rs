//! Secrets, without their values.

use super::{Cell, Entry, Warning, flow::Rollout, warnings};
use crate::{
    screen::{Look, View},
    stop::Stop,
};
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, required, timestamp},
};

/// `{name, version, created_at, updated_at, updated_by, etag, used_by}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Secret {
    name: String,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    updated_by: String,
    etag: String,
    used_by: Vec<String>,
}

impl TryFrom<control::Secret> for Secret {
    type Error = Stop;

    fn try_from(secret: control::Secret) -> Result<Secret, Stop> {
        Ok(Secret {
            created_at: required(secret.created_at).and_then(timestamp).ctx("created_at")?,
            updated_at: required(secret.updated_at).and_then(timestamp).ctx("updated_at")?,
            name: secret.name,
            version: secret.version,
            updated_by: secret.updated_by,
            etag: secret.etag,
            used_by: secret.used_by,
        })
    }
}

impl Entry for Secret {
    const NONE: &'static str = "There is no secret yet: sluice secret set NAME asks for its value.";
    const COLUMNS: &'static [&'static str] = &["NAME", "VERSION", "SET", "BY", "USED BY"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let used_by = if self.used_by.is_empty() { "-".to_owned() } else { self.used_by.join(", ") };
        vec![
            Cell::new(&self.name),
            Cell::number(self.version),
            Cell::new(look.time(self.updated_at)),
            Cell::new(&self.updated_by),
            Cell::new(used_by).faint(),
        ]
    }
}

/// What `secret set` tells: `{name, version, created_at, updated_at, updated_by, etag, rollout: {have, waiting}}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Set {
    name: String,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    updated_by: String,
    etag: String,
    rollout: Rollout,
    /// Whether the last executor was waited for.
    #[serde(skip)]
    waited: bool,
}

impl Set {
    pub(crate) fn new(answer: control::SetSecretResponse, waited: bool) -> Result<Set, Stop> {
        let Secret { name, version, created_at, updated_at, updated_by, etag, used_by: _ } =
            Secret::try_from(required(answer.secret).ctx("secret")?)?;
        let rollout = answer.rollout.into();
        Ok(Set { name, version, created_at, updated_at, updated_by, etag, rollout, waited })
    }
}

impl View for Set {
    fn render(&self, look: &Look) -> String {
        let far = self.rollout.told(look, self.waited, "known to");
        format!("{} secret {} is set, version {}: {far}\n", look.good("✓"), look.strong(&self.name), self.version)
    }
}

/// What `secret remove` tells: `{name, version, warnings, rollout: {have, waiting}}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Removed {
    name: String,
    version: u64,
    warnings: Vec<Warning>,
    rollout: Rollout,
    /// Whether the last executor was waited for.
    #[serde(skip)]
    waited: bool,
}

impl Removed {
    pub(crate) fn new(answer: control::RemoveSecretResponse, waited: bool) -> Removed {
        Removed {
            name: answer.name,
            version: answer.version,
            warnings: answer.warnings.into_iter().map(Warning::from).collect(),
            rollout: answer.rollout.into(),
            waited,
        }
    }
}

impl View for Removed {
    fn render(&self, look: &Look) -> String {
        let far = self.rollout.told(look, self.waited, "dropped by");
        let warned = warnings(&self.warnings, look);
        format!("{} secret {} is removed: {far}\n{warned}", look.good("✓"), look.strong(&self.name))
    }
}
