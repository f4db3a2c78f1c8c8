//! Compiles the sources of a package to a bundle.

pub(crate) mod counters;
mod entry;
mod exports;
mod link;
mod locals;
mod module;
mod origin;
mod refused;
mod resolve;
#[cfg(test)]
mod tests;
mod words;

use crate::package::{MAX_DIAGNOSTICS, Package};
use counters::CountedLine;
use exports::Exports;
use module::Module;
use oxc::allocator::Allocator;
use serde::{Deserialize, Serialize};
use sluice_model::{Bundle, Diagnostic, limits::MAX_BUNDLE_BYTES};
use std::collections::{BTreeMap, BTreeSet};

/// What the compiler reads: the part of a package that goes to the child process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sources {
    /// The module that exports `execute`.
    pub(crate) entry: String,
    /// Every module and JSON file, by its path.
    pub(crate) files: BTreeMap<String, String>,
    /// Whether the code is to say which of its statements have run.
    #[serde(default)]
    pub(crate) counting: bool,
}

/// What sources compile to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compiled {
    pub(crate) bundle: Bundle,
    /// Where the statements begin that are counted, by number; empty where none are.
    pub(crate) lines: Vec<CountedLine>,
}

impl Sources {
    pub(crate) fn of(package: &Package) -> Result<Sources, Diagnostic> {
        let entry = package.entry()?;
        let files = package.sources().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        Ok(Sources { entry, files, counting: false })
    }
}

/// Compiles a package in this process: the entry and every module that it leads to.
///
/// Only for sources that are trusted, such as the platform's own templates: hostile nesting overflows the stack and ends the
/// process. Everything else goes through [`crate::compile_in_child`].
///
/// # Errors
/// All mistakes, sorted by file and place.
pub fn compile(package: &Package) -> Result<Bundle, Vec<Diagnostic>> {
    compile_sources(&Sources::of(package).map_err(|found| vec![found])?).map(|compiled| compiled.bundle)
}

pub(crate) fn compile_sources(sources: &Sources) -> Result<Compiled, Vec<Diagnostic>> {
    compile_telling(sources, &mut |_| {})
}

/// The same, and tells each file before it begins with it.
pub(crate) fn compile_telling(sources: &Sources, begins: &mut dyn FnMut(&str)) -> Result<Compiled, Vec<Diagnostic>> {
    let allocator = Allocator::default();
    let mut modules: BTreeMap<String, Module<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    let mut open = vec![sources.entry.clone()];
    while let Some(path) = open.pop() {
        let Some(text) = sources.files.get(&path).filter(|_| !modules.contains_key(&path)) else { continue };
        begins(&path);
        let mut module = Module::read(&allocator, &path, text, &mut found);
        open.extend(module.resolve_imports(&allocator, &sources.files, &mut found));
        open.extend(module.imports_of_unreadable(&sources.files, &mut found));
        modules.insert(path, module);
    }
    link::drop_types(&mut modules);
    let exports = Exports::of(&modules);
    link::check(&modules, &exports, &mut found);
    entry::check(&sources.entry, &modules, &exports, &mut found);
    if !found.is_empty() {
        return Err(bounded(found));
    }
    let reached = reached(&sources.entry, &modules);
    let mut lines = Vec::new();
    let mut compiled = Vec::new();
    for (_, mut module) in modules.into_iter().filter(|(path, _)| reached.contains(path)) {
        begins(&module.path);
        if sources.counting {
            module.count(&allocator, &mut lines);
        }
        compiled.push(module.print());
    }
    if sources.counting {
        compiled.push(counters::entry(&sources.entry));
        // Counters are no part of what is published.
        return Ok(Compiled { bundle: Bundle::new(counters::COUNTING_ENTRY, compiled), lines });
    }
    let bundle = Bundle::new(sources.entry.as_str(), compiled);
    if bundle.code_bytes() > MAX_BUNDLE_BYTES {
        let message =
            format!("the bundle has {} bytes of JavaScript; at most {MAX_BUNDLE_BYTES} are taken", bundle.code_bytes());
        return Err(vec![Diagnostic::error("too_large", "", message)]);
    }
    Ok(Compiled { bundle, lines })
}

/// The modules that are still imported once imports of types are gone.
fn reached(entry: &str, modules: &BTreeMap<String, Module<'_>>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![entry.to_owned()];
    while let Some(path) = open.pop() {
        if let Some(module) = modules.get(&path)
            && reached.insert(path)
        {
            open.extend(module.imports());
        }
    }
    reached
}

fn bounded(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    Diagnostic::sort(&mut found);
    found.dedup();
    if found.len() > MAX_DIAGNOSTICS {
        let message = format!("{} more mistakes are not shown", found.len() - MAX_DIAGNOSTICS);
        found.truncate(MAX_DIAGNOSTICS);
        found.push(Diagnostic::error("too_many_mistakes", "", message));
    }
    found
}
