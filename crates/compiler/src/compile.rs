//! Compiles the sources of a package to a bundle.

mod link;
mod module;
mod origin;
mod refused;
mod resolve;
#[cfg(test)]
mod tests;

use crate::package::{MAX_DIAGNOSTICS, Package};
use module::Module;
use oxc::allocator::Allocator;
use serde::{Deserialize, Serialize};
use sluice_model::{Bundle, Diagnostic, bundle::BundleModule, limits::MAX_BUNDLE_BYTES};
use std::collections::{BTreeMap, BTreeSet};

/// What the compiler reads: the part of a package that goes to the child process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sources {
    /// The module that exports `execute`.
    pub(crate) entry: String,
    /// Every module and JSON file, by its path.
    pub(crate) files: BTreeMap<String, String>,
}

impl Sources {
    pub(crate) fn of(package: &Package) -> Result<Sources, Diagnostic> {
        let entry = package.entry()?;
        let files = package.sources().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        Ok(Sources { entry, files })
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
    compile_sources(&Sources::of(package).map_err(|found| vec![found])?)
}

pub(crate) fn compile_sources(sources: &Sources) -> Result<Bundle, Vec<Diagnostic>> {
    let allocator = Allocator::default();
    let mut modules: BTreeMap<String, Module<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    let mut open = vec![sources.entry.clone()];
    while let Some(path) = open.pop() {
        let Some(text) = sources.files.get(&path).filter(|_| !modules.contains_key(&path)) else { continue };
        let mut module = Module::read(&allocator, &path, text, &mut found);
        open.extend(module.resolve_imports(&allocator, &sources.files, &mut found));
        open.extend(module.imports_of_unreadable(&sources.files));
        modules.insert(path, module);
    }
    link::drop_types(&mut modules);
    link::check(&modules, &sources.files, &mut found);
    link::check_entry(&sources.entry, &modules, &sources.files, &mut found);
    if !found.is_empty() {
        return Err(bounded(found));
    }
    let reached = reached(&sources.entry, &modules);
    let compiled: Vec<BundleModule> =
        modules.into_iter().filter(|(path, _)| reached.contains(path)).map(|(_, module)| module.print()).collect();
    let bundle = Bundle::new(sources.entry.as_str(), compiled);
    if bundle.code_bytes() > MAX_BUNDLE_BYTES {
        let message =
            format!("the bundle has {} bytes of JavaScript; at most {MAX_BUNDLE_BYTES} are taken", bundle.code_bytes());
        return Err(vec![Diagnostic::error("too_large", "", message)]);
    }
    Ok(bundle)
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
