//! Domains that one list allows and another blocks.

use crate::Object;
use serde_json::Value;
use std::collections::BTreeSet;

/// The domains of one list.
struct Domains<'a> {
    /// As they stand, in their order: the name without `*.`, and whether it had that.
    entries: Vec<(&'a str, &'a str, bool)>,
    /// Whether each domain means those below it too.
    subdomains: bool,
}

impl<'a> Domains<'a> {
    fn of(config: &'a Object) -> Domains<'a> {
        let listed = config.get("domains").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let entry = |text: &'a str| match text.strip_prefix("*.") {
            Some(name) => (text, name, true),
            None => (text, text, false),
        };
        Domains {
            entries: listed.map(entry).collect(),
            subdomains: config.get("include_subdomains") == Some(&Value::Bool(true)),
        }
    }

    /// The domains whose own addresses are meant, and those below which all are.
    fn meant(&self) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
        let own = self.entries.iter().filter(|(_, _, below)| !below).map(|(_, name, _)| *name);
        let below = self.entries.iter().filter(|(_, _, below)| *below || self.subdomains).map(|(_, name, _)| *name);
        (own.collect(), below.collect())
    }
}

/// The entries of an allowlist that nobody can come in by, with their places: each is blocked whole, or the blocklist names the
/// same domain. A blocked part of an allowed domain (allow example.com and all below it, block old.example.com) is a choice.
pub(super) fn allowed_and_blocked<'a>(allow: &'a Object, block: &Object) -> Vec<(usize, &'a str)> {
    let (allow, block) = (Domains::of(allow), Domains::of(block));
    let (own, below) = block.meant();
    let under = |name: &str| parents(name).any(|parent| below.contains(parent));
    let is_blocked = |(_, name, wildcard): &(&str, &str, bool)| {
        let (means_own, means_below) = (!wildcard, *wildcard || allow.subdomains);
        let own_blocked = own.contains(name) || under(name);
        let below_blocked = below.contains(name) || under(name);
        let whole = (!means_own || own_blocked) && (!means_below || below_blocked);
        let same = (means_own && own.contains(name)) || (means_below && below.contains(name));
        whole || same
    };
    let blocked = allow.entries.iter().enumerate().filter(|(_, entry)| is_blocked(entry));
    blocked.map(|(index, (text, _, _))| (index, *text)).collect()
}

/// The domains above a domain.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.').map(|(_, parent)| parent), |name| {
        name.split_once('.').map(|(_, parent)| parent)
    })
}
