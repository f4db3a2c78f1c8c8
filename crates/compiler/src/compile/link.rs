//! What the modules of a package import from each other: names that are types are dropped, names that do not exist are told
//! where they are imported, and the entry must export `execute`.
//!
//! All of it works on modules whose types are stripped: whatever is still imported there is needed when the module runs.

use super::module::{Kind, Module};
use oxc::{
    ast::ast::{
        BindingPattern, Declaration, ExportSpecifier, Expression, Function, ImportDeclarationSpecifier,
        ModuleExportName, Program, Statement,
    },
    span::{GetSpan, Span},
};
use sluice_model::{Diagnostic, diagnostic::nearest};
use std::collections::{BTreeMap, BTreeSet};

/// The name that an entry exports.
const EXECUTE: &str = "execute";

type Modules<'a> = BTreeMap<String, Module<'a>>;

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

/// Checks that every imported name exists.
pub(super) fn check(modules: &Modules<'_>, files: &BTreeMap<String, String>, found: &mut Vec<Diagnostic>) {
    for module in modules.values().filter(|module| !module.broken) {
        let Kind::Code(program) = &module.kind else { continue };
        for statement in &program.body {
            match statement {
                Statement::ImportDeclaration(import) => {
                    for specifier in import.specifiers.iter().flatten() {
                        let (name, _, span) = imported(specifier);
                        if let Some(name) = name {
                            missing(module, &import.source.value, &name, span, modules, files, found);
                        }
                    }
                }
                Statement::ExportFromDeclaration(export) => {
                    for specifier in &export.specifiers {
                        let name = specifier.local.name();
                        missing(module, &export.source.value, &name, specifier.local.span(), modules, files, found);
                    }
                }
                _ => {}
            }
        }
    }
}

fn missing(
    module: &Module<'_>,
    from: &str,
    name: &str,
    span: Span,
    modules: &Modules<'_>,
    files: &BTreeMap<String, String>,
    found: &mut Vec<Diagnostic>,
) {
    // What could not be resolved or read has been told already.
    if !files.contains_key(from) || has_value(from, name, modules) || is_broken(from, modules, &mut BTreeSet::new()) {
        return;
    }
    let shown: String = name.chars().take(80).collect();
    if has_name(from, name, modules) {
        let message = format!("{shown} is a type in {from}, and is used as a value");
        found.push(
            module.error("type_as_value", span, message).with_help("write import type, and use it in types only"),
        );
        return;
    }
    let values = values(from, modules, &mut BTreeSet::new());
    let names = || values.iter().map(String::as_str);
    let help = match nearest(name, names()) {
        _ if from.ends_with(".json") => "write import name from \"./file.json\"".to_owned(),
        Some(near) => format!("did you mean {near}?"),
        None if values.is_empty() => "it exports nothing".to_owned(),
        None => format!("it exports {}", names().take(20).collect::<Vec<_>>().join(", ")),
    };
    let message = match name {
        "default" => format!("{from} has no default export"),
        _ => format!("{from} does not export {shown}"),
    };
    found.push(module.error("missing_export", span, message).with_help(help));
}

/// Checks that the entry exports `execute`, and that it is a function where that can be seen.
pub(super) fn check_entry(
    entry: &str,
    modules: &Modules<'_>,
    files: &BTreeMap<String, String>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(module) = modules.get(entry) else { return };
    if is_broken(entry, modules, &mut BTreeSet::new()) {
        return;
    }
    let text = files.get(entry).map_or("", String::as_str);
    if !has_value(entry, EXECUTE, modules) {
        let values = values(entry, modules, &mut BTreeSet::new());
        let found_here =
            Diagnostic::error("missing_execute", entry, "the entry does not export `execute`").at(text, 0..0);
        found.push(found_here.with_help(match nearest(EXECUTE, values.iter().map(String::as_str)) {
            Some(near) => format!("it exports {near}; rename it to execute"),
            None if values.contains("default") => {
                "export it by its name, not by default: export async function execute(input) { ... }".to_owned()
            }
            None if text.contains("module.exports") || text.contains("exports.") => {
                "modules are ES modules: write export async function execute(input) { ... }".to_owned()
            }
            None => "write export async function execute(input) { return { kind: \"continue\" } }".to_owned(),
        }));
        return;
    }
    if let Kind::Code(program) = &module.kind
        && let Some((span, what)) = not_a_function(program)
    {
        let message = format!("`execute` is {what}, and must be a function");
        let help = "write export async function execute(input) { return { kind: \"continue\" } }";
        found.push(module.error("execute_not_a_function", span, message).with_help(help));
    }
}

/// What `execute` is, where it is declared in this module and is plainly no function.
fn not_a_function(program: &Program<'_>) -> Option<(Span, &'static str)> {
    let local = program.body.iter().find_map(|statement| match statement {
        Statement::ExportNamedDeclaration(export) => {
            let named = |specifier: &&ExportSpecifier<'_>| specifier.exported.name() == EXECUTE;
            export.specifiers.iter().find(named).map(|specifier| specifier.local.name().to_string())
        }
        _ => None,
    });
    let name = local.as_deref().unwrap_or(EXECUTE);
    let generator = |function: &Function<'_>| function.generator.then_some((function.span, "a generator"));
    program.body.iter().find_map(|statement| {
        let declaration = match statement {
            Statement::ExportDeclaration(export) => &export.declaration,
            statement => statement.as_declaration()?,
        };
        match declaration {
            Declaration::FunctionDeclaration(function) if function.id.as_ref()?.name == name => generator(function),
            Declaration::ClassDeclaration(class) if class.id.as_ref()?.name == name => Some((class.span, "a class")),
            Declaration::VariableDeclaration(variables) => {
                let is_it = |pattern: &BindingPattern<'_>| matches!(pattern, BindingPattern::BindingIdentifier(id) if id.name == name);
                let declarator = variables.declarations.iter().find(|declarator| is_it(&declarator.id))?;
                let what = match declarator.init.as_ref()? {
                    Expression::FunctionExpression(function) => return generator(function),
                    Expression::ClassExpression(_) => "a class",
                    Expression::ObjectExpression(_) => "an object",
                    Expression::ArrayExpression(_) => "an array",
                    Expression::StringLiteral(_) | Expression::TemplateLiteral(_) => "a string",
                    Expression::NumericLiteral(_) | Expression::BigIntLiteral(_) => "a number",
                    Expression::BooleanLiteral(_) => "a boolean",
                    Expression::NullLiteral(_) => "null",
                    _ => return None,
                };
                Some((declarator.span, what))
            }
            _ => None,
        }
    })
}

/// Whether a module, or one whose names it exports, could not be read, so that its names are not known.
fn is_broken(path: &str, modules: &Modules<'_>, seen: &mut BTreeSet<String>) -> bool {
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
            || module.declared.contains(name)
            || (name != "default" && module.declared_stars.iter().any(|star| search(star, name, modules, seen)))
    }
    search(path, name, modules, &mut BTreeSet::new())
}

/// The names of all values that a module exports.
fn values(path: &str, modules: &Modules<'_>, seen: &mut BTreeSet<String>) -> BTreeSet<String> {
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
fn imported(specifier: &ImportDeclarationSpecifier<'_>) -> (Option<String>, String, Span) {
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
fn bound(pattern: &BindingPattern<'_>, names: &mut BTreeSet<String>) {
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
