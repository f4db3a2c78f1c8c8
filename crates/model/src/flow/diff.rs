//! What changes from one revision of a flow to another.
//!
//! Attachments are the same where their ids are. One has moved where the others kept their order and it did not: an
//! attachment put in front of ten changes the numbers of ten places, and is one change.

use super::{Attachment, FlowChangeKind, FlowRevision, Slot};
use crate::{Object, Trigger, decode::escape, limits::DEFAULT_SLOT_BUDGET_MS};
use serde_json::Value;
use std::collections::BTreeSet;

/// An attachment with its place in the slot, from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed<'a> {
    /// The attachment.
    pub attachment: &'a Attachment,
    /// Its place.
    pub position: usize,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowChange<'a> {
    /// An attachment came.
    Attached {
        /// The slot.
        trigger: Trigger,
        /// As it is now.
        to: Placed<'a>,
    },
    /// An attachment went.
    Detached {
        /// The slot.
        trigger: Trigger,
        /// As it was.
        from: Placed<'a>,
    },
    /// An attachment is another.
    Updated {
        /// The slot.
        trigger: Trigger,
        /// As it was.
        from: Placed<'a>,
        /// As it is now.
        to: Placed<'a>,
        /// What differs: `version`, `position`, `enabled`, `on_error`, `on_unavailable`,
        /// `on_counters_unavailable`, `wall_ms`, and pointers into the
        /// config such as `config/domains`; never empty.
        fields: Vec<String>,
    },
    /// A slot's time is another.
    SlotUpdated {
        /// The slot.
        trigger: Trigger,
        /// The time before, in milliseconds.
        from: u32,
        /// The time now.
        to: u32,
    },
}

impl FlowChange<'_> {
    /// Its kind.
    pub fn kind(&self) -> FlowChangeKind {
        match self {
            FlowChange::Attached { .. } => FlowChangeKind::Attached,
            FlowChange::Detached { .. } => FlowChangeKind::Detached,
            FlowChange::Updated { .. } => FlowChangeKind::Updated,
            FlowChange::SlotUpdated { .. } => FlowChangeKind::SlotUpdated,
        }
    }
}

/// What changes from one revision to another: slot by slot in the order in which a sign-in comes to them, in each its time,
/// then what went, then what came or is another, by place. Empty where both run the same.
pub fn diff<'a>(from: &'a FlowRevision, to: &'a FlowRevision) -> Vec<FlowChange<'a>> {
    let triggers: BTreeSet<Trigger> = from.slots.iter().chain(&to.slots).map(|slot| slot.trigger).collect();
    let mut found = Vec::new();
    for trigger in triggers {
        let budget = |slot: Option<&Slot>| slot.map_or(DEFAULT_SLOT_BUDGET_MS, |slot| slot.budget_ms);
        let (before, after) = (from.slot(trigger), to.slot(trigger));
        if budget(before) != budget(after) {
            found.push(FlowChange::SlotUpdated { trigger, from: budget(before), to: budget(after) });
        }
        let (before, after) = (placed(before), placed(after));
        let moved = moved(&before, &after);
        for old in &before {
            if find(&after, old.attachment).is_none() {
                found.push(FlowChange::Detached { trigger, from: *old });
            }
        }
        for new in &after {
            let Some(old) = find(&before, new.attachment) else {
                found.push(FlowChange::Attached { trigger, to: *new });
                continue;
            };
            let fields = changed_fields(old.attachment, new.attachment, moved.contains(new.attachment.id.as_str()));
            if !fields.is_empty() {
                found.push(FlowChange::Updated { trigger, from: old, to: *new, fields });
            }
        }
    }
    found
}

fn placed(slot: Option<&Slot>) -> Vec<Placed<'_>> {
    let attachments = slot.map(|slot| slot.attachments.as_slice()).unwrap_or_default();
    attachments.iter().zip(1..).map(|(attachment, position)| Placed { attachment, position }).collect()
}

fn find<'a>(among: &[Placed<'a>], attachment: &Attachment) -> Option<Placed<'a>> {
    among.iter().find(|placed| placed.attachment.id == attachment.id).copied()
}

/// Those that left the order of the others: all but a longest run of attachments that both revisions have in one order.
fn moved<'a>(before: &[Placed<'a>], after: &[Placed<'a>]) -> BTreeSet<&'a str> {
    let common: Vec<(&str, usize)> = after
        .iter()
        .filter_map(|new| Some((new.attachment.id.as_str(), find(before, new.attachment)?.position)))
        .collect();
    // The longest rising sequence of former places; a slot has 50 at most.
    let mut longest: Vec<(usize, Option<usize>)> = Vec::with_capacity(common.len());
    for (index, (_, place)) in common.iter().enumerate() {
        let best = (0..index).filter(|other| common[*other].1 < *place).max_by_key(|other| longest[*other].0);
        longest.push((best.map_or(1, |other| longest[other].0 + 1), best));
    }
    let mut kept = BTreeSet::new();
    let mut next = (0..common.len()).max_by_key(|index| longest[*index].0);
    while let Some(index) = next {
        kept.insert(common[index].0);
        next = longest[index].1;
    }
    common.into_iter().map(|(id, _)| id).filter(|id| !kept.contains(id)).collect()
}

fn changed_fields(old: &Attachment, new: &Attachment, moved: bool) -> Vec<String> {
    let mut fields = Vec::new();
    let mut note = |differs: bool, name: &str| {
        if differs {
            fields.push(name.to_owned());
        }
    };
    note((&old.slug, &old.version) != (&new.slug, &new.version), "version");
    note(moved, "position");
    note(old.enabled != new.enabled, "enabled");
    note(old.on_error != new.on_error, "on_error");
    note(old.on_unavailable != new.on_unavailable, "on_unavailable");
    note(old.on_counters_unavailable != new.on_counters_unavailable, "on_counters_unavailable");
    note(old.wall_ms != new.wall_ms, "wall_ms");
    changed_keys(&old.config, &new.config, "config", &mut fields);
    fields
}

/// The keys whose values differ, as pointers. A list is one value.
fn changed_keys(old: &Object, new: &Object, under: &str, fields: &mut Vec<String>) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let at = format!("{under}/{}", escape(key));
        match (old.get(key), new.get(key)) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => changed_keys(old, new, &at, fields),
            (old, new) if old != new => fields.push(at),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::{OnCountersUnavailable, OnFailure, Slug};
    use semver::Version;
    use serde_json::json;

    fn attachment(id: &str) -> Attachment {
        Attachment {
            id: id.into(),
            slug: Slug::parse("gate").unwrap(),
            version: Version::new(1, 0, 0),
            enabled: true,
            config: Object::new(),
            on_error: OnFailure::Block,
            on_unavailable: OnFailure::Block,
            on_counters_unavailable: OnCountersUnavailable::Local,
            wall_ms: None,
        }
    }

    fn revision(attachments: Vec<Attachment>) -> FlowRevision {
        FlowRevision {
            tenant: Slug::parse("acme").unwrap(),
            flow: Slug::parse("login").unwrap(),
            revision: 1,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            slots: vec![Slot { attachments, ..Slot::new(Trigger::PostLogin) }],
        }
    }

    /// Each change in a word, the attachment's id, and the fields.
    fn told(from: &str, to: &str) -> Vec<String> {
        let of = |ids: &str| revision(ids.split_whitespace().map(attachment).collect());
        let (from, to) = (of(from), of(to));
        let word = |change: FlowChange<'_>| match change {
            FlowChange::Attached { to, .. } => format!("+{}@{}", to.attachment.id, to.position),
            FlowChange::Detached { from, .. } => format!("-{}@{}", from.attachment.id, from.position),
            FlowChange::Updated { from, to, fields, .. } => {
                format!("{}@{}>{} {}", to.attachment.id, from.position, to.position, fields.join(","))
            }
            FlowChange::SlotUpdated { from, to, .. } => format!("{from}>{to}"),
        };
        diff(&from, &to).into_iter().map(word).collect()
    }

    #[test]
    fn only_what_left_the_order_of_the_others_has_moved() {
        for (from, to, expected) in [
            ("a b c", "a b c", &[][..]),
            ("", "a", &["+a@1"]),
            ("a b c", "x a b c", &["+x@1"]),
            ("a b c", "b c", &["-a@1"]),
            ("a b c d", "d a b c", &["d@4>1 position"]),
            ("a b c d", "b c d a", &["a@1>4 position"]),
            ("a b", "x b y", &["-a@1", "+x@1", "+y@3"]),
        ] {
            assert_eq!(told(from, to), expected, "{from} -> {to}");
        }
        assert_eq!(told("a b", "b a").len(), 1, "either has moved, not both");
    }

    #[test]
    fn an_update_names_what_differs_down_to_the_key() {
        let old = Attachment {
            config: json!({ "domains": ["a"], "deep": { "x": 1, "y": 2 }, "a/b": 1 }).as_object().unwrap().clone(),
            ..attachment("a")
        };
        let new = Attachment {
            version: Version::new(1, 1, 0),
            enabled: false,
            on_error: OnFailure::Continue,
            wall_ms: Some(10),
            config: json!({ "domains": ["b"], "deep": { "x": 1, "z": 2 } }).as_object().unwrap().clone(),
            ..old.clone()
        };
        let (from, to) = (revision(vec![old]), revision(vec![new]));
        let fields = match diff(&from, &to).as_slice() {
            [FlowChange::Updated { fields, .. }] => fields.clone(),
            _ => Vec::new(),
        };
        let config = ["config/a~1b", "config/deep/y", "config/deep/z", "config/domains"];
        assert_eq!(fields[..4], ["version", "enabled", "on_error", "wall_ms"]);
        assert_eq!(fields[4..], config);
    }

    #[test]
    fn a_slot_that_is_not_there_has_the_time_that_a_new_one_has() {
        let (with, mut without) = (revision(Vec::new()), revision(Vec::new()));
        without.slots.clear();
        assert_eq!(diff(&without, &with), []);
        let mut slower = with;
        slower.slots[0].budget_ms = 5_000;
        let change = FlowChange::SlotUpdated { trigger: Trigger::PostLogin, from: 2_000, to: 5_000 };
        assert_eq!(diff(&without, &slower), [change]);
    }
}
