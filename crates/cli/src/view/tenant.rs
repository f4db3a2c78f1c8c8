//! Tenants and where they may send their users.

use super::{Cell, Entry};
use crate::{
    screen::{Look, View},
    stop::Stop,
};
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, required, timestamp},
};

/// `{tenant, created_at}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tenant {
    tenant: String,
    created_at: Timestamp,
}

impl TryFrom<control::Tenant> for Tenant {
    type Error = Stop;

    fn try_from(tenant: control::Tenant) -> Result<Tenant, Stop> {
        let created_at = required(tenant.created_at).and_then(timestamp).ctx("created_at")?;
        Ok(Tenant { tenant: tenant.tenant, created_at })
    }
}

/// What `tenant create` tells.
impl View for Tenant {
    fn render(&self, look: &Look) -> String {
        let done = look.good("✓");
        let hint = look.hint(&format!("Next: export SLUICE_TENANT={}, then sluice action publish DIR", self.tenant));
        format!("{done} tenant {} made\n{hint}", look.strong(&self.tenant))
    }
}

impl Entry for Tenant {
    const NONE: &'static str = "There is no tenant yet: sluice tenant create NAME makes one.";
    const COLUMNS: &'static [&'static str] = &["TENANT", "CREATED"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        vec![Cell::new(&self.tenant), Cell::new(look.time(self.created_at)).faint()]
    }
}

/// `{origin}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Origin {
    pub(crate) origin: String,
}

impl Entry for Origin {
    const NONE: &'static str = "No origin is allowed: every redirect of an Action is refused.";
    const COLUMNS: &'static [&'static str] = &["ORIGIN"];

    fn row(&self, _: &Look) -> Vec<Cell> {
        vec![Cell::new(&self.origin)]
    }
}

/// What a change of the allowed origins tells: `{tenant, origin, allowed}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OriginChanged {
    pub(crate) tenant: String,
    pub(crate) origin: String,
    pub(crate) allowed: bool,
}

impl View for OriginChanged {
    fn render(&self, look: &Look) -> String {
        let says = if self.allowed { "may send users to" } else { "may no longer send users to" };
        format!("{} Actions of {} {says} {}\n", look.good("✓"), self.tenant, look.strong(&self.origin))
    }
}
