//! The effective flow: what the slots of a revision come to when they are looked at together, and what of it is likely not
//! what was meant.
//!
//! What is told is certain, or is a danger that the configs alone show. What only a sign-in decides (who is in which
//! group, how long a run takes) is nobody's warning. docs/flows.md lists the codes.

mod domains;
#[cfg(test)]
mod tests;

use super::{Attachment, OnFailure, Slot};
use crate::{
    AttachmentId, Object, OutcomeKind, Slug, Trigger, limits::MAX_SLOT_BUDGET_MS, schema, version::ActionVersion,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Something about a whole slot, or several, that is likely not what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotWarning {
    /// A word for machines.
    pub code: &'static str,
    /// The slots that it is about.
    pub triggers: Vec<Trigger>,
    /// The attachments that it is about. `pointer` leads into the config of the first.
    pub attachments: Vec<AttachmentId>,
    /// What to look at, with the attachments named.
    pub message: String,
    /// Into the config.
    pub pointer: Option<String>,
}

/// The longest that a slot can take by the clock, in milliseconds: what its Actions may take one after the other, and never
/// more than its budget. `wall_ms` is the limit of an attachment's version.
pub fn worst_case_ms(slot: &Slot, wall_ms: impl Fn(&Attachment) -> u32) -> u32 {
    sum_ms(slot, wall_ms).min(slot.budget_ms)
}

/// What the limits of those that run come to.
fn sum_ms(slot: &Slot, wall_ms: impl Fn(&Attachment) -> u32) -> u32 {
    let enabled = slot.attachments.iter().filter(|attachment| attachment.enabled);
    enabled.fold(0, |sum: u32, attachment| sum.saturating_add(limit_ms(attachment, wall_ms(attachment))))
}

fn limit_ms(attachment: &Attachment, version_ms: u32) -> u32 {
    attachment.wall_ms.map_or(version_ms, |own| own.min(version_ms))
}

/// What is likely not what was meant with the slots of a flow. `version_of` finds the version that an attachment pins; an
/// attachment without one is passed over.
pub fn warnings<'v>(
    flow: &Slug,
    slots: &[Slot],
    version_of: impl Fn(&Attachment) -> Option<&'v ActionVersion>,
) -> Vec<SlotWarning> {
    let slots: Vec<Running<'_>> = slots
        .iter()
        .map(|slot| {
            let enabled = slot.attachments.iter().filter(|attachment| attachment.enabled);
            let runs =
                enabled.filter_map(|attachment| Some(Run::new(slot.trigger, attachment, version_of(attachment)?)));
            Running { slot, runs: runs.collect() }
        })
        .collect();
    let mut found = Vec::new();
    for slot in &slots {
        found.extend(slot.wall_budget(flow));
        found.extend(slot.never_runs());
        found.extend(slot.duplicates());
        found.extend(slot.domains_in_both());
        found.extend(slot.runs.iter().filter_map(Run::lockout_key));
        found.extend(slot.runs.iter().flat_map(Run::redirect_loops));
    }
    let all: Vec<&Run<'_>> = slots.iter().flat_map(|slot| &slot.runs).collect();
    for mfa in all.iter().filter(|run| run.is("demand-mfa-by-risk-score")) {
        let blocks = all.iter().filter(|run| run.is("block-by-risk-score"));
        found.extend(blocks.filter_map(|block| mfa.threshold_not_below(block)));
    }
    found
}

/// A slot with what of it runs.
struct Running<'a> {
    slot: &'a Slot,
    runs: Vec<Run<'a>>,
}

/// An attachment that is enabled.
struct Run<'a> {
    trigger: Trigger,
    attachment: &'a Attachment,
    version: &'a ActionVersion,
    /// With the schema's defaults.
    config: Object,
}

impl Running<'_> {
    /// `wall_budget_exceeded`: the limits come to more than the slot has.
    fn wall_budget(&self, flow: &Slug) -> Option<SlotWarning> {
        let Slot { trigger, budget_ms, .. } = *self.slot;
        let limits = self.runs.iter().map(|run| (run, limit_ms(run.attachment, run.version.limits.wall_ms)));
        let (mut sum, mut starved) = (0_u32, None);
        for (run, limit) in limits {
            if sum >= budget_ms && starved.is_none() {
                starved = Some(run);
            }
            sum = sum.saturating_add(limit);
        }
        if sum <= budget_ms {
            return None;
        }
        let last = match starved {
            Some(run) => format!("{} and what follows it may get no time at all", run.named()),
            None => "the last may get less than its own limit".to_owned(),
        };
        let raise = |to: u32| format!("`sluice flow slot {flow} --trigger {trigger} --budget-ms {to}`");
        let cure = match sum {
            _ if budget_ms >= MAX_SLOT_BUDGET_MS => {
                "that is the most a slot can have: lower limits by `sluice flow update`".to_owned()
            }
            sum if sum > MAX_SLOT_BUDGET_MS => format!("{} raises it to the most there is", raise(MAX_SLOT_BUDGET_MS)),
            sum => format!("{} raises it", raise(sum)),
        };
        Some(SlotWarning {
            code: "wall_budget_exceeded",
            triggers: vec![trigger],
            attachments: Vec::new(),
            message: format!(
                "the Actions of {trigger} may take {sum} ms together, and the slot has {budget_ms} ms, so {last}; {cure}"
            ),
            pointer: None,
        })
    }

    /// `never_runs`: what stands behind an attachment that ends the slot whatever happens.
    fn never_runs(&self) -> Vec<SlotWarning> {
        let Some(end) = self.runs.iter().position(Run::always_ends) else { return Vec::new() };
        let (before, behind) = self.runs.split_at(end + 1);
        let told = |run: &Run<'_>| {
            let why = before.last().map(Run::named).unwrap_or_default();
            let message = format!(
                "{} can never run: {why} before it answers nothing but block, and blocks when it fails",
                run.named()
            );
            SlotWarning { attachments: vec![run.attachment.id.clone()], ..run.warning("never_runs", message) }
        };
        behind.iter().map(told).collect()
    }

    /// `duplicate_attachment`: the same Action with the same config a second time.
    fn duplicates(&self) -> Vec<SlotWarning> {
        let mut found = Vec::new();
        for (index, run) in self.runs.iter().enumerate() {
            let same = |other: &&Run<'_>| other.attachment.slug == run.attachment.slug && other.config == run.config;
            if let Some(first) = self.runs[..index].iter().find(same) {
                let message =
                    format!("{} does what {} does already: same Action, same config", run.named(), first.named());
                found.push(run.warning("duplicate_attachment", message).with(first));
            }
        }
        found
    }

    /// `domain_in_both_lists`: what one list allows is what another blocks.
    fn domains_in_both(&self) -> Vec<SlotWarning> {
        let mut found = Vec::new();
        for allow in self.runs.iter().filter(|run| run.is("domain-allowlist")) {
            for block in self.runs.iter().filter(|run| run.is("domain-blocklist") && run.shares_clients(allow)) {
                let both = domains::allowed_and_blocked(&allow.config, &block.config);
                let Some((index, _)) = both.first() else { continue };
                let more = both.len().saturating_sub(MAX_NAMED);
                let names: Vec<&str> = both.iter().take(MAX_NAMED).map(|(_, domain)| *domain).collect();
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                let message = format!(
                    "{} allows {}{more}, and {} blocks it: whoever has it is blocked",
                    allow.named(),
                    names.join(", "),
                    block.named()
                );
                let warning = allow.warning("domain_in_both_lists", message).with(block);
                found.push(SlotWarning { pointer: Some(format!("/domains/{index}")), ..warning });
            }
        }
        found
    }
}

/// So many domains a warning names.
const MAX_NAMED: usize = 5;
/// The triggers that one and the same sign-in comes through: what is decided at one counts at the others.
const SIGN_IN: &[Trigger] =
    &[Trigger::PostCredentialValidation, Trigger::PreMfaChallenge, Trigger::PostLogin, Trigger::PreTokenIssue];
/// Where anybody comes who knows or guesses a name: no credential has been found valid yet.
const BEFORE_CREDENTIAL: &[Trigger] = &[
    Trigger::PreLogin,
    Trigger::PostIdentifier,
    Trigger::PostCredentialValidation,
    Trigger::PreUserRegistration,
    Trigger::PrePasswordReset,
];
/// The last part of a path at which sign-ins begin.
const SIGN_IN_PATHS: &[&str] = &["authorize", "login", "log-in", "signin", "sign-in"];

impl<'a> Run<'a> {
    fn new(trigger: Trigger, attachment: &'a Attachment, version: &'a ActionVersion) -> Run<'a> {
        let config = attachment.config.clone();
        let config = match &version.schema {
            Some(schema) => schema::fill_defaults(schema, config),
            None => config,
        };
        Run { trigger, attachment, version, config }
    }

    /// Whether it is this template. Their slugs are the platform's: no tenant's own Action has one.
    fn is(&self, template: &str) -> bool {
        self.attachment.slug.as_str() == template
    }

    fn named(&self) -> String {
        format!("attachment {} ({})", self.attachment.id, self.attachment.slug)
    }

    fn warning(&self, code: &'static str, message: String) -> SlotWarning {
        SlotWarning {
            code,
            triggers: vec![self.trigger],
            attachments: vec![self.attachment.id.clone()],
            message,
            pointer: None,
        }
    }

    fn word(&self, field: &str) -> Option<&str> {
        self.config.get(field).and_then(Value::as_str)
    }

    /// The texts of a list.
    fn words(&self, field: &str) -> BTreeSet<&str> {
        self.config.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether there may be an application that both are for; none named is all.
    fn shares_clients(&self, other: &Run<'_>) -> bool {
        let (own, others) = (self.words("apply_to_clients"), other.words("apply_to_clients"));
        own.is_empty() || others.is_empty() || !own.is_disjoint(&others)
    }

    /// Whether the slot ends here, whatever is answered and whatever fails.
    fn always_ends(&self) -> bool {
        let only_blocks = self.version.outcomes.as_deref() == Some(&[OutcomeKind::Block][..]);
        let Attachment { on_error, on_unavailable, .. } = self.attachment;
        only_blocks
            && *on_error == OnFailure::Block
            && *on_unavailable == OnFailure::Block
            && !self.trigger.is_asynchronous()
    }

    /// `mfa_threshold_not_below_block`: who would be asked for a second factor is blocked.
    fn threshold_not_below(&self, block: &Run<'_>) -> Option<SlotWarning> {
        let one_sign_in = SIGN_IN.contains(&self.trigger) && SIGN_IN.contains(&block.trigger);
        if !one_sign_in || !self.shares_clients(block) {
            return None;
        }
        let (own, blocks) = (self.config.get("threshold")?, block.config.get("threshold")?);
        if own.as_f64()? < blocks.as_f64()? {
            return None;
        }
        let message = format!(
            "{} asks for a second factor above a score of {own}, and {} at {} blocks above {blocks}: a score that asks is blocked",
            self.named(),
            block.named(),
            block.trigger
        );
        let mut warning = self.warning("mfa_threshold_not_below_block", message).with(block);
        if block.trigger != self.trigger {
            warning.triggers.push(block.trigger);
        }
        Some(SlotWarning { pointer: Some("/threshold".to_owned()), ..warning })
    }

    /// `lockout_key`: anybody can use up the attempts of another.
    fn lockout_key(&self) -> Option<SlotWarning> {
        if !self.is("rate-limit-by-user") || !BEFORE_CREDENTIAL.contains(&self.trigger) {
            return None;
        }
        let by_trigger = || {
            let schema = self.version.schema.as_ref()?;
            let defaults = schema.get("properties")?.get("key")?.get("x-default-by-trigger")?;
            defaults.get(self.trigger.as_str())?.as_str()
        };
        let (key, said) = match self.word("key") {
            Some(key) => (key, ""),
            None => (by_trigger()?, ", the default here"),
        };
        if !matches!(key, "user" | "identifier") {
            return None;
        }
        let message = format!(
            "{} counts by {key}{said}, and nobody has proved yet who they are: a stranger who fails in a user's name locks the \
             user out; user_and_ip does not",
            self.named()
        );
        Some(SlotWarning { pointer: Some("/key".to_owned()), ..self.warning("lockout_key", message) })
    }

    /// `redirect_loop`: a rule leads to a page that begins a sign-in, which is sent there again.
    fn redirect_loops(&self) -> Vec<SlotWarning> {
        // A second sign-in is none's first.
        if !self.is("redirect-by-group") || self.config.get("only_first_login") == Some(&Value::Bool(true)) {
            return Vec::new();
        }
        let rules = self.config.get("rules").and_then(Value::as_array).into_iter().flatten();
        let leading =
            rules.enumerate().filter(|(_, rule)| rule.get("url").and_then(Value::as_str).is_some_and(begins_sign_in));
        let told = |(index, _)| {
            let message = format!(
                "rule {} of {} leads to where a sign-in begins, and the new sign-in comes to the same rule: a loop",
                index + 1,
                self.named()
            );
            let warning = self.warning("redirect_loop", message);
            SlotWarning { pointer: Some(format!("/rules/{index}/url")), ..warning }
        };
        leading.map(told).collect()
    }
}

/// Whether a URL is, by its form, one that begins a sign-in: a request of OAuth, or a path of that name. Whether its host is the
/// auth engine's is not known here.
fn begins_sign_in(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let asks = url.query_pairs().any(|(name, _)| name == "response_type");
    let last = url.path_segments().and_then(|parts| parts.rev().find(|part| !part.is_empty())).unwrap_or_default();
    asks || SIGN_IN_PATHS.contains(&last.to_ascii_lowercase().as_str())
}

impl SlotWarning {
    /// It is about another attachment too.
    fn with(mut self, other: &Run<'_>) -> SlotWarning {
        self.attachments.push(other.attachment.id.clone());
        self
    }
}
