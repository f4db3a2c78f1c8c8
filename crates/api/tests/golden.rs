//! JSON, model and protobuf agree about inputs and outcomes, vector by vector (tests/golden/*.json).
//!
//! An input's protobuf form is made from text by a foreign reading of the descriptors, as any gRPC client would make it
//! by hand, not by our own conversion: `proto` where it differs from `json`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage};
use serde_json::Value;
use sluice_api::{
    FILE_DESCRIPTOR_SET, convert::json, distribution::v1 as distribution, executor::v1 as executor, types::v1 as wire,
};
use sluice_model::{CallerInput, Object, Outcome, Trigger, limits::MAX_JSON_DEPTH};

/// What both JSON and protobuf are refused with.
#[derive(serde::Deserialize)]
struct Refused {
    pointer: String,
    field: String,
    message: String,
}

/// What JSON alone is refused with.
#[derive(serde::Deserialize)]
struct RefusedInJson {
    pointer: String,
    message: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InputVector {
    name: String,
    json: Value,
    /// Protobuf's JSON form where it differs.
    proto: Option<Value>,
    /// Another input in JSON that must be the same.
    means: Option<Value>,
    /// Another input in JSON that must not be the same.
    differs_from: Option<Value>,
    refused: Option<Refused>,
    refused_in_json: Option<RefusedInJson>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeVector {
    name: String,
    json: Value,
    /// What comes back, where it is not what went.
    means: Option<Value>,
}

fn vectors<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    let vectors: Vec<T> = serde_json::from_str(text).unwrap();
    assert!(!vectors.is_empty());
    vectors
}

/// `"$8193"` stands for so many characters.
fn grown(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$').and_then(|n| n.parse().ok()) {
            Some(length) => Value::String("x".repeat(length)),
            None => Value::String(text),
        },
        Value::Object(object) => object.into_iter().map(|(k, v)| (k, grown(v))).collect(),
        Value::Array(items) => items.into_iter().map(grown).collect(),
        other => other,
    }
}

fn from_json(json: &Value) -> Result<CallerInput, sluice_model::Invalid> {
    CallerInput::from_json(grown(json.clone()), Trigger::PostLogin)
}

/// The bytes that a client makes of protobuf's JSON form. `strict` refuses fields that the descriptors do not know.
fn client_bytes(json: &Value, strict: bool) -> Vec<u8> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let input = pool.get_message_by_name("sluice.types.v1.Input").unwrap();
    let options = DeserializeOptions::new().deny_unknown_fields(strict);
    DynamicMessage::deserialize_with_options(input, grown(json.clone()), &options).unwrap().encode_to_vec()
}

fn from_bytes(bytes: &[u8]) -> Result<CallerInput, sluice_api::FieldError> {
    CallerInput::try_from(wire::Input::decode(bytes).unwrap())
}

/// What an Action sees of numbers: doubles, whatever JSON text they came from.
fn as_doubles(mut input: CallerInput) -> CallerInput {
    fn object(object: &mut Object) {
        object.values_mut().for_each(value);
    }
    fn value(of: &mut Value) {
        match of {
            Value::Number(n) => *of = Value::from(n.as_f64().unwrap()),
            Value::Array(items) => items.iter_mut().for_each(value),
            Value::Object(map) => object(map),
            _ => {}
        }
    }
    object(&mut input.state);
    if let Some(user) = &mut input.user {
        object(&mut user.app_metadata);
        object(&mut user.user_metadata);
    }
    input.request.client.metadata.iter_mut().for_each(object);
    input.token.iter_mut().for_each(|t| object(&mut t.claims));
    input
}

/// Compared as text: a score that is not a number must equal itself.
fn shown(input: CallerInput) -> String {
    format!("{:#?}", as_doubles(input))
}

#[test]
fn inputs_agree_in_json_model_and_protobuf() {
    for v in vectors::<InputVector>(include_str!("golden/input.json")) {
        let name = &v.name;
        let bytes = client_bytes(v.proto.as_ref().unwrap_or(&v.json), v.refused_in_json.is_none());
        if let Some(expected) = v.refused {
            let json = from_json(&v.json).unwrap_err();
            assert_eq!(json.pointer, expected.pointer, "{name}: {json}");
            assert!(json.message.contains(&expected.message), "{name}: {json}");
            let proto = from_bytes(&bytes).unwrap_err();
            assert_eq!(proto.field, expected.field, "{name}: {proto}");
            assert!(proto.message.contains(&expected.message), "{name}: {proto}");
            continue;
        }
        let proto = from_bytes(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Our own clients make the same message as a foreign one.
        let again = from_bytes(&wire::Input::from(proto.clone()).encode_to_vec()).unwrap();
        assert_eq!(shown(again), shown(proto.clone()), "{name}");
        match v.refused_in_json {
            Some(expected) => {
                let json = from_json(&v.json).unwrap_err();
                assert_eq!(json.pointer, expected.pointer, "{name}: {json}");
                assert!(json.message.contains(&expected.message), "{name}: {json}");
            }
            None => {
                let json = from_json(&v.json).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(shown(json), shown(proto.clone()), "{name}");
            }
        }
        if let Some(other) = v.means {
            assert_eq!(shown(proto.clone()), shown(from_json(&other).unwrap()), "{name}");
        }
        if let Some(other) = v.differs_from {
            assert_ne!(shown(proto), shown(from_json(&other).unwrap()), "{name}");
        }
    }
}

#[test]
fn outcomes_agree_in_json_model_and_protobuf() {
    for v in vectors::<OutcomeVector>(include_str!("golden/outcome.json")) {
        let outcome = Outcome::from_json(v.json.clone()).unwrap_or_else(|e| panic!("{}: {e}", v.name));
        let bytes = wire::Outcome::from(outcome).encode_to_vec();
        let read =
            Outcome::try_from(wire::Outcome::decode(&*bytes).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", v.name));
        // Compared as JSON text, since `1` and `1.0` are different there and print differently.
        let expected = v.means.unwrap_or(v.json);
        assert_eq!(
            serde_json::to_string(&serde_json::to_value(&read).unwrap()).unwrap(),
            expected.to_string(),
            "{}",
            v.name
        );
        assert_eq!(Outcome::from_json(expected).unwrap(), read, "{}", v.name);
    }
}

#[test]
fn fields_from_the_future_are_ignored() {
    let mut bytes = client_bytes(&serde_json::json!({ "user": { "id": "u1" } }), true);
    prost::encoding::string::encode(1_000, &"from a newer client".to_owned(), &mut bytes);
    assert_eq!(from_bytes(&bytes).unwrap(), from_json(&serde_json::json!({ "user": { "id": "u1" } })).unwrap());
}

#[test]
fn a_number_that_json_cannot_say_is_refused_by_its_place() {
    let nan = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)) };
    let none = prost_types::Value { kind: None };
    for (bad, message) in [(nan, "finite"), (none, "no kind")] {
        let list = prost_types::ListValue { values: vec![bad] };
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
        let user = wire::User {
            id: "u1".to_owned(),
            app_metadata: Some(prost_types::Struct { fields: [("a".to_owned(), value)].into() }),
            ..wire::User::default()
        };
        let error = CallerInput::try_from(wire::Input { user: Some(user), ..wire::Input::default() }).unwrap_err();
        assert_eq!(error.field, "user.app_metadata.a[0]");
        assert!(error.message.contains(message), "{error}");
    }
}

/// So many objects inside each other, or lists.
fn nested(depth: usize, list: bool) -> Value {
    let wrap = |inner| {
        if list { serde_json::json!([inner]) } else { serde_json::json!({ "a": inner }) }
    };
    (0..depth).fold(Value::Bool(true), |inner, _| wrap(inner))
}

#[test]
fn what_is_nested_as_deep_as_allowed_arrives_inside_the_deepest_message() {
    for list in [false, true] {
        let deep = nested(MAX_JSON_DEPTH, list);
        let claims = serde_json::json!([{ "token": "id", "name": "x", "value": deep }]);
        let json = serde_json::json!({ "kind": "continue", "state": { "s": deep }, "claims": claims });
        let outcome = Outcome::from_json(json).unwrap();
        let run = wire::RunResult {
            result: Some(wire::run_result::Result::Outcome(outcome.into())),
            ..wire::RunResult::default()
        };
        let answer = executor::ExecuteResponse { results: vec![run], ..executor::ExecuteResponse::default() };
        assert!(executor::ExecuteResponse::decode(&*answer.encode_to_vec()).is_ok());

        let config = Some(json::to_struct([("s".to_owned(), nested(MAX_JSON_DEPTH - 1, list))].into_iter().collect()));
        let attachments = vec![wire::Attachment { config: config.clone(), ..wire::Attachment::default() }];
        let flow =
            wire::Flow { slots: vec![wire::Slot { attachments, ..wire::Slot::default() }], ..wire::Flow::default() };
        let revision = distribution::FlowRevision { flow: Some(flow), ..distribution::FlowRevision::default() };
        let resource =
            distribution::Resource { resource: Some(distribution::resource::Resource::FlowRevision(revision)) };
        let state = distribution::State { upserts: vec![resource], ..distribution::State::default() };
        let watch = distribution::WatchResponse { message: Some(distribution::watch_response::Message::State(state)) };
        assert!(distribution::WatchResponse::decode(&*watch.encode_to_vec()).is_ok());

        // An audit entry may put a config into a picture of an attachment, from and to.
        let picture = serde_json::json!({ "attachment": { "config": nested(MAX_JSON_DEPTH, list) } });
        let record = wire::AuditRecord { to: Some(json::to_value(picture.clone())), ..wire::AuditRecord::default() };
        let batch = distribution::IngestBatch { first_sequence: 1, records: vec![record] };
        let ingest = distribution::IngestRequest { message: Some(distribution::ingest_request::Message::Batch(batch)) };
        let read = distribution::IngestRequest::decode(&*ingest.encode_to_vec()).unwrap();
        let Some(distribution::ingest_request::Message::Batch(batch)) = read.message else { panic!("no batch") };
        let read = json::to_value(picture.clone());
        assert_eq!(batch.records[0].to.as_ref(), Some(&read));
    }
}

#[test]
fn what_is_nested_deeper_is_refused_in_json_and_in_protobuf() {
    for list in [false, true] {
        let deep = nested(MAX_JSON_DEPTH + 1, list);
        let state = Outcome::from_json(serde_json::json!({ "kind": "continue", "state": { "s": deep } })).unwrap_err();
        assert_eq!(state.pointer, "/state/s");
        let input =
            serde_json::json!({ "user": { "id": "u1", "app_metadata": { "m": nested(MAX_JSON_DEPTH, list) } } });
        let refused = from_json(&input).unwrap_err();
        assert_eq!(refused.pointer, "/user/app_metadata");
        assert!(refused.message.contains("nested more than 24 deep"), "{refused}");
        let refused = from_bytes(&client_bytes(&input, true)).unwrap_err();
        assert!(refused.field.starts_with("user.app_metadata.m"), "{refused}");
        assert!(refused.message.contains("nested more than 24 deep"), "{refused}");
    }
}
