//! The entry exports `execute`, and that is a function, where it can be seen.

use super::{
    exports::{Exports, Found, From, Seen},
    link::{Modules, is_broken, values},
    locals::{Local, What},
    module::Module,
};
use oxc::span::Span;
use sluice_model::{Diagnostic, diagnostic::nearest};
use std::collections::BTreeSet;

/// The name that an entry exports.
const EXECUTE: &str = "execute";
const HELP: &str = "write export async function execute(input) { return { kind: \"continue\" } }";

/// Checks that the entry exports `execute`, and that it is a function where that can be seen.
pub(super) fn check(entry: &str, modules: &Modules<'_>, exports: &Exports, found: &mut Vec<Diagnostic>) {
    let Some(module) = modules.get(entry) else { return };
    let Some(of_entry) = exports.get(entry) else { return };
    if is_broken(entry, modules, &mut BTreeSet::new()) {
        return;
    }
    let named = of_entry.named.get(EXECUTE);
    match exports.resolve(entry, EXECUTE, &mut Seen::new()) {
        Found::Unknown => {}
        // Where the entry names it, that it leads nowhere is told there.
        Found::Nothing | Found::Two(..) if named.is_some() => {}
        Found::Nothing => {
            let told = missing(module, modules, exports, found);
            found.push(told);
        }
        Found::Two(first, second) => {
            let message = format!("`execute` is exported by {first} and by {second}, so neither counts");
            let help = "export it by its name from the one that is meant";
            found.push(Diagnostic::error("missing_execute", entry, message).with_help(help));
        }
        Found::Value(path, local) => {
            let local = local.and_then(|local| Some((modules.get(&path)?, local)));
            let at_name = named.filter(|named| matches!(named.from, From::There(..))).map(|named| named.span);
            match local {
                Some((of, local)) => {
                    if let Some((span, what)) = of.locals.get(&local).and_then(|local| match local.what {
                        What::Other(what) => Some((local.span, what)),
                        _ => None,
                    }) {
                        found.push(not_a_function(of, span, what));
                    } else if path.ends_with(".json") {
                        found.extend(at_name.map(|span| not_a_function(module, span, "what a JSON file holds")));
                    }
                }
                None => found.extend(at_name.map(|span| not_a_function(module, span, "all of a module"))),
            }
        }
    }
}

fn not_a_function(module: &Module<'_>, span: Span, what: &str) -> Diagnostic {
    let message = format!("`execute` is {what}, and must be a function");
    module.error("execute_not_a_function", span, message).with_help(HELP)
}

/// What is told of an entry that exports no value by that name: what there is instead, at its place.
fn missing(module: &Module<'_>, modules: &Modules<'_>, exports: &Exports, found: &[Diagnostic]) -> Diagnostic {
    let local = module.locals.get(EXECUTE);
    if let Some(exported) = module.declared.get(EXECUTE) {
        return match local.map(|local| local.what) {
            Some(What::WithoutBody) => module
                .error("execute_not_a_function", *exported, "`execute` has no body, and must be a function")
                .with_help(HELP),
            Some(What::Declared) => module
                .error("execute_not_a_function", *exported, "`execute` is only declared, and must be a function")
                .with_help(HELP),
            _ => not_a_function(module, *exported, "a type"),
        };
    }
    let error = |span: Span| module.error("missing_execute", span, "the entry does not export `execute`");
    let start = Span::default();
    // An `export =` has been told already: `export` beside it would not help.
    let is_assigned = found.iter().any(|found| found.file == module.path && found.code == "export_assignment");
    let could_be_it = |local: &&Local| matches!(local.what, What::Function | What::Unknown) && !is_assigned;
    if let Some(local) = local.filter(could_be_it) {
        return error(local.name).with_help("write export before it");
    }
    let values = values(&module.path, modules, &mut BTreeSet::new());
    match nearest(EXECUTE, values.iter().map(String::as_str)) {
        Some(near) => {
            let named = exports.get(&module.path).and_then(|of_entry| of_entry.named.get(near));
            error(named.map_or(start, |named| named.span)).with_help(format!("it exports {near}; rename it to execute"))
        }
        None if values.contains("default") => error(start)
            .with_help("export it by its name, not by default: export async function execute(input) { ... }"),
        None if module.text.contains("module.exports") || module.text.contains("exports.") => {
            error(start).with_help("modules are ES modules: write export async function execute(input) { ... }")
        }
        None => error(start).with_help(HELP),
    }
}
