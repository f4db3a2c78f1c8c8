//! Lets in only e-mail addresses of the domains in the config.

use serde::Deserialize;
use serde_json::json;
use sluice::action::log::{Level, write};

wit_bindgen::generate!({ path: "wit", world: "action" });

/// What this Action reads of its input; docs/actions.md has all of it.
#[derive(Deserialize)]
struct Input {
    user: Option<User>,
    context: Context,
}

#[derive(Deserialize)]
struct User {
    email: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    config: Config,
}

/// The config, as schema.json has it: it was checked when it was saved, and its defaults are filled in.
#[derive(Deserialize)]
struct Config {
    domains: Vec<String>,
    include_subdomains: bool,
}

impl Config {
    fn has(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| {
            let above = domain.strip_suffix(ours.as_str()).and_then(|rest| rest.strip_suffix('.'));
            domain == ours || self.include_subdomains && above.is_some()
        })
    }
}

struct Action;

impl Guest for Action {
    fn execute(input: String) -> Result<String, String> {
        let input: Input = serde_json::from_str(&input).map_err(|error| format!("the input: {error}"))?;
        let email = input.user.and_then(|user| user.email).unwrap_or_default();
        let domain = email.rsplit_once('@').map_or(String::new(), |(_, domain)| domain.to_lowercase());
        if input.context.config.has(&domain) {
            return Ok(json!({ "kind": "continue", "annotations": { "domain": domain } }).to_string());
        }
        write(Level::Info, &format!("{domain:?} is not among the domains"));
        let message = "Please sign in with your company's e-mail address.";
        Ok(json!({ "kind": "block", "reason_code": "domain_not_allowed", "user_message": message }).to_string())
    }
}

export!(Action);
