//! What a version may reach beyond its input, and what of it an attachment's config adds.

use crate::{
    Invalid, Manifest, Object,
    http::HostPattern,
    manifest::{Capability, is_secret_name},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use url::Url;

/// What a version declares that it reaches. Nothing else is ever given to its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// The hosts that it may send to: lower-case ASCII names, exact or `*.example.com`.
    pub hosts: Vec<String>,
    /// JSON pointers into the config to URLs whose hosts it may send to.
    pub hosts_from_config: Vec<String>,
    /// The names of the secrets that it reads.
    pub secrets: Vec<String>,
    /// JSON pointers into the config to fields that hold a secret's name.
    pub secrets_from_config: Vec<String>,
    /// What it asks of the platform.
    pub capabilities: Vec<Capability>,
}

impl Grants {
    /// What a manifest declares.
    pub fn of(manifest: &Manifest) -> Grants {
        Grants {
            hosts: manifest.hosts.clone(),
            hosts_from_config: manifest.hosts_from_config.clone(),
            secrets: manifest.secrets.clone(),
            secrets_from_config: manifest.secrets_from_config.clone(),
            capabilities: manifest.capabilities.clone(),
        }
    }

    /// Whether it reaches nothing.
    pub fn is_empty(&self) -> bool {
        self == &Grants::default()
    }

    /// The secrets that an attachment may read: those that the version declares, and those that its config names where the
    /// version says that it does. `config` has its defaults.
    pub fn secrets_with(&self, config: &Object) -> BTreeSet<String> {
        let named = self.secrets_from_config.iter().filter_map(|pointer| at(config, pointer)?.as_str());
        let named = named.filter(|name| is_secret_name(name)).map(str::to_owned);
        self.secrets.iter().cloned().chain(named).collect()
    }

    /// The hosts that an attachment may send to: those that the version declares, and those of URLs in its config where the
    /// version says so. `config` has its defaults. A host that is none grants nothing.
    pub fn hosts_with(&self, config: &Object) -> Vec<HostPattern> {
        let declared = self.hosts.iter().filter_map(|host| HostPattern::parse(host).ok());
        let urls = self.urls(config).filter(|(pointer, _)| !self.secrets_from_config.contains(pointer));
        declared.chain(urls.filter_map(|(_, url)| HostPattern::of_url(&Url::parse(url).ok()?))).collect()
    }

    /// The names of secrets that hold URLs whose hosts an attachment may send to: fields of its config that hold a secret's
    /// name and are said to lead to a host. `config` has its defaults.
    pub fn hosts_in_secrets(&self, config: &Object) -> Vec<String> {
        let named = self.urls(config).filter(|(pointer, _)| self.secrets_from_config.contains(pointer));
        named.map(|(_, name)| name.to_owned()).filter(|name| is_secret_name(name)).collect()
    }

    /// The texts in a config that are said to lead to hosts.
    fn urls<'a>(&'a self, config: &'a Object) -> impl Iterator<Item = (&'a String, &'a str)> {
        self.hosts_from_config.iter().filter_map(|pointer| Some((pointer, at(config, pointer)?.as_str()?)))
    }

    /// Checks a config, with its defaults, where it names secrets: nothing, or a name.
    ///
    /// # Errors
    /// Every field that holds something else, by its pointer. What it holds is not repeated: it may be a secret's value.
    pub fn check_secret_names(&self, config: &Object) -> Result<(), Vec<Invalid>> {
        let is_wrong = |value: &Value| !value.is_null() && !value.as_str().is_some_and(is_secret_name);
        let wrong = self.secrets_from_config.iter().filter(|pointer| at(config, pointer).is_some_and(is_wrong));
        let wrong: Vec<Invalid> = wrong.map(|pointer| Invalid::at(pointer.clone(), NOT_A_NAME)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Whether it declares a capability.
    pub fn allows(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// What the author is told whose Action asks a host that it may not ask.
    pub fn host_denied(&self, host: &str) -> String {
        let held = &self.hosts_from_config;
        denied("host", host, "hosts", (held, "nor that of the URL in the config"))
    }

    /// What the author is told whose Action reads a secret that it may not read. A text that names none is not repeated: it
    /// may be a value.
    pub fn secret_denied(&self, name: &str) -> String {
        if !is_secret_name(name) {
            return format!("what is asked for as a secret is not declared by the version: {NOT_A_NAME}");
        }
        denied("secret", name, "secrets", (&self.secrets_from_config, "nor named by the config"))
    }

    /// What the author is told whose Action uses counters or kv and may not.
    pub fn capability_denied(&self, capability: Capability) -> String {
        denied("capability", capability.as_str(), "capabilities", (&[], ""))
    }
}

/// `the host a.example is not declared by the version: add "a.example" to hosts in action.toml`. What the config could have
/// added is told too.
fn denied(what: &str, name: &str, key: &str, (pointers, not_so): (&[String], &str)) -> String {
    let shown: String = name.chars().take(MAX_SHOWN_CHARS).collect();
    let config = match pointers {
        [] => String::new(),
        pointers => format!(", {not_so} at {}", pointers.join(", ")),
    };
    format!("the {what} {shown} is not declared by the version{config}: add {shown:?} to {key} in action.toml")
}

/// What is shown of a name that an Action made up.
const MAX_SHOWN_CHARS: usize = 253;

/// What is said where a secret's name is expected.
const NOT_A_NAME: &str = "expected the name of a secret: a letter, then letters, digits, _, - and ., at most 64 \
                          characters; the value itself is set by `sluice secret set`";

/// The value that a pointer leads to; an object is all that a config can be, so the empty pointer leads nowhere.
fn at<'c>(config: &'c Object, pointer: &str) -> Option<&'c Value> {
    let (first, rest) = pointer.strip_prefix('/').map(|path| path.split_at(path.find('/').unwrap_or(path.len())))?;
    config.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    fn grants() -> Grants {
        Grants {
            secrets: vec!["API_KEY".to_owned()],
            secrets_from_config: vec!["/ref".to_owned(), "/hooks/0/a~1b".to_owned()],
            ..Grants::default()
        }
    }

    fn config(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_attachment_reads_what_is_declared_and_what_its_config_names() {
        let config = config(json!({ "ref": "hook.url", "hooks": [{ "a/b": "SIGNING" }], "other": "NOT_THIS" }));
        let names: Vec<String> = grants().secrets_with(&config).into_iter().collect();
        assert_eq!(names, ["API_KEY", "SIGNING", "hook.url"]);
        assert!(Grants::default().secrets_with(&config).is_empty());
        let again = Grants { secrets_from_config: vec![String::new(), "ref".to_owned()], ..Grants::default() };
        assert!(again.secrets_with(&config).is_empty(), "these pointers lead nowhere");
    }

    #[test]
    fn an_attachment_may_ask_the_hosts_that_are_declared_and_those_of_urls_in_its_config() {
        let grants = Grants {
            hosts: vec!["api.example.com".to_owned(), "*.b.example".to_owned()],
            hosts_from_config: ["/url", "/ref", "/none", "/text", "/port"].map(str::to_owned).to_vec(),
            ..grants()
        };
        let shown = |config: &Object| grants.hosts_with(config).iter().map(ToString::to_string).collect::<Vec<_>>();
        let config =
            config(json!({ "url": "https://Own.Example/v1", "ref": "HOOK", "text": "own2.example", "port": 7 }));
        assert_eq!(shown(&config), ["api.example.com", "*.b.example", "own.example"]);
        assert_eq!(grants.hosts_in_secrets(&config), ["HOOK"]);
        let config = self::config(json!({ "url": "https://*.example.com/", "ref": "https://own.example/" }));
        assert_eq!(shown(&config).len(), 2, "neither is a pattern, nor a URL where a name belongs");
        assert!(grants.hosts_in_secrets(&config).is_empty());
    }

    #[test]
    fn who_may_not_is_told_how_to_declare_it() {
        let plain = Grants::default();
        assert_eq!(
            plain.host_denied("a.example"),
            "the host a.example is not declared by the version: add \"a.example\" to hosts in action.toml"
        );
        assert_eq!(
            plain.secret_denied("KEY"),
            "the secret KEY is not declared by the version: add \"KEY\" to secrets in action.toml"
        );
        assert_eq!(
            plain.capability_denied(Capability::Kv),
            "the capability kv is not declared by the version: add \"kv\" to capabilities in action.toml"
        );
        let held = Grants { hosts_from_config: vec!["/url".to_owned()], ..grants() };
        assert!(held.host_denied("a.example").contains("version, nor that of the URL in the config at /url: add"));
        assert!(held.secret_denied("KEY").contains("version, nor named by the config at /ref, /hooks/0/a~1b: add"));
        assert!(!plain.secret_denied("pa55 word").contains("pa55"));
    }

    #[test]
    fn what_is_no_name_grants_nothing_and_is_not_repeated() {
        for value in [json!("https://hooks.example/x"), json!(""), json!(7), json!(["API_KEY"]), json!("a".repeat(65))]
        {
            let config = config(json!({ "ref": value }));
            let wrong = grants().check_secret_names(&config).unwrap_err();
            assert_eq!(wrong.len(), 1);
            assert_eq!(wrong[0].pointer, "/ref");
            assert!(!wrong[0].message.contains("hooks.example"), "{}", wrong[0].message);
            assert_eq!(grants().secrets_with(&config).len(), 1, "{value}");
        }
        for config in [json!({}), json!({ "ref": null }), json!({ "ref": "A" })] {
            assert!(grants().check_secret_names(&self::config(config)).is_ok());
        }
    }
}
