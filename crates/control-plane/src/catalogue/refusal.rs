//! Mistakes of a package as refusals: every one of them, at the author's own place.

use super::TEMPLATE_SLUGS;
use sluice_compiler::Package;
use sluice_model::diagnostic::Severity;
use sluice_model::{Code, Diagnostic, Error, Failure, manifest::MANIFEST_FILE};

/// A package that is refused: INVALID_ARGUMENT `INVALID_PACKAGE`, with a field for each mistake: `src/index.ts:3:14`.
pub fn invalid_package(found: &[Diagnostic]) -> Error {
    let errors: Vec<Diagnostic> = found.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    told(Error::new(Code::InvalidArgument, "INVALID_PACKAGE", Diagnostic::headline(&errors)), &errors)
}

/// A package that declares what this build does not provide: FAILED_PRECONDITION `UNSUPPORTED_FEATURE`, with a field for
/// each key.
pub fn unsupported(unmet: &[Diagnostic]) -> Option<Error> {
    let first = unmet.first()?;
    Some(told(Error::precondition("UNSUPPORTED_FEATURE", first.message.clone()), unmet))
}

fn told(refused: Error, found: &[Diagnostic]) -> Error {
    found.iter().fold(refused, |error, found| error.with_field(found.field(), found.description()))
}

/// What a top level did wrong, as a mistake of the package.
pub fn evaluation(package: &Package, failure: &Failure) -> Diagnostic {
    if let Some(path) = &package.manifest.component {
        return component(path, failure);
    }
    // A value that is no Error, and a promise that never settles, come from nowhere that is known: the entry is where to look.
    let file = failure.file.clone().or_else(|| package.entry().ok()).unwrap_or_default();
    let message = format!("the module cannot be evaluated ({}): {}", failure.reason, failure.message);
    let found = Diagnostic::error("evaluation", file.clone(), message);
    let found = match failure.stack.as_deref().and_then(way) {
        Some(way) => found.with_help(format!("it was thrown\n{way}")),
        None => found,
    };
    // A file that a bundler read is not in the package; its place is known all the same.
    let found = Diagnostic { line: failure.line, column: failure.column, ..found };
    match (package.files.get(&file), failure.line, failure.column) {
        (Some(text), Some(line), Some(column)) => match offset(text, line, column) {
            Some(offset) => found.at(text, offset..offset),
            None => found,
        },
        _ => found,
    }
}

/// What is wrong with a component: it is none that can be run, or cannot be started.
fn component(path: &str, failure: &Failure) -> Diagnostic {
    let found = Diagnostic::error("component", path, failure.message.clone());
    match &failure.stack {
        Some(stack) => found.with_help(format!("it ended in\n{stack}")),
        None => found,
    }
}

/// A slug that is one of the platform's own templates.
pub fn reserved(package: &Package) -> Option<Diagnostic> {
    let slug = &package.manifest.slug;
    if !TEMPLATE_SLUGS.contains(&slug.as_str()) {
        return None;
    }
    let message = format!("{slug:?} is the name of one of the platform's templates; take another");
    let found = Diagnostic::error("reserved_slug", MANIFEST_FILE, message).with_pointer("/slug");
    let text = package.files.get(MANIFEST_FILE).map_or("", String::as_str);
    Some(match text.find(&format!("\"{slug}\"")) {
        Some(at) => found.at(text, at..at + slug.as_str().len() + 2),
        None => found,
    })
}

/// A stack where it says more than the place that is told anyway: each frame once where it repeats itself.
fn way(stack: &str) -> Option<String> {
    let mut frames: Vec<&str> = stack.lines().collect();
    frames.dedup();
    (frames.len() > 1).then(|| frames.join("\n"))
}

/// The byte at a line and a column in UTF-16 code units, both from 1.
fn offset(text: &str, line: u32, column: u32) -> Option<usize> {
    let before = usize::try_from(line.checked_sub(1)?).ok()?;
    let start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let mut units = usize::try_from(column.checked_sub(1)?).ok()?;
    let rest = text.get(start..)?;
    for (at, character) in rest.char_indices() {
        if units == 0 || character == '\n' {
            return Some(start + at);
        }
        units = units.saturating_sub(character.len_utf16());
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_utf_16_code_units() {
        let text = "let a\nlet 😀b = 1\n";
        assert_eq!(offset(text, 2, 5), Some(text.find('😀').unwrap()));
        assert_eq!(offset(text, 2, 7), Some(text.find("b =").unwrap()));
        assert_eq!(offset(text, 9, 1), Some(text.len()));
        assert_eq!(offset(text, 0, 1), None);
    }
}
