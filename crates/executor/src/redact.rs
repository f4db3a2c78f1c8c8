//! Redaction: takes the values of secrets out of what a run lets out, before it is answered, audited or logged.
//!
//! A value is found as it is and as JSON, base64 (at any place in what was encoded), percent-encoding and hexadecimal digits
//! write it; of one with several lines, each long line too. Values of fewer than [`MIN_BYTES`] bytes are not looked for: they
//! would be found everywhere. This is a net under Actions that make mistakes and no wall against one that wants to tell a
//! secret that it may read: it could reverse it, or take it apart. What an Action hands on by design (claims, state, the URL of
//! a redirect, what it sends) is not changed: that would break it in silence. What it emits is: it is stored.

use crate::secrets::Secret;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::memmem;
use serde_json::Value;
use sluice_model::{Failure, FailureReason, LogLine, Outcome, outcome::Decision};
use sluice_serve::seal::SecretText;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The shortest value that is looked for, in bytes.
pub(crate) const MIN_BYTES: usize = 4;
/// The shortest encoded form that is looked for, and the shortest line of a value with several.
const MIN_FORM_BYTES: usize = 8;
/// How much of a value has to stand at the end of a text that may have been cut there.
const MIN_CUT_BYTES: usize = 8;

/// How a value may turn up in text, the longest first.
pub(crate) fn forms(value: &str) -> Vec<SecretText> {
    if value.len() < MIN_BYTES {
        return Vec::new();
    }
    let mut found = vec![value.to_owned()];
    let json = serde_json::to_string(value).unwrap_or_default();
    let inner = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
    let again = serde_json::to_string(&inner).unwrap_or_default();
    let mut encoded = vec![again.get(1..again.len().saturating_sub(1)).unwrap_or_default().to_owned(), inner];
    for kept in [b"-_.!~*'()".as_slice(), b"-_.~", b"-_.*"] {
        encoded.push(percent(value, kept, true, kept == b"-_.*"));
        encoded.push(percent(value, kept, false, kept == b"-_.*"));
    }
    encoded.push(value.bytes().map(|byte| format!("{byte:02x}")).collect());
    encoded.push(value.bytes().map(|byte| format!("{byte:02X}")).collect());
    for before in 0..3 {
        encoded.extend(in_base64(value, before));
    }
    encoded.extend(value.lines().map(|line| line.trim().to_owned()));
    found.extend(encoded.into_iter().filter(|form| form.len() >= MIN_FORM_BYTES));
    found.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    found.dedup();
    found.into_iter().map(SecretText::new).collect()
}

fn percent(value: &str, kept: &[u8], upper: bool, plus: bool) -> String {
    let mut out = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        match byte {
            b' ' if plus => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => out.push(char::from(byte)),
            byte if upper => out.push_str(&format!("%{byte:02X}")),
            byte => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// What of a value's base64 is the same whatever stands around it, with so many bytes before it, in both alphabets.
fn in_base64(value: &str, before: usize) -> [String; 2] {
    let bytes = Zeroizing::new([&[0; 2][..before], value.as_bytes()].concat());
    // A character has 6 bits: those with bits of a neighbour differ.
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    let cut = |text: String| text.get(first..last).unwrap_or_default().to_owned();
    [cut(STANDARD_NO_PAD.encode(&*bytes)), cut(URL_SAFE_NO_PAD.encode(&*bytes))]
}

/// Takes the secrets out of a text. Nothing is allocated where none is in it.
pub(crate) fn text(secrets: &[Arc<Secret>], text: &mut String) {
    if secrets.is_empty() || text.is_empty() {
        return;
    }
    let mut out = String::new();
    let mut done = 0;
    while let Some((at, bytes, name)) = first(secrets, &text[done..]) {
        out.push_str(&text[done..done + at]);
        hide(&mut out, name);
        done += at + bytes;
    }
    let rest = &text[done..];
    if let Some((at, name)) = cut_off(secrets, rest) {
        out.push_str(&rest[..at]);
        hide(&mut out, name);
    } else if done == 0 {
        return;
    } else {
        out.push_str(rest);
    }
    drop(Zeroizing::new(std::mem::replace(text, out)));
}

fn hide(out: &mut String, name: &str) {
    out.push_str("[secret ");
    out.push_str(name);
    out.push(']');
}

/// The first secret in a text, the longest where several begin there: its place, its length, its name.
fn first<'s>(secrets: &'s [Arc<Secret>], text: &str) -> Option<(usize, usize, &'s str)> {
    let mut found: Option<(usize, usize, &str)> = None;
    for secret in secrets {
        for form in secret.forms() {
            // Beyond what was found already nothing can be first.
            let end = found.map_or(text.len(), |(at, ..)| (at + form.len()).min(text.len()));
            let Some(at) = memmem::find(&text.as_bytes()[..end], form.as_bytes()) else { continue };
            if found.is_none_or(|(best, bytes, _)| at < best || (at == best && form.len() > bytes)) {
                found = Some((at, form.len(), secret.name()));
            }
        }
    }
    found
}

/// Where the beginning of a secret stands at the end of a text, which was cut there; a mark of the cut may follow.
fn cut_off<'s>(secrets: &'s [Arc<Secret>], text: &str) -> Option<(usize, &'s str)> {
    let end = text.rfind('…').filter(|at| text.len() - at < 64).unwrap_or(text.len());
    let text = &text[..end];
    let mut found: Option<(usize, &str)> = None;
    for secret in secrets {
        for form in secret.forms() {
            let most = form.len().min(text.len());
            let longest = (MIN_CUT_BYTES..=most)
                .rev()
                .find(|bytes| form.is_char_boundary(*bytes) && text.as_bytes().ends_with(&form.as_bytes()[..*bytes]));
            if let Some(bytes) = longest
                && found.is_none_or(|(at, _)| end - bytes < at)
            {
                found = Some((end - bytes, secret.name()));
            }
        }
    }
    found
}

/// Takes the secrets out of what a run logged.
pub(crate) fn logs(secrets: &[Arc<Secret>], logs: &mut [LogLine]) {
    logs.iter_mut().for_each(|line| text(secrets, &mut line.text));
}

/// Takes the secrets out of why a run failed.
pub(crate) fn failure(secrets: &[Arc<Secret>], failure: &mut Failure) {
    text(secrets, &mut failure.message);
    let rest = [&mut failure.pointer, &mut failure.file, &mut failure.stack];
    rest.into_iter().flatten().for_each(|part| text(secrets, part));
}

/// Takes the secrets out of what people and audit are told by an outcome: its message, its reason, its annotations.
pub(crate) fn outcome(secrets: &[Arc<Secret>], outcome: &mut Outcome) {
    if secrets.is_empty() {
        return;
    }
    if let Decision::Block(block) = &mut outcome.decision
        && let Some(message) = &mut block.user_message
    {
        text(secrets, message);
    }
    if let Some(reason) = &mut outcome.reason_code
        && first(secrets, reason).is_some()
    {
        // What stands for a secret must be a reason code, too.
        drop(Zeroizing::new(std::mem::replace(reason, "secret".to_owned())));
    }
    for (mut key, mut value) in std::mem::take(&mut outcome.annotations) {
        text(secrets, &mut key);
        if let Value::String(value) = &mut value {
            text(secrets, value);
        }
        outcome.annotations.insert(key, value);
    }
}

/// Takes the secrets out of what an outcome emits, which is stored and can be looked at until it is delivered, and longer.
///
/// # Errors
/// `capability_denied`: a target's URL has a value in it. With the value taken out it would be another URL.
pub(crate) fn emits(secrets: &[Arc<Secret>], outcome: &mut Outcome) -> Result<(), Failure> {
    for (i, emit) in outcome.emit.iter_mut().enumerate() {
        text(secrets, &mut emit.kind);
        json(secrets, &mut emit.data);
        for (j, target) in emit.to.iter_mut().enumerate() {
            if let Some(url) = &target.url
                && let Some((_, _, name)) = first(secrets, url)
            {
                let message = format!("emit[{i}].to[{j}]: the URL has the secret {name} in it: name one in url_secret");
                return Err(Failure::new(FailureReason::CapabilityDenied, message));
            }
            target.headers.iter_mut().flat_map(|headers| headers.values_mut()).for_each(|value| text(secrets, value));
        }
    }
    Ok(())
}

fn json(secrets: &[Arc<Secret>], value: &mut Value) {
    match value {
        Value::String(value) => text(secrets, value),
        Value::Array(values) => values.iter_mut().for_each(|value| json(secrets, value)),
        Value::Object(values) => {
            for (mut key, mut value) in std::mem::take(values) {
                text(secrets, &mut key);
                json(secrets, &mut value);
                values.insert(key, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use sluice_model::{FailureReason, LogLevel};

    fn secret(name: &str, value: &str) -> Arc<Secret> {
        Arc::new(Secret::new(name.to_owned(), SecretText::new(value.to_owned())))
    }

    fn redacted(secrets: &[Arc<Secret>], said: &str) -> String {
        let mut said = said.to_owned();
        text(secrets, &mut said);
        said
    }

    #[test]
    fn a_value_is_found_however_it_is_written() {
        let value = "p@ss/w\"rd+1é";
        let all = [secret("KEY", value)];
        let basic = |text: &str| STANDARD_NO_PAD.encode(text);
        for said in [
            value.to_owned(),
            serde_json::to_string(value).unwrap(),
            serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap(),
            basic(value),
            basic(&format!("a:{value}")),
            basic(&format!("ab:{value}!")),
            URL_SAFE_NO_PAD.encode(format!("abc:{value}!!")),
            "p%40ss%2Fw%22rd%2B1%C3%A9".to_owned(),
            "p%40ss%2fw%22rd%2b1%c3%a9".to_owned(),
            value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ] {
            let said = format!("before {said} after {said}");
            let shown = redacted(&all, &said);
            assert_eq!(shown.matches("[secret KEY]").count(), 2, "{said}: {shown}");
            assert!(!shown.contains("p@ss") && !shown.contains("p%40ss"), "{shown}");
        }
        assert_eq!(redacted(&[secret("KEY", "two words")], "a=two+words&b"), "a=[secret KEY]&b");
    }

    #[test]
    fn the_longest_counts_and_names_are_not_taken_for_values() {
        let all = [secret("A", "secret"), secret("B", "secret-long")];
        assert_eq!(redacted(&all, "secret-long secret"), "[secret B] [secret A]");
        assert_eq!(redacted(&all, "nothing"), "nothing");
        assert_eq!(redacted(&[], "secret"), "secret");
        assert_eq!(redacted(&[secret("T", "abc")], "abc"), "abc", "too short to be told from other text");
    }

    #[test]
    fn a_line_of_several_and_a_value_that_was_cut_are_found() {
        let pem = secret("PEM", "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n");
        assert_eq!(redacted(&[Arc::clone(&pem)], "line hkiG9w0BAQEFAASC!"), "line [secret PEM]!");
        let long = secret("LONG", "0123456789abcdef");
        let all = [long];
        assert_eq!(redacted(&all, "ends in 0123456789"), "ends in [secret LONG]");
        assert_eq!(redacted(&all, "ends in 0123456789… (cut: a run may log 16 KiB)"), "ends in [secret LONG]");
        assert_eq!(redacted(&all, "ends in 0123"), "ends in 0123", "that is too little to know");
    }

    #[test]
    fn what_people_and_audit_are_told_has_none() {
        let all = [secret("KEY", "canary.value")];
        let mut lines = [LogLine { level: LogLevel::Info, text: "got canary.value".into() }];
        logs(&all, &mut lines);
        assert_eq!(lines[0].text, "got [secret KEY]");
        let mut failed = Failure::new(FailureReason::Threw, "bad canary.value");
        failed.stack = Some("at canary.value (src/index.ts:1:1)".into());
        failure(&all, &mut failed);
        assert!(!format!("{failed:?}").contains("canary"), "{failed:?}");
        let answer = serde_json::json!({
            "kind": "block", "user_message": "no: canary.value", "reason_code": "canary.value",
            "annotations": { "a": "canary.value", "canary.value": 1 }, "state": { "kept": "canary.value" },
        });
        let mut answered = Outcome::from_json(answer).unwrap();
        outcome(&all, &mut answered);
        let state = std::mem::take(&mut answered.state);
        assert!(!format!("{answered:?}").contains("canary"), "{answered:?}");
        assert_eq!(answered.reason_code.as_deref(), Some("secret"));
        assert_eq!(state["kept"], "canary.value", "what is handed on by design is as the Action wrote it");
    }

    #[test]
    fn what_is_emitted_has_none_and_a_url_with_one_is_refused() {
        let all = [secret("KEY", "canary.value")];
        let emitting = |url: &str| {
            let target = serde_json::json!({ "url": url, "headers": { "x-a": "canary.value" } });
            let data = serde_json::json!({ "a": ["x canary.value"], "canary.value": { "b": 1 } });
            let emit = serde_json::json!([{ "type": "t.canary.value", "data": data, "to": [target] }]);
            Outcome::from_json(serde_json::json!({ "kind": "continue", "emit": emit })).unwrap()
        };
        let mut answered = emitting("https://a.example/");
        emits(&all, &mut answered).unwrap();
        assert!(!format!("{answered:?}").contains("canary"), "{answered:?}");
        assert_eq!(answered.emit[0].data["a"][0], "x [secret KEY]");
        assert_eq!(answered.emit[0].data["[secret KEY]"]["b"], 1);
        let denied = emits(&all, &mut emitting("https://a.example/?key=canary.value")).unwrap_err();
        assert_eq!(denied.reason, FailureReason::CapabilityDenied);
        assert!(denied.message.starts_with("emit[0].to[0]: the URL has the secret KEY in it"), "{}", denied.message);
    }

    #[test]
    fn much_text_and_many_secrets_take_little_time() {
        let all: Vec<_> = (0..50).map(|n| secret(&format!("S{n}"), &format!("value-{n:04}/+x"))).collect();
        let mut said = "some text that has no secret in it ".repeat(468);
        let began = std::time::Instant::now();
        text(&all, &mut said);
        assert!(began.elapsed() < std::time::Duration::from_millis(500), "{:?}", began.elapsed());
    }
}
