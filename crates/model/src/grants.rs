//! What a version may reach beyond its input, and what of it an attachment's config adds.

use crate::{
    Invalid, Manifest, Object,
    manifest::{Capability, is_secret_name},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

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
}

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
