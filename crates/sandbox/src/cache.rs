//! The compiled base image in a cache folder, shared by all processes of one build.
//!
//! The file holds machine code, so it is taken only where nobody else can have written it: the folder and the file must be
//! this user's and closed to everyone else's writing, its name must carry the hash of this very engine and of how its picture
//! is made, and wasmtime's own hash of everything that compiling depends on, and its contents must match their digest. Anything
//! else is made anew.

use crate::base::Image;
use crate::engine::EngineError;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use wasmtime::Module;

/// Begins a cache file; the number is its layout's.
const MAGIC: &[u8; 8] = b"SLUBASE1";
const DIGEST_BYTES: usize = 32;
/// More than any image: a guest's memory has 64 MiB.
const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Where one build's image is kept.
pub(crate) struct Place {
    dir: PathBuf,
    file: PathBuf,
}

impl Place {
    /// Makes the folder where it is not there, closed to everyone else.
    pub(crate) fn new(dir: &Path, engine: &wasmtime::Engine, recipe: &blake3::Hash) -> Result<Place, EngineError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| EngineError::Cache { path: dir.to_owned(), source })?;
        let compatibility = compatibility(engine);
        let name = format!("base-{}-{}.image", &recipe.to_hex()[..16], &compatibility[..16]);
        Ok(Place { dir: dir.to_owned(), file: dir.join(name) })
    }

    /// The image, or nothing where there is none that can be trusted.
    pub(crate) fn load(&self) -> Option<Image> {
        match self.read() {
            Ok(image) => Some(image),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the cached engine is not usable; it is made anew");
                None
            }
        }
    }

    fn read(&self) -> io::Result<Image> {
        let mut file = OpenOptions::new().read(true).open(&self.file)?;
        for (what, metadata) in [("the folder", fs::metadata(&self.dir)?), ("the file", file.metadata()?)] {
            const WRITABLE_BY_OTHERS: u32 = 0o022;
            if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & WRITABLE_BY_OTHERS != 0 {
                return Err(io::Error::other(format!("{what} is not this user's alone to write to")));
            }
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        parse(&bytes).ok_or_else(|| io::Error::other("the file is damaged"))
    }

    /// Keeps the image. Without it the next start only takes longer, so a failure is no more than a warning.
    pub(crate) fn store(&self, image: &Image) {
        if let Err(error) = self.write(image) {
            tracing::warn!(file = %self.file.display(), %error, "the compiled engine could not be cached");
        }
    }

    fn write(&self, image: &Image) -> io::Result<()> {
        write_whole(&self.file, &serialise(image)?)
    }
}

/// wasmtime's hash of everything that compiling depends on, in hexadecimal.
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> String {
    let mut compatibility = Blake3Hasher(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    compatibility.0.finalize().to_hex().to_string()
}

/// The payload of a file that this user alone can have written, whole by its digest.
pub(crate) fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).open(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for (what, metadata) in [("the folder", fs::metadata(folder)?), ("the file", file.metadata()?)] {
        const WRITABLE_BY_OTHERS: u32 = 0o022;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(io::Error::other(format!("{what} is not this user's alone to write to")));
        }
    }
    let mut digest = [0; DIGEST_BYTES];
    file.read_exact(&mut digest)?;
    let mut payload = Vec::new();
    file.read_to_end(&mut payload)?;
    if blake3::hash(&payload) == digest { Ok(payload) } else { Err(io::Error::other("the file is damaged")) }
}

/// Keeps a payload for [`read_own`].
pub(crate) fn write_own(path: &Path, payload: &[u8]) -> io::Result<()> {
    write_whole(path, &[blake3::hash(payload).as_bytes().as_slice(), payload].concat())
}

/// Writes a file that nobody else may read, all of it or nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Another process may be doing the same: each writes a file of its own, and the last rename stands.
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let kept = written.and_then(|()| fs::rename(&temporary, path));
    if kept.is_err() {
        // Nobody would take it up again.
        let _ = fs::remove_file(&temporary);
    }
    kept
}

impl Image {
    /// The module in the image's code.
    pub(crate) fn module(&self, engine: &wasmtime::Engine) -> wasmtime::Result<Module> {
        // SAFETY: `deserialize` trusts the machine code in the bytes. There are two places that make an image. One has just
        // compiled it. The other is `parse`, for a file that a process of this very build wrote: its name carries the hash of
        // the engine's wasm and wasmtime's compatibility hash, the digest over the whole file matches, and `read` has checked
        // that folder and file belong to this user and that nobody else can write to them. Whoever can forge it all the same
        // already runs code as this user.
        unsafe { Module::deserialize(engine, &self.code) }
    }
}

fn serialise(image: &Image) -> io::Result<Vec<u8>> {
    let memory = zstd::bulk::compress(&image.memory, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    let mut payload = Vec::with_capacity(memory.len() + image.code.len() + 64);
    payload.extend_from_slice(&image.base_hash);
    payload.extend_from_slice(&image.input_area.to_le_bytes());
    payload.extend_from_slice(&(memory.len() as u64).to_le_bytes());
    payload.extend_from_slice(&memory);
    payload.extend_from_slice(&image.code);
    Ok([MAGIC.as_slice(), blake3::hash(&payload).as_bytes(), &payload].concat())
}

fn parse(bytes: &[u8]) -> Option<Image> {
    let payload = bytes.strip_prefix(MAGIC)?;
    let (digest, payload) = payload.split_first_chunk::<DIGEST_BYTES>()?;
    if blake3::hash(payload) != *digest {
        return None;
    }
    let (base_hash, rest) = payload.split_first_chunk::<32>()?;
    let (input_area, rest) = rest.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let (memory, code) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    Some(Image {
        base_hash: *base_hash,
        input_area: u32::from_le_bytes(*input_area),
        memory: zstd::bulk::decompress(memory, MAX_MEMORY_BYTES).ok()?,
        code: code.to_vec(),
    })
}

/// Lets wasmtime feed its compatibility hash into blake3, so that a name is the same in every process.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
