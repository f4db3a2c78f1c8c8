//! Says what is wrong with a config, where, and what would fit, without repeating the config's values.

use super::formats;
use crate::{Invalid, Object, decode::escape, diagnostic::nearest};
use jsonschema::{ValidationError, error::TypeKind, error::ValidationErrorKind as Kind};
use serde_json::Value;

/// The most values of `enum` that a message lists.
const MAX_LISTED: usize = 20;

/// Adds what the error of this value says. One error can be several mistakes: each unknown key is one.
pub(super) fn explain(root: &Object, value: &Value, error: &ValidationError<'_>, found: &mut Vec<Invalid>) {
    let pointer = error.instance_path().as_str().to_owned();
    let mut unknown = |keys: &mut dyn Iterator<Item = &String>| {
        let known = known_keys(root, error.schema_path().as_str());
        found.extend(keys.map(|key| Invalid::at(format!("{pointer}/{}", escape(key)), unknown_key(key, &known))));
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unknown(&mut unexpected.iter()),
        // What the library says of an object that may have no key at all; it does not name the keys.
        Kind::FalseSchema => {
            let object = value.pointer(&pointer).and_then(Value::as_object);
            unknown(&mut object.into_iter().flatten().map(|(key, _)| key));
        }
        Kind::PropertyNames { error: inner } => {
            let key = inner.instance().as_str().unwrap_or_default();
            found.push(Invalid::at(format!("{pointer}/{}", escape(key)), format!("the key: {}", message(inner))));
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => forms(root, value, &pointer, context, found),
        _ => found.push(Invalid::at(pointer, message(error))),
    }
}

fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { property } => format!("{property} is missing"),
        Kind::Type { kind } => format!("expected {}", type_names(kind)),
        Kind::Constant { expected_value } => format!("expected {expected_value}"),
        Kind::Enum { options } => one_of(options.as_array().into_iter().flatten()),
        Kind::Minimum { limit } => format!("expected {limit} or more"),
        Kind::Maximum { limit } => format!("expected {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("expected more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("expected less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("expected a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("expected {limit} or more characters"),
        Kind::MaxLength { limit } => format!("expected at most {limit} characters"),
        Kind::MinItems { limit } => format!("expected {limit} or more items"),
        Kind::MaxItems { limit } => format!("expected at most {limit} items"),
        Kind::MinProperties { limit } => format!("expected {limit} or more keys"),
        Kind::MaxProperties { limit } => format!("expected at most {limit} keys"),
        Kind::UniqueItems => "has the same item twice".to_owned(),
        Kind::Pattern { pattern } => format!("expected text that matches {pattern}"),
        Kind::Format { format } if formats::NAMES.contains(&format.as_str()) => {
            formats::normalise(format, error.instance().as_str().unwrap_or_default()).err().unwrap_or_default()
        }
        Kind::Format { format } => format!("expected {}", format_name(format)),
        Kind::OneOfMultipleValid { .. } => "fits several of the forms, and must fit exactly one".to_owned(),
        // Nothing else can come of the keywords that are taken; the library's own words do no harm then.
        _ => error.masked().to_string(),
    }
}

/// None of several forms fits: where one is plainly meant, its mistakes are told.
fn forms(
    root: &Object,
    value: &Value,
    pointer: &str,
    context: &[Vec<ValidationError<'static>>],
    found: &mut Vec<Invalid>,
) {
    // A form is not meant if the value has another type, or another word in a field that tells the forms apart.
    let meant = |errors: &&Vec<ValidationError<'static>>| {
        !errors.iter().any(|e| {
            let inner = e.instance_path().as_str().strip_prefix(pointer).unwrap_or_default();
            match e.kind() {
                Kind::Type { .. } => inner.is_empty(),
                Kind::Constant { .. } | Kind::Enum { .. } => inner.matches('/').count() <= 1,
                _ => false,
            }
        })
    };
    let mut likely = context.iter().filter(meant);
    if let (Some(errors), None) = (likely.next(), likely.next()) {
        return errors.iter().for_each(|error| explain(root, value, error, found));
    }
    let constants: Option<Vec<&Value>> = context
        .iter()
        .map(|errors| match errors.iter().map(ValidationError::kind).next() {
            Some(Kind::Constant { expected_value }) => Some(&**expected_value),
            _ => None,
        })
        .collect();
    let same_place = context.iter().flatten().all(|e| e.instance_path().as_str() == pointer);
    found.push(Invalid::at(
        pointer,
        match constants {
            Some(constants) if same_place => one_of(constants.into_iter()),
            _ => {
                let told: Vec<String> =
                    context.iter().map(|errors| errors.iter().map(message).collect::<Vec<_>>().join(", ")).collect();
                let told: String = told.join("; or ").chars().take(500).collect();
                format!("fits none of the {} forms: {told}", context.len())
            }
        },
    ));
}

fn one_of<'v>(values: impl Iterator<Item = &'v Value>) -> String {
    let mut shown: Vec<String> = values.take(MAX_LISTED + 1).map(ToString::to_string).collect();
    if shown.len() > MAX_LISTED {
        shown[MAX_LISTED] = "...".to_owned();
    }
    format!("expected one of {}", shown.join(", "))
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let shown: String = key.chars().take(80).collect();
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key {shown:?}; did you mean {near:?}?"),
        None if known.is_empty() => format!("unknown key {shown:?}; no key is known here"),
        None => format!("unknown key {shown:?}; known are {}", known.join(", ")),
    }
}

/// The properties beside the `additionalProperties` that refused a key.
fn known_keys<'s>(root: &'s Object, keyword: &str) -> Vec<&'s str> {
    let mut schema = Some(root);
    let mut value: Option<&Value> = None;
    let parents = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
    for token in parents.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = match (schema.take(), value) {
            (Some(root), _) => root.get(&token),
            (None, Some(Value::Array(items))) => token.parse::<usize>().ok().and_then(|i| items.get(i)),
            (None, Some(value)) => value.get(&token),
            (None, None) => return Vec::new(),
        };
    }
    let schema = schema.or_else(|| value.and_then(Value::as_object));
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn type_names(kind: &TypeKind) -> String {
    let names: Vec<&str> = match kind {
        TypeKind::Single(one) => vec![type_name(&one.to_string())],
        TypeKind::Multiple(several) => several.iter().map(|one| type_name(&one.to_string())).collect(),
    };
    names.join(" or ")
}

pub(super) fn type_name(name: &str) -> &'static str {
    match name {
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "null" => "null",
        "number" => "a number",
        "object" => "an object",
        _ => "a string",
    }
}

/// What a text of a format is, in words.
pub(super) fn format_in_words(format: &str) -> String {
    let own = match format {
        "domain-pattern" => "a domain such as example.com or *.example.com",
        "cidr" => "an IP network such as 203.0.113.0/24",
        "redirect-url" => "an https URL whose origin is allowed for redirects",
        "claim-name" => "the name of a claim",
        "https-url" => "an https URL",
        "duration" => "a time span such as 90s, 15m, 12h or 7d",
        _ => return format_name(format),
    };
    own.to_owned()
}

fn format_name(format: &str) -> String {
    match format {
        "date" => "a date such as 2026-01-31".to_owned(),
        "date-time" => "a time such as 2026-01-31T12:00:00Z".to_owned(),
        "time" => "a time of day such as 12:00:00Z".to_owned(),
        "email" => "an e-mail address".to_owned(),
        "hostname" => "a host name".to_owned(),
        "ipv4" => "an IPv4 address".to_owned(),
        "ipv6" => "an IPv6 address".to_owned(),
        "uri" => "an absolute URI".to_owned(),
        "uuid" => "a UUID".to_owned(),
        other => format!("the format {other}"),
    }
}
