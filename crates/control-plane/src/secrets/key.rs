//! The key that seals secrets: of a file that is the operator's, never of the store.

use crate::app::OpenError;
use crate::config::SecretsConfig;
use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::Batch;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sluice_model::Error;
use sluice_serve::seal::{KeyError, KeyFile, Sealer};
use std::path::Path;
use std::sync::Arc;

/// What the key is for.
const PURPOSE: &str = "control plane: secrets";
/// Where the check of the key belongs.
const CHECK: &[&str] = &["check"];
/// The file in the data folder where the settings name none.
const FILE: &str = "keys/secrets.key";

/// By which key the secrets of this store are sealed, from the first secret on.
#[derive(Serialize, Deserialize)]
struct SealedBy {
    /// The key's id.
    key: String,
    /// Nothing, sealed by it; base64.
    check: String,
}

/// The sealer of secrets. A key file is made where none is named and nothing was ever sealed.
///
/// # Errors
/// The file is missing, is another than the one that sealed what is there, or may be read by others; each names the file.
pub(crate) async fn sealer(shared: &Shared, folder: &Path, config: &SecretsConfig) -> Result<Arc<Sealer>, OpenError> {
    let refused = |error: KeyError| OpenError::Secrets(error.to_string());
    let named = config.key_file.clone();
    let path = named.clone().unwrap_or_else(|| folder.join(FILE));
    let sealed = rows::get::<SealedBy>(&*shared.store, &keys::secret_key()).await?.map(|row| row.value);
    let key = match (KeyFile::read(&path), &sealed) {
        (Err(KeyError::Missing(_)), None) if named.is_none() => {
            let key = KeyFile::make(&path).map_err(refused)?;
            tracing::info!(path = %path.display(), "a key for secrets was made; keep a copy of it apart from exports");
            key
        }
        (Err(error), Some(SealedBy { key, .. })) => {
            let message = format!("{error}; there are secrets here that were sealed by key {key}");
            return Err(OpenError::Secrets(message));
        }
        (read, _) => read.map_err(refused)?,
    };
    let sealer = key.sealer(PURPOSE).map_err(refused)?;
    if let Some(SealedBy { key, check }) = sealed {
        let is_right = STANDARD.decode(&check).is_ok_and(|check| sealer.open(CHECK, &check).is_ok());
        if !is_right {
            let (path, is) = (path.display(), sealer.key_id());
            let message = format!("{path}: is key {is}, and the secrets here were sealed by key {key}; name that one");
            return Err(OpenError::Secrets(message));
        }
    }
    Ok(Arc::new(sealer))
}

/// A batch that writes the first secret writes which key sealed it, too.
pub(super) async fn held(shared: &Shared, sealer: &Sealer, batch: Batch) -> Result<Batch, Error> {
    let key = keys::secret_key();
    if shared.store.get(&key).await?.is_some() {
        return Ok(batch.exists(key));
    }
    let check = sealer.seal(CHECK, b"").map_err(|error| {
        tracing::error!(%error, "the check of a key cannot be sealed");
        Error::internal("the secret could not be sealed")
    })?;
    let row = SealedBy { key: sealer.key_id(), check: STANDARD.encode(check) };
    Ok(batch.absent(key.clone()).put(key, rows::encode(&row)?))
}
