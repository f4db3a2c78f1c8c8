//! `addresses.json` in the data folder: where the servers of this folder listen, for scripts that asked for port 0.
//!
//! ```json
//! {"control": "127.0.0.1:7070", "admin": "127.0.0.1:7072"}
//! ```
//! The keys are `control`, `executor` and `admin`, those that there are. The file appears whole or not at all, when every
//! port in it accepts connections, and it is removed at the end.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The file's name.
pub const FILE: &str = "addresses.json";

/// The addresses of a process, by key.
pub type Addresses = BTreeMap<&'static str, SocketAddr>;

/// The file, which is removed when this is dropped.
#[derive(Debug)]
pub struct AddressesFile {
    path: PathBuf,
}

impl AddressesFile {
    /// Writes the file into `folder`.
    pub fn write(folder: &Path, addresses: &Addresses) -> io::Result<AddressesFile> {
        let (path, half) = (folder.join(FILE), folder.join("addresses.json.new"));
        let mut file = std::fs::File::create(&half)?;
        serde_json::to_writer(&mut file, addresses)?;
        file.write_all(b"\n")?;
        drop(file);
        std::fs::rename(&half, &path)?;
        Ok(AddressesFile { path })
    }
}

impl Drop for AddressesFile {
    fn drop(&mut self) {
        // A file that is gone, or cannot be removed, misleads nobody for long: its ports refuse connections.
        let _gone = std::fs::remove_file(&self.path);
    }
}
