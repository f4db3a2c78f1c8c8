//! Secrets that a save makes: where a config leaves out a field with `x-secret-generate`, the platform makes the secret, in the
//! transaction of the save, and shows it once.

use super::{Flows, Warning};
use crate::store::Batch;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_model::version::ActionVersion;
use sluice_model::{Error, Object, Slug};
use sluice_serve::seal::{SecretText, random};

/// For how long a retry of the save is shown the value again.
const SHOWN_FOR: SignedDuration = SignedDuration::from_mins(5);
/// The random bytes of a signing secret; Standard Webhooks asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// A secret that is made with a save.
#[derive(Debug)]
pub(super) struct Generated {
    field: String,
    name: String,
    value: SecretText,
}

/// What is kept of it with the answer: everything but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The field of the config that names it.
    field: String,
    /// Its name.
    name: String,
    /// The version of it that was made.
    version: u64,
    /// When.
    at: Timestamp,
}

/// A secret as it is shown.
pub(crate) struct Shown {
    /// The field of the config that names it.
    pub(crate) field: String,
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: SecretText,
}

/// Fills in the fields of a config that name a secret to be made: as the former config names it, or by a new one.
pub(super) fn fill(
    version: &ActionVersion,
    config: &mut Object,
    former: Option<&Object>,
) -> Result<Vec<Generated>, Error> {
    let properties = version.schema.as_ref().and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let fields = properties
        .into_iter()
        .flatten()
        .filter(|(_, property)| property.get("x-secret-generate").is_some_and(|kind| kind == "whsec"));
    let mut made = Vec::new();
    for (field, _) in fields.filter(|(field, _)| !config.contains_key(*field)).collect::<Vec<_>>() {
        if let Some(known) = former.and_then(|former| former.get(field)) {
            config.insert(field.clone(), known.clone());
            continue;
        }
        // 74 random bits: no other secret has the name.
        let name = format!("{}-{}", version.slug.as_str().chars().take(40).collect::<String>(), random_letters());
        config.insert(field.clone(), Value::from(name.as_str()));
        let bytes = random::<SECRET_BYTES>().map_err(|error| {
            tracing::error!(%error, "a secret cannot be made");
            Error::internal("the machine has no randomness for a secret")
        })?;
        let value = SecretText::new(format!("whsec_{}", STANDARD.encode(bytes)));
        made.push(Generated { field: field.clone(), name, value });
    }
    Ok(made)
}

/// The warnings but for those that a secret which is made now is not set.
pub(super) fn settled(warnings: Vec<Warning>, generated: &[Generated]) -> Vec<Warning> {
    let is_made = |warning: &Warning| {
        warning.code == "secret_not_set" && generated.iter().any(|made| warning.message.contains(&made.name))
    };
    warnings.into_iter().filter(|warning| !is_made(warning)).collect()
}

fn random_letters() -> String {
    uuid::Uuid::now_v7().simple().to_string().chars().skip(13).collect()
}

impl Flows {
    /// A batch that makes the secrets as well.
    pub(super) async fn make(
        &self,
        mut batch: Batch,
        who: &str,
        tenant: &Slug,
        generated: &[Generated],
    ) -> Result<(Batch, Vec<Told>), Error> {
        let mut told = Vec::new();
        for Generated { field, name, value } in generated {
            let (with, version) = self.secrets.make(batch, who, tenant, name, value).await?;
            batch = with;
            told.push(Told { field: field.clone(), name: name.clone(), version, at: self.shared.clock.now() });
        }
        Ok((batch, told))
    }

    /// The secrets that a save has made, while they may be shown. One that was set since is not.
    pub(crate) async fn generated(&self, tenant: &Slug, told: &[Told]) -> Result<Vec<Shown>, Error> {
        let mut shown = Vec::new();
        for Told { field, name, version, at } in told {
            if self.shared.clock.now().duration_since(*at) >= SHOWN_FOR {
                continue;
            }
            if let Some((is, value)) = self.secrets.value(tenant, name).await?
                && is == *version
            {
                shown.push(Shown { field: field.clone(), name: name.clone(), value });
            }
        }
        Ok(shown)
    }
}
