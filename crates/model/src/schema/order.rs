//! The order in which an author wrote the properties of a schema: the order of the form's questions.
//!
//! Objects of JSON have none once they are read, so it is kept as a hint beside the properties, `x-order`, where it is not that of the
//! alphabet. An author may write the hint themselves.

use crate::Object;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// The hint: names of properties, in their order. Those that it does not name follow it.
pub(super) const HINT: &str = "x-order";

/// The keys of objects in the order of the text.
enum Ordered {
    Object(Vec<(String, Ordered)>),
    Array(Vec<Ordered>),
    Other,
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut found = Vec::new();
        while let Some(entry) = map.next_entry()? {
            found.push(entry);
        }
        Ok(Ordered::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ordered, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Ordered::Array(found))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Ordered, E> {
        Ok(Ordered::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Ordered, E> {
        Ok(Ordered::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Ordered, E> {
        Ok(Ordered::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Ordered, E> {
        Ok(Ordered::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Ordered, E> {
        Ok(Ordered::Other)
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Other)
    }
}

/// Notes in every schema the order of its properties. The text is that of the value.
pub(super) fn note(text: &str, schema: &mut Value) {
    if let Ok(ordered) = serde_json::from_str::<Ordered>(text) {
        note_schema(&ordered, schema);
    }
}

fn note_schema(ordered: &Ordered, schema: &mut Value) {
    let (Ordered::Object(ordered), Value::Object(schema)) = (ordered, schema) else { return };
    for (key, ordered) in ordered {
        let Some(value) = schema.get_mut(key) else { continue };
        match (key.as_str(), ordered, value) {
            ("properties" | "$defs", Ordered::Object(inner), Value::Object(schemas)) => {
                for (name, ordered) in inner {
                    schemas.get_mut(name).into_iter().for_each(|schema| note_schema(ordered, schema));
                }
                if key == "properties" && !inner.is_sorted_by(|(a, _), (b, _)| a <= b) {
                    let names = inner.iter().map(|(name, _)| Value::from(name.as_str())).collect();
                    schema.entry(HINT).or_insert(Value::Array(names));
                }
            }
            ("oneOf" | "anyOf", Ordered::Array(inner), Value::Array(schemas)) => {
                inner.iter().zip(schemas).for_each(|(ordered, schema)| note_schema(ordered, schema));
            }
            ("items" | "additionalProperties" | "propertyNames", ordered, schema) => note_schema(ordered, schema),
            _ => {}
        }
    }
}

/// The properties of a schema, in their order.
pub(super) fn properties(schema: &Object) -> Vec<(&str, &Object)> {
    let Some(Value::Object(properties)) = schema.get("properties") else { return Vec::new() };
    let named = schema.get(HINT).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let named: Vec<&str> = named.collect();
    let mut found: Vec<(&str, &Object)> =
        properties.iter().filter_map(|(name, schema)| Some((name.as_str(), schema.as_object()?))).collect();
    // What is not named stays in the order of the alphabet.
    found.sort_by_key(|(name, _)| named.iter().position(|other| other == name).unwrap_or(named.len()));
    found
}
