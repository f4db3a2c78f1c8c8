//! Where the names come from that modules export: followed from one module to the next, as the engine does it.

use super::{
    link::{bound, imported},
    module::{Kind, Module},
};
use oxc::{
    ast::ast::{BindingPattern, Declaration, ModuleExportName, Program, Statement},
    span::{GetSpan, Span},
};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// What every module exports, by its path.
pub(super) struct Exports(BTreeMap<String, OfModule>);

/// What a module exports.
#[derive(Default)]
pub(super) struct OfModule {
    pub(super) named: BTreeMap<String, Export>,
    /// The names that it exports again although it exports them already, and where.
    pub(super) again: Vec<(String, Span)>,
    /// The modules whose names it exports all of.
    stars: Vec<String>,
    /// Whether it could not be read, so that nobody knows.
    is_unknown: bool,
}

/// A name that a module exports.
pub(super) struct Export {
    pub(super) span: Span,
    pub(super) from: From,
}

/// Where an exported name is declared.
pub(super) enum From {
    /// In this module, by this name.
    Here(String),
    /// In another one: its path, and the name that that exports it by; `None` for all of it as one object.
    There(String, Option<String>),
}

/// What a name leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A value: the path of the module that declares it, and its name there; `None` for all of that module as one object.
    Value(String, Option<String>),
    /// Two values, in the modules with these paths: neither counts.
    Two(String, String),
    /// Nothing: nobody declares it.
    Nothing,
    /// A module that could not be read.
    Unknown,
}

/// Names that were followed: the path of a module, and the name that it exports.
pub(super) type Seen = BTreeSet<(String, String)>;

impl Exports {
    pub(super) fn of(modules: &BTreeMap<String, Module<'_>>) -> Exports {
        Exports(modules.iter().map(|(path, module)| (path.clone(), of_module(module))).collect())
    }

    /// What the module at `path` exports.
    pub(super) fn get(&self, path: &str) -> Option<&OfModule> {
        self.0.get(path)
    }

    /// What the module at `path` exports by this name. What is in `seen` is not followed again; what is followed is added.
    pub(super) fn resolve(&self, path: &str, name: &str, seen: &mut Seen) -> Found {
        let (mut path, mut name) = (path.to_owned(), name.to_owned());
        let of_module = loop {
            if !seen.insert((path.clone(), name.clone())) {
                return Found::Nothing;
            }
            let Some(of_module) = self.0.get(&path).filter(|of_module| !of_module.is_unknown) else {
                return Found::Unknown;
            };
            match of_module.named.get(&name).map(|export| &export.from) {
                Some(From::Here(local)) => return Found::Value(path, Some(local.clone())),
                Some(From::There(from, None)) => return Found::Value(from.clone(), None),
                Some(From::There(from, Some(there))) => (path, name) = (from.clone(), there.clone()),
                None => break of_module,
            }
        };
        let mut found = Found::Nothing;
        for star in of_module.stars.iter().filter(|_| name != "default") {
            match (&found, self.resolve(star, &name, seen)) {
                (_, Found::Nothing) => {}
                (Found::Value(first, _), Found::Value(path, local)) => {
                    if found != Found::Value(path.clone(), local) {
                        return Found::Two(first.clone(), path);
                    }
                }
                (_, Found::Value(path, local)) => found = Found::Value(path, local),
                (_, other) => return other,
            }
        }
        found
    }
}

impl OfModule {
    fn add(&mut self, name: String, span: Span, from: From) {
        match self.named.entry(name) {
            Entry::Occupied(known) => self.again.push((known.key().clone(), span)),
            Entry::Vacant(place) => {
                place.insert(Export { span, from });
            }
        }
    }
}

fn of_module(module: &Module<'_>) -> OfModule {
    let mut found = OfModule { is_unknown: module.broken, ..OfModule::default() };
    let program = match &module.kind {
        Kind::Declarations => return found,
        Kind::Json => {
            found.add("default".to_owned(), Span::default(), From::Here("default".to_owned()));
            return found;
        }
        Kind::Code(program) => program,
    };
    let imports = imports(program);
    let name_of = |name: &ModuleExportName<'_>| name.name().to_string();
    for statement in &program.body {
        match statement {
            Statement::ExportDefaultDeclaration(export) => {
                found.add("default".to_owned(), export.span, From::Here("default".to_owned()));
            }
            Statement::ExportAllDeclaration(export) => {
                let path = export.source.value.to_string();
                match &export.exported {
                    Some(name) => found.add(name_of(name), name.span(), From::There(path, None)),
                    None => found.stars.push(path),
                }
            }
            Statement::ExportNamedDeclaration(export) => {
                for specifier in &export.specifiers {
                    let local = name_of(&specifier.local);
                    let from = match imports.get(&local) {
                        Some((path, name)) => From::There(path.clone(), name.clone()),
                        None => From::Here(local),
                    };
                    found.add(name_of(&specifier.exported), specifier.exported.span(), from);
                }
            }
            Statement::ExportFromDeclaration(export) => {
                for specifier in &export.specifiers {
                    let from = From::There(export.source.value.to_string(), Some(name_of(&specifier.local)));
                    found.add(name_of(&specifier.exported), specifier.exported.span(), from);
                }
            }
            Statement::ExportDeclaration(export) => {
                for (name, span) in declared(&export.declaration) {
                    found.add(name.clone(), span, From::Here(name));
                }
            }
            _ => {}
        }
    }
    found
}

/// What a module calls the names that it imports: the path and the name that they come from.
fn imports(program: &Program<'_>) -> BTreeMap<String, (String, Option<String>)> {
    let mut found = BTreeMap::new();
    for statement in &program.body {
        let Statement::ImportDeclaration(import) = statement else { continue };
        for specifier in import.specifiers.iter().flatten() {
            let (name, local, _) = imported(specifier);
            found.insert(local, (import.source.value.to_string(), name));
        }
    }
    found
}

/// The names that a declaration declares, and where they stand.
fn declared(declaration: &Declaration<'_>) -> Vec<(String, Span)> {
    let id = match declaration {
        Declaration::FunctionDeclaration(function) => function.id.as_ref(),
        Declaration::ClassDeclaration(class) => class.id.as_ref(),
        Declaration::VariableDeclaration(variables) => {
            let of_one = |pattern: &BindingPattern<'_>| {
                let mut names = BTreeSet::new();
                bound(pattern, &mut names);
                let span = pattern.span();
                names.into_iter().map(move |name| (name, span)).collect::<Vec<_>>()
            };
            return variables.declarations.iter().flat_map(|declarator| of_one(&declarator.id)).collect();
        }
        _ => None,
    };
    id.map(|id| (id.name.to_string(), id.span)).into_iter().collect()
}
