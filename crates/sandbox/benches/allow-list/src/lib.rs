//! The allow-list of the bench, in Rust.

use serde::Deserialize;
use serde_json::json;

wit_bindgen::generate!({ path: "../../../../proto/wit", world: "action" });

const ALLOWED: [&str; 16] = [
    "example.com", "example.org", "acme.io", "initech.com", "hooli.xyz", "umbrella.co", "stark.dev", "wayne.net",
    "wonka.eu", "soylent.org", "tyrell.ai", "cyberdyne.sys", "piedpiper.com", "globex.com", "vandelay.com",
    "sterling.com",
];

#[derive(Deserialize)]
struct Input {
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    email: Option<String>,
}

struct Action;

impl Guest for Action {
    fn execute(input: String) -> Result<String, String> {
        let input: Input = serde_json::from_str(&input).map_err(|error| error.to_string())?;
        let email = input.user.and_then(|user| user.email).unwrap_or_default();
        let domain = email.rsplit_once('@').map(|(_, domain)| domain.to_lowercase()).unwrap_or_default();
        if !ALLOWED.contains(&domain.as_str()) {
            let message = format!("Sign-ins from {domain} are not allowed.");
            return Ok(json!({ "kind": "block", "reason_code": "domain_not_allowed", "user_message": message }).to_string());
        }
        Ok(json!({ "kind": "continue", "annotations": { "domain": domain } }).to_string())
    }
}

export!(Action);
