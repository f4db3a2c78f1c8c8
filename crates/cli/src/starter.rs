//! What new packages begin as. The texts are in `starters/`.

use clap::ValueEnum;
use sluice_model::Slug;

/// A beginning.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Starter {
    /// An Action that continues every sign-in
    Empty,
}

/// What every TypeScript package has besides: types for the editor, and what version control leaves out.
const COMMON: &[(&str, &str)] = &[
    ("tsconfig.json", include_str!("../starters/tsconfig.json")),
    ("types/sluice.d.ts", include_str!("../starters/sluice.d.ts")),
    (".gitignore", include_str!("../starters/gitignore")),
];

const EMPTY: &[(&str, &str)] = &[
    ("action.toml", include_str!("../starters/empty/action.toml")),
    ("src/index.ts", include_str!("../starters/empty/src/index.ts")),
    ("tests/continues.json", include_str!("../starters/empty/tests/continues.json")),
];

/// The files of a package with this slug, by their path in it.
pub(crate) fn files(starter: Starter, slug: &Slug) -> Vec<(&'static str, String)> {
    let own = match starter {
        Starter::Empty => EMPTY,
    };
    let fill = |text: &str| text.replace("{{slug}}", slug.as_str()).replace("{{name}}", &name(slug));
    own.iter().chain(COMMON).map(|(path, text)| (*path, fill(text))).collect()
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
    fn an_empty_package_has_no_mistake() {
        let files = files(Starter::Empty, &Slug::parse("domain-check").unwrap());
        let text = |path: &str| &files.iter().find(|(p, _)| *p == path).unwrap().1;
        let manifest = Manifest::parse(text("action.toml")).unwrap();
        assert_eq!((manifest.slug.as_str(), manifest.name.as_str()), ("domain-check", "Domain check"));
        let cases = Case::parse("tests/continues.json", text("tests/continues.json")).unwrap();
        assert_eq!(cases.len(), 1);
        assert!(files.iter().all(|(_, text)| !text.contains("{{")));
    }
}
