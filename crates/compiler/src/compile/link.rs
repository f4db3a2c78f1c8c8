//! What the modules of a package import from each other: names that are types are dropped, and names that do not exist, or that
//! nobody or more than one module declares, are told where they are imported.
//!
//! All of it works on modules whose types are stripped: whatever is still imported there is needed when the module runs.

use super::{
    exports::{Exports, Found, From, Seen},
    module::{Kind, Module},
    resolve::relative,
};
use oxc::{
    ast::ast::{BindingPattern, Declaration, ImportDeclarationSpecifier, ModuleExportName, Program, Statement},
    span::{GetSpan, Span},
};
use sluice_model::{Diagnostic, diagnostic::nearest};
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Modules<'a> = BTreeMap<String, Module<'a>>;

/// Drops re-exports of names that are types (`export { T } from "./types"`): TypeScript lets them be written like values, and
/// the engine would look for a value.
pub(super) fn drop_types(modules: &mut Modules<'_>) {
    // Dropping one can leave another without its value: a chain is followed to its end. Each round drops at least one name.
    loop {
        let dropped: Vec<(String, BTreeSet<(String, String)>)> =
            modules.iter().map(|(path, module)| (path.clone(), types_reexported(module, modules))).collect();
        if dropped.iter().all(|(_, names)| names.is_empty()) {
            return;
        }
        for (path, names) in dropped.into_iter().filter(|(_, names)| !names.is_empty()) {
            if let Some(Module { kind: Kind::Code(program), .. }) = modules.get_mut(&path) {
                drop_from(program, &names);
            }
        }
    }
}

/// The re-exported names of a module that are types elsewhere: the path of the module that they come from, and the name there.
fn types_reexported(module: &Module<'_>, modules: &Modules<'_>) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    let Kind::Code(program) = &module.kind else { return names };
    let exported = exported_locals(program);
    let is_type = |path: &str, name: &str| !has_value(path, name, modules) && has_name(path, name, modules);
    for statement in &program.body {
        match statement {
            Statement::ExportFromDeclaration(export) => {
                let names_here = export.specifiers.iter().map(|specifier| specifier.local.name().to_string());
                let types = names_here.filter(|name| is_type(&export.source.value, name));
                names.extend(types.map(|name| (export.source.value.to_string(), name)));
            }
            Statement::ImportDeclaration(import) => {
                for specifier in import.specifiers.iter().flatten() {
                    let (name, local, _) = imported(specifier);
                    if let Some(name) =
                        name.filter(|name| exported.contains(&local) && is_type(&import.source.value, name))
                    {
                        names.insert((import.source.value.to_string(), name));
                    }
                }
            }
            _ => {}
        }
    }
    names
}

fn drop_from(program: &mut Program<'_>, names: &BTreeSet<(String, String)>) {
    let mut locals = BTreeSet::new();
    let has = |source: &str, name: &str| names.iter().any(|(s, n)| s == source && n == name);
    program.body.retain_mut(|statement| match statement {
        Statement::ExportFromDeclaration(export) => {
            let before = export.specifiers.len();
            let source = export.source.value;
            export.specifiers.retain(|specifier| !has(&source, &specifier.local.name()));
            before == 0 || !export.specifiers.is_empty()
        }
        Statement::ImportDeclaration(import) => {
            let source = import.source.value;
            let Some(specifiers) = &mut import.specifiers else { return true };
            let before = specifiers.len();
            specifiers.retain(|specifier| {
                let (name, local, _) = imported(specifier);
                let drop = name.is_some_and(|name| has(&source, &name));
                if drop {
                    locals.insert(local);
                }
                !drop
            });
            before == 0 || !specifiers.is_empty()
        }
        _ => true,
    });
    for statement in &mut program.body {
        if let Statement::ExportNamedDeclaration(export) = statement {
            export.specifiers.retain(|specifier| !locals.contains(specifier.local.name().as_str()));
        }
    }
}

/// Checks that every imported name exists, and that every exported one is declared once.
pub(super) fn check(modules: &Modules<'_>, exports: &Exports, found: &mut Vec<Diagnostic>) {
    let mut circles = Seen::new();
    for module in modules.values().filter(|module| !module.broken) {
        let Kind::Code(program) = &module.kind else { continue };
        let mut check = |from: &str, name: &str, span: Span| {
            // Of what could not be read the mistakes have been told already.
            let is_known = || !is_broken(from, modules, &mut BTreeSet::new());
            match exports.resolve(from, name, &mut Seen::new()) {
                Found::Value(..) | Found::Unknown => {}
                // That a module exports what leads nowhere is told there.
                Found::Nothing => {
                    if is_known() && !has_value(from, name, modules) {
                        found.push(missing(module, from, name, span, modules));
                    }
                }
                Found::Two(first, second) => {
                    if is_known() {
                        let name = shown(name);
                        let message =
                            format!("{from} exports `{name}` from {first} and from {second}, so neither counts");
                        let told = module.error("exported_twice", span, message);
                        found.push(told.with_help("import it from the one that is meant"));
                    }
                }
            }
        };
        for statement in &program.body {
            match statement {
                Statement::ImportDeclaration(import) => {
                    for specifier in import.specifiers.iter().flatten() {
                        let (name, _, span) = imported(specifier);
                        if let Some(name) = name {
                            check(&import.source.value, &name, span);
                        }
                    }
                }
                Statement::ExportFromDeclaration(export) => {
                    for specifier in &export.specifiers {
                        check(&export.source.value, &specifier.local.name(), specifier.local.span());
                    }
                }
                _ => {}
            }
        }
        let Some(of_module) = exports.get(&module.path) else { continue };
        for (name, span) in &of_module.again {
            let message = format!("`{}` is exported twice", shown(name));
            found.push(module.error("exported_twice", *span, message).with_help("leave one of them out"));
        }
        for (name, export) in &of_module.named {
            let From::There(from, Some(there)) = &export.from else { continue };
            if !circles.contains(&(module.path.clone(), name.clone())) {
                found.extend(circle(module, (name, export.span), (from, there), exports, &mut circles));
            }
        }
    }
}

/// What is told of a name that comes back to the module that exports it from another one; the whole circle is added to those
/// that have been told.
fn circle(
    module: &Module<'_>,
    (name, span): (&str, Span),
    (from, there): (&str, &str),
    exports: &Exports,
    circles: &mut Seen,
) -> Option<Diagnostic> {
    let mut seen = Seen::new();
    let comes_back = exports.resolve(from, there, &mut seen) == Found::Nothing
        && seen.contains(&(module.path.clone(), name.to_owned()));
    if !comes_back {
        return None;
    }
    let others: BTreeSet<&str> =
        seen.iter().map(|(path, _)| path.as_str()).filter(|path| *path != module.path).collect();
    let name = shown(name);
    let message = match others.is_empty() {
        true => format!("`{name}` is exported from this file itself, which does not declare it"),
        false => {
            let others: Vec<&str> = others.into_iter().take(10).collect();
            format!("`{name}` is exported in a circle, through {}, and nobody declares it", others.join(", "))
        }
    };
    circles.extend(seen);
    Some(module.error("missing_export", span, message).with_help("export it where it is declared"))
}

/// What is told of a name that `from` does not export.
fn missing(module: &Module<'_>, from: &str, name: &str, span: Span, modules: &Modules<'_>) -> Diagnostic {
    let name_shown = shown(name);
    if has_name(from, name, modules) {
        let message = format!("{name_shown} is a type in {from}, and is used as a value");
        return module.error("type_as_value", span, message).with_help("write import type, and use it in types only");
    }
    let values = values(from, modules, &mut BTreeSet::new());
    let names = || values.iter().map(String::as_str);
    let help = match nearest(name, names()) {
        _ if from.ends_with(".json") => {
            let (local, path) = (local_name(from), relative(&module.path, from));
            format!("a JSON file has one default export: write import {local} from \"{path}\"")
        }
        Some(near) => format!("did you mean {near}?"),
        None if values.is_empty() => "it exports nothing".to_owned(),
        None => format!("it exports {}", names().take(20).collect::<Vec<_>>().join(", ")),
    };
    let message = match name {
        "default" => format!("{from} has no default export"),
        _ => format!("{from} does not export {name_shown}"),
    };
    module.error("missing_export", span, message).with_help(help)
}

/// A name as it is told: bounded.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

/// What an author could call the only value of a file, after the file.
fn local_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.split('.').next().unwrap_or_default();
    let mut name = String::new();
    for part in stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        match name.is_empty() {
            true => name.push_str(part),
            false => {
                name.push_str(&part[..1].to_ascii_uppercase());
                name.push_str(&part[1..]);
            }
        }
    }
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { "data".to_owned() }
}

/// Whether a module, or one whose names it exports, could not be read, so that its names are not known.
pub(super) fn is_broken(path: &str, modules: &Modules<'_>, seen: &mut BTreeSet<String>) -> bool {
    if !seen.insert(path.to_owned()) {
        return false;
    }
    match modules.get(path) {
        None => true,
        Some(module) => module.broken || stars(module).iter().any(|star| is_broken(star, modules, seen)),
    }
}

/// Whether a module exports a value by this name.
fn has_value(path: &str, name: &str, modules: &Modules<'_>) -> bool {
    values(path, modules, &mut BTreeSet::new()).contains(name)
}

/// Whether a module exports a value or a type by this name.
fn has_name(path: &str, name: &str, modules: &Modules<'_>) -> bool {
    fn search(path: &str, name: &str, modules: &Modules<'_>, seen: &mut BTreeSet<String>) -> bool {
        let Some(module) = modules.get(path).filter(|_| seen.insert(path.to_owned())) else { return false };
        matches!(module.kind, Kind::Declarations)
            || module.declared.contains_key(name)
            || (name != "default" && module.declared_stars.iter().any(|star| search(star, name, modules, seen)))
    }
    search(path, name, modules, &mut BTreeSet::new())
}

/// The names of all values that a module exports.
pub(super) fn values(path: &str, modules: &Modules<'_>, seen: &mut BTreeSet<String>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(module) = modules.get(path).filter(|_| seen.insert(path.to_owned())) else { return names };
    let program = match &module.kind {
        Kind::Json => return BTreeSet::from(["default".to_owned()]),
        Kind::Declarations => return names,
        Kind::Code(program) => program,
    };
    for star in stars(module) {
        names.extend(values(&star, modules, seen).into_iter().filter(|name| name != "default"));
    }
    for statement in &program.body {
        match statement {
            Statement::ExportDefaultDeclaration(_) => {
                names.insert("default".to_owned());
            }
            Statement::ExportAllDeclaration(export) => {
                names.extend(export.exported.as_ref().map(|name| name.name().to_string()));
            }
            Statement::ExportNamedDeclaration(export) => {
                names.extend(export.specifiers.iter().map(|specifier| specifier.exported.name().to_string()));
            }
            Statement::ExportFromDeclaration(export) => {
                names.extend(export.specifiers.iter().map(|specifier| specifier.exported.name().to_string()));
            }
            Statement::ExportDeclaration(export) => match &export.declaration {
                Declaration::FunctionDeclaration(function) => {
                    names.extend(function.id.as_ref().map(|id| id.name.to_string()));
                }
                Declaration::ClassDeclaration(class) => names.extend(class.id.as_ref().map(|id| id.name.to_string())),
                Declaration::VariableDeclaration(variables) => {
                    variables.declarations.iter().for_each(|declarator| bound(&declarator.id, &mut names));
                }
                _ => {}
            },
            _ => {}
        }
    }
    names
}

/// The modules whose names a module exports all of.
fn stars(module: &Module<'_>) -> Vec<String> {
    let Kind::Code(program) = &module.kind else { return Vec::new() };
    let star = |statement: &Statement<'_>| match statement {
        Statement::ExportAllDeclaration(export) if export.exported.is_none() => Some(export.source.value.to_string()),
        _ => None,
    };
    program.body.iter().filter_map(star).collect()
}

/// The local names that a module exports by `export { name }`.
fn exported_locals(program: &Program<'_>) -> BTreeSet<String> {
    let specifiers = program.body.iter().filter_map(|statement| match statement {
        Statement::ExportNamedDeclaration(export) => Some(&export.specifiers),
        _ => None,
    });
    specifiers.flatten().map(|specifier| specifier.local.name().to_string()).collect()
}

/// What an import takes (`None`: everything), what it is called here, and where it stands.
pub(super) fn imported(specifier: &ImportDeclarationSpecifier<'_>) -> (Option<String>, String, Span) {
    match specifier {
        ImportDeclarationSpecifier::ImportSpecifier(one) => {
            (Some(one.imported.name().to_string()), one.local.name.to_string(), ModuleExportName::span(&one.imported))
        }
        ImportDeclarationSpecifier::ImportDefaultSpecifier(one) => {
            (Some("default".to_owned()), one.local.name.to_string(), one.span)
        }
        ImportDeclarationSpecifier::ImportNamespaceSpecifier(one) => (None, one.local.name.to_string(), one.span),
    }
}

/// The names that a pattern declares.
pub(super) fn bound(pattern: &BindingPattern<'_>, names: &mut BTreeSet<String>) {
    match pattern {
        BindingPattern::BindingIdentifier(id) => {
            names.insert(id.name.to_string());
        }
        BindingPattern::ArrayPattern(array) => {
            array.elements.iter().flatten().for_each(|element| bound(element, names));
            array.rest.iter().for_each(|rest| bound(&rest.argument, names));
        }
        BindingPattern::ObjectPattern(object) => {
            object.properties.iter().for_each(|property| bound(&property.value, names));
            object.rest.iter().for_each(|rest| bound(&rest.argument, names));
        }
        BindingPattern::AssignmentPattern(assignment) => bound(&assignment.left, names),
    }
}
