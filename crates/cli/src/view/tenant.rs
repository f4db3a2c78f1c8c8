//! Tenants and where they may send their users.

use super::{Cell, Entry, flow::Rollout};
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

/// `{tenant, created_at, break_glass, etag}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tenant {
    tenant: String,
    created_at: Timestamp,
    break_glass: bool,
    etag: String,
}

impl TryFrom<control::Tenant> for Tenant {
    type Error = Stop;

    fn try_from(tenant: control::Tenant) -> Result<Tenant, Stop> {
        let created_at = required(tenant.created_at).and_then(timestamp).ctx("created_at")?;
        Ok(Tenant { tenant: tenant.tenant, created_at, break_glass: tenant.break_glass, etag: tenant.etag })
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
    const COLUMNS: &'static [&'static str] = &["TENANT", "CREATED", "CUSTOM ACTIONS"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let actions = if self.break_glass { Cell::new("off (break-glass)").bad() } else { Cell::new("on").faint() };
        vec![Cell::new(&self.tenant), Cell::new(look.time(self.created_at)).faint(), actions]
    }
}

/// What `tenant show` tells, in the same JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct TenantShown(pub(crate) Tenant);

impl View for TenantShown {
    fn render(&self, look: &Look) -> String {
        let Tenant { tenant, created_at, break_glass, etag } = &self.0;
        let actions = match break_glass {
            true => look.bad("off: the break-glass switch is on, and custom Actions are skipped"),
            false => "on".to_owned(),
        };
        format!("{}  made {}, etag {etag}\ncustom Actions: {actions}\n", look.strong(tenant), look.time(*created_at))
    }
}

/// What a turn of the switch tells: `{tenant, break_glass, etag, rollout: {have, waiting}}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BreakGlass {
    tenant: String,
    break_glass: bool,
    etag: String,
    rollout: Rollout,
    /// Whether the last executor was waited for.
    #[serde(skip)]
    waited: bool,
}

impl BreakGlass {
    pub(crate) fn new(answer: control::SetBreakGlassResponse, waited: bool) -> Result<BreakGlass, Stop> {
        let control::Tenant { tenant, break_glass, etag, .. } = required(answer.tenant).ctx("tenant")?;
        Ok(BreakGlass { tenant, break_glass, etag, rollout: answer.rollout.into(), waited })
    }
}

impl View for BreakGlass {
    fn render(&self, look: &Look) -> String {
        let tenant = look.strong(&self.tenant);
        let says = match self.break_glass {
            true => format!("custom Actions of {tenant} are skipped"),
            false => format!("custom Actions of {tenant} run"),
        };
        format!("{} {says}: {}\n", look.good("✓"), self.rollout.told(look, self.waited, "so on"))
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
