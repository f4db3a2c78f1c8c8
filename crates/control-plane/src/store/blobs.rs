//! Large immutable values, in files named by what is in them.
//!
//! ```text
//! FOLDER/half/…                 being written; emptied at open
//! FOLDER/ab/cdef….zst           zstd of the content whose BLAKE3 is abcdef…
//! ```
//! A file appears under its name only when it is whole and synced, and a reader checks the digest, so what is read is what was
//! put. Nothing here is deleted: what no version names any more is found by going through the versions.

use bytes::Bytes;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The most bytes of one content, 64 MiB.
pub const MAX_BLOB_BYTES: usize = 64 * 1024 * 1024;

const HALF: &str = "half";
/// Level 3 is zstd's own default: higher ones cost a publish more time than they save in a file of some 100 KB.
const ZSTD_LEVEL: i32 = 3;

/// The name of a content: its BLAKE3, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a content.
    pub fn of(content: &[u8]) -> Digest {
        Digest(*blake3::hash(content).as_bytes())
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = BlobError;

    fn from_str(text: &str) -> Result<Digest, BlobError> {
        // `from_hex` takes upper case too; one content has one name.
        match blake3::Hash::from_hex(text) {
            Ok(hash) if !text.bytes().any(|byte| byte.is_ascii_uppercase()) => Ok(Digest(*hash.as_bytes())),
            _ => Err(BlobError::BadDigest),
        }
    }
}

/// Why a content could not be put or had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BlobError {
    /// A text that is no digest.
    #[error("a digest is 64 digits of 0-9 and a-f")]
    BadDigest,
    /// The content is larger than [`MAX_BLOB_BYTES`].
    #[error("a content of {size} bytes; {MAX_BLOB_BYTES} at most")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The file is there, but what is in it is not what its name says.
    #[error("the file of content {digest} is corrupt: {detail}; publish the same source again, or restore the file")]
    Corrupt {
        /// The content asked for.
        digest: Digest,
        /// What does not fit.
        detail: String,
    },
    /// The disk failed.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
}

/// A folder of contents. Cheap to clone; several tasks, and several of it on one folder, do not disturb each other.
#[derive(Debug, Clone)]
pub struct BlobStore {
    folder: Arc<Path>,
}

impl BlobStore {
    /// Opens a folder, or makes it. What was being written when its last process died is removed, so only one process may
    /// have it open.
    pub async fn open(folder: PathBuf) -> Result<BlobStore, BlobError> {
        blocking(move || {
            let half = folder.join(HALF);
            match fs::remove_dir_all(&half) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(&half)(error)),
                _ => {}
            }
            fs::create_dir_all(&half).map_err(disk(&half))?;
            sync_folder(&folder)?;
            Ok(BlobStore { folder: folder.into() })
        })
        .await
    }

    /// Puts a content, and answers when it is durable. Putting what is there already changes nothing; a corrupt file of it is
    /// replaced.
    pub async fn put(&self, content: impl Into<Bytes>) -> Result<Digest, BlobError> {
        let (folder, content) = (Arc::clone(&self.folder), content.into());
        blocking(move || put(&folder, &content)).await
    }

    /// The names of all contents, sorted.
    pub(crate) async fn list(&self) -> Result<Vec<Digest>, BlobError> {
        let folder = Arc::clone(&self.folder);
        blocking(move || list(&folder)).await
    }

    /// The content of a name, `None` where it was never put. The digest is checked.
    pub async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let folder = Arc::clone(&self.folder);
        blocking(move || get(&folder, digest)).await
    }
}

fn put(folder: &Path, content: &[u8]) -> Result<Digest, BlobError> {
    if content.len() > MAX_BLOB_BYTES {
        return Err(BlobError::TooLarge { size: content.len() });
    }
    let digest = Digest::of(content);
    let path = path_of(folder, digest);
    match get(folder, digest) {
        Ok(Some(_)) => {
            // It may have been renamed by a put that is not synced yet.
            return sync_parent(&path).map(|()| digest);
        }
        Ok(None) | Err(BlobError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    let half = folder.join(HALF).join(uuid::Uuid::now_v7().to_string());
    let written = write_half(&half, content).and_then(|()| {
        let shard = path.parent().unwrap_or(folder);
        if !shard.is_dir() {
            fs::create_dir_all(shard).map_err(disk(shard))?;
            sync_folder(folder)?;
        }
        fs::rename(&half, &path).map_err(disk(&path))?;
        sync_parent(&path)
    });
    if written.is_err() {
        // What is left is removed at the next open; the first error is the one to tell.
        drop(fs::remove_file(&half));
    }
    written.map(|()| digest)
}

fn write_half(half: &Path, content: &[u8]) -> Result<(), BlobError> {
    let packed = zstd::encode_all(content, ZSTD_LEVEL).map_err(disk(half))?;
    let mut file = File::create_new(half).map_err(disk(half))?;
    file.write_all(&packed).map_err(disk(half))?;
    file.sync_all().map_err(disk(half))
}

fn get(folder: &Path, digest: Digest) -> Result<Option<Vec<u8>>, BlobError> {
    let path = path_of(folder, digest);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk(&path)(error)),
    };
    let corrupt = |detail: String| BlobError::Corrupt { digest, detail };
    let unpacked = zstd::Decoder::new(file).map_err(disk(&path))?;
    let mut content = Vec::new();
    // One byte more than allowed, so that a file that unpacks to too much is seen and not cut.
    let most = MAX_BLOB_BYTES as u64 + 1;
    unpacked.take(most).read_to_end(&mut content).map_err(|error| corrupt(error.to_string()))?;
    if Digest::of(&content) != digest {
        return Err(corrupt("its digest does not match".to_owned()));
    }
    Ok(Some(content))
}

fn list(folder: &Path) -> Result<Vec<Digest>, BlobError> {
    let mut found = Vec::new();
    for shard in fs::read_dir(folder).map_err(disk(folder))? {
        let shard = shard.map_err(disk(folder))?;
        let name = shard.file_name();
        let Some(start) = name.to_str().filter(|name| name.len() == 2) else { continue };
        for file in fs::read_dir(shard.path()).map_err(disk(&shard.path()))? {
            let name = file.map_err(disk(&shard.path()))?.file_name();
            let rest = name.to_str().and_then(|name| name.strip_suffix(".zst"));
            found.extend(rest.and_then(|rest| format!("{start}{rest}").parse::<Digest>().ok()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn path_of(folder: &Path, digest: Digest) -> PathBuf {
    let name = digest.to_string();
    let (shard, rest) = name.split_at(2);
    folder.join(shard).join(format!("{rest}.zst"))
}

fn sync_parent(path: &Path) -> Result<(), BlobError> {
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk(folder))
}

fn disk(path: &Path) -> impl Fn(io::Error) -> BlobError + '_ {
    |error| BlobError::Disk { path: path.to_owned(), error: Arc::new(error) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(disk(Path::new("blobs"))(io::Error::other(error))),
    }
}
