//! What the platform does not take of the language, refused by name with what to do instead.

use oxc::{
    ast::ast::{
        AccessorProperty, CallExpression, Decorator, ExportAllDeclaration, ExportDeclaration, ExportDefaultDeclaration,
        ExportFromDeclaration, ExportNamedDeclaration, Expression, ImportDeclaration, ImportExpression, Program,
        TSExportAssignment, TSImportEqualsDeclaration, TSModuleBlock, TSModuleReference, VariableDeclaration,
        VariableDeclarationKind,
    },
    ast_visit::{Visit, walk},
    semantic::Scoping,
    span::{GetSpan, Span},
};
use std::collections::HashSet;

/// A piece of code that is not taken.
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) span: Span,
    pub(super) message: &'static str,
    pub(super) help: &'static str,
}

const COMMONJS_HELP: &str = "write import { name } from \"./file\" and export";

/// Everything in a file that is not taken.
pub(super) fn find(program: &Program<'_>, scoping: &Scoping) -> Vec<Refusal> {
    let mut finder =
        Finder { scoping, body: program.body.iter().map(GetSpan::span).collect(), blocks: 0, found: Vec::new() };
    finder.visit_program(program);
    finder.found
}

struct Finder<'s> {
    scoping: &'s Scoping,
    /// Where the statements at the top stand.
    body: HashSet<Span>,
    /// The namespaces and declared modules around: what they import is told by the compiler itself, or a type.
    blocks: usize,
    found: Vec<Refusal>,
}

impl Finder<'_> {
    fn refuse(&mut self, code: &'static str, span: Span, message: &'static str, help: &'static str) {
        self.found.push(Refusal { code, span, message, help });
    }

    /// The parser takes imports and exports anywhere; the language does not.
    fn only_at_the_top(&mut self, span: Span, is_import: bool) {
        if self.blocks == 0 && !self.body.contains(&span) {
            let (message, help) = match is_import {
                true => {
                    ("an import stands at the top of a file, not inside of something", "move it to the top of the file")
                }
                false => (
                    "an export stands at the top of a file, not inside of something",
                    "move it out of what it stands in",
                ),
            };
            self.refuse("nested_module_code", span, message, help);
        }
    }
}

impl<'a> Visit<'a> for Finder<'_> {
    fn visit_decorator(&mut self, decorator: &Decorator<'a>) {
        self.refuse(
            "decorator",
            decorator.span,
            "decorators are not supported",
            "call the function on the class or the value instead",
        );
        walk::walk_decorator(self, decorator);
    }

    fn visit_accessor_property(&mut self, property: &AccessorProperty<'a>) {
        let help = "write a private field with get and set";
        self.refuse("accessor", property.span, "accessor fields are not supported", help);
        walk::walk_accessor_property(self, property);
    }

    fn visit_import_expression(&mut self, import: &ImportExpression<'a>) {
        let help =
            "write import { name } from \"./file\" at the top of the file: all modules are loaded with the version";
        self.refuse("dynamic_import", import.span, "import() is not supported", help);
        walk::walk_import_expression(self, import);
    }

    fn visit_ts_module_block(&mut self, block: &TSModuleBlock<'a>) {
        self.blocks += 1;
        walk::walk_ts_module_block(self, block);
        self.blocks -= 1;
    }

    fn visit_export_declaration(&mut self, export: &ExportDeclaration<'a>) {
        self.only_at_the_top(export.span, false);
        walk::walk_export_declaration(self, export);
    }

    fn visit_export_named_declaration(&mut self, export: &ExportNamedDeclaration<'a>) {
        self.only_at_the_top(export.span, false);
    }

    fn visit_export_from_declaration(&mut self, export: &ExportFromDeclaration<'a>) {
        self.only_at_the_top(export.span, false);
    }

    fn visit_export_default_declaration(&mut self, export: &ExportDefaultDeclaration<'a>) {
        self.only_at_the_top(export.span, false);
        walk::walk_export_default_declaration(self, export);
    }

    fn visit_export_all_declaration(&mut self, export: &ExportAllDeclaration<'a>) {
        self.only_at_the_top(export.span, false);
    }

    fn visit_import_declaration(&mut self, import: &ImportDeclaration<'a>) {
        self.only_at_the_top(import.span, true);
        if import.phase.is_some() {
            let message = "import defer and import source are not supported";
            self.refuse("import_phase", import.span, message, "write a plain import");
        }
        walk::walk_import_declaration(self, import);
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        if let Expression::Identifier(callee) = &call.callee
            && callee.name == "require"
            && callee.reference_id.get().is_some_and(|id| self.scoping.get_reference(id).symbol_id().is_none())
        {
            self.refuse("require", call.span, "require() is not supported: modules are ES modules", COMMONJS_HELP);
        }
        walk::walk_call_expression(self, call);
    }

    fn visit_ts_import_equals_declaration(&mut self, import: &TSImportEqualsDeclaration<'a>) {
        if matches!(import.module_reference, TSModuleReference::ExternalModuleReference(_)) {
            self.refuse(
                "require",
                import.span,
                "import = require() is not supported: modules are ES modules",
                COMMONJS_HELP,
            );
        }
        walk::walk_ts_import_equals_declaration(self, import);
    }

    fn visit_ts_export_assignment(&mut self, export: &TSExportAssignment<'a>) {
        let help = "export names, or one value by export default";
        self.refuse("export_assignment", export.span, "export = is not supported: modules are ES modules", help);
        walk::walk_ts_export_assignment(self, export);
    }

    fn visit_variable_declaration(&mut self, declaration: &VariableDeclaration<'a>) {
        if matches!(declaration.kind, VariableDeclarationKind::Using | VariableDeclarationKind::AwaitUsing) {
            let help = "write const, and dispose of the value in finally";
            self.refuse("using", declaration.span, "using declarations are not supported", help);
        }
        walk::walk_variable_declaration(self, declaration);
    }
}
