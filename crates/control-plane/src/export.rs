//! Exports: everything that a control plane holds in one file, and a data folder made of such a file again.
//!
//! An export is logical: the store's rows with the commits that wrote them, the bundles, and the audit log batch by batch, in
//! an [archive](crate::archive) whose records are all checked. The same data is the same bytes. Both need the folder to themselves.
//!
//! Secrets are in it as they lie in the store: sealed. The key that opens them is not, and has to be kept apart.
//!
//! A restored control plane goes on where the export was taken: etags, cursors of audit pages, request ids and the numbers that
//! audit is deduplicated by are as they were. Its store gets another number, so that executors, which may have heard of commits
//! that the export does not have, are told everything anew.

use crate::archive::{ArchiveError, Reader, Writer, kind};
use crate::audit::log::archive::{Batch, Restorer};
use crate::audit::log::{Cursor, FileAuditLog, LogError, SEGMENT_BYTES};
use crate::distribution::Cursors;
use crate::store::image::{self, Facts};
use crate::store::{BlobError, BlobStore, SledStore, StoreError};
use sluice_serve::DataFolder;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Where in the data folder the store is.
pub(crate) const META: &str = "meta";
/// Where the bundles are.
pub(crate) const BLOBS: &str = "blobs";
/// Where the audit log is.
pub(crate) const AUDIT: &str = "audit";
/// There while a data folder is being restored.
const RESTORING: &str = "RESTORING";

/// What may lie in a data folder that holds nothing: a server's lock and address book, what file systems make, and the keys that
/// an operator put there, which are in no export.
const NOTHING: &[&str] = &["lock", "addresses.json", "lost+found", "keys"];

/// What was exported or restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows of the store.
    pub rows: u64,
    /// Bundles.
    pub bundles: u64,
    /// Audit records.
    pub audit_records: u64,
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, {} bundles, {} audit records", self.rows, self.bundles, self.audit_records)
    }
}

/// Why an export or a restore was not made. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder or the file is not what it has to be.
    #[error("{0}")]
    Refused(String),
    /// The export.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The bundles.
    #[error("the bundles: {0}")]
    Blobs(#[from] BlobError),
    /// The audit log.
    #[error("{0}")]
    Log(#[from] LogError),
}

fn refused(message: String) -> ExportError {
    ExportError::Refused(message)
}

/// Writes everything that the control plane in the folder `data` holds to the file `to`, which must not be there yet and
/// appears whole or not at all.
///
/// # Errors
/// The folder holds no control plane's data, or a server is running on it; what cannot be read; `to` exists or cannot be written.
pub async fn export(data: &Path, to: &Path) -> Result<Contents, ExportError> {
    if !SledStore::is_in(&data.join(META)) {
        return Err(refused(format!("--data {}: holds no control plane's data", data.display())));
    }
    check_whole(data)?;
    if to.exists() {
        return Err(refused(format!("--to {}: is there already; name a file that is not", to.display())));
    }
    let _held = hold(data)?;
    // It is only opened: how much it can tell of its changes is the server's business.
    let store = SledStore::open(data.join(META), u64::MAX).await?;
    let blobs = BlobStore::open(data.join(BLOBS)).await?;
    let log = FileAuditLog::open(data.join(AUDIT), SEGMENT_BYTES).await?;

    let (mut archive, facts) = store.export(Writer::create(to)?).await?;
    let mut contents = Contents { rows: facts.rows, ..Contents::default() };
    for digest in blobs.list().await? {
        // It was listed a moment ago, and nobody else has the folder.
        let Some(content) = blobs.get(digest).await? else { continue };
        archive.put(kind::BUNDLE, &content)?;
        contents.bundles += 1;
    }
    let (archive, audit_records) = log.export(archive).await?;
    contents.audit_records = audit_records;
    archive.finish()?;
    Ok(contents)
}

/// Makes the data folder `data`, which must be empty or not there, of the export `from`. The export is read whole and checked
/// before anything is made; what is made by a restore that fails is removed, and a folder where one was cut short is refused by
/// every server, and taken by the next restore.
///
/// # Errors
/// `data` holds something; `from` is no whole export; what cannot be written.
pub async fn restore(data: &Path, from: &Path) -> Result<Contents, ExportError> {
    let export = from.to_owned();
    let (contents, facts) = blocking(move || check(&export)).await?;
    let was_there = is_empty(data)?;
    let held = hold(data)?;
    // Another restore may have been as fast.
    is_empty(data)?;
    let restored = make(data, from, facts).await;
    let cleared = if restored.is_err() { clear(data) } else { Ok(()) };
    drop(held);
    let Err(error) = restored else { return Ok(contents) };
    let removed = if was_there { Ok(()) } else { fs::remove_dir_all(data) };
    if let Err(left) = cleared.and(removed) {
        tracing::error!(%left, "what was made by a restore that failed could not be removed");
    }
    Err(error)
}

/// Refuses a folder where a restore was cut short.
pub(crate) fn check_whole(data: &Path) -> Result<(), ExportError> {
    if data.join(RESTORING).exists() {
        let message = "a restore was cut short here; run it again, or remove the folder";
        return Err(refused(format!("data = {}: {message}", data.display())));
    }
    Ok(())
}

fn hold(data: &Path) -> Result<DataFolder, ExportError> {
    DataFolder::open(data).map_err(|error| refused(format!("{error}; stop the control plane first")))
}

/// Whether the folder is there; an error where something is in it. What a restore that was cut short has left is nothing.
fn is_empty(data: &Path) -> Result<bool, ExportError> {
    let failed = |error: io::Error| refused(format!("--data {}: {error}", data.display()));
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    let was_cut_short = data.join(RESTORING).exists();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let ours = was_cut_short && [META, BLOBS, AUDIT, RESTORING].iter().any(|ours| name == *ours);
        if !ours && !NOTHING.iter().any(|nothing| name == *nothing) {
            let message = format!(
                "--data {}: is not empty (it has {}); a restore makes a folder anew",
                data.display(),
                name.display()
            );
            return Err(refused(message));
        }
    }
    Ok(true)
}

/// Removes what a restore has made. The mark that it was cut short goes last: as long as anything is left, nobody serves it.
fn clear(data: &Path) -> io::Result<()> {
    for part in [META, BLOBS, AUDIT] {
        match fs::remove_dir_all(data.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_file(data.join(RESTORING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn make(data: &Path, from: &Path, facts: Facts) -> Result<(), ExportError> {
    let (folder, export) = (data.to_owned(), from.to_owned());
    let mut archive = blocking(move || {
        let disk = |error| ExportError::from(ArchiveError::disk(&folder)(error));
        clear(&folder).map_err(disk)?;
        File::create(folder.join(RESTORING)).and_then(|file| file.sync_all()).map_err(disk)?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(disk)?;
        let mut archive = Reader::open(&export)?;
        SledStore::restore(&folder.join(META), facts.from, |put| {
            image::read(&mut archive, put).map(|facts| facts.rows)
        })?;
        Ok(archive)
    })
    .await?;
    let blobs = BlobStore::open(data.join(BLOBS)).await?;
    let mut audit = Restorer::begin(&data.join(AUDIT))?;
    loop {
        let read = blocking(move || {
            let record = archive.next()?;
            Ok((archive, record))
        });
        let (reader, record) = read.await?;
        archive = reader;
        match record {
            Some((kind::BUNDLE, content)) => {
                blobs.put(content).await?;
            }
            Some((_, body)) => {
                let batch = Batch::read(&body).map_err(|detail| archive.unfit(&detail))?;
                audit = blocking(move || {
                    audit.put(&batch)?;
                    Ok(audit)
                })
                .await?;
            }
            None => break,
        }
    }
    blocking(move || Ok(audit.finish()?)).await?;
    let store = SledStore::open(data.join(META), u64::MAX).await?;
    Cursors::renew(&store).await.map_err(|error| refused(error.to_string()))?;
    drop(store);
    let folder = data.to_owned();
    blocking(move || {
        let done = fs::remove_file(folder.join(RESTORING)).and_then(|()| File::open(&folder)?.sync_all());
        Ok(done.map_err(ArchiveError::disk(&folder))?)
    })
    .await
}

/// Reads an export whole: every record is read as it will be when it is restored.
fn check(export: &Path) -> Result<(Contents, Facts), ExportError> {
    let mut archive = Reader::open(export)?;
    let facts = image::read::<ArchiveError>(&mut archive, |_| Ok(()))?;
    let mut contents = Contents { rows: facts.rows, ..Contents::default() };
    let mut next = Cursor(1);
    while let Some((kind, body)) = archive.next()? {
        match kind {
            kind::BUNDLE if contents.audit_records == 0 => contents.bundles += 1,
            kind::AUDIT => {
                let batch = Batch::read(&body).map_err(|detail| archive.unfit(&detail))?;
                if batch.first() != next {
                    return Err(archive.unfit("the audit records before it are missing").into());
                }
                contents.audit_records += batch.len();
                next = Cursor(next.0 + batch.len());
            }
            _ => return Err(archive.unfit("it is not where it belongs").into()),
        }
    }
    if facts.through != facts.from {
        return Err(archive.unfit("the store was written to while it was exported").into());
    }
    Ok((contents, facts))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(refused(error.to_string())),
    }
}
