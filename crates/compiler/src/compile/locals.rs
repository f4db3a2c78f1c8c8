//! What the names are that a file declares at its top, where that can be seen: read before types are stripped, because a type
//! or a function without a body is gone afterwards.

use oxc::{
    ast::ast::{
        BinaryOperator, BindingPattern, Declaration, ExportDefaultDeclarationKind, Expression, Function, Program,
        Statement, UnaryOperator, VariableDeclarationKind,
    },
    semantic::Scoping,
    span::{GetSpan, Span},
};
use std::collections::BTreeMap;

/// Names of constants that are followed from one to the next.
const MAX_NAMES: usize = 8;

/// A name that a file declares.
pub(super) struct Local {
    /// Where the name stands.
    pub(super) name: Span,
    /// What is shown of it where it is not what it must be.
    pub(super) span: Span,
    pub(super) what: What,
}

/// What a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A function that can be called.
    Function,
    /// A value that is plainly no function: which, with its article.
    Other(&'static str),
    /// A value that only a run can tell.
    Unknown,
    /// A type.
    Type,
    /// A function without a body.
    WithoutBody,
    /// A value that is only declared.
    Declared,
}

impl What {
    /// Whether it is there when the module runs.
    pub(super) fn is_value(self) -> bool {
        matches!(self, What::Function | What::Other(_) | What::Unknown)
    }
}

pub(super) type Locals = BTreeMap<String, Local>;

/// The names that a file declares at its top; its default export is called `default`.
pub(super) fn of(program: &Program<'_>, scoping: &Scoping) -> Locals {
    let constants = constants(program);
    let mut locals = Locals::new();
    for statement in &program.body {
        let declaration = match statement {
            Statement::ExportDefaultDeclaration(export) => {
                let what = match &export.declaration {
                    ExportDefaultDeclarationKind::FunctionDeclaration(function) => of_function(function),
                    ExportDefaultDeclarationKind::ClassDeclaration(_) => What::Other("a class"),
                    ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => What::Type,
                    other => {
                        other.as_expression().map_or(What::Unknown, |value| of_value(value, &constants, MAX_NAMES))
                    }
                };
                let span = export.declaration.span();
                add(&mut locals, "default", Local { name: span, span, what });
                continue;
            }
            Statement::ExportDeclaration(export) => &export.declaration,
            statement => match statement.as_declaration() {
                Some(declaration) => declaration,
                None => continue,
            },
        };
        let is_declared = |declare: bool, what: What| if declare { What::Declared } else { what };
        let (id, span, what) = match declaration {
            Declaration::VariableDeclaration(variables) => {
                for declarator in &variables.declarations {
                    let BindingPattern::BindingIdentifier(id) = &declarator.id else { continue };
                    let is_changed = id.symbol_id.get().is_none_or(|symbol| scoping.symbol_is_mutated(symbol));
                    let what = match &declarator.init {
                        _ if variables.declare => What::Declared,
                        Some(value) if !is_changed => of_value(value, &constants, MAX_NAMES),
                        _ => What::Unknown,
                    };
                    let span = match declarator.init.as_ref() {
                        Some(Expression::FunctionExpression(function)) => function.span,
                        _ => declarator.span,
                    };
                    add(&mut locals, &id.name, Local { name: id.span, span, what });
                }
                continue;
            }
            Declaration::FunctionDeclaration(function) => match &function.id {
                Some(id) if function.declare || function.body.is_none() => (id, id.span, What::WithoutBody),
                Some(id) => (id, function.span, of_function(function)),
                None => continue,
            },
            Declaration::ClassDeclaration(class) => match &class.id {
                Some(id) => (id, class.span, is_declared(class.declare, What::Other("a class"))),
                None => continue,
            },
            Declaration::TSEnumDeclaration(of) => (&of.id, of.id.span, is_declared(of.declare, What::Other("an enum"))),
            Declaration::TSNamespaceDeclaration(_) => continue,
            Declaration::TSTypeAliasDeclaration(of) => (&of.id, of.id.span, What::Type),
            Declaration::TSInterfaceDeclaration(of) => (&of.id, of.id.span, What::Type),
            _ => continue,
        };
        add(&mut locals, &id.name, Local { name: id.span, span, what });
    }
    locals
}

/// One name can be declared several times: a function with its overloads, a type beside a value. What runs is what counts.
fn add(locals: &mut Locals, name: &str, local: Local) {
    let counts = locals.get(name).is_none_or(|known| !known.what.is_value() || local.what == What::Function);
    if counts {
        locals.insert(name.to_owned(), local);
    }
}

/// The values of the constants that a file declares at its top.
fn constants<'p, 'a>(program: &'p Program<'a>) -> BTreeMap<&'p str, &'p Expression<'a>> {
    let declarations = program.body.iter().filter_map(|statement| match statement {
        Statement::ExportDeclaration(export) => Some(&export.declaration),
        statement => statement.as_declaration(),
    });
    let variables = declarations.filter_map(|declaration| match declaration {
        Declaration::VariableDeclaration(variables) if variables.kind == VariableDeclarationKind::Const => {
            Some(variables)
        }
        _ => None,
    });
    let declarators = variables.flat_map(|variables| &variables.declarations);
    declarators
        .filter_map(|declarator| match &declarator.id {
            BindingPattern::BindingIdentifier(id) => Some((id.name.as_str(), declarator.init.as_ref()?)),
            _ => None,
        })
        .collect()
}

fn of_function(function: &Function<'_>) -> What {
    match function.generator {
        true => What::Other("a generator"),
        false => What::Function,
    }
}

/// What an expression comes to. Names are followed through `constants`, at most so many.
fn of_value(value: &Expression<'_>, constants: &BTreeMap<&str, &Expression<'_>>, names: usize) -> What {
    let number = What::Other("a number");
    let string = What::Other("a string");
    let boolean = What::Other("a boolean");
    match value.get_inner_expression() {
        Expression::ArrowFunctionExpression(_) => What::Function,
        Expression::FunctionExpression(function) => of_function(function),
        Expression::ClassExpression(_) => What::Other("a class"),
        Expression::ObjectExpression(_) => What::Other("an object"),
        Expression::ArrayExpression(_) => What::Other("an array"),
        Expression::StringLiteral(_) | Expression::TemplateLiteral(_) => string,
        Expression::NumericLiteral(_) | Expression::BigIntLiteral(_) | Expression::UpdateExpression(_) => number,
        Expression::BooleanLiteral(_) => boolean,
        Expression::NullLiteral(_) => What::Other("null"),
        Expression::RegExpLiteral(_) => What::Other("a regular expression"),
        Expression::UnaryExpression(unary) => match unary.operator {
            UnaryOperator::Typeof => string,
            UnaryOperator::LogicalNot | UnaryOperator::Delete => boolean,
            UnaryOperator::Void => What::Other("undefined"),
            _ => number,
        },
        Expression::BinaryExpression(binary) => match binary.operator {
            // A sum can be a text; what else there is of operators is of numbers, or answers yes or no.
            BinaryOperator::Addition => What::Unknown,
            operator if operator.is_arithmetic() || operator.is_bitwise() => number,
            _ => boolean,
        },
        Expression::Identifier(id) if names > 0 => match constants.get(id.name.as_str()) {
            Some(value) => of_value(value, constants, names - 1),
            None if id.name == "undefined" => What::Other("undefined"),
            None => What::Unknown,
        },
        Expression::StaticMemberExpression(member) if member.property.name == "length" && names > 0 => {
            match of_value(&member.object, constants, names - 1) {
                What::Other("an array" | "a string") => number,
                _ => What::Unknown,
            }
        }
        _ => What::Unknown,
    }
}
