//! Attaching an Action to a slot.

use super::checks::Kept;
use super::save::{Draft, Edit};
use super::{config, generated, warnings_of};
use crate::store::Batch;
use serde::Serialize;
use serde_json::{Value, json};
use sluice_model::limits::{MAX_ATTACHMENTS_A_SLOT, MAX_WALL_MS};
use sluice_model::version::{ActionKind, ActionVersion};
use sluice_model::{Attachment, AuditKind, Code, Error, Object, OnCountersUnavailable, OnFailure, Slot, Slug, Trigger};

/// The letters of an attachment's id: none that are taken for another.
const ID_LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many of them it has: 60 bits.
const ID_CHARS: usize = 12;

/// What is attached where.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attach {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The flow.
    pub(crate) flow: Slug,
    /// The slot.
    pub(crate) trigger: Trigger,
    /// The Action.
    pub(crate) slug: Slug,
    /// An exact version, a range, or empty for the highest release.
    pub(crate) version: String,
    /// The config.
    pub(crate) config: Object,
    /// The place, from 1; `None` is the last.
    pub(crate) position: Option<u32>,
    /// What a failed run does; `None` is block, for a template that only tells others continue.
    pub(crate) on_error: Option<OnFailure>,
    /// What a run does that cannot be had; `None` likewise.
    pub(crate) on_unavailable: Option<OnFailure>,
    /// What becomes of a take while the shared counters cannot be reached; `None` is local.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_counters_unavailable: Option<OnCountersUnavailable>,
    /// How long a run may take, in milliseconds; `None` leaves it to the version.
    pub(crate) wall_ms: Option<u32>,
    /// The etag of the revision to be changed; empty for whatever is the newest.
    pub(crate) etag: String,
}

impl Attach {
    /// What it makes of a revision.
    pub(super) async fn draft(&self, edit: Edit<'_>) -> Result<Draft, Error> {
        let wall_ms = self.wall_ms.map(check_wall).transpose()?;
        let version = edit.catalogue.resolve(&self.tenant, &self.slug, &self.version).await?;
        check_attachable(&version.value)?;
        check_trigger(&version.value, self.trigger)?;
        let kept = config::check(&version.value, &self.config)?;
        let checked = edit.checked(&version.value, self.trigger, wall_ms, kept, None).await?;
        let Kept { config, warnings: said, generated } = checked;
        let attachment = Attachment {
            id: new_id(),
            slug: self.slug.clone(),
            version: version.value.version.clone(),
            enabled: true,
            config,
            on_error: self.on_error.unwrap_or_else(|| default_policy(&version.value)),
            on_unavailable: self.on_unavailable.unwrap_or_else(|| default_policy(&version.value)),
            on_counters_unavailable: self.on_counters_unavailable.unwrap_or_default(),
            wall_ms,
        };
        let mut slots = edit.newest.slots.clone();
        let slot = slot_of(&mut slots, self.trigger);
        let place = place(slot, self.position)?;
        let mut record = edit.about(AuditKind::ActionAttached, self.trigger, &attachment);
        record.to = Some(pictured(&attachment, place + 1, &version.value)?);
        let warnings = warnings_of(edit.shared, &self.tenant, &attachment, &version.value).await?;
        let mut warnings = generated::settled(warnings, &generated);
        warnings.extend(said);
        let id = attachment.id.clone();
        slot.attachments.insert(place, attachment);
        let relied_on = version.relied_on(Batch::new());
        Ok(Draft { attachment: Some(id), warnings, relied_on, generated, ..Draft::of(slots, record) })
    }
}

/// What a run that failed does where nobody says: a template that decides nothing keeps nobody out.
fn default_policy(version: &ActionVersion) -> OnFailure {
    match version.kind == ActionKind::Template && sluice_templates::only_tells(version.slug.as_str()) {
        true => OnFailure::Continue,
        false => OnFailure::Block,
    }
}

/// An attachment's own limit by the clock.
pub(super) fn check_wall(wall_ms: u32) -> Result<u32, Error> {
    match wall_ms {
        1..=MAX_WALL_MS => Ok(wall_ms),
        _ => Err(Error::field("wall_ms", format!("is {wall_ms}; it takes 1 to {MAX_WALL_MS} milliseconds"))),
    }
}

/// Whether a version may be attached anew: FAILED_PRECONDITION `VERSION_REVOKED`, `VERSION_YANKED`.
pub(super) fn check_attachable(version: &ActionVersion) -> Result<(), Error> {
    let named = format!("{}@{}", version.slug, version.version);
    let (reason, message) = match (version.revoked, version.yanked) {
        (true, _) => ("VERSION_REVOKED", format!("the platform has revoked {named}; attach another version")),
        (false, true) => ("VERSION_YANKED", format!("{named} is yanked; attach another version")),
        (false, false) => return Ok(()),
    };
    Err(Error::precondition(reason, message).about("version", named))
}

/// Whether a version may stand at a trigger: it is made for it, and declares nothing that is not allowed there.
pub(super) fn check_trigger(version: &ActionVersion, trigger: Trigger) -> Result<(), Error> {
    let named = format!("{}@{}", version.slug, version.version);
    if !version.triggers.contains(&trigger) {
        let made_for: Vec<&str> = version.triggers.iter().map(|t| t.as_str()).collect();
        let message = format!("{named} is not made for {trigger}; it is made for {}", made_for.join(", "));
        return Err(Error::new(Code::InvalidArgument, "TRIGGER_NOT_SUPPORTED", message.clone())
            .with_field("trigger", message)
            .about("version", named));
    }
    let declared = version.outcomes.as_deref().unwrap_or_default();
    let forbidden: Vec<&str> = declared.iter().filter(|kind| !trigger.allows(**kind)).map(|k| k.as_str()).collect();
    if !forbidden.is_empty() {
        let message = format!(
            "{named} declares {}, which {trigger} does not allow; allowed there: {}",
            forbidden.join(", "),
            trigger.allowed_kinds()
        );
        return Err(Error::new(Code::InvalidArgument, "OUTCOME_NOT_ALLOWED", message.clone())
            .with_field("trigger", message)
            .about("version", named));
    }
    Ok(())
}

/// The slot of a trigger, made where there is none. Slots stand in the order in which a sign-in comes to them.
pub(super) fn slot_of(slots: &mut Vec<Slot>, trigger: Trigger) -> &mut Slot {
    let place = match slots.binary_search_by_key(&trigger, |slot| slot.trigger) {
        Ok(place) => place,
        Err(place) => {
            slots.insert(place, Slot::new(trigger));
            place
        }
    };
    &mut slots[place]
}

/// Where in the slot it goes, from 0.
fn place(slot: &Slot, position: Option<u32>) -> Result<usize, Error> {
    let count = slot.attachments.len();
    if count >= MAX_ATTACHMENTS_A_SLOT {
        let message = format!("the slot {} has {count} attachments, the most there may be", slot.trigger);
        return Err(Error::precondition("SLOT_FULL", message).about("slot", slot.trigger.as_str()));
    }
    match position.map(usize::try_from) {
        None => Ok(count),
        Some(Ok(position)) if (1..=count + 1).contains(&position) => Ok(position - 1),
        Some(_) => {
            let position = position.unwrap_or_default();
            let message = format!("is {position}; it takes 1 to {}, since the slot has {count} attachments", count + 1);
            Err(Error::field("position", message))
        }
    }
}

/// An attachment as audit shows it: without secrets.
pub(super) fn pictured(attachment: &Attachment, position: usize, version: &ActionVersion) -> Result<Value, Error> {
    Ok(json!({
        "version": attachment.version.to_string(),
        "position": position,
        "enabled": attachment.enabled,
        "config": config::shown(version.schema.as_ref(), &attachment.config)?,
        "on_error": attachment.on_error,
        "on_unavailable": attachment.on_unavailable,
        "on_counters_unavailable": attachment.on_counters_unavailable,
        "wall_ms": attachment.wall_ms,
    }))
}

/// An id that no other attachment of the tenant has: short enough to be typed, too many to meet twice.
fn new_id() -> String {
    // The low bits of a version 7 UUID are random.
    let mut bits = uuid::Uuid::now_v7().as_u128();
    let mut letters = [0; ID_CHARS];
    for letter in &mut letters {
        let index = usize::try_from(bits & 31).unwrap_or_default();
        *letter = ID_LETTERS[index];
        bits >>= 5;
    }
    format!("at-{}", String::from_utf8_lossy(&letters))
}
