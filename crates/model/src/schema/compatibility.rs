//! Whether a change of a schema could make a stored config invalid.

use super::{ConfigSchema, keywords, validate};
use crate::{Invalid, Object, decode::escape};
use serde_json::{Value, json};

/// Where the new schema may refuse what the old one took; empty: every config that the old schema takes, the new one takes
/// too, and the change asks for no major version. The pointers lead into the new schema.
///
/// The answer is conservative: a change that is harmless for reasons that only a closer look shows (another `pattern` that
/// matches the same, two forms of `oneOf` in another order) counts as one that could break a config. What only describes
/// (`title`, `description`, `examples`, `default`, `x-...`) never does; a property that becomes required does not when it has
/// a default, since defaults are filled in before a config is checked.
pub fn compatibility(old: Option<&ConfigSchema>, new: Option<&ConfigSchema>) -> Vec<Invalid> {
    let mut found = Vec::new();
    match (old, new) {
        (None, None) => {}
        // Without a schema every stored config is `{}`.
        (None, new) => found.extend(validate(new, &json!({})).err().into_iter().flatten()),
        (Some(old), None) => {
            let none = json!({"type": "object", "additionalProperties": false});
            if let Value::Object(none) = none {
                Comparison { old: &old.root, new: &none, found: &mut found }.schemas(&old.root, &none, "");
            }
            found = found.into_iter().take(1).map(|_| Invalid::here("the schema is gone: only {} fits now")).collect();
        }
        (Some(old), Some(new)) => {
            Comparison { old: &old.root, new: &new.root, found: &mut found }.schemas(&old.root, &new.root, "");
        }
    }
    found
}

/// Bounds from below, which tighten when they rise, and from above.
const LOWER: &[&str] = &["minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum"];
const UPPER: &[&str] = &["maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum"];
/// Keywords that look at a value as a whole.
const WHOLE: &[&str] = &[
    "anyOf",
    "const",
    "dependentRequired",
    "enum",
    "maxProperties",
    "minProperties",
    "oneOf",
    "propertyNames",
    "uniqueItems",
];
/// Keywords that only describe.
const ANNOTATIONS: &[&str] = &["$comment", "$schema", "default", "deprecated", "description", "examples", "title"];

struct Comparison<'c> {
    old: &'c Object,
    new: &'c Object,
    found: &'c mut Vec<Invalid>,
}

impl Comparison<'_> {
    fn tells(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.found.push(Invalid::at(pointer, message));
    }

    /// Whether the new schema takes all that the old one takes; what may be refused is added.
    fn schemas(&mut self, old: &Object, new: &Object, at: &str) {
        let (defaults_before, defaults) = (self.defaults(self.old, old), self.defaults(self.new, new));
        let same_defs = || bare_defs(self.old) == bare_defs(self.new) || !(mentions_ref(old) || mentions_ref(new));
        if defaults_before == defaults && bare(old) == bare(new) && same_defs() {
            return;
        }
        // A default that comes or goes changes what these keywords see of a config that lacks the property.
        if let Some(key) = WHOLE.iter().find(|key| new.contains_key(**key))
            && defaults_before != defaults
        {
            self.tells(format!("{at}/{key}"), "defaults of what it looks at have changed");
        }
        // Both sides of a $ref hold at once. What the new schema refers to must take what the old one takes ...
        if let Some(target) = keywords::target(self.new, new) {
            self.schemas(old, target, at);
        }
        // ... and what the old schema refers to is as good a reason as the old schema itself.
        if let Some(target) = keywords::target(self.old, old) {
            let own: Object = bare(old).into_iter().filter(|(key, _)| key != "$ref").collect();
            let alone: Object =
                new.iter().filter(|(key, _)| *key != "$ref").map(|(k, v)| (k.clone(), v.clone())).collect();
            if own.is_empty() {
                return self.schemas(target, &alone, at);
            }
            if !bare(&alone).is_empty() {
                return self.tells(at, "keywords beside a $ref changed");
            }
            return;
        }
        self.types(old, new, at);
        self.values(old, new, at);
        self.bounds(old, new, at);
        self.same(old, new, at);
        let was = |name| names(old.get("type")).is_none_or(|types| types.contains(&name));
        if was("array") {
            self.lists(old, new, at);
        }
        if was("object") {
            self.objects(old, new, at);
        }
        self.forms(old, new, at);
    }

    /// All defaults in a schema, with where they stand.
    fn defaults(&self, root: &Object, schema: &Object) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), schema)];
        while let Some((at, schema)) = open.pop() {
            found.extend(schema.get("default").map(|value| (at.clone(), value.clone())));
            open.extend(keywords::target(root, schema).map(|target| (at.clone(), target)));
            open.extend(keywords::children(schema, &at));
        }
        // The schema's own default is a matter of what it stands in.
        found.retain(|(at, _)| !at.is_empty());
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn types(&mut self, old: &Object, new: &Object, at: &str) {
        let Some(new) = names(new.get("type")) else { return };
        let takes = |t: &&str| new.contains(t) || (*t == "integer" && new.contains(&"number"));
        // Values that are listed say their types themselves.
        let listed = listed(old).map(|values| values.iter().map(|v| type_of(v)).collect::<Vec<_>>());
        let old = names(old.get("type"));
        let fits = match (&old, &listed) {
            (Some(old), _) => old.iter().all(&takes),
            (None, Some(listed)) => listed.iter().all(takes),
            (None, None) => false,
        };
        if !fits {
            let old = old.map_or("any type".to_owned(), |old| old.join(", "));
            self.tells(format!("{at}/type"), format!("was {old}, is {}", new.join(", ")));
        }
    }

    /// `enum` and `const`.
    fn values(&mut self, old: &Object, new: &Object, at: &str) {
        let constant = new.get("const").map(|value| ("const", std::slice::from_ref(value)));
        let several = new.get("enum").and_then(Value::as_array).map(|values| ("enum", values.as_slice()));
        for (key, values) in constant.into_iter().chain(several) {
            match listed(old) {
                None => self.tells(format!("{at}/{key}"), "took any value before"),
                Some(before) => {
                    if let Some(gone) = before.iter().find(|value| !values.contains(value)) {
                        self.tells(format!("{at}/{key}"), format!("{gone} is no longer taken"));
                    }
                }
            }
        }
    }

    fn bounds(&mut self, old: &Object, new: &Object, at: &str) {
        let number = |schema: &Object, key: &str| schema.get(key).and_then(Value::as_f64);
        for (keys, sign) in [(LOWER, 1.0), (UPPER, -1.0)] {
            for key in keys {
                let Some(bound) = number(new, key) else { continue };
                // A length of at least 0 is no bound.
                if bound == 0.0 && ["minLength", "minItems", "minProperties"].contains(key) {
                    continue;
                }
                // Numbers past 2^53 may look the same here and differ.
                let changed = |before: f64| before == bound && old.get(*key) != new.get(*key);
                if number(old, key).is_none_or(|before| bound * sign > before * sign || changed(before)) {
                    let before = old.get(*key).map_or("not bounded".to_owned(), Value::to_string);
                    self.tells(format!("{at}/{key}"), format!("was {before}, is {}", new[*key]));
                }
            }
        }
        if new.get("uniqueItems") == Some(&json!(true)) && old.get("uniqueItems") != Some(&json!(true)) {
            self.tells(format!("{at}/uniqueItems"), "the same item twice was taken before");
        }
    }

    /// Keywords that must be the same, or go.
    fn same(&mut self, old: &Object, new: &Object, at: &str) {
        for key in ["pattern", "format", "multipleOf", "propertyNames"] {
            if new.contains_key(key) && new.get(key) != old.get(key) {
                self.tells(format!("{at}/{key}"), "is new or has changed");
            }
        }
    }

    fn lists(&mut self, old: &Object, new: &Object, at: &str) {
        if let Some(Value::Object(new)) = new.get("items") {
            let any = Object::new();
            let old = old.get("items").and_then(Value::as_object).unwrap_or(&any);
            self.schemas(old, new, &format!("{at}/items"));
        }
    }

    fn objects(&mut self, old: &Object, new: &Object, at: &str) {
        let (any, none) = (Object::new(), Object::new());
        let properties =
            |schema: &'_ Object| schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let (old_properties, new_properties) = (properties(old), properties(new));
        // What a key takes that is not among the properties: a schema, or nothing at all.
        let others = |schema: &Object| match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(Value::Object(schema)) => Some(schema.clone()),
            _ => Some(Object::new()),
        };
        let (old_others, new_others) = (others(old), others(new));
        for (name, property) in &new_properties {
            let property = property.as_object().unwrap_or(&any);
            let at = format!("{at}/properties/{}", escape(name));
            match (old_properties.get(name), &old_others) {
                (Some(before), _) => self.schemas(before.as_object().unwrap_or(&none), property, &at),
                (None, Some(others)) => self.schemas(others, property, &at),
                (None, None) => {}
            }
        }
        for (name, before) in old_properties.iter().filter(|(name, _)| !new_properties.contains_key(*name)) {
            match &new_others {
                None => self.tells(format!("{at}/properties"), format!("{name:?} is gone")),
                Some(others) => {
                    self.schemas(before.as_object().unwrap_or(&none), others, &format!("{at}/additionalProperties"));
                }
            }
        }
        match (&old_others, &new_others) {
            (Some(_), None) => self.tells(format!("{at}/additionalProperties"), "other keys were taken before"),
            (Some(old), Some(new)) => self.schemas(old, new, &format!("{at}/additionalProperties")),
            (None, _) => {}
        }
        let before = names(old.get("required")).unwrap_or_default();
        for name in names(new.get("required")).unwrap_or_default() {
            let default = |properties: &Object| properties.get(name).is_some_and(|p| p.get("default").is_some());
            // One that was required and had a default may be lacking in a stored config too.
            let present = before.contains(&name) && !default(&old_properties);
            if !present && !default(&new_properties) {
                self.tells(format!("{at}/required"), format!("{name:?} may be lacking and has no default"));
            }
        }
        if let Some(new) = new.get("dependentRequired")
            && old.get("dependentRequired") != Some(new)
            && new.as_object().is_some_and(|new| !new.is_empty())
        {
            self.tells(format!("{at}/dependentRequired"), "is new or has changed");
        }
    }

    /// `oneOf` and `anyOf`: the forms that were taken must all be taken still.
    fn forms(&mut self, old: &Object, new: &Object, at: &str) {
        for key in ["oneOf", "anyOf"] {
            let Some(Value::Array(new)) = new.get(key) else {
                continue;
            };
            let old = old.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            let (before, now) = (forms_of(&old), forms_of(new));
            let kept = match key {
                "anyOf" => before.iter().all(|form| now.contains(form)),
                // A form that `oneOf` gains may overlap with an old one, unless all are different constants.
                _ => {
                    before == now || (constants(&old) && constants(new) && before.iter().all(|form| now.contains(form)))
                }
            };
            if old.is_empty() || !kept {
                self.tells(format!("{at}/{key}"), "is new, or its forms have changed");
            } else if old.iter().chain(new).filter_map(Value::as_object).any(mentions_ref)
                && bare_defs(self.old) != bare_defs(self.new)
            {
                self.tells(format!("{at}/{key}"), "refers to $defs, which have changed");
            }
        }
    }
}

/// The forms as text that is equal for equal forms, in an order that does not depend on theirs.
fn forms_of(forms: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = forms.iter().map(|form| bare_value(form).to_string()).collect();
    texts.sort();
    texts
}

/// Whether all forms are constants, none equal to another (1 and 1.0 are equal).
fn constants(forms: &[Value]) -> bool {
    let texts: Option<Vec<String>> = forms
        .iter()
        .map(|form| {
            form.get("const").map(|value| value.as_f64().map_or(value.to_string(), |number| number.to_string()))
        })
        .collect();
    texts.is_some_and(|texts| texts.iter().enumerate().all(|(i, text)| !texts[..i].contains(text)))
}

fn bare_defs(root: &Object) -> Option<Value> {
    let defs = root.get("$defs")?.as_object()?;
    Some(Value::Object(defs.iter().map(|(name, schema)| (name.clone(), bare_value(schema))).collect()))
}

/// The schema without what only describes, at every depth.
fn bare(schema: &Object) -> Object {
    let keep = |key: &str| !ANNOTATIONS.contains(&key) && !key.starts_with("x-") && key != "$defs";
    schema
        .iter()
        .filter(|(key, _)| keep(key))
        .map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("enum" | "const" | "required" | "dependentRequired", value) => value.clone(),
                ("properties", Value::Object(properties)) => {
                    Value::Object(properties.iter().map(|(name, value)| (name.clone(), bare_value(value))).collect())
                }
                (_, value) => bare_value(value),
            };
            (key.clone(), value)
        })
        .collect()
}

fn bare_value(value: &Value) -> Value {
    match value {
        Value::Object(schema) => Value::Object(bare(schema)),
        Value::Array(items) => Value::Array(items.iter().map(bare_value).collect()),
        other => other.clone(),
    }
}

fn mentions_ref(schema: &Object) -> bool {
    schema.contains_key("$ref") || keywords::children(schema, "").iter().any(|(_, child)| mentions_ref(child))
}

fn listed(schema: &Object) -> Option<Vec<&Value>> {
    let constant = schema.get("const").map(|value| vec![value]);
    constant.or_else(|| Some(schema.get("enum")?.as_array()?.iter().collect()))
}

fn names(value: Option<&Value>) -> Option<Vec<&str>> {
    match value? {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.as_f64().is_some_and(|n| n.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
