//! Which schemas a field of the config can have, by its pointer.

use super::{ConfigSchema, keywords};
use crate::Object;
use serde_json::Value;

impl ConfigSchema {
    /// Whether a field, by its pointer into the config (RFC 6901), is marked with a hint such as `x-secret-ref: true`; `None` where
    /// the schema describes no such field. Where it can have several forms (`oneOf`, `anyOf`), one that is marked is enough.
    pub fn is_marked(&self, pointer: &str, hint: &str) -> Option<bool> {
        let mut forms = Vec::new();
        self.forms(&self.root, &mut forms);
        for token in pointer.strip_prefix('/')?.split('/') {
            let key = token.replace("~1", "/").replace("~0", "~");
            let mut below = Vec::new();
            for form in forms {
                let property = form.get("properties").and_then(|properties| properties.get(&key));
                let other = form.get("additionalProperties");
                let element = form.get("items").filter(|_| key.bytes().all(|byte| byte.is_ascii_digit()));
                if let Some(Value::Object(schema)) = property.or(other).or(element) {
                    self.forms(schema, &mut below);
                }
            }
            forms = below;
        }
        if forms.is_empty() {
            return None;
        }
        Some(forms.iter().any(|form| form.get(hint) == Some(&Value::Bool(true))))
    }

    /// A schema, what it refers to, and its forms. That none refers back to itself was checked when it was read.
    fn forms<'a>(&'a self, schema: &'a Object, found: &mut Vec<&'a Object>) {
        found.push(schema);
        if let Some(target) = keywords::target(&self.root, schema) {
            self.forms(target, found);
        }
        for keyword in ["oneOf", "anyOf"] {
            for form in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                if let Value::Object(form) = form {
                    self.forms(form, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_found_through_every_keyword_that_leads_to_one() {
        let marked = json!({"type": "string", "x-secret-ref": true});
        let schema = ConfigSchema::new(json!({
            "type": "object",
            "$defs": {"ref": marked},
            "properties": {
                "a/b": marked,
                "plain": {"type": "string"},
                "off": {"type": "string", "x-secret-ref": false},
                "named": {"$ref": "#/$defs/ref"},
                "either": {"oneOf": [{"type": "null"}, marked]},
                "hooks": {"type": "array", "items": {"type": "object", "properties": {"ref": marked}}},
                "more": {"type": "object", "additionalProperties": marked},
                "any": {},
            },
        }))
        .unwrap();
        let cases = [
            ("/a~1b", Some(true)),
            ("/plain", Some(false)),
            ("/off", Some(false)),
            ("/named", Some(true)),
            ("/either", Some(true)),
            ("/hooks/0/ref", Some(true)),
            ("/hooks/ref", None),
            ("/hooks/0", Some(false)),
            ("/more/anything", Some(true)),
            ("/any/below", None),
            ("/missing", None),
            ("", None),
        ];
        for (pointer, expected) in cases {
            assert_eq!(schema.is_marked(pointer, "x-secret-ref"), expected, "{pointer}");
        }
    }
}
