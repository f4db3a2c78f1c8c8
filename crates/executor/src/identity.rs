//! Who this executor is: an id for the life of its data folder, and an epoch that counts its starts.

use crate::files;
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

/// The file in the data folder.
pub const FILE: &str = "executor.json";

/// An executor at one of its starts. Its audit records are numbered by both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Made once, kept with the data folder.
    pub id: String,
    /// How many times it has started, from 1.
    pub epoch: u64,
}

impl Identity {
    /// Takes the next epoch. It is on disk before this returns: an epoch that was used and forgotten would number two
    /// different records alike.
    ///
    /// # Errors
    /// The folder cannot be read or written, or the file is not what an executor wrote. It is never replaced in silence:
    /// records in the spool are numbered by it.
    pub fn next(folder: &Path) -> io::Result<Identity> {
        let path = folder.join(FILE);
        let identity = match std::fs::read(&path) {
            Ok(bytes) => {
                let last: Identity = serde_json::from_slice(&bytes).map_err(|e| {
                    let message = format!("{} does not say which executor this is: {e}", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, message)
                })?;
                Identity { epoch: last.epoch + 1, ..last }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Identity { id: format!("executor-{}", uuid::Uuid::now_v7()), epoch: 1 }
            }
            Err(error) => return Err(error),
        };
        files::replace(&path, serde_json::to_string(&identity)?.as_bytes(), files::Force::Disk)?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_has_the_same_id_and_the_next_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::next(folder.path()).unwrap();
        assert_eq!(first.epoch, 1);
        let second = Identity::next(folder.path()).unwrap();
        assert_eq!(second, Identity { epoch: 2, ..first });
    }

    #[test]
    fn a_file_that_cannot_be_read_is_kept_and_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"{\"id\":").unwrap();
        let error = Identity::next(folder.path()).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), b"{\"id\":");
    }
}
