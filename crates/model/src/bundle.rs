//! Bundles: what a version's source compiles to, portable and named by its digest; or the component that it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The format that this build writes and reads.
pub const BUNDLE_FORMAT: u32 = 1;

/// One ES module of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleModule {
    /// Its path in the package, such as `src/index.ts`. Imports name other modules by exactly this path.
    pub path: String,
    /// JavaScript.
    pub code: String,
    /// The source map (version 3, JSON text) from `code` to the author's file; empty where they are the same.
    pub source_map: String,
}

/// A version's compiled source: ES modules and which of them exports `execute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// The path of the module that exports `execute`.
    pub entry: String,
    /// All modules, sorted by path.
    pub modules: Vec<BundleModule>,
}

impl Bundle {
    /// A bundle of these modules; they are sorted, so that the same package gives the same bytes.
    pub fn new(entry: impl Into<String>, mut modules: Vec<BundleModule>) -> Bundle {
        modules.sort_by(|a, b| a.path.cmp(&b.path));
        Bundle { format: BUNDLE_FORMAT, entry: entry.into(), modules }
    }

    /// The canonical bytes: compact JSON with keys in the order of the definition.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the canonical bytes. The error says what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Bundle, String> {
        let bundle: Bundle = serde_json::from_slice(bytes).map_err(|e| format!("not a bundle: {e}"))?;
        if bundle.format != BUNDLE_FORMAT {
            return Err(format!("bundle format {} is not known; this build reads {BUNDLE_FORMAT}", bundle.format));
        }
        Ok(bundle)
    }

    /// The digest of canonical bytes: blake3 as 64 hexadecimal digits.
    pub fn digest(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    /// What counts against [`crate::limits::MAX_BUNDLE_BYTES`]: the JavaScript of all modules.
    pub fn code_bytes(&self) -> usize {
        self.modules.iter().map(|m| m.code.len()).sum()
    }
}

/// How every file of WebAssembly begins, and no bundle.
const WEBASSEMBLY: &[u8] = b"\0asm";

/// What a version runs: what is stored, sent to executors and named by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// JavaScript, compiled from the package's sources.
    Bundle(Bundle),
    /// A WebAssembly component, byte for byte as it was published.
    Component(Bytes),
}

impl Artifact {
    /// The canonical bytes, which [`Bundle::digest`] names.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Artifact::Bundle(bundle) => bundle.to_bytes().into(),
            Artifact::Component(bytes) => bytes.clone(),
        }
    }

    /// Reads the canonical bytes. What begins as WebAssembly does is a component; whether it is a sound one is the sandbox's to
    /// say. The error says what is wrong with them.
    pub fn from_bytes(bytes: Bytes) -> Result<Artifact, String> {
        if bytes.starts_with(WEBASSEMBLY) {
            return Ok(Artifact::Component(bytes));
        }
        Bundle::from_bytes(&bytes).map(Artifact::Bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_whether_they_are_a_bundle_or_a_component() {
        let bundle = Artifact::Bundle(Bundle::new("src/index.ts", Vec::new()));
        let component = Artifact::Component(Bytes::from_static(b"\0asm\x0d\0\x01\0"));
        for artifact in [bundle, component] {
            assert_eq!(Artifact::from_bytes(artifact.to_bytes()).unwrap(), artifact);
        }
        assert!(Artifact::from_bytes(Bytes::from_static(b"\0as")).unwrap_err().starts_with("not a bundle"));
    }
}
