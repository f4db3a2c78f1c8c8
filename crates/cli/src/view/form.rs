//! A config schema as the form that it is.

use crate::screen::Look;
use serde_json::Value;
use sluice_model::schema::{Field, FieldKind, bare};
use sluice_model::{ConfigSchema, Object};

/// How wide descriptions are.
const WIDTH: usize = 88;

/// The fields in their order: what each is called, takes, is for.
pub(super) fn form(schema: &Object, look: &Look) -> String {
    match ConfigSchema::new(Value::Object(schema.clone())) {
        Ok(schema) => fields(&schema.fields(), 2, look),
        // A schema of a service that is newer than this program.
        Err(_) => format!("{}\n", serde_json::to_string_pretty(schema).unwrap_or_default()),
    }
}

fn fields(all: &[Field<'_>], indent: usize, look: &Look) -> String {
    all.iter().map(|field| one(field, indent, look)).collect()
}

fn one(field: &Field<'_>, indent: usize, look: &Look) -> String {
    let pad = " ".repeat(indent);
    let mut head = look.strong(field.name);
    field.title().into_iter().for_each(|title| head.push_str(&format!("  {title}")));
    if field.required {
        head.push_str(&format!("  {}", look.warning("required")));
    }
    let mut text = format!("{pad}{head}\n{pad}  {}", field.takes());
    text.push_str(&told_default(field).map(|told| format!("; {told}")).unwrap_or_default());
    text.push('\n');
    for line in field.description().map(|description| wrapped(description, WIDTH)).unwrap_or_default() {
        text.push_str(&format!("{pad}  {}\n", look.faint(&line)));
    }
    match field.kind() {
        FieldKind::Object(inner) => text.push_str(&fields(&inner, indent + 4, look)),
        FieldKind::List(entry) => {
            if let FieldKind::Object(inner) = entry.kind() {
                text.push_str(&fields(&inner, indent + 4, look));
            }
        }
        _ => {}
    }
    text
}

/// What it is where nothing is said.
pub(crate) fn told_default(field: &Field<'_>) -> Option<String> {
    if field.generates_secret() {
        return Some("made by the platform where none is named".to_owned());
    }
    match (field.default(), field.default_by_trigger()) {
        (Some(Value::Array(none)), _) if none.is_empty() => Some("default none".to_owned()),
        (Some(Value::Object(none)), _) if none.is_empty() => Some("default none".to_owned()),
        (Some(default), _) => Some(format!("default {}", bare(default))),
        (None, Some(Value::Object(by_trigger))) => {
            let told: Vec<String> = by_trigger.iter().map(|(at, value)| format!("{} at {at}", bare(value))).collect();
            Some(format!("default {}", told.join(", ")))
        }
        (None, Some(words)) => Some(format!("default as {}", bare(words))),
        (None, None) => None,
    }
}

/// Text in lines of so many characters.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
