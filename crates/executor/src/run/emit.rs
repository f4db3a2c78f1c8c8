//! Emits: where an event may go. A version declares its hosts and secrets; a build whose manifest knows neither has none
//! that could be declared, and every emit is `capability_denied`, naming what is missing.

use sluice_model::{Failure, FailureReason, Outcome};

/// Checks that every emit goes to a host that the version declares.
pub(super) fn check(outcome: &Outcome) -> Result<(), Failure> {
    let targets =
        outcome.emit.iter().enumerate().flat_map(|(i, emit)| emit.to.iter().enumerate().map(move |(j, to)| (i, j, to)));
    match targets.into_iter().next() {
        None => Ok(()),
        Some((i, j, target)) => {
            let what = match (&target.url, &target.url_secret) {
                (Some(url), _) => {
                    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
                    format!("the host {}", host.as_deref().unwrap_or("of this URL"))
                }
                (None, Some(secret)) => format!("the secret {secret}"),
                (None, None) => "the place".to_owned(),
            };
            let message = format!("emit[{i}].to[{j}]: {what} is not declared by the version");
            Err(Failure::new(FailureReason::CapabilityDenied, message))
        }
    }
}
