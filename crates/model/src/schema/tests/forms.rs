//! A schema as a form.

use super::*;
use crate::Trigger;

const TEXT: &str = r##"{
    "type": "object", "required": ["zone"],
    "$defs": {"factor": {"type": "string", "enum": ["otp", "push"], "title": "Factor"}},
    "properties": {
        "zone": {"type": "array", "title": "Zones", "minItems": 1, "maxItems": 3, "items": {"type": "string", "format": "domain-pattern"}},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "key": {"type": "string", "x-default-by-trigger": {"post-login": "user"}},
        "burst": {"type": "integer", "x-default-by-trigger": "count"},
        "factor": {"$ref": "#/$defs/factor", "description": "Which."},
        "hook": {"type": "string", "x-secret-ref": true},
        "rules": {"type": "array", "items": {"type": "object", "required": ["url"],
            "properties": {"url": {"type": "string", "format": "https-url"}, "at": {"type": "string", "maxLength": 5}}}},
        "query": {"type": "object", "additionalProperties": {"type": "string"}},
        "both": {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    }
}"##;

fn names(fields: &[Field<'_>]) -> Vec<String> {
    fields.iter().map(|field| field.name.to_owned()).collect()
}

#[test]
fn fields_come_in_the_order_of_the_text() {
    let schema = ConfigSchema::parse(TEXT).unwrap();
    let expected = ["zone", "count", "key", "burst", "factor", "hook", "rules", "query", "both"];
    assert_eq!(names(&schema.fields()), expected);
    // Also after it has been stored and sent, where objects have no order.
    let stored = ConfigSchema::new(Value::Object(schema.as_json().clone())).unwrap();
    assert_eq!(names(&stored.fields()), expected);
    let rules = &stored.fields()[6];
    let FieldKind::List(entry) = rules.kind() else { unreachable!("{rules:?}") };
    let FieldKind::Object(inner) = entry.kind() else { unreachable!("{entry:?}") };
    assert_eq!(names(&inner), ["url", "at"]);

    let by_hand = schema_of_order(json!(["b", "nothing"]));
    assert_eq!(names(&by_hand.fields()), ["b", "a", "c"], "what is not named follows");
    assert_eq!(names(&schema_of_order(json!(7)).fields()), ["a", "b", "c"]);
    let sorted = ConfigSchema::parse(r#"{"type": "object", "properties": {"a": {}, "b": {}}}"#).unwrap();
    assert!(!sorted.as_json().contains_key("x-order"));
}

fn schema_of_order(order: Value) -> ConfigSchema {
    schema(json!({"type": "object", "x-order": order, "properties": {"c": {}, "a": {}, "b": {}}}))
}

#[test]
fn what_a_field_takes_is_told_in_words() {
    let schema = ConfigSchema::parse(TEXT).unwrap();
    let told: Vec<String> = schema.fields().iter().map(Field::takes).collect();
    let expected = [
        "a list of 1 to 3, each a domain such as example.com or *.example.com",
        "a whole number from 1 to 9",
        "text",
        "a whole number",
        "one of otp, push",
        "the name of a secret",
        "a list, each with fields",
        "a JSON object of names, each text",
        "as JSON: text; or a whole number",
    ];
    assert_eq!(told, expected);
    let fields = schema.fields();
    assert!(fields[0].required && !fields[1].required);
    assert_eq!((fields[1].default(), fields[2].default()), (Some(&json!(3)), None));
    assert_eq!(fields[2].default_at(Trigger::PostLogin), Some(&json!("user")));
    assert_eq!(fields[2].default_at(Trigger::PreLogin), None);
    assert_eq!(fields[3].default_at(Trigger::PreLogin), Some(&json!("count")));
    assert_eq!((fields[4].title(), fields[4].description()), (Some("Factor"), Some("Which.")));
}

#[test]
fn an_answer_is_checked_by_itself_and_kept_in_one_form() {
    let schema = ConfigSchema::parse(TEXT).unwrap();
    let fields = schema.fields();
    assert_eq!(fields[0].check(&json!(["BÜCHER.de."])).unwrap(), json!(["xn--bcher-kva.de"]));
    let wrong = |field: usize, value: Value| {
        let found = fields[field].check(&value).unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        wrong(0, json!(["a.example", "x@b.example"])),
        ["/1: expected a domain alone, without the part before the @"]
    );
    assert_eq!(wrong(0, json!([])), ["expected 1 or more items"]);
    assert_eq!(wrong(1, json!(12)), ["expected 9 or less"]);
    assert_eq!(wrong(4, json!("fax")), ["expected one of \"otp\", \"push\""], "through $ref");
    assert_eq!(wrong(6, json!([{"at": "x"}])), ["/0: \"url\" is missing"]);
}

#[test]
fn the_forms_of_the_templates_are_asked_in_their_order() {
    let text = include_str!("../../../../templates/released/redirect-by-group/1.0.0/schema.json");
    let schema = ConfigSchema::parse(text).unwrap();
    assert_eq!(names(&schema.fields()), ["rules", "match_by", "mode", "query", "only_first_login"]);
    let text = include_str!("../../../../templates/released/domain-allowlist/1.0.0/schema.json");
    assert_eq!(ConfigSchema::parse(text).unwrap().fields()[0].name, "domains");
}
