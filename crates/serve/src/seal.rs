//! Sealing: what must not lie on a disk in clear, kept under a key of a file.
//!
//! A [`KeyFile`] is 32 random bytes that only their owner may read. Each purpose has a key of its own, derived from them by
//! HKDF-SHA-256, so that what is sealed for one is noise to another. A [`Sealer`] seals by AES-256-GCM-SIV with a fresh
//! random nonce, bound to where the value belongs: moved to another place, cut, or changed in a bit, it does not open.
//! What is sealed names its key, so that the wrong key is told from a damaged value. Who keeps the file safe, and who reads
//! what was opened, is the caller's business.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    hkdf, hmac, rand,
};
use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A key file's size.
pub const KEY_BYTES: usize = 32;
/// Begins what is sealed; the number is its layout's.
const LAYOUT: u8 = 1;
/// A key's id.
const ID_BYTES: usize = 8;
/// A nonce.
const NONCE_BYTES: usize = 12;
/// What stands before the sealed text itself.
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES;
/// Names this module in what it derives.
const SALT: &[u8] = b"sluice seal 1";

/// Random bytes from the machine's generator, fit for keys.
///
/// # Errors
/// [`SealError::Failed`] where the machine has no randomness.
pub fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|Unspecified| SealError::Failed)?;
    Ok(bytes)
}

/// Text that is shown nowhere: neither `Debug` nor an error has it. It is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over; it is not copied.
    pub fn new(text: String) -> SecretText {
        SecretText(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why a key file cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("{}: there is no key file; it holds 32 random bytes, and what was sealed by it opens with no other", .0.display())]
    Missing(PathBuf),
    /// It is not a key.
    #[error("{}: a key file has {KEY_BYTES} bytes, this one has {bytes}", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// How many it has.
        bytes: u64,
    },
    /// Others may read it.
    #[error("{}: others than its owner may read or write the key file (mode {mode:o}); chmod 600 it", .path.display())]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The machine has no randomness, or the library refuses its own keys.
    #[error("{}: no key can be derived from it", .0.display())]
    Derive(PathBuf),
}

/// Why what was sealed does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It names another key.
    #[error("it was sealed by another key")]
    OtherKey,
    /// It was changed, cut, or belongs elsewhere.
    #[error("it is damaged, or was sealed for another place")]
    Damaged,
    /// It could not be sealed: the machine has no randomness.
    #[error("it could not be sealed")]
    Failed,
}

/// 32 bytes of a file.
pub struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    /// It is missing, has another size, may be read by others, or cannot be read.
    pub fn read(path: &Path) -> Result<KeyFile, KeyError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => KeyError::Io { path: path.to_owned(), error },
        };
        let mut file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mode = about.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Shared { path: path.to_owned(), mode });
        }
        if about.len() != KEY_BYTES as u64 {
            return Err(KeyError::Size { path: path.to_owned(), bytes: about.len() });
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        file.read_exact(&mut *bytes).map_err(failed)?;
        Ok(KeyFile { path: path.to_owned(), bytes })
    }

    /// Makes a key file of random bytes where there is none, for its owner alone, and on disk before anything is sealed by
    /// it.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn make(path: &Path) -> Result<KeyFile, KeyError> {
        let failed = |error| KeyError::Io { path: path.to_owned(), error };
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut *bytes).map_err(|Unspecified| KeyError::Derive(path.to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // A key that is half there would be taken for one that is damaged: it comes whole, by its name.
        let half = path.with_extension("half");
        let _left_by_a_crash = fs::remove_file(&half);
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).and_then(|mut file| {
            file.write_all(&*bytes)?;
            file.sync_all()?;
            // Unlike a rename it never takes the place of a key that is there.
            fs::hard_link(&half, path)?;
            fs::remove_file(&half)?;
            File::open(folder)?.sync_all()
        });
        written.map_err(failed)?;
        Ok(KeyFile { path: path.to_owned(), bytes })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of one purpose.
    ///
    /// # Errors
    /// [`KeyError::Derive`]: a fault of the library.
    pub fn sealer(&self, purpose: &str) -> Result<Sealer, KeyError> {
        self.derive(purpose).map_err(|Unspecified| KeyError::Derive(self.path.clone()))
    }

    fn derive(&self, purpose: &str) -> Result<Sealer, Unspecified> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&*self.bytes);
        let (mut key, mut mac) = (Zeroizing::new([0; KEY_BYTES]), Zeroizing::new([0; KEY_BYTES]));
        let mut id = [0; ID_BYTES];
        root.expand(&[purpose.as_bytes(), b"key"], Length(KEY_BYTES))?.fill(&mut *key)?;
        root.expand(&[purpose.as_bytes(), b"mac"], Length(KEY_BYTES))?.fill(&mut *mac)?;
        root.expand(&[purpose.as_bytes(), b"id"], Length(ID_BYTES))?.fill(&mut id)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &*key)?);
        Ok(Sealer { key, mac: hmac::Key::new(hmac::HMAC_SHA256, &*mac), id })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Seals and opens values of one purpose.
pub struct Sealer {
    key: LessSafeKey,
    mac: hmac::Key,
    id: [u8; ID_BYTES],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("key", &self.key_id()).finish_non_exhaustive()
    }
}

impl Sealer {
    /// The key's id, which says nothing of the key: 16 hexadecimal digits.
    pub fn key_id(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals a value for a place, which is given by its parts.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    pub fn seal(&self, place: &[&str], value: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|Unspecified| SealError::Failed)?;
        // What is sealed in place is clear before: it is wiped where the sealing fails.
        let mut text = Zeroizing::new(value.to_vec());
        let tag = self.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound(place)),
            text.as_mut_slice(),
        );
        let tag = tag.map_err(|Unspecified| SealError::Failed)?;
        Ok([&[LAYOUT], self.id.as_slice(), &nonce, &text, tag.as_ref()].concat())
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// [`SealError::OtherKey`], [`SealError::Damaged`].
    pub fn open(&self, place: &[&str], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (head, text) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(SealError::Damaged)?;
        if head[0] != LAYOUT {
            return Err(SealError::Damaged);
        }
        let (id, nonce) = head[1..].split_first_chunk::<ID_BYTES>().ok_or(SealError::Damaged)?;
        if *id != self.id {
            return Err(SealError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|Unspecified| SealError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(bound(place)), &mut text);
        let bytes = opened.map_err(|Unspecified| SealError::Damaged)?.len();
        text.truncate(bytes);
        Ok(text)
    }

    /// As [`Sealer::open`], of a text.
    ///
    /// # Errors
    /// As [`Sealer::open`]; what is no UTF-8 is [`SealError::Damaged`].
    pub fn open_text(&self, place: &[&str], sealed: &[u8]) -> Result<SecretText, SealError> {
        let mut opened = self.open(place, sealed)?;
        String::from_utf8(std::mem::take(&mut *opened)).map(SecretText::new).map_err(|wrong| {
            drop(Zeroizing::new(wrong.into_bytes()));
            SealError::Damaged
        })
    }

    /// Names a value without telling it: HMAC-SHA-256 under a key of its own, 64 hexadecimal digits.
    pub fn digest(&self, place: &[&str], value: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&bound(place));
        context.update(value);
        context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The parts of a place, each with its length, so that no two places look alike.
fn bound(place: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in place {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const PLACE: &[&str] = &["acme", "API_KEY", "1"];

    fn made(folder: &Path, name: &str) -> KeyFile {
        KeyFile::make(&folder.join("keys").join(name)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = made(folder.path(), "a").sealer("secrets").unwrap();
        let sealed = sealer.seal(PLACE, b"s3cr3t").unwrap();
        assert_eq!(sealer.open_text(PLACE, &sealed).unwrap().expose(), "s3cr3t");
        assert_ne!(sealer.seal(PLACE, b"s3cr3t").unwrap(), sealed, "each has a nonce of its own");
        assert!(!sealed.windows(6).any(|window| window == b"s3cr3t"));
        for place in [&["acme", "API_KEY", "2"][..], &["acme", "API_KEY1"], &["acmeA", "PI_KEY", "1"], &[]] {
            assert_eq!(sealer.open(place, &sealed).unwrap_err(), SealError::Damaged, "{place:?}");
        }
    }

    #[test]
    fn what_was_changed_in_a_bit_or_cut_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = made(folder.path(), "a").sealer("secrets").unwrap();
        let sealed = sealer.seal(PLACE, b"s3cr3t").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open(PLACE, &changed).is_err(), "byte {at}");
            assert!(sealer.open(PLACE, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(sealer.open(PLACE, &[sealed.as_slice(), &[0]].concat()).is_err());
        let binary = sealer.seal(PLACE, &[0xff, 0xfe]).unwrap();
        assert_eq!(sealer.open_text(PLACE, &binary).unwrap_err(), SealError::Damaged);
    }

    #[test]
    fn another_key_or_purpose_is_told_from_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (made(folder.path(), "a"), made(folder.path(), "b"));
        let sealed = one.sealer("secrets").unwrap().seal(PLACE, b"s3cr3t").unwrap();
        for other in [two.sealer("secrets").unwrap(), one.sealer("cache").unwrap()] {
            assert_eq!(other.open(PLACE, &sealed).unwrap_err(), SealError::OtherKey);
        }
        let again = KeyFile::read(one.path()).unwrap().sealer("secrets").unwrap();
        assert_eq!(again.open_text(PLACE, &sealed).unwrap().expose(), "s3cr3t");
        let digest = again.digest(PLACE, b"s3cr3t");
        assert_eq!(digest, one.sealer("secrets").unwrap().digest(PLACE, b"s3cr3t"));
        assert_ne!(digest, two.sealer("secrets").unwrap().digest(PLACE, b"s3cr3t"));
        assert_ne!(digest, again.digest(&["acme"], b"s3cr3t"));
    }

    #[test]
    fn a_key_file_is_its_owners_alone_and_never_made_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let key = made(folder.path(), "a");
        assert_eq!(fs::metadata(key.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("keys")).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(KeyFile::make(key.path()).unwrap_err(), KeyError::Io { .. }));
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(key.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(KeyFile::read(key.path()).unwrap_err(), KeyError::Shared { .. }), "{mode:o}");
        }
        fs::set_permissions(key.path(), fs::Permissions::from_mode(0o400)).unwrap();
        assert!(KeyFile::read(key.path()).is_ok());
        let short = folder.path().join("short");
        fs::write(&short, b"x").unwrap();
        fs::set_permissions(&short, fs::Permissions::from_mode(0o600)).unwrap();
        let says = KeyFile::read(&short).unwrap_err().to_string();
        assert!(says.ends_with("short: a key file has 32 bytes, this one has 1"), "{says}");
        let none = KeyFile::read(&folder.path().join("none")).unwrap_err();
        assert!(matches!(none, KeyError::Missing(_)) && none.to_string().contains("none: there is no key file"));
    }

    #[test]
    fn nothing_shows_a_value_or_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = made(folder.path(), "a");
        let shown =
            format!("{:?} {:?} {:?}", SecretText::new("s3cr3t".to_owned()), key, key.sealer("secrets").unwrap());
        assert!(!shown.contains("s3cr3t") && shown.contains("[secret]"), "{shown}");
    }
}
