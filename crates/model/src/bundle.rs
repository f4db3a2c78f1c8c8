//! Bundles: what a version's source compiles to, portable and named by its digest.

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
