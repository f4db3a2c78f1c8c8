//! Which file an import means.

use super::module::is_declaration_file;
use sluice_model::diagnostic::nearest;
use std::collections::BTreeMap;

/// The exact path in the package.
pub(super) struct Resolved(pub(super) String);

/// An import that leads nowhere.
pub(super) struct Unresolved {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) is_relative: bool,
}

/// The endings that a specifier may leave out, in the order in which they are tried. Declaration files come last: they have
/// nothing but types.
const ENDINGS: &[&str] = &[
    ".ts",
    ".mts",
    ".js",
    ".mjs",
    "/index.ts",
    "/index.mts",
    "/index.js",
    "/index.mjs",
    ".d.ts",
    ".d.mts",
    "/index.d.ts",
];
/// What a specifier may be written as, after TypeScript's own habit of naming what is compiled to.
const COMPILED: &[(&str, &[&str])] = &[(".js", &[".ts", ".d.ts"]), (".mjs", &[".mts", ".d.mts"])];

/// The file that `specifier` means in the module at `from`.
pub(super) fn resolve(from: &str, specifier: &str, files: &BTreeMap<String, String>) -> Result<Resolved, Unresolved> {
    let shown: String = specifier.chars().take(100).collect();
    if !(specifier.starts_with("./") || specifier.starts_with("../") || specifier == "." || specifier == "..") {
        return Err(Unresolved {
            code: "bare_import",
            message: format!("cannot import {shown:?}: a package has only its own files"),
            help: match specifier.starts_with('/') || specifier.contains(':') {
                true => "import by a relative path, such as \"./file\"".to_owned(),
                false => {
                    "import by a relative path, such as \"./file\"; for an npm package bundle it first (with esbuild, \
                          for example) and make the bundle the entry"
                        .to_owned()
                }
            },
            is_relative: false,
        });
    }
    let Some(path) = join(from, specifier) else {
        return Err(Unresolved {
            code: "unresolved_import",
            message: format!("cannot import {shown:?}: it leads out of the package"),
            help: "only files of the package can be imported".to_owned(),
            is_relative: true,
        });
    };
    if files.contains_key(&path) {
        return Ok(Resolved(path));
    }
    for (written, meant) in COMPILED {
        if let Some(stem) = path.strip_suffix(written)
            && let Some(found) = meant.iter().map(|ending| format!("{stem}{ending}")).find(|p| files.contains_key(p))
        {
            return Ok(Resolved(found));
        }
    }
    let stem = path.trim_end_matches('/');
    if let Some(found) = ENDINGS.iter().map(|ending| format!("{stem}{ending}")).find(|p| files.contains_key(p)) {
        return Ok(Resolved(found));
    }
    Err(Unresolved {
        code: "unresolved_import",
        message: format!("cannot find {shown:?}: there is no file {stem}"),
        help: suggestion(from, stem, files),
        is_relative: true,
    })
}

/// The path in the package, or `None` where it leads out of it.
fn join(from: &str, specifier: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What may be imported, or what was probably meant.
fn suggestion(from: &str, path: &str, files: &BTreeMap<String, String>) -> String {
    if let Some(ending) =
        [".tsx", ".jsx", ".cts", ".cjs", ".css", ".wasm"].iter().find(|ending| path.ends_with(**ending))
    {
        return format!("{ending} files cannot be imported; .ts, .mts, .js, .mjs and .json can");
    }
    let known: Vec<&str> = files.keys().map(String::as_str).filter(|p| *p != from && !is_declaration_file(p)).collect();
    let without_ending = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        format!("{folder}/{}", name.split_once('.').map_or(name, |(stem, _)| stem))
    };
    let stems: Vec<String> = known.iter().map(|path| without_ending(path)).collect();
    if let Some(near) = nearest(&without_ending(path), stems.iter().map(String::as_str)) {
        let index = stems.iter().position(|stem| stem == near).unwrap_or_default();
        return format!("did you mean {}?", relative(from, known[index]));
    }
    if known.is_empty() {
        return "the package has no other file that can be imported".to_owned();
    }
    let shown: Vec<String> = known.iter().take(10).map(|path| relative(from, path)).collect();
    let more =
        if known.len() > shown.len() { format!(" and {} more", known.len() - shown.len()) } else { String::new() };
    format!("the package has {}{more}", shown.join(", "))
}

/// How the module at `from` would write the path.
fn relative(from: &str, path: &str) -> String {
    let mut here: Vec<&str> = from.split('/').collect();
    here.pop();
    let there: Vec<&str> = path.split('/').collect();
    let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
    let up = here.len() - common;
    let start = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    format!("{start}{}", there[common..].join("/"))
}
