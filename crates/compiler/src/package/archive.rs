//! Reads a package from a `.tar.gz`, and writes one.

use super::{MAX_ARCHIVE_BYTES, MAX_UNPACKED_BYTES, Package, Reading, is_component, max_bytes, may_count, too_large};
use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use sluice_model::{
    Diagnostic,
    manifest::{MANIFEST_FILE, check_path},
};
use std::io::{self, Read};
use tar::{Archive, Builder, EntryType, Header};

/// Entries of an archive that are looked at.
const MAX_ENTRIES: usize = 5_000;

impl Package {
    /// Reads a package from a `.tar.gz`. The files stand at its top, or all in one folder (as `tar czf x.tar.gz my-action`
    /// makes it). What unpacks to more than [`MAX_UNPACKED_BYTES`] is not unpacked to its end.
    ///
    /// # Errors
    /// All mistakes; see [`Package::from_files`]. Links, devices, absolute paths, `..` and paths that differ by case alone are
    /// refused by name.
    pub fn from_archive(bytes: &[u8]) -> Result<Package, Vec<Diagnostic>> {
        if bytes.len() > MAX_ARCHIVE_BYTES {
            let message = format!("the archive has {} bytes; at most {MAX_ARCHIVE_BYTES} are taken", bytes.len());
            return Err(vec![Diagnostic::error("too_large", "", message)]);
        }
        let mut reading = Reading::default();
        let files = match unpack(bytes, &mut reading) {
            Ok(Some(files)) => files,
            Ok(None) => return Err(reading.found),
            Err(error) => {
                reading.refuse(code_of(&error), "", message_of(bytes, &error));
                return Err(reading.found);
            }
        };
        let top = top_folder(&files);
        for (path, bytes) in files {
            let path = path.strip_prefix(&top).unwrap_or(&path).to_owned();
            reading.add(path, bytes);
            if reading.is_full() {
                break;
            }
        }
        reading.finish()
    }

    /// The package as a `.tar.gz`: the files that count, sorted, without times and owners. The same package gives the same
    /// bytes.
    pub fn to_archive(&self) -> Vec<u8> {
        let pack = || -> io::Result<Vec<u8>> {
            let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
            let component = self.manifest.component.as_ref().zip(self.component.as_ref());
            let component = component.map(|(path, bytes)| (path, bytes.as_ref()));
            let texts = self.files.iter().map(|(path, text)| (path, text.as_bytes()));
            for (path, bytes) in texts.chain(component) {
                let mut header = Header::new_ustar();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(0);
                header.set_uid(0);
                header.set_gid(0);
                archive.append_data(&mut header, path, bytes)?;
            }
            archive.into_inner()?.finish()
        };
        // Writing into memory cannot fail, and every path was checked to fit.
        pack().unwrap_or_default()
    }
}

fn code_of(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::FileTooLarge { "too_large" } else { "bad_archive" }
}

/// What is wrong with an archive, in words of what to do.
fn message_of(bytes: &[u8], error: &io::Error) -> String {
    /// How gzip begins.
    const GZIP: &[u8] = &[0x1f, 0x8b];
    let is_cut = ["deflate", "EOF", "unexpected end", "failed to fill", "corrupt"];
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::FileTooLarge => format!("the archive {}", text.strip_prefix("it ").unwrap_or(&text)),
        _ if bytes.is_empty() => "not a .tar.gz: the file is empty".to_owned(),
        _ if !bytes.starts_with(GZIP) => {
            "not a .tar.gz; `tar czf package.tar.gz my-action` makes one of the folder my-action".to_owned()
        }
        _ if is_cut.iter().any(|word| text.contains(word)) => "the archive is cut short".to_owned(),
        _ => format!("not a .tar.gz that can be read: {text}"),
    }
}

/// Files by their path, as an archive has them.
type Files = Vec<(String, Vec<u8>)>;

/// All files that may count, in the order of the archive. Mistakes that concern one entry are added to `reading`; None where one of
/// them makes it pointless to unpack more.
fn unpack(bytes: &[u8], reading: &mut Reading) -> io::Result<Option<Files>> {
    let mut archive = Archive::new(Bounded { inner: MultiGzDecoder::new(bytes), left: MAX_UNPACKED_BYTES });
    let mut files = Vec::new();
    for (index, entry) in archive.entries()?.enumerate() {
        if index >= MAX_ENTRIES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has over {MAX_ENTRIES} entries")));
        }
        let entry = entry?;
        let raw = entry.path_bytes().into_owned();
        let Ok(name) = String::from_utf8(raw) else {
            reading.refuse("bad_path", &String::from_utf8_lossy(&entry.path_bytes()), "the path is not UTF-8");
            continue;
        };
        let path = name.strip_prefix("./").unwrap_or(&name);
        let kind = entry.header().entry_type();
        let wrong = match kind {
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::Directory => {
                let folder = path.trim_end_matches('/');
                if !matches!(folder, "" | ".")
                    && let Err(wrong) = check_path(folder)
                {
                    reading.refuse("bad_path", &name, format!("the path {wrong}"));
                }
                continue;
            }
            // Comments of the archive itself, such as the commit that it was made from.
            EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => Some(("link", "is a link; a package has only files and folders")),
            EntryType::Char | EntryType::Block | EntryType::Fifo => Some(("not_a_file", "is a device or a pipe")),
            // Sparse files too: they unpack to more than what is read.
            _ => Some(("not_a_file", "is neither a plain file nor a folder")),
        };
        if let Some((code, message)) = wrong {
            reading.refuse(code, &name, message);
            continue;
        }
        if let Err(wrong) = check_path(path) {
            reading.refuse("bad_path", &name, format!("the path {wrong}"));
            continue;
        }
        let path = path.to_owned();
        // Everything may stand in one folder, the manifest too.
        if may_count(&path) || path.ends_with(&format!("/{MANIFEST_FILE}")) {
            let mut bytes = Vec::new();
            // One byte more than fits is enough to be refused.
            let most = max_bytes(&path);
            entry.take(most as u64 + 1).read_to_end(&mut bytes)?;
            if is_component(&path) && bytes.len() > most {
                // What follows it may be past what an archive may unpack to, which would be told of nothing in particular.
                reading.refuse("too_large", &path, too_large(&path));
                return Ok(None);
            }
            files.push((path, bytes));
        }
    }
    Ok(Some(files))
}

/// The one folder that holds everything, with its slash; empty where the files stand at the top.
fn top_folder(files: &[(String, Vec<u8>)]) -> String {
    let has = |path: &str| files.iter().any(|(other, _)| other == path);
    let first = files.first().and_then(|(path, _)| path.split_once('/')).map(|(folder, _)| format!("{folder}/"));
    match first {
        Some(folder) if !has(MANIFEST_FILE) && files.iter().all(|(path, _)| path.starts_with(&folder)) => folder,
        _ => String::new(),
    }
}

/// A reader that fails when more comes out of it than may.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("it unpacks to over {MAX_UNPACKED_BYTES} bytes"))
        })?;
        Ok(read)
    }
}
