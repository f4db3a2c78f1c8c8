//! One file: read, checked, its types stripped, printed.

use super::{
    counters::{self, CountedLine},
    locals::{self, Locals},
    origin, refused,
    resolve::{Resolved, resolve},
    words,
};
use crate::package::MAX_DIAGNOSTICS;
use oxc::{
    allocator::Allocator,
    ast::ast::{JSXElement, JSXFragment, ModuleExportName, Program, Statement, StringLiteral, WithClause},
    ast_visit::Visit,
    codegen::{Codegen, CodegenOptions, CommentOptions, IndentChar},
    diagnostics::OxcDiagnostic,
    parser::{ParseOptions, Parser},
    semantic::{Scoping, SemanticBuilder},
    span::{GetSpan, SourceType, Span},
    str::Str,
    syntax::es_target::ESTarget,
    transformer::{TransformOptions, Transformer},
};
use sluice_model::{Diagnostic, bundle::BundleModule, diagnostic::nearest};
use std::{
    collections::BTreeMap,
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
    /// The names that the file exports and where they stand, types included, without those of `export *`.
    pub(super) declared: BTreeMap<String, Span>,
    /// The files that it exports all names of, types included.
    pub(super) declared_stars: Vec<String>,
    /// The names that the file declares at its top, types included.
    pub(super) locals: Locals,
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
            declared: BTreeMap::new(),
            declared_stars: Vec::new(),
            locals: Locals::new(),
        };
        if path.ends_with(".json") {
            if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
                found.push(Diagnostic::not_json(path, text, &error));
                module.broken = true;
            }
            module.declared.insert("default".to_owned(), Span::default());
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
        let is_sound = !parsed.panicked && parsed.diagnostics.is_empty();
        if !is_sound {
            if let Some(told) = self.another_language(&parsed.diagnostics) {
                found.extend(told);
                return program;
            }
            found.extend(parsed.diagnostics.iter().map(|d| self.diagnostic("syntax", d)));
        }
        if parsed.panicked {
            return program;
        }
        let record = &parsed.module_record;
        self.declared.extend(record.exported_bindings.iter().map(|(name, span)| (name.to_string(), *span)));
        if let Some(default) = program.body.iter().find(|s| matches!(s, Statement::ExportDefaultDeclaration(_))) {
            self.declared.insert("default".to_owned(), default.span());
        }
        self.declared_stars = record
            .star_export_entries
            .iter()
            .filter_map(|entry| entry.module_request.as_ref().map(|request| request.name.to_string()))
            .collect();
        // The transformer adds scopes, symbols and references; room for them is made at once.
        let analysed = SemanticBuilder::new_compiler().with_enum_eval(true).with_excess_capacity(2.0).build(&program);
        // Of JavaScript alone; what is told below is told of both languages.
        let is_undeclared =
            |d: &OxcDiagnostic| d.message.starts_with("Export '") && d.message.ends_with("is not defined");
        let wrong: Vec<&OxcDiagnostic> = analysed.diagnostics.iter().filter(|d| !is_undeclared(d)).collect();
        found.extend(wrong.iter().map(|d| self.diagnostic("syntax", d)));
        let is_sound = is_sound && wrong.is_empty();
        let scoping = analysed.semantic.into_scoping();
        self.locals = locals::of(&program, &scoping);
        let undeclared = self.undeclared_exports(&program, &scoping);
        let refused = refused::find(&program, &scoping);
        // What is compiled of the first imports what the package does not have; imports of the second are never resolved.
        let is_kept = refused.iter().any(|refusal| ["using", "nested_module_code"].contains(&refusal.code));
        self.broken = !is_sound || is_kept || !undeclared.is_empty();
        found.extend(undeclared);
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
            let is_of_types = is_of_types(statement);
            let Some((source, attributes)) = source_of(statement) else { continue };
            match resolve(path, &source.value, files) {
                Ok(Resolved(target)) => {
                    let wrong = match attributes {
                        Some(_) if !target.ends_with(".json") => Some("import attributes are only taken on JSON files"),
                        Some(attributes) if !is_of_json(attributes) => {
                            Some("a JSON file is imported with { type: \"json\" }, or without attributes")
                        }
                        _ => None,
                    };
                    found.extend(
                        wrong.map(|message| {
                            Diagnostic::error("unsupported", path, message).at(text, range(source.span))
                        }),
                    );
                    *attributes = None;
                    source.value = Str::from_str_in(&target, &allocator);
                    source.raw = None;
                    reached.push(target);
                }
                Err(unresolved) => {
                    // A file that could not be read still has its imports of types: they are no mistake.
                    if !broken || unresolved.is_relative && !is_of_types {
                        found.push(unresolved.at(path, text, range(source.span)));
                    }
                }
            }
        }
        reached
    }

    /// The files that a module seems to import which could not be read at all, so that their mistakes are told as well. Relative
    /// imports that lead nowhere are added to `found`.
    pub(super) fn imports_of_unreadable(
        &self,
        files: &BTreeMap<String, String>,
        found: &mut Vec<Diagnostic>,
    ) -> Vec<String> {
        match &self.kind {
            Kind::Code(program) if self.broken && program.body.is_empty() => {}
            _ => return Vec::new(),
        }
        let mut reached = Vec::new();
        // Whether the statement that a line belongs to imports types alone: that may lead nowhere.
        let mut is_of_types = false;
        let mut is_comment = false;
        let mut end = 0;
        for line in self.text.split_inclusive('\n') {
            let start = end;
            end += line.len();
            let was_comment = is_comment;
            is_comment = match (line.rfind("/*"), line.rfind("*/")) {
                (Some(open), close) => close.is_none_or(|close| close < open),
                (None, Some(_)) => false,
                (None, None) => was_comment,
            };
            if was_comment {
                continue;
            }
            if let Some(rest) = ["import", "export"].iter().find_map(|start| line.strip_prefix(start)) {
                is_of_types = rest.trim_start().starts_with("type ");
            } else if !line.starts_with('}') {
                continue;
            }
            let Some((specifier, at)) = specifier_at_end(line) else { continue };
            match resolve(&self.path, specifier, files) {
                Ok(Resolved(path)) => reached.push(path),
                Err(unresolved) if unresolved.is_relative && !is_of_types => {
                    found.push(unresolved.at(&self.path, self.text, start + at.start..start + at.end));
                }
                Err(_) => {}
            }
        }
        reached
    }

    /// The exact paths of what it imports.
    pub(super) fn imports(&self) -> Vec<String> {
        let Kind::Code(program) = &self.kind else { return Vec::new() };
        program.body.iter().filter_map(import_of).map(|source| source.value.to_string()).collect()
    }

    /// Has the code count its statements.
    pub(super) fn count(&mut self, allocator: &'a Allocator, lines: &mut Vec<CountedLine>) {
        if let Kind::Code(program) = &mut self.kind {
            counters::put(program, allocator, (&self.path, self.text), lines);
        }
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
        words::diagnostic(code, &self.path, self.text, from)
    }

    /// What is told of a file that is written in a language which another file could have: TypeScript in a .js file, or JSX.
    fn another_language(&self, from: &[OxcDiagnostic]) -> Option<Vec<Diagnostic>> {
        let is_typescript = source_type(&self.path).is_typescript();
        let allocator = Allocator::default();
        // A name that is exported twice is a mistake of TypeScript too, but not one that its parser looks for.
        let is_of_both =
            |d: &OxcDiagnostic| d.message.starts_with("Duplicated export") || d.message.contains("multiple default");
        if !is_typescript
            && !from.iter().all(is_of_both)
            && Parser::new(&allocator, self.text, SourceType::ts()).parse().diagnostics.is_empty()
        {
            let told = from.iter().map(|d| self.diagnostic("syntax", d));
            return Some(told.map(|d| d.with_help("types are taken in .ts files; this one ends in .js")).collect());
        }
        // Most broken files are not read once more: every piece of JSX ends in one of these.
        if !self.text.contains("</") && !self.text.contains("/>") {
            return None;
        }
        let with_jsx = if is_typescript { SourceType::tsx() } else { SourceType::jsx() };
        let parsed = Parser::new(&allocator, self.text, with_jsx).parse();
        let mut pieces = Pieces::default();
        pieces.visit_program(&parsed.program);
        if parsed.panicked || pieces.0.is_empty() {
            return None;
        }
        let jsx = pieces.0.into_iter().map(|span| {
            let help = "write functions that make what it stands for, or bundle it first (with esbuild, for example)";
            self.error("jsx", span, "JSX is not supported").with_help(help)
        });
        Some(jsx.chain(parsed.diagnostics.iter().map(|d| self.diagnostic("syntax", d))).collect())
    }

    /// The names that it exports and does not declare.
    fn undeclared_exports(&self, program: &Program<'_>, scoping: &Scoping) -> Vec<Diagnostic> {
        let exports = program.body.iter().filter_map(|statement| match statement {
            Statement::ExportNamedDeclaration(export) if !export.export_kind.is_type() => Some(&export.specifiers),
            _ => None,
        });
        let mut found = Vec::new();
        for specifier in exports.flatten().filter(|specifier| !specifier.export_kind.is_type()) {
            let ModuleExportName::IdentifierReference(local) = &specifier.local else { continue };
            let is_declared = local.reference_id.get().is_none_or(|id| scoping.get_reference(id).symbol_id().is_some());
            if is_declared {
                continue;
            }
            let names = scoping.get_bindings(scoping.root_scope_id()).keys().map(|name| name.as_str());
            let message = format!("`{}` is exported, and nothing here is called that", local.name);
            let told = self.error("undeclared_export", local.span, message);
            // Looking for a near name costs the more the more there are.
            let near = if found.len() < MAX_DIAGNOSTICS { nearest(&local.name, names) } else { None };
            found.push(match near {
                Some(near) => told.with_help(format!("did you mean {near}?")),
                None => told.with_help("declare it, or import it"),
            });
        }
        found
    }
}

/// The pieces of JSX in a file, without those inside of others.
#[derive(Default)]
struct Pieces(Vec<Span>);

impl<'a> Visit<'a> for Pieces {
    fn visit_jsx_element(&mut self, element: &JSXElement<'a>) {
        self.0.push(element.span);
    }

    fn visit_jsx_fragment(&mut self, fragment: &JSXFragment<'a>) {
        self.0.push(fragment.span);
    }
}

/// The text between quotes that a line ends in, and where it stands in the line with its quotes.
fn specifier_at_end(line: &str) -> Option<(&str, Range<usize>)> {
    let line = line.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let quote = line.chars().last().filter(|c| matches!(c, '\'' | '"'))?;
    let before = line.strip_suffix(quote)?;
    let open = before.rfind(quote)?;
    Some((&before[open + 1..], open..line.len()))
}

/// Whether import attributes say that a file is JSON, and nothing else.
fn is_of_json(attributes: &WithClause<'_>) -> bool {
    attributes.with_entries.iter().all(|entry| entry.key.as_arena_str() == "type" && entry.value.value == "json")
}

pub(super) fn is_declaration_file(path: &str) -> bool {
    [".d.ts", ".d.mts"].iter().any(|ending| path.ends_with(ending))
}

/// Whether an import or a re-export is of types alone, and says so.
fn is_of_types(statement: &Statement<'_>) -> bool {
    match statement {
        Statement::ImportDeclaration(import) => import.import_kind.is_type(),
        Statement::ExportFromDeclaration(export) => export.export_kind.is_type(),
        Statement::ExportAllDeclaration(export) => export.export_kind.is_type(),
        _ => false,
    }
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
