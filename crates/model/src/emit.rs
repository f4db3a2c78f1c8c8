//! Emits: where an event may go.
//!
//! This build does not deliver events: every emit of it is `capability_denied`, naming what it would have gone to, rather than
//! lost in silence.

use crate::{Failure, FailureReason, Outcome};

/// Checks that every target of an outcome's emits is one that can be sent to.
pub fn check_declared(outcome: &Outcome) -> Result<(), Failure> {
    for (i, emit) in outcome.emit.iter().enumerate() {
        // The first will do.
        if let Some(target) = emit.to.first() {
            let what = match (&target.url, &target.url_secret) {
                (Some(url), _) => {
                    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
                    format!("the host {}", host.as_deref().unwrap_or("of this URL"))
                }
                (None, Some(secret)) => format!("the secret {secret}"),
                (None, None) => "the place".to_owned(),
            };
            let message = format!("emit[{i}].to[0]: {what} cannot be sent to: this build does not deliver events");
            return Err(Failure::new(FailureReason::CapabilityDenied, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_emit_names_what_it_cannot_be_sent_to() {
        for (target, says) in [
            (json!({"url": "https://hooks.example.com/x"}), "the host hooks.example.com"),
            (json!({"url": "nonsense"}), "the host of this URL"),
            (json!({"url_secret": "HOOK"}), "the secret HOOK"),
        ] {
            let emit = json!({"kind": "continue", "emit": [{"type": "t", "data": 1, "to": [target]}]});
            let denied = check_declared(&Outcome::from_json(emit).unwrap()).unwrap_err();
            assert_eq!(denied.reason, FailureReason::CapabilityDenied);
            assert!(denied.message.contains(says), "{}", denied.message);
        }
        assert_eq!(check_declared(&Outcome::proceed()), Ok(()));
    }
}
