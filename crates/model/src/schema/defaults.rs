//! What a schema does to a config besides checking it: fills in defaults, hides secrets.

use super::{compile, formats, keywords, messages};
use crate::{Invalid, Object, decode::escape};
use serde_json::Value;

/// What is shown instead of a value that is marked `x-secret`.
pub(super) const HIDDEN: &str = "(hidden)";

/// Checks every default, and every value of `x-default-by-trigger`, against the schema that it stands in.
pub(super) fn check(root: &Object) -> Result<(), Vec<Invalid>> {
    let mut found = Vec::new();
    let mut open: Vec<(String, &Object)> = vec![(String::new(), root)];
    for (name, schema) in root.get("$defs").and_then(Value::as_object).into_iter().flatten() {
        open.extend(schema.as_object().map(|schema| (format!("/$defs/{}", escape(name)), schema)));
    }
    while let Some((pointer, schema)) = open.pop() {
        let mut values: Vec<(String, &Value)> = Vec::new();
        values.extend(schema.get("default").map(|value| (format!("{pointer}/default"), value)));
        if let Some(Value::Object(by_trigger)) = schema.get("x-default-by-trigger") {
            let at = |trigger| format!("{pointer}/x-default-by-trigger/{trigger}");
            values.extend(by_trigger.iter().map(|(trigger, value)| (at(trigger), value)));
        }
        if !values.is_empty() {
            check_values(root, schema, values, &mut found);
        }
        open.extend(keywords::children(schema, &pointer));
    }
    if found.is_empty() {
        return Ok(());
    }
    found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    Err(found)
}

fn check_values(root: &Object, schema: &Object, values: Vec<(String, &Value)>, found: &mut Vec<Invalid>) {
    let mut alone = schema.clone();
    if let Some(defs) = root.get("$defs") {
        alone.insert("$defs".to_owned(), defs.clone());
    }
    let validator = match compile(&Value::Object(alone.clone())) {
        Ok(validator) => validator,
        Err(message) => return found.extend(values.first().map(|(at, _)| Invalid::at(at.as_str(), message))),
    };
    for (at, value) in values {
        let mut filled = value.clone();
        fill(root, schema, &mut filled);
        for error in validator.iter_errors(&filled) {
            let mut wrong = Vec::new();
            messages::explain(&alone, &filled, &error, &mut wrong);
            found.extend(wrong.into_iter().map(|invalid| invalid.under(&at)));
        }
        // Executors fill in defaults as they stand.
        let mut kept = filled.clone();
        found.extend(formats::apply(&alone, &mut kept).into_iter().map(|invalid| invalid.under(&at)));
        if kept != filled {
            found.push(Invalid::at(at, format!("is kept as {kept}; write it so")));
        }
    }
}

/// Fills in the defaults of properties that an object lacks, at every depth.
pub(super) fn fill(root: &Object, schema: &Object, value: &mut Value) {
    if let Some(target) = keywords::target(root, schema) {
        fill(root, target, value);
    }
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                let Some(property) = property.as_object() else { continue };
                if let (false, Some(default)) = (object.contains_key(name), property.get("default")) {
                    object.insert(name.clone(), default.clone());
                }
                if let Some(inner) = object.get_mut(name) {
                    fill(root, property, inner);
                }
            }
            if let Some(Value::Object(others)) = schema.get("additionalProperties") {
                let known = |name: &str| properties.is_some_and(|p| p.contains_key(name));
                for (_, inner) in object.iter_mut().filter(|(name, _)| !known(name)) {
                    fill(root, others, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(Value::Object(schema)) = schema.get("items") {
                items.iter_mut().for_each(|item| fill(root, schema, item));
            }
        }
        _ => {}
    }
}

/// Hides what is marked `x-secret`. Inside `oneOf` and `anyOf` a mark in any form counts, whichever form the value has.
pub(super) fn redact(root: &Object, schema: &Object, value: &mut Value) {
    if schema.get("x-secret") == Some(&Value::Bool(true)) {
        *value = Value::String(HIDDEN.to_owned());
        return;
    }
    if let Some(target) = keywords::target(root, schema) {
        redact(root, target, value);
    }
    for form in ["oneOf", "anyOf"].iter().filter_map(|key| schema.get(*key)?.as_array()).flatten() {
        if let Value::Object(form) = form {
            redact(root, form, value);
        }
    }
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, inner) in object.iter_mut() {
                let own = properties.and_then(|p| p.get(name));
                if let Some(Value::Object(schema)) = own.or_else(|| schema.get("additionalProperties")) {
                    redact(root, schema, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(Value::Object(schema)) = schema.get("items") {
                items.iter_mut().for_each(|item| redact(root, schema, item));
            }
        }
        _ => {}
    }
}

/// Puts the stored values back where a config has the mark of a hidden one. `shown` is the stored config as it was shown:
/// only where that has the mark too does the mark stand for a value. Lists count only where their lengths agree, since
/// otherwise nobody knows which item is which.
pub(super) fn unhide(config: &mut Value, shown: &Value, stored: &Value) {
    match (config, shown, stored) {
        (Value::Object(config), Value::Object(shown), Value::Object(stored)) => {
            for (name, value) in config.iter_mut() {
                if let (Some(shown), Some(stored)) = (shown.get(name), stored.get(name)) {
                    unhide(value, shown, stored);
                }
            }
        }
        (Value::Array(config), Value::Array(shown), Value::Array(stored)) if config.len() == stored.len() => {
            for ((value, shown), stored) in config.iter_mut().zip(shown).zip(stored) {
                unhide(value, shown, stored);
            }
        }
        (config @ Value::String(_), Value::String(shown), stored) if shown == HIDDEN && *config == HIDDEN => {
            *config = stored.clone();
        }
        _ => {}
    }
}

/// The config with another text wherever it has the mark.
pub(super) fn without_marks(config: &Value) -> Value {
    match config {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), without_marks(value))).collect(),
        Value::Array(items) => items.iter().map(without_marks).collect(),
        Value::String(text) if text == HIDDEN => Value::String(String::new()),
        other => other.clone(),
    }
}

/// Where a config still has the mark in the place of a secret: pointers. `redacted` is it [without marks](without_marks)
/// and redacted.
pub(super) fn marks_left(config: &Value, redacted: &Value, pointer: &str, found: &mut Vec<String>) {
    match (config, redacted) {
        (Value::Object(config), Value::Object(redacted)) => {
            for (name, value) in config {
                if let Some(redacted) = redacted.get(name) {
                    marks_left(value, redacted, &format!("{pointer}/{}", escape(name)), found);
                }
            }
        }
        (Value::Array(config), Value::Array(redacted)) => {
            for (index, (value, redacted)) in config.iter().zip(redacted).enumerate() {
                marks_left(value, redacted, &format!("{pointer}/{index}"), found);
            }
        }
        (config, redacted) if *config == HIDDEN && *redacted == HIDDEN => found.push(pointer.to_owned()),
        _ => {}
    }
}
