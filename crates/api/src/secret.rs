//! Messages that carry a secret's value, as they may be shown: without it.

use crate::{control::v1::SetSecretRequest, distribution::v1::SecretState};
use std::fmt;

/// Stands for a value.
const HIDDEN: &str = "[secret]";

impl fmt::Debug for SetSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SetSecretRequest { tenant, name, value: _, request_id, etag, wait } = self;
        f.debug_struct("SetSecretRequest")
            .field("tenant", tenant)
            .field("name", name)
            .field("value", &HIDDEN)
            .field("request_id", request_id)
            .field("etag", etag)
            .field("wait", wait)
            .finish()
    }
}

impl fmt::Debug for SecretState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SecretState { tenant, name, version, value: _ } = self;
        f.debug_struct("SecretState")
            .field("tenant", tenant)
            .field("name", name)
            .field("version", version)
            .field("value", &HIDDEN)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::v1::{Resource, State, resource};

    #[test]
    fn no_message_shows_a_value() {
        let request = SetSecretRequest { name: "API_KEY".into(), value: "s3cr3t".into(), ..Default::default() };
        let secret = SecretState { name: "API_KEY".into(), value: "s3cr3t".into(), ..Default::default() };
        let upserts = vec![Resource { resource: Some(resource::Resource::Secret(secret)) }];
        let shown = format!("{request:?} {:?}", State { upserts, ..Default::default() });
        assert!(shown.contains("API_KEY") && shown.contains("[secret]"), "{shown}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("115, 51"), "{shown}");
    }
}
