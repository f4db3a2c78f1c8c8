//! The platform's ten templates: Actions in TypeScript like any other, compiled by the same compiler and run in the same sandbox.
//! Nothing knows a template by its name but who looks it up here.
//!
//! `released/SLUG/VERSION` holds a version's own files and its cases, `shared/SET` modules that several have in common. Neither is changed
//! once it is released: flows pin versions, and `released.lock` has the digest of each. A new version is a new folder; what its modules
//! need differently is a new set.

use sluice_compiler::Package;
use sluice_model::Diagnostic;

include!(concat!(env!("OUT_DIR"), "/released.rs"));

/// A released version of a template.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Its slug, which no Action of a tenant may have.
    pub slug: &'static str,
    /// Its version.
    pub version: &'static str,
    files: &'static [(&'static str, &'static str)],
}

impl Template {
    /// Its files, by their path in the package; without its cases.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.files.iter().copied()
    }

    /// The package that it is.
    ///
    /// # Errors
    /// Mistakes of a package; a released one has none.
    pub fn package(&self) -> Result<Package, Vec<Diagnostic>> {
        Package::from_files(self.files().map(|(path, text)| (path.to_owned(), text.to_owned())))
    }
}

/// Whether a template only tells others of a sign-in and decides nothing, so that its failures let the sign-in go on unless its operator
/// says otherwise. All others enforce.
pub fn only_tells(slug: &str) -> bool {
    matches!(slug, "webhook-emit" | "slack-notify")
}

/// All versions of all templates, by slug and version.
pub fn released() -> &'static [Template] {
    RELEASED
}
