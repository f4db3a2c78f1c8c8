//! Marks of a version: deprecated, yanked, revoked. They say what may still be done with it; the version itself stays.

use super::{Catalogue, Published, VersionRow, etag_of};
use crate::audit::outbox;
use crate::etag;
use crate::flows::{Warning, find_head, find_revision};
use crate::keys;
use crate::requests::{self, RequestId, Seen};
use crate::rows;
use crate::store::{Batch, Key, Revision, Scan};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_model::version::ActionVersion;
use sluice_model::{AuditKind, AuditRecord, Error, Slug};

/// How many flows a warning names.
const MAX_NAMED: usize = 5;

/// What can be said of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Mark {
    /// It can be attached, with a warning.
    Deprecated,
    /// What is attached stays; it cannot be attached anew.
    Yanked,
    /// Executors drop it, for good.
    Revoked,
}

impl Mark {
    fn is_on(self, version: &ActionVersion) -> bool {
        match self {
            Mark::Deprecated => version.deprecated,
            Mark::Yanked => version.yanked,
            Mark::Revoked => version.revoked,
        }
    }

    fn set(self, version: &mut ActionVersion, on: bool) {
        match self {
            Mark::Deprecated => version.deprecated = on,
            Mark::Yanked => version.yanked = on,
            Mark::Revoked => version.revoked = on,
        }
    }

    fn kind(self) -> AuditKind {
        match self {
            Mark::Deprecated => AuditKind::ActionDeprecated,
            Mark::Yanked => AuditKind::ActionYanked,
            Mark::Revoked => AuditKind::ActionRevoked,
        }
    }
}

/// Which version gets which mark, or loses it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Marking {
    /// The tenant.
    pub(crate) tenant: Slug,
    /// The Action.
    pub(crate) slug: Slug,
    /// Its version.
    pub(crate) version: Version,
    /// The mark.
    pub(crate) mark: Mark,
    /// Whether it is set.
    pub(crate) on: bool,
    /// The etag of the version to be changed; empty for whatever it is.
    pub(crate) etag: String,
}

/// A version with its marks as they were when it was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Marked {
    /// The version, without its schema.
    pub(crate) version: ActionVersion,
    /// What is likely not what was meant.
    pub(crate) warnings: Vec<Warning>,
}

impl Catalogue {
    /// Marks a version; with the commit since when it is so. Setting what is set changes nothing. A version of a deleted
    /// Action can only be revoked: executable revisions may still pin it. NOT_FOUND `ACTION_NOT_FOUND`,
    /// `VERSION_NOT_FOUND`.
    pub(crate) async fn mark(
        &self,
        who: &str,
        marking: &Marking,
        request_id: &str,
    ) -> Result<(Marked, Revision), Error> {
        let Marking { tenant, slug, version, mark, on, etag } = marking;
        let request = RequestId::of(Some(tenant), request_id, "MarkVersion", marking)?;
        loop {
            self.tenants.get(tenant).await?;
            let keep = match requests::look(&self.shared, request.as_ref()).await? {
                Seen::Answered(marked) => {
                    let since = self.get(tenant, slug, version).await?.revision;
                    return Ok((marked, since));
                }
                Seen::New(keep) => keep,
            };
            let found = self.markable(marking).await?;
            etag::check(etag, &etag_of(&found.value)?, "version", format!("{slug}@{version}"))?;
            let changes = mark.is_on(&found.value) != *on;
            let warnings = if *on { self.still_attached(&found.value).await? } else { Vec::new() };
            let mut row = VersionRow { version: found.value.clone(), generation: found.generation };
            mark.set(&mut row.version, *on);
            let marked = Marked { version: ActionVersion { schema: None, ..row.version.clone() }, warnings };
            if !changes && !keep.is_asked() {
                return Ok((marked, found.revision));
            }
            let now = self.shared.clock.now();
            let mut batch = found.relied_on(Batch::new());
            if changes {
                let mut record = AuditRecord::new(now, mark.kind(), tenant.clone(), who);
                (record.slug, record.version) = (Some(slug.clone()), Some(version.clone()));
                record.from = Some(marks(&found.value));
                record.to = Some(marks(&row.version));
                batch = batch.put(found.key(), rows::encode(&row)?).append(keys::outbox(), outbox::row(&record)?);
            }
            if changes && *mark == Mark::Revoked {
                // Executors are told by this row: one that publishing does not write.
                batch = batch.put(keys::revoked(tenant, slug, version), rows::encode(&now)?);
            }
            if let Some(commit) = rows::commit(&*self.shared.store, keep.keep(batch, &marked, now)?).await? {
                if changes {
                    self.shared.metrics.catalogue_changed(mark.kind());
                    tracing::info!(%tenant, %slug, %version, kind = %mark.kind(), on, "a version was marked");
                }
                return Ok((marked, if changes { commit } else { found.revision }));
            }
        }
    }

    async fn markable(&self, marking: &Marking) -> Result<Published, Error> {
        let Marking { tenant, slug, version, mark, .. } = marking;
        match mark {
            Mark::Revoked => self.get(tenant, slug, version).await,
            Mark::Deprecated | Mark::Yanked => self.resolve(tenant, slug, &version.to_string()).await,
        }
    }

    /// A warning where newest revisions of flows have a version: the mark takes nothing away from them, or all.
    async fn still_attached(&self, version: &ActionVersion) -> Result<Vec<Warning>, Error> {
        let (tenant, slug) = (&version.tenant, &version.slug);
        let prefix = keys::uses(tenant, slug);
        let (mut flows, mut after) = (Vec::new(), None);
        loop {
            let page = self.shared.store.scan(Scan::of(prefix.clone()).after(after)).await?;
            for entry in &page.entries {
                if let Some(flow) = flow_of(&entry.key, &prefix)
                    && self.pins(tenant, &flow, version).await?
                {
                    flows.push(flow);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if flows.is_empty() {
            return Ok(Vec::new());
        }
        let message = format!("{slug}@{} is attached in {}", version.version, named(&flows));
        Ok(vec![Warning::new("attached", message)])
    }

    async fn pins(&self, tenant: &Slug, flow: &Slug, version: &ActionVersion) -> Result<bool, Error> {
        let Some(head) = find_head(&self.shared, tenant, flow).await? else { return Ok(false) };
        let newest = find_revision(&self.shared, tenant, flow, head.value.revision).await?;
        let mut attachments = newest.iter().flat_map(|row| &row.value.slots).flat_map(|slot| &slot.attachments);
        Ok(attachments.any(|found| found.slug == version.slug && found.version == version.version))
    }
}

/// The flow that a row of uses is about.
pub(super) fn flow_of(key: &Key, prefix: &Key) -> Option<Slug> {
    Slug::parse(&key.parts_after(prefix)?.text()?).ok()
}

/// Flows as a message names them.
pub(super) fn named(flows: &[Slug]) -> String {
    let shown: Vec<&str> = flows.iter().take(MAX_NAMED).map(Slug::as_str).collect();
    let what = if flows.len() == 1 { "flow" } else { "flows" };
    match flows.len() - shown.len() {
        0 => format!("{what} {}", shown.join(", ")),
        more => format!("{what} {} and {more} more", shown.join(", ")),
    }
}

fn marks(version: &ActionVersion) -> serde_json::Value {
    json!({ "deprecated": version.deprecated, "yanked": version.yanked, "revoked": version.revoked })
}
