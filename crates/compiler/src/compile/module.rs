//! One file: read, checked, its types stripped, printed.

use super::{
    origin, refused,
    resolve::{Resolved, resolve},
};
use oxc::{
    allocator::Allocator,
    ast::ast::{Program, Statement, StringLiteral, WithClause},
    codegen::{Codegen, CodegenOptions, CommentOptions, IndentChar},
    diagnostics::OxcDiagnostic,
    parser::{ParseOptions, Parser},
    semantic::SemanticBuilder,
    span::{SourceType, Span},
    str::Str,
    syntax::es_target::ESTarget,
    transformer::{TransformOptions, Transformer},
};
use sluice_model::{Diagnostic, bundle::BundleModule};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

/// What the engine runs. Class fields stay as the standard has them.
const TARGET: ESTarget = ESTarget::ES2024;

/// A file of the package as a module.
pub(super) struct Module<'a> {
    pub(super) path: String,
    pub(super) text: &'a str,
    pub(super) kind: Kind<'a>,
    /// Whether something was wrong with it, so that what it exports is not known.
    pub(super) broken: bool,
    /// The names that the file exports, types included, without those of `export *`.
    pub(super) declared: BTreeSet<String>,
    /// The files that it exports all names of, types included.
    pub(super) declared_stars: Vec<String>,
}

pub(super) enum Kind<'a> {
    /// JavaScript by now, imports by exact path.
    Code(Program<'a>),
    /// A JSON file: one default export.
    Json,
    /// A declaration file: nothing but types, whatever their names.
    Declarations,
}

impl<'a> Module<'a> {
    /// Reads a file. What is wrong with it is added to `found`.
    pub(super) fn read(allocator: &'a Allocator, path: &str, text: &str, found: &mut Vec<Diagnostic>) -> Module<'a> {
        let text = allocator.alloc_str(text);
        let mut module = Module {
            path: path.to_owned(),
            text,
            kind: Kind::Declarations,
            broken: false,
            declared: BTreeSet::new(),
            declared_stars: Vec::new(),
        };
        if path.ends_with(".json") {
            if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
                found.push(Diagnostic::not_json(path, text, &error));
                module.broken = true;
            }
            module.declared.insert("default".to_owned());
            module.kind = Kind::Json;
        } else if !is_declaration_file(path) {
            module.broken = true;
            let program = module.parse(allocator, found);
            module.kind = Kind::Code(program);
        }
        module
    }

    fn parse(&mut self, allocator: &'a Allocator, found: &mut Vec<Diagnostic>) -> Program<'a> {
        let options = ParseOptions { parse_regular_expression: true, ..ParseOptions::default() };
        let parsed = Parser::new(allocator, self.text, source_type(&self.path)).with_options(options).parse();
        let mut program = parsed.program;
        if parsed.panicked || !parsed.diagnostics.is_empty() {
            let found_here = parsed.diagnostics.iter().map(|d| self.diagnostic("syntax", d));
            let is_typescript = !source_type(&self.path).is_typescript()
                && Parser::new(allocator, self.text, SourceType::ts()).parse().diagnostics.is_empty();
            found.extend(found_here.map(|d| match is_typescript {
                true => d.with_help("types are taken in .ts files; this one ends in .js"),
                false => d,
            }));
            return program;
        }
        let record = &parsed.module_record;
        self.declared.extend(record.exported_bindings.keys().map(|name| name.to_string()));
        if program.body.iter().any(|s| matches!(s, Statement::ExportDefaultDeclaration(_))) {
            self.declared.insert("default".to_owned());
        }
        self.declared_stars = record
            .star_export_entries
            .iter()
            .filter_map(|entry| entry.module_request.as_ref().map(|request| request.name.to_string()))
            .collect();
        // The transformer adds scopes, symbols and references; room for them is made at once.
        let analysed = SemanticBuilder::new_compiler().with_enum_eval(true).with_excess_capacity(2.0).build(&program);
        found.extend(analysed.diagnostics.iter().map(|d| self.diagnostic("syntax", d)));
        let wrong = !analysed.diagnostics.is_empty();
        let scoping = analysed.semantic.into_scoping();
        let refused = refused::find(&program, &scoping);
        // Its transformation would import what the package does not have.
        let disposes = refused.iter().any(|refusal| refusal.code == "using");
        self.broken = wrong || disposes;
        found.extend(refused.into_iter().map(|refusal| {
            Diagnostic::error(refusal.code, self.path.as_str(), refusal.message)
                .at(self.text, range(refusal.span))
                .with_help(refusal.help)
        }));
        if self.broken {
            return program;
        }
        let options = TransformOptions::from(TARGET);
        let transformed =
            Transformer::new(allocator, Path::new(&self.path), &options).build_with_scoping(scoping, &mut program);
        // Its warnings are about code that it left out. What was refused above is not told twice.
        let told =
            |d: &&OxcDiagnostic| d.code.number.as_deref().is_some_and(|number| ["1202", "1203"].contains(&number));
        found.extend(transformed.diagnostics.iter().filter(|d| !told(d)).map(|d| self.not_compiled(d)));
        program
    }

    /// Turns every specifier into the exact path that it means, and answers with those paths.
    pub(super) fn resolve_imports(
        &mut self,
        allocator: &'a Allocator,
        files: &BTreeMap<String, String>,
        found: &mut Vec<Diagnostic>,
    ) -> Vec<String> {
        for specifier in &mut self.declared_stars {
            if let Ok(Resolved(path)) = resolve(&self.path, specifier, files) {
                *specifier = path;
            }
        }
        let (path, text, broken) = (self.path.as_str(), self.text, self.broken);
        let mut reached = Vec::new();
        let Kind::Code(program) = &mut self.kind else { return reached };
        for statement in &mut program.body {
            let Some((source, attributes)) = source_of(statement) else { continue };
            match resolve(path, &source.value, files) {
                Ok(Resolved(target)) => {
                    let json = target.ends_with(".json");
                    if attributes.is_some() && !json {
                        let message = "import attributes are only taken on JSON files";
                        found.push(Diagnostic::error("unsupported", path, message).at(text, range(source.span)));
                    }
                    *attributes = None;
                    source.value = Str::from_str_in(&target, &allocator);
                    source.raw = None;
                    reached.push(target);
                }
                Err(unresolved) => {
                    // A file that could not be read still has its imports of types: they are no mistake.
                    if !broken || unresolved.is_relative {
                        found.push(
                            Diagnostic::error(unresolved.code, path, unresolved.message)
                                .at(text, range(source.span))
                                .with_help(unresolved.help),
                        );
                    }
                }
            }
        }
        reached
    }

    /// The files that a module seems to import which could not be read at all, so that their mistakes are told as well.
    pub(super) fn imports_of_unreadable(&self, files: &BTreeMap<String, String>) -> Vec<String> {
        match &self.kind {
            Kind::Code(program) if self.broken && program.body.is_empty() => {}
            _ => return Vec::new(),
        }
        let from = |line: &str| {
            let is_import = ["import", "export", "}"].iter().any(|start| line.starts_with(start));
            let line = line.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
            let quote = line.chars().last().filter(|c| is_import && matches!(c, '\'' | '"'))?;
            let specifier = line.strip_suffix(quote)?.rsplit(quote).next()?;
            resolve(&self.path, specifier, files).ok().map(|Resolved(path)| path)
        };
        self.text.lines().filter_map(from).collect()
    }

    /// The exact paths of what it imports.
    pub(super) fn imports(&self) -> Vec<String> {
        let Kind::Code(program) = &self.kind else { return Vec::new() };
        program.body.iter().filter_map(import_of).map(|source| source.value.to_string()).collect()
    }

    /// The module as the engine takes it.
    pub(super) fn print(self) -> BundleModule {
        let Kind::Code(program) = &self.kind else {
            // Not as a literal: there `__proto__` would set the prototype.
            let text = serde_json::to_string(self.text).unwrap_or_default();
            return BundleModule {
                path: self.path,
                code: format!("export default JSON.parse({text});\n"),
                source_map: String::new(),
            };
        };
        let options = CodegenOptions {
            // Comments would count against the bundle's size and help nobody: errors name the author's lines.
            comments: CommentOptions::disabled(),
            indent_char: IndentChar::Space,
            indent_width: 1,
            source_map_path: Some(PathBuf::from(&self.path)),
            ..CodegenOptions::default()
        };
        let printed = Codegen::new().with_options(options).build(program);
        let source_map = printed.map.map_or(String::new(), |mut map| {
            // The version's sources are kept beside its bundle; a copy in every map would double it.
            map.set_source_contents(Vec::new());
            map.to_json_string()
        });
        let source_map = origin::through(&source_map, &self.path, self.text).unwrap_or(source_map);
        BundleModule { path: self.path, code: printed.code, source_map }
    }

    pub(super) fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.path.as_str(), message).at(self.text, range(span))
    }

    fn not_compiled(&self, from: &OxcDiagnostic) -> Diagnostic {
        let found = self.diagnostic("not_compiled", from);
        if !from.message.starts_with("Namespaces exporting non-const") {
            return found;
        }
        let message =
            "a namespace can export const, functions, classes and enums, but no let, var or pattern".to_owned();
        Diagnostic { message, ..found }.with_help("export functions that read and change the variable")
    }

    fn diagnostic(&self, code: &'static str, from: &OxcDiagnostic) -> Diagnostic {
        let message = sentence(&from.message);
        // Of several places the last is where the mistake is; those before explain it ("declared here", "opened here").
        let label = from.labels.iter().max_by_key(|label| label.offset());
        let span = label.map_or(0..0, |label| label.offset() as usize..label.offset() as usize + label.len() as usize);
        let found = Diagnostic::error(code, self.path.as_str(), message).at(self.text, span);
        let label = label.and_then(|label| label.label()).filter(|_| !found.message.starts_with("expected"));
        let help = from.help.as_deref().map(sentence).or_else(|| label.map(sentence));
        match help {
            Some(help) => found.with_help(help),
            None => found,
        }
    }
}

pub(super) fn is_declaration_file(path: &str) -> bool {
    [".d.ts", ".d.mts"].iter().any(|ending| path.ends_with(ending))
}

/// The specifier of an import or a re-export, and its attributes.
fn source_of<'p, 'a>(
    statement: &'p mut Statement<'a>,
) -> Option<(&'p mut StringLiteral<'a>, &'p mut Option<oxc::allocator::ArenaBox<'a, WithClause<'a>>>)> {
    match statement {
        Statement::ImportDeclaration(import) => {
            let import = &mut **import;
            Some((&mut import.source, &mut import.with_clause))
        }
        Statement::ExportFromDeclaration(export) => {
            let export = &mut **export;
            Some((&mut export.source, &mut export.with_clause))
        }
        Statement::ExportAllDeclaration(export) => {
            let export = &mut **export;
            Some((&mut export.source, &mut export.with_clause))
        }
        _ => None,
    }
}

fn import_of<'p, 'a>(statement: &'p Statement<'a>) -> Option<&'p StringLiteral<'a>> {
    match statement {
        Statement::ImportDeclaration(import) => Some(&import.source),
        Statement::ExportFromDeclaration(export) => Some(&export.source),
        Statement::ExportAllDeclaration(export) => Some(&export.source),
        _ => None,
    }
}

fn source_type(path: &str) -> SourceType {
    match path.ends_with(".ts") || path.ends_with(".mts") {
        true => SourceType::ts(),
        false => SourceType::mjs(),
    }
}

pub(super) fn range(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// A message of the library as the house writes them: lower case, without a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}
