//! Counters: code that says which of its statements have run, for coverage. Put into what is compiled after its types are gone, so
//! that each statement still knows where its author wrote it.
//!
//! A statement's counter stands right before it. Bodies without braces get some. The counters are one global array, which the
//! top level of an Action leaves in its snapshot; a module of this compiler's own stands in the place of the entry, calls
//! it, and prints the array when the run ends.

use super::origin::Origins;
use oxc::{
    allocator::{Allocator, Vec as ArenaVec},
    ast::ast::{
        Declaration, DoWhileStatement, ForInStatement, ForOfStatement, ForStatement, IfStatement, Program, Statement,
        WhileStatement,
    },
    ast_visit::{VisitMut, walk_mut},
    parser::Parser,
    span::{GetSpan as _, SourceType, Span},
};
use serde::{Deserialize, Serialize};
use sluice_model::bundle::BundleModule;

/// The module that stands in the entry's place. No folder of sources is named so.
pub(crate) const COUNTING_ENTRY: &str = "__counting__/entry.js";
/// What the line begins with that a run prints at its end; the statements follow as hexadecimal digits, four to each, the first
/// of them in the highest bit.
pub(crate) const COUNTED: &str = "__counted__ ";

/// Where a statement begins, in the author's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CountedLine {
    /// The file, relative to the package.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Puts counters into a module, and their places at the end of `places`.
pub(super) fn put<'a>(
    program: &mut Program<'a>,
    allocator: &'a Allocator,
    (path, text): (&str, &str),
    places: &mut Vec<CountedLine>,
) {
    let origins = Origins::of(path, text);
    let mut counting = Counting { allocator, first: places.len(), spans: Vec::new() };
    counting.visit_program(program);
    // Line breaks up to each place are counted once for all: the spans come in any order.
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    places.extend(counting.spans.into_iter().map(|span| {
        let at = span.start as usize;
        let line = starts.partition_point(|start| *start <= at).saturating_sub(1);
        let start = starts.get(line).copied().unwrap_or_default();
        let column = text.get(start..at).map_or(0, |before| before.encode_utf16().count());
        let (line, column) = (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX));
        match origins.as_ref().and_then(|origins| origins.find(line, column)) {
            Some((file, line, _)) => CountedLine { file: file.to_owned(), line: line + 1 },
            None => CountedLine { file: path.to_owned(), line: line + 1 },
        }
    }));
}

/// The module in the entry's place.
pub(super) fn entry(of: &str) -> BundleModule {
    let code = format!(
        "import {{ execute as run }} from {of:?};\n\
         const print = console.debug;\n\
         export async function execute(input) {{\n\
         \u{20}try {{ return await run(input) }} finally {{\n\
         \u{20} const ran = globalThis.__sluice_ran ?? [];\n\
         \u{20} let digits = '';\n\
         \u{20} for (let i = 0; i < ran.length; i += 4)\n\
         \u{20}  digits += ((ran[i] ? 8 : 0) + (ran[i + 1] ? 4 : 0) + (ran[i + 2] ? 2 : 0) + (ran[i + 3] ? 1 : 0)).toString(16);\n\
         \u{20} print({COUNTED:?} + digits);\n\
         \u{20}}}\n}}\n"
    );
    BundleModule { path: COUNTING_ENTRY.to_owned(), code, source_map: String::new() }
}

/// The statements that a printed line tells of; nothing for any other line.
pub fn counted(line: &str) -> Option<Vec<bool>> {
    let digits = line.strip_prefix(COUNTED)?;
    let bits = |digit: char| digit.to_digit(16).map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1 == 1));
    Some(digits.chars().filter_map(bits).flatten().collect())
}

struct Counting<'a> {
    allocator: &'a Allocator,
    first: usize,
    spans: Vec<Span>,
}

impl<'a> Counting<'a> {
    /// A statement of this text.
    fn statement(&self, text: &str) -> Option<Statement<'a>> {
        let text = self.allocator.alloc_str(text);
        Parser::new(self.allocator, text, SourceType::mjs()).parse().program.body.pop()
    }

    fn counter(&mut self, of: &Statement<'a>) -> Option<Statement<'a>> {
        let span = of.span();
        let counts = match of {
            Statement::ImportDeclaration(_)
            | Statement::ExportFromDeclaration(_)
            | Statement::ExportAllDeclaration(_)
            | Statement::FunctionDeclaration(_)
            | Statement::EmptyStatement(_)
            | Statement::BlockStatement(_) => false,
            // Functions are there from the start, and names are no work.
            Statement::ExportNamedDeclaration(_) | Statement::ExportDefaultDeclaration(_) => false,
            Statement::ExportDeclaration(export) => !matches!(export.declaration, Declaration::FunctionDeclaration(_)),
            _ => true,
        };
        // What the compiler has made itself is at no place.
        if !counts || span.start == span.end {
            return None;
        }
        let number = self.first + self.spans.len();
        let counter = self.statement(&format!("(globalThis.__sluice_ran ??= [])[{number}] = 1;"))?;
        self.spans.push(span);
        Some(counter)
    }

    /// Gives a body braces, so that a counter has room in it.
    fn braced(&self, body: &mut Statement<'a>) {
        if matches!(body, Statement::BlockStatement(_)) {
            return;
        }
        if let Some(Statement::BlockStatement(mut block)) = self.statement("{}") {
            let Some(empty) = self.statement(";") else { return };
            block.body.push(std::mem::replace(body, empty));
            *body = Statement::BlockStatement(block);
        }
    }
}

impl<'a> VisitMut<'a> for Counting<'a> {
    fn visit_statements(&mut self, list: &mut ArenaVec<'a, Statement<'a>>) {
        walk_mut::walk_statements(self, list);
        let before = std::mem::replace(list, ArenaVec::new_in(&self.allocator));
        for statement in before {
            if let Some(counter) = self.counter(&statement) {
                list.push(counter);
            }
            list.push(statement);
        }
    }

    fn visit_if_statement(&mut self, it: &mut IfStatement<'a>) {
        self.braced(&mut it.consequent);
        if let Some(alternate) = it.alternate.as_mut().filter(|other| !matches!(other, Statement::IfStatement(_))) {
            self.braced(alternate);
        }
        walk_mut::walk_if_statement(self, it);
    }

    fn visit_while_statement(&mut self, it: &mut WhileStatement<'a>) {
        self.braced(&mut it.body);
        walk_mut::walk_while_statement(self, it);
    }

    fn visit_do_while_statement(&mut self, it: &mut DoWhileStatement<'a>) {
        self.braced(&mut it.body);
        walk_mut::walk_do_while_statement(self, it);
    }

    fn visit_for_statement(&mut self, it: &mut ForStatement<'a>) {
        self.braced(&mut it.body);
        walk_mut::walk_for_statement(self, it);
    }

    fn visit_for_in_statement(&mut self, it: &mut ForInStatement<'a>) {
        self.braced(&mut it.body);
        walk_mut::walk_for_in_statement(self, it);
    }

    fn visit_for_of_statement(&mut self, it: &mut ForOfStatement<'a>) {
        self.braced(&mut it.body);
        walk_mut::walk_for_of_statement(self, it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_prints_is_read_and_nothing_else_is() {
        assert_eq!(counted("__counted__ 91"), Some(vec![true, false, false, true, false, false, false, true]));
        assert_eq!(counted("__counted__ "), Some(vec![]));
        assert_eq!(counted("I have counted __counted__ 9"), None);
    }
}
