//! Which keywords a schema may have, and what each takes.

use super::{FORMATS, MAX_DEPTH, MAX_PATTERN_CHARS, MAX_SUBSCHEMAS, compile};
use crate::{Invalid, Object, Trigger, decode::escape, diagnostic::nearest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const META_SCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];
/// The most forms of `oneOf` and `anyOf`, and the most properties and values of `enum`.
const MAX_FORMS: usize = 20;
const MAX_PROPERTIES: usize = 200;
const MAX_ENUM: usize = 1_000;
/// More mistakes than these are not told.
const MAX_FOUND: usize = 100;

/// What a keyword is about: beside a `type` that names none of these it has no effect.
const KEYWORDS: &[(&str, &[&str])] = &[
    ("$comment", &[]),
    ("$defs", &[]),
    ("$ref", &[]),
    ("$schema", &[]),
    ("additionalProperties", &["object"]),
    ("anyOf", &[]),
    ("const", &[]),
    ("default", &[]),
    ("dependentRequired", &["object"]),
    ("deprecated", &[]),
    ("description", &[]),
    ("enum", &[]),
    ("examples", &[]),
    ("exclusiveMaximum", &["integer", "number"]),
    ("exclusiveMinimum", &["integer", "number"]),
    ("format", &["string"]),
    ("items", &["array"]),
    ("maxItems", &["array"]),
    ("maxLength", &["string"]),
    ("maxProperties", &["object"]),
    ("maximum", &["integer", "number"]),
    ("minItems", &["array"]),
    ("minLength", &["string"]),
    ("minProperties", &["object"]),
    ("minimum", &["integer", "number"]),
    ("multipleOf", &["integer", "number"]),
    ("oneOf", &[]),
    ("pattern", &["string"]),
    ("properties", &["object"]),
    ("propertyNames", &["object"]),
    ("required", &["object"]),
    ("title", &[]),
    ("type", &[]),
    ("uniqueItems", &["array"]),
];

/// Pairs of which the first may not be over the second.
const RANGES: &[(&str, &str)] = &[
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
];

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Property,
    Other,
}

/// Checks the whole schema.
pub(super) fn check(schema: Value) -> Result<Object, Vec<Invalid>> {
    let Value::Object(root) = schema else {
        return Err(vec![Invalid::here("expected an object: a JSON Schema with type \"object\"")]);
    };
    let mut checker = Checker { root: &root, found: Vec::new() };
    checker.schema(&root, "", Place::Root, false, 0);
    if root.get("type") != Some(&json!("object")) {
        let pointer = if root.contains_key("type") { "/type" } else { "" };
        checker.refuse(pointer, "a config is an object: the top level takes \"type\": \"object\"");
    }
    if checker.found.is_empty() {
        checker.written_out();
    }
    let mut found = checker.found;
    if found.is_empty() {
        return Ok(root);
    }
    found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    Err(found)
}

/// The schemas directly in a schema, each with its pointer. `$defs` are not among them: they count where they are used.
pub(super) fn children<'s>(schema: &'s Object, pointer: &str) -> Vec<(String, &'s Object)> {
    let mut found = Vec::new();
    let mut take = |pointer: String, value: &'s Value| {
        if let Value::Object(schema) = value {
            found.push((pointer, schema));
        }
    };
    for (name, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        take(format!("{pointer}/properties/{}", escape(name)), value);
    }
    for key in ["additionalProperties", "items", "propertyNames"] {
        if let Some(value) = schema.get(key) {
            take(format!("{pointer}/{key}"), value);
        }
    }
    for key in ["oneOf", "anyOf"] {
        for (index, value) in schema.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            take(format!("{pointer}/{key}/{index}"), value);
        }
    }
    found
}

/// The schema that a `$ref` names.
pub(super) fn target<'s>(root: &'s Object, schema: &Object) -> Option<&'s Object> {
    let name = schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?.replace("~1", "/").replace("~0", "~");
    root.get("$defs")?.get(&name)?.as_object()
}

struct Checker<'s> {
    root: &'s Object,
    found: Vec<Invalid>,
}

impl Checker<'_> {
    fn refuse(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.found.len() < MAX_FOUND {
            self.found.push(Invalid::at(pointer, message));
        }
    }

    fn schema(&mut self, schema: &Object, pointer: &str, place: Place, in_form: bool, depth: usize) {
        if depth > MAX_DEPTH {
            return self.refuse(pointer, format!("nested more than {MAX_DEPTH} deep"));
        }
        let types = self.types(schema, pointer);
        for (key, value) in schema {
            let at = format!("{pointer}/{}", escape(key));
            if key.starts_with("x-") {
                self.hint(key, value, &at);
                continue;
            }
            let Some((_, about)) = KEYWORDS.iter().find(|(name, _)| name == key) else {
                self.unknown(key, &at);
                continue;
            };
            if !types.is_empty() && !about.is_empty() && !types.iter().any(|t| about.contains(t)) {
                self.refuse(&at, format!("has no effect on type {}", types.join(", ")));
            }
            self.keyword(schema, key, value, &at, place, in_form);
        }
        for (low, high) in RANGES {
            if let (Some(a), Some(b)) =
                (schema.get(*low).and_then(Value::as_f64), schema.get(*high).and_then(Value::as_f64))
                && a > b
            {
                self.refuse(format!("{pointer}/{low}"), format!("is over {high}: nothing fits"));
            }
        }
        for (at, child) in children(schema, pointer) {
            let in_form =
                in_form || at[pointer.len()..].starts_with("/oneOf/") || at[pointer.len()..].starts_with("/anyOf/");
            let place = match at[pointer.len()..].starts_with("/properties/") {
                true => Place::Property,
                false => Place::Other,
            };
            self.schema(child, &at, place, in_form, depth + 1);
        }
        if place == Place::Root {
            for (name, value) in schema.get("$defs").and_then(Value::as_object).into_iter().flatten() {
                let at = format!("/$defs/{}", escape(name));
                match value {
                    Value::Object(schema) => self.schema(schema, &at, Place::Other, in_form, depth + 1),
                    _ => self.refuse(at, "expected a schema: an object"),
                }
            }
        }
    }

    fn unknown(&mut self, key: &str, at: &str) {
        let shown: String = key.chars().take(80).collect();
        let message = match key {
            "if" | "then" | "else" | "not" | "allOf" | "dependentSchemas" | "dependencies" | "contains" => {
                format!(
                    "{shown:?} is not among the keywords that a form can draw; rules across fields are for checkConfig"
                )
            }
            "$id" | "$anchor" | "$dynamicRef" | "$dynamicAnchor" | "$vocabulary" | "definitions" => {
                format!("{shown:?} is not taken; \"$ref\": \"#/$defs/NAME\" is")
            }
            _ => match nearest(key, KEYWORDS.iter().map(|(name, _)| *name)) {
                Some(near) => format!("unknown keyword {shown:?}; did you mean {near:?}?"),
                None => format!("unknown keyword {shown:?}; the keywords that a form can draw are {}", known()),
            },
        };
        self.refuse(at, message);
    }

    /// The names in `type`; empty where there is none, or a wrong one.
    fn types<'s>(&mut self, schema: &'s Object, pointer: &str) -> Vec<&'s str> {
        let names: Vec<Option<&str>> = match schema.get("type") {
            None => return Vec::new(),
            Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
            Some(item) => vec![item.as_str()],
        };
        let known: Vec<&str> = names.iter().flatten().copied().filter(|name| TYPES.contains(name)).collect();
        let twice = known.iter().enumerate().any(|(i, name)| known[..i].contains(name));
        if known.len() != names.len() || known.is_empty() || twice {
            self.refuse(
                format!("{pointer}/type"),
                format!("expected one or several of {}, none twice", TYPES.join(", ")),
            );
            return Vec::new();
        }
        known
    }

    fn keyword(&mut self, schema: &Object, key: &str, value: &Value, at: &str, place: Place, in_form: bool) {
        match key {
            "title" | "description" | "$comment" if !value.is_string() => self.refuse(at, "expected a string"),
            "deprecated" | "uniqueItems" if !value.is_boolean() => self.refuse(at, "expected true or false"),
            "examples" if !value.is_array() => self.refuse(at, "expected a list"),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
                if value.as_u64().is_none_or(|n| n > 1 << 31) =>
            {
                self.refuse(at, "expected a whole number, 0 or more");
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if !value.is_number() => {
                self.refuse(at, "expected a number");
            }
            "multipleOf" if value.as_f64().is_none_or(|n| n <= 0.0) => self.refuse(at, "expected a number over 0"),
            "pattern" => self.pattern(value, at),
            "format" => self.format(value, at),
            "enum" => match value.as_array() {
                Some(items) if (1..=MAX_ENUM).contains(&items.len()) => {
                    if items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
                        self.refuse(at, "has the same value twice");
                    }
                }
                _ => self.refuse(at, format!("expected a list of 1 to {MAX_ENUM} values")),
            },
            "items" | "propertyNames" if !value.is_object() => self.refuse(at, "expected a schema: an object"),
            "additionalProperties" if !value.is_object() && !value.is_boolean() => {
                self.refuse(at, "expected true, false or a schema");
            }
            "properties" => match value.as_object() {
                Some(properties) if properties.len() <= MAX_PROPERTIES => {
                    for (name, _) in properties.iter().filter(|(_, value)| !value.is_object()) {
                        self.refuse(format!("{at}/{}", escape(name)), "expected a schema: an object");
                    }
                }
                _ => self.refuse(at, format!("expected an object of at most {MAX_PROPERTIES} schemas")),
            },
            "required" => self.required(schema, value, at),
            "dependentRequired" => match value.as_object() {
                Some(properties) => {
                    for (name, names) in properties {
                        self.required(schema, names, &format!("{at}/{}", escape(name)));
                    }
                }
                None => self.refuse(at, "expected an object of lists of property names"),
            },
            "oneOf" | "anyOf" => match value.as_array() {
                Some(forms) if (1..=MAX_FORMS).contains(&forms.len()) => {
                    for (index, _) in forms.iter().enumerate().filter(|(_, form)| !form.is_object()) {
                        self.refuse(format!("{at}/{index}"), "expected a schema: an object");
                    }
                }
                _ => self.refuse(at, format!("expected a list of 1 to {MAX_FORMS} schemas")),
            },
            "default" if place != Place::Property => {
                self.refuse(at, "a default belongs to a property: it is filled in where the config lacks the property");
            }
            "default" if in_form => {
                self.refuse(
                    at,
                    "no defaults inside oneOf and anyOf: which form is meant is not known before they are filled in",
                );
            }
            "$schema"
                if place != Place::Root || value.as_str().map(|s| s.trim_end_matches('#')) != Some(META_SCHEMA) =>
            {
                self.refuse(at, format!("expected {META_SCHEMA:?}, at the top level"));
            }
            "$defs" if place != Place::Root || !value.is_object() => {
                self.refuse(at, "expected an object of schemas, at the top level");
            }
            "$ref" if target(self.root, schema).is_none() => {
                let message =
                    "expected \"#/$defs/NAME\" with a NAME that is in $defs; nothing outside the file is read";
                self.refuse(at, message);
            }
            _ => {}
        }
    }

    fn pattern(&mut self, value: &Value, at: &str) {
        match value.as_str() {
            Some(text) if text.chars().count() <= MAX_PATTERN_CHARS => {
                if compile(&json!({ "pattern": text })).is_err() {
                    self.refuse(
                        at,
                        "not a pattern that can be matched in linear time: look-around and back-references are not taken, \
                         and neither is one that grows too large",
                    );
                }
            }
            _ => self.refuse(at, format!("expected a regular expression of at most {MAX_PATTERN_CHARS} characters")),
        }
    }

    fn format(&mut self, value: &Value, at: &str) {
        match value.as_str() {
            Some(name) if FORMATS.contains(&name) => {}
            _ => self.refuse(at, format!("expected one of {}", FORMATS.join(", "))),
        }
    }

    fn required(&mut self, schema: &Object, value: &Value, at: &str) {
        let names: Option<Vec<&str>> = value.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
        let Some(names) = names else {
            return self.refuse(at, "expected a list of property names");
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                self.refuse(format!("{at}/{index}"), "stands here twice");
            } else if properties.is_none_or(|p| !p.contains_key(*name)) {
                self.refuse(format!("{at}/{index}"), "is not among the properties beside it");
            }
        }
    }

    fn hint(&mut self, key: &str, value: &Value, at: &str) {
        match key {
            "x-secret" | "x-secret-ref" if !value.is_boolean() => self.refuse(at, "expected true or false"),
            "x-secret-generate" if value.as_str() != Some("whsec") => self.refuse(at, "expected \"whsec\""),
            "x-default-by-trigger" => match value {
                Value::String(_) => {}
                Value::Object(by_trigger) => {
                    for trigger in by_trigger.keys().filter(|t| t.parse::<Trigger>().is_err()) {
                        self.refuse(format!("{at}/{}", escape(trigger)), "is not a trigger");
                    }
                }
                _ => self
                    .refuse(at, "expected an object from trigger to value, or a string that says what the default is"),
            },
            _ => {}
        }
    }

    /// Counts schemas and their depth with every `$ref` written out, in what is used and in what is only defined.
    fn written_out(&mut self) {
        let mut sizes = BTreeMap::new();
        let used = measure(self.root, self.root, "", &mut Vec::new(), &mut sizes);
        let defs = self.root.get("$defs").and_then(Value::as_object);
        let defined = defs.into_iter().flatten().filter_map(|(name, schema)| {
            let reference = format!("#/$defs/{}", escape(name));
            let pointer = reference.trim_start_matches('#').to_owned();
            Some(measure(self.root, schema.as_object()?, &pointer, &mut vec![reference], &mut sizes))
        });
        let mut found: Vec<Invalid> = Vec::new();
        for size in std::iter::once(used).chain(defined) {
            match size {
                Err(invalid) => found.push(invalid),
                Ok(size) if size.schemas > MAX_SUBSCHEMAS => {
                    let message = format!("over {MAX_SUBSCHEMAS} schemas when every $ref is written out");
                    found.push(Invalid::here(message));
                }
                Ok(size) if size.depth > MAX_DEPTH => {
                    found.push(Invalid::here(format!("nested over {MAX_DEPTH} deep when every $ref is written out")));
                }
                Ok(_) => {}
            }
        }
        found.dedup();
        // A loop is seen from every schema that leads into it; once is enough.
        self.found.extend(found.into_iter().next());
    }
}

#[derive(Clone, Copy)]
struct Size {
    schemas: usize,
    depth: usize,
}

fn measure<'s>(
    root: &'s Object,
    schema: &'s Object,
    pointer: &str,
    open: &mut Vec<String>,
    sizes: &mut BTreeMap<String, Size>,
) -> Result<Size, Invalid> {
    let mut size = Size { schemas: 1, depth: 0 };
    let mut add = |inner: Size| {
        size.schemas = size.schemas.saturating_add(inner.schemas);
        size.depth = size.depth.max(inner.depth + 1);
    };
    for (at, child) in children(schema, pointer) {
        add(measure(root, child, &at, open, sizes)?);
    }
    if let (Some(name), Some(inner)) = (schema.get("$ref").and_then(Value::as_str), target(root, schema)) {
        if open.iter().any(|other| other == name) {
            return Err(Invalid::at(format!("{pointer}/$ref"), "leads back to itself: a form cannot draw that"));
        }
        let inner = match sizes.get(name) {
            Some(known) => *known,
            None => {
                open.push(name.to_owned());
                let inner = measure(root, inner, name.trim_start_matches('#'), open, sizes)?;
                open.pop();
                sizes.insert(name.to_owned(), inner);
                inner
            }
        };
        add(inner);
    }
    Ok(size)
}

fn known() -> String {
    KEYWORDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
