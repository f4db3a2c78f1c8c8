//! Secrets in the kept state: sealed by a key of the executor's own, or named without their values.

use sluice_api::distribution::v1::{SecretState, State, resource::Resource};
use sluice_serve::seal::Sealer;
use std::borrow::Cow;

/// What the key is for.
pub(crate) const PURPOSE: &str = "executor: kept state";

/// Parts as they may lie on a disk. Without a sealer a secret's name stays alone: what comes back then says that it lacks it.
pub(super) fn sealed<'p>(sealer: Option<&Sealer>, parts: &'p [State]) -> Cow<'p, [State]> {
    let is_secret = |resource: &Option<Resource>| matches!(resource, Some(Resource::Secret(_)));
    if !parts.iter().flat_map(|part| &part.upserts).any(|upsert| is_secret(&upsert.resource)) {
        return Cow::Borrowed(parts);
    }
    let mut parts = parts.to_vec();
    for secret in secrets(&mut parts) {
        let sealed = sealer.map(|sealer| sealer.seal(&place(secret), &secret.value));
        secret.value = match sealed {
            Some(Ok(value)) => value.into(),
            Some(Err(error)) => {
                tracing::error!(tenant = secret.tenant, secret = secret.name, %error, "a secret is not kept");
                Default::default()
            }
            None => Default::default(),
        };
    }
    Cow::Owned(parts)
}

/// Opens what was sealed. What does not open is left out; whether anything was.
pub(super) fn open(sealer: Option<&Sealer>, parts: &mut [State]) -> bool {
    let mut lacking = 0;
    for secret in secrets(parts) {
        let opened =
            sealer.filter(|_| !secret.value.is_empty()).map(|sealer| sealer.open(&place(secret), &secret.value));
        secret.value = match opened {
            Some(Ok(mut value)) => std::mem::take(&mut *value).into(),
            Some(Err(error)) => {
                tracing::warn!(tenant = secret.tenant, secret = secret.name, %error, "a kept secret does not open");
                Default::default()
            }
            None => Default::default(),
        };
        lacking += usize::from(secret.value.is_empty());
    }
    if lacking > 0 {
        let is_left_out =
            |resource: &Option<Resource>| matches!(resource, Some(Resource::Secret(secret)) if secret.value.is_empty());
        parts.iter_mut().for_each(|part| part.upserts.retain(|upsert| !is_left_out(&upsert.resource)));
        tracing::warn!(
            secrets = lacking,
            "secrets are not in the cache folder: runs that need them end as unavailable until the control plane sends \
             them; secrets.cache_key_file has them kept, sealed"
        );
    }
    lacking > 0
}

fn secrets(parts: &mut [State]) -> impl Iterator<Item = &mut SecretState> {
    parts.iter_mut().flat_map(|part| &mut part.upserts).filter_map(|upsert| match &mut upsert.resource {
        Some(Resource::Secret(secret)) => Some(secret),
        _ => None,
    })
}

/// What a sealed value is bound to.
fn place(secret: &SecretState) -> [&str; 2] {
    [&secret.tenant, &secret.name]
}
