//! What the failures of the stores are to a caller: said in public words, and logged once with all that is known.

use crate::audit::log::{AppendError, LogError};
use crate::store::{BlobError, StoreError};
use sluice_model::{Code, Error};

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Stopped { .. } | StoreError::Disk { .. } => {
                unavailable("STORE_UNAVAILABLE", "the store cannot be written or read now")
            }
            StoreError::Corrupt { .. } | StoreError::Invalid { .. } | StoreError::Folder { .. } => {
                Error::internal("the store failed on this request")
            }
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Error {
        tracing::error!(%error, "the store of bundles failed");
        match error {
            BlobError::Disk { .. } => {
                unavailable("STORE_UNAVAILABLE", "the store of bundles cannot be written or read now")
            }
            BlobError::BadDigest | BlobError::TooLarge { .. } | BlobError::Corrupt { .. } => {
                Error::internal("the store of bundles failed on this request")
            }
        }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Error {
        tracing::error!(%error, "the audit log failed");
        match error {
            LogError::Disk { .. } | LogError::Stopped { .. } => {
                unavailable("AUDIT_UNAVAILABLE", "the audit log cannot be written or read now")
            }
            LogError::Corrupt { .. } | LogError::Folder { .. } | LogError::Invalid { .. } => {
                Error::internal("the audit log failed on this request")
            }
        }
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Error {
        match error {
            AppendError::Log(error) => error.into(),
            AppendError::Gap { .. } => {
                tracing::error!(%error, "audit records are missing");
                Error::internal("audit records are missing")
            }
        }
    }
}

fn unavailable(reason: &'static str, message: &str) -> Error {
    Error::new(Code::Unavailable, reason, message)
}
