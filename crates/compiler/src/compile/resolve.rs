//! Which file an import means.

use super::module::is_declaration_file;
use sluice_model::{Diagnostic, diagnostic::nearest};
use std::{collections::BTreeMap, ops::Range};

/// The exact path in the package.
pub(super) struct Resolved(pub(super) String);

/// An import that leads nowhere.
pub(super) struct Unresolved {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) is_relative: bool,
}

impl Unresolved {
    /// What is told of it, at a place in the text of the file at `path`.
    pub(super) fn at(self, path: &str, text: &str, place: Range<usize>) -> Diagnostic {
        Diagnostic::error(self.code, path, self.message).at(text, place).with_help(self.help)
    }
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

/// Endings of files that people try to import. Any other end of a name is part of a name without its ending, such as
/// `./user.service`.
const OTHER_ENDINGS: &[&str] = &[
    "tsx", "jsx", "cts", "cjs", "css", "scss", "sass", "less", "wasm", "node", "txt", "md", "mdx", "html", "htm",
    "csv", "tsv", "yaml", "yml", "toml", "xml", "json5", "jsonc", "svg", "png", "jpg", "jpeg", "gif", "webp", "ico",
    "pdf", "sql", "graphql", "gql", "proto", "vue", "svelte", "pem", "crt", "py", "sh",
];
/// The modules of Node.js that need no prefix.
const NODE_MODULES: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// The file that `specifier` means in the module at `from`.
pub(super) fn resolve(from: &str, specifier: &str, files: &BTreeMap<String, String>) -> Result<Resolved, Unresolved> {
    let shown: String = specifier.chars().take(100).collect();
    if !(specifier.starts_with("./") || specifier.starts_with("../") || specifier == "." || specifier == "..") {
        let (message, help) = bare(from, specifier, &shown, files);
        return Err(Unresolved { code: "bare_import", message, help, is_relative: false });
    }
    let Some(path) = join(from, specifier) else {
        return Err(Unresolved {
            code: "unresolved_import",
            message: format!("cannot import {shown:?}: it leads out of the package"),
            help: "only files of the package can be imported".to_owned(),
            is_relative: true,
        });
    };
    let stem = path.trim_end_matches('/');
    find(&path, files).map(Resolved).ok_or_else(|| Unresolved {
        code: "unresolved_import",
        message: format!("cannot find {shown:?}: there is no file {stem}"),
        help: suggestion(from, stem, files),
        is_relative: true,
    })
}

/// The file that a path means which may lack its ending.
fn find(path: &str, files: &BTreeMap<String, String>) -> Option<String> {
    if files.contains_key(path) {
        return Some(path.to_owned());
    }
    for (written, meant) in COMPILED {
        if let Some(stem) = path.strip_suffix(written)
            && let Some(found) = meant.iter().map(|ending| format!("{stem}{ending}")).find(|p| files.contains_key(p))
        {
            return Some(found);
        }
    }
    let stem = path.trim_end_matches('/');
    ENDINGS.iter().map(|ending| format!("{stem}{ending}")).find(|path| files.contains_key(path))
}

/// What is told of a specifier that is no relative path, and what to do about it.
fn bare(from: &str, specifier: &str, shown: &str, files: &BTreeMap<String, String>) -> (String, String) {
    let relative_path = "import by a relative path, such as \"./file\"";
    if specifier.trim().is_empty() {
        return ("the import names nothing".to_owned(), relative_path.to_owned());
    }
    let message = format!("cannot import {shown:?}: a package has only its own files");
    // From the top of the package, or from the folder of the sources, as other tools can be told to take it.
    let from_the_top = ["@/", "~/", "#/", "/"].iter().find_map(|start| specifier.strip_prefix(start));
    let path = from_the_top.unwrap_or(specifier);
    let folder = from.split_once('/').map_or("", |(folder, _)| folder);
    let own = find(path, files).or_else(|| find(&format!("{folder}/{path}"), files));
    let name = specifier.strip_prefix("node:").unwrap_or(specifier);
    let is_of_node = name != specifier || NODE_MODULES.contains(&name.split('/').next().unwrap_or_default());
    let help = match own {
        Some(own) => format!("did you mean {}?", relative(from, &own)),
        None if is_of_node => "modules of Node.js are not there: use what JavaScript itself has".to_owned(),
        None if from_the_top.is_some() || specifier.contains(':') => relative_path.to_owned(),
        None => format!(
            "{relative_path}; for an npm package bundle it first (with esbuild, for example) and make the bundle the entry"
        ),
    };
    (message, help)
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
    if let Some((_, ending)) = path.rsplit_once('.')
        && OTHER_ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
    {
        return format!(".{ending} files cannot be imported; .ts, .mts, .js, .mjs and .json can");
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
pub(super) fn relative(from: &str, path: &str) -> String {
    let mut here: Vec<&str> = from.split('/').collect();
    here.pop();
    let there: Vec<&str> = path.split('/').collect();
    let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
    let up = here.len() - common;
    let start = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    format!("{start}{}", there[common..].join("/"))
}
