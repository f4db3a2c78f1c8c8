//! What the platform does not take of the language, refused by name with what to do instead.

use oxc::{
    ast::ast::{
        AccessorProperty, CallExpression, Decorator, Expression, ImportDeclaration, ImportExpression, Program,
        TSExportAssignment, TSImportEqualsDeclaration, TSModuleReference, VariableDeclaration, VariableDeclarationKind,
    },
    ast_visit::{Visit, walk},
    semantic::Scoping,
    span::Span,
};

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
    let mut finder = Finder { scoping, found: Vec::new() };
    finder.visit_program(program);
    finder.found
}

struct Finder<'s> {
    scoping: &'s Scoping,
    found: Vec<Refusal>,
}

impl Finder<'_> {
    fn refuse(&mut self, code: &'static str, span: Span, message: &'static str, help: &'static str) {
        self.found.push(Refusal { code, span, message, help });
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

    fn visit_import_declaration(&mut self, import: &ImportDeclaration<'a>) {
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
