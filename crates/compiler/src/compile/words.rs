//! What the parser finds, in the words of the house and at the place where an author would look.

use oxc::{
    allocator::Allocator,
    ast::ast::Expression,
    diagnostics::OxcDiagnostic,
    parser::Parser,
    span::{GetSpan, SourceType},
};
use sluice_model::Diagnostic;
use std::{borrow::Cow, ops::Range};

/// The most characters that are shown of what stands in the place of something else.
const SHOWN_CHARS: usize = 40;
/// Back quotes that are tried as the beginning of a template that is not closed.
const TRIED_QUOTES: usize = 20;
/// What a word processor makes of quotes.
const TYPOGRAPHIC_QUOTES: &[char] =
    &['\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}', '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '«', '»', '´'];

/// A mistake that the library found in the text of the file at `path`.
pub(super) fn diagnostic(code: &'static str, path: &str, text: &str, from: &OxcDiagnostic) -> Diagnostic {
    let span = |label: &oxc::diagnostics::LabeledSpan| {
        let start = label.offset() as usize;
        start..start + label.len() as usize
    };
    // Of several places the last is where the mistake is; those before explain it ("declared here", "opened here").
    let label = from.labels.iter().max_by_key(|label| label.offset());
    let place = label.map_or(0..0, span);
    let error = |place: Range<usize>, message: String| Diagnostic::error(code, path, message).at(text, place);

    if from.message == "Encountered diff marker" {
        let first = from.labels.iter().min_by_key(|label| label.offset()).map_or(0..0, span);
        return error(first, "a merge was left half done".to_owned())
            .with_help("keep what is right of the two sides, and delete the lines with the markers");
    }
    if let Some(character) = from.message.strip_prefix("Invalid Character `").and_then(|rest| rest.chars().next()) {
        let found = error(place, format!("invalid character {}", shown_character(character)));
        return match TYPOGRAPHIC_QUOTES.contains(&character) {
            true => found.with_help("write ' or \" around text"),
            false => found,
        };
    }
    if from.message == "Unterminated string"
        && let Some(start) = start_of_template(text, &place)
    {
        return error(start..start + 1, "unterminated template".to_owned()).with_help("write ` at its end");
    }
    if let Some(name) = from.message.strip_prefix("Duplicated export '").and_then(|rest| rest.strip_suffix('\'')) {
        return error(place, format!("`{name}` is exported twice")).with_help("leave one of them out");
    }
    if let Some((expected, _)) = from.message.split_once(" but found `") {
        return error(place.clone(), format!("{} but found {}", sentence(expected), found_at(text, place)));
    }
    let found = error(place, sentence(&from.message));
    let label = label.and_then(|label| label.label()).filter(|_| !found.message.starts_with("expected"));
    match from.help.as_deref().or(label) {
        Some(help) => found.with_help(sentence(help)),
        None => found,
    }
}

/// A message of the library as the house writes them: lower case, without a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    // What follows the last colon is a sentence of its own.
    match text.split_once(": ") {
        Some((first, rest)) => format!("{}: {}", lower(first), lower(rest)),
        None => lower(text).into_owned(),
    }
}

/// The text with a small letter at its beginning, unless that is an abbreviation.
fn lower(text: &str) -> Cow<'_, str> {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || text.starts_with("A ") => {
            first.to_lowercase().chain(chars).collect::<String>().into()
        }
        _ => text.into(),
    }
}

/// What stands at a place, as it is written.
fn found_at(text: &str, place: Range<usize>) -> String {
    let found = text.get(place).unwrap_or_default();
    let line = found.lines().next().unwrap_or_default();
    match line.chars().next() {
        None => "the end of the file".to_owned(),
        Some('`') => "a template".to_owned(),
        Some(_) => {
            let shown: String = line.chars().take(SHOWN_CHARS).filter(|c| !is_invisible(*c)).collect();
            let more = if shown.len() < found.len() { "..." } else { "" };
            format!("`{shown}{more}`")
        }
    }
}

/// A character, by its number where a terminal would act on it or show nothing.
fn shown_character(character: char) -> String {
    match is_invisible(character) {
        true => format!("U+{:04X}", u32::from(character)),
        false => format!("`{character}`"),
    }
}

/// Whether a character moves the cursor, turns text around or takes no room.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || character.is_whitespace() && character != ' '
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}

/// Where a template begins that is not closed, given the part of it that the lexer did not get to the end of; `None` where
/// that is no template.
fn start_of_template(text: &str, last_part: &Range<usize>) -> Option<usize> {
    match text.as_bytes().get(last_part.start)? {
        b'\'' | b'"' => return None,
        b'`' => return Some(last_part.start),
        _ => {}
    }
    // The part stands behind a `${}`. What begins at the right back quote is a template, once it is closed.
    let before = text.get(..last_part.start)?;
    let before = if before.ends_with('}') { before.to_owned() } else { format!("{before}}}") };
    let mut quotes: Vec<usize> = before.rmatch_indices('`').take(TRIED_QUOTES).map(|(at, _)| at).collect();
    quotes.reverse();
    let begins_at = |at: &usize| {
        let closed = format!("{}`", &before[*at..]);
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, &closed, SourceType::ts()).parse_expression();
        parsed.is_ok_and(|found| {
            matches!(&found, Expression::TemplateLiteral(_)) && found.span().end as usize == closed.len()
        })
    };
    Some(quotes.into_iter().find(begins_at).unwrap_or(last_part.start))
}
