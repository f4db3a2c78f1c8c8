//! What new packages begin as. The texts are in `starters/`.

use clap::ValueEnum;
use sluice_model::Slug;

/// A beginning.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Starter {
    /// An Action that continues every sign-in
    Empty,
    /// Sends users to a form that asks for what is missing of their profile
    ProfileRedirect,
    /// Blocks sign-ins, or demands MFA, by country or network
    GeoBlock,
    /// Lets in members of some organizations alone, and puts their role into the token
    OrganizationCheck,
    /// Asks an API what a user is entitled to, and puts the answer into the tokens
    HttpClaims,
    /// Demands MFA of accounts that are in known breaches, or blocks them
    BreachedAccount,
    /// Uses a package of npm, bundled by esbuild
    NpmBundle,
    /// A WebAssembly component in Rust: lets in e-mail addresses of the company's domains alone
    RustComponent,
}

impl Starter {
    /// Its name, as `--starter` takes it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it does.
    pub(crate) fn about(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }
}

/// A file: its path in the package, and its text.
type File = (&'static str, &'static str);

/// What every TypeScript package has besides: types for the editor, and what version control leaves out.
const TYPES: File = ("types/sluice.d.ts", include_str!("../starters/sluice.d.ts"));
const TSCONFIG: File = ("tsconfig.json", include_str!("../starters/tsconfig.json"));
const GITIGNORE: File = (".gitignore", include_str!("../starters/gitignore"));

/// Files of a starter, from its folder.
macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../starters/", $folder, "/", $path)))),+]
    };
}

const EMPTY: &[File] = files!("empty": "action.toml", "src/index.ts", "tests/continues.json");
const PROFILE_REDIRECT: &[File] = files!(
    "profile-redirect": "action.toml", "schema.json", "src/index.ts", "src/fields.ts", "tests/asks.json", "tests/continues.json",
);
const GEO_BLOCK: &[File] = files!(
    "geo-block": "action.toml", "schema.json", "src/index.ts", "src/place.ts", "tests/answers.json", "tests/places.json",
);
const ORGANIZATION_CHECK: &[File] = files!(
    "organization-check": "action.toml", "schema.json", "src/index.ts", "src/memberships.ts", "tests/members.json",
    "tests/outsiders.json",
);
const HTTP_CLAIMS: &[File] = files!(
    "http-claims": "action.toml", "schema.json", "src/index.ts", "src/cache.ts", "src/entitlements.ts", "tests/claims.json",
    "tests/failures.json",
);
const BREACHED_ACCOUNT: &[File] = files!(
    "breached-account": "action.toml", "schema.json", "src/index.ts", "src/digest.ts", "src/range.ts", "tests/addresses.json",
    "tests/lookups.json",
);
const NPM_BUNDLE: &[File] = files!(
    "npm-bundle": "action.toml", "schema.json", "package.json", "README.md", "src/index.ts", "src/networks.ts",
    "tests/networks.json", "tsconfig.json",
);
const RUST_COMPONENT: &[File] = files!(
    "rust-component": "action.toml", "schema.json", "Cargo.toml", "Cargo.lock", "README.md", "src/lib.rs", "tests/domains.json",
);
const RUST_GITIGNORE: File = (".gitignore", include_str!("../starters/rust-component/gitignore"));
/// The world that components are made for.
const WORLD: File = ("wit/action.wit", include_str!("../../../proto/wit/action.wit"));
const NPM_GITIGNORE: File = (".gitignore", include_str!("../starters/npm-bundle/gitignore"));

/// The files of a package with this slug, by their path in it.
pub(crate) fn files(starter: Starter, slug: &Slug) -> Vec<(&'static str, String)> {
    let (own, common): (&[File], &[File]) = match starter {
        Starter::Empty => (EMPTY, &[TSCONFIG, TYPES, GITIGNORE]),
        Starter::ProfileRedirect => (PROFILE_REDIRECT, &[TSCONFIG, TYPES, GITIGNORE]),
        Starter::GeoBlock => (GEO_BLOCK, &[TSCONFIG, TYPES, GITIGNORE]),
        Starter::OrganizationCheck => (ORGANIZATION_CHECK, &[TSCONFIG, TYPES, GITIGNORE]),
        Starter::HttpClaims => (HTTP_CLAIMS, &[TSCONFIG, TYPES, GITIGNORE]),
        Starter::BreachedAccount => (BREACHED_ACCOUNT, &[TSCONFIG, TYPES, GITIGNORE]),
        // It has two of them of its own.
        Starter::NpmBundle => (NPM_BUNDLE, &[TYPES, NPM_GITIGNORE]),
        // It has no TypeScript.
        Starter::RustComponent => (RUST_COMPONENT, &[WORLD, RUST_GITIGNORE]),
    };
    let fill = |text: &str| text.replace("{{slug}}", slug.as_str()).replace("{{name}}", &name(slug));
    own.iter().chain(common).map(|(path, text)| (*path, fill(text))).collect()
}

/// `domain-check` is `Domain check` for people.
fn name(slug: &Slug) -> String {
    let words = slug.as_str().replace('-', " ");
    let mut rest = words.trim_end().chars();
    rest.next().map(|first| first.to_ascii_uppercase().to_string() + rest.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::{Manifest, case::Case};

    #[test]
    fn no_package_has_a_mistake() {
        for starter in Starter::value_variants() {
            let files = files(*starter, &Slug::parse("domain-check").unwrap());
            let text = |path: &str| &files.iter().find(|(p, _)| *p == path).unwrap().1;
            let manifest = Manifest::parse(text("action.toml")).unwrap();
            assert_eq!((manifest.slug.as_str(), manifest.name.as_str()), ("domain-check", "Domain check"));
            let cases = files.iter().filter(|(path, _)| path.starts_with("tests/"));
            assert!(cases.map(|(path, text)| Case::parse(path, text).unwrap().len()).sum::<usize>() > 0, "{starter:?}");
            assert!(files.iter().all(|(_, text)| !text.contains("{{")), "{starter:?}");
            assert!(!starter.about().is_empty());
        }
    }
}
