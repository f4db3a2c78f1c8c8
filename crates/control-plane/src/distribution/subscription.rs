//! Which tenants an executor hears of.

use sluice_model::Slug;
use std::collections::BTreeSet;

/// Which tenants an executor hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// All, also those made later.
    All,
    /// These, also where they are made later.
    Tenants(BTreeSet<Slug>),
    /// Those that it has asked for so far.
    OnDemand(BTreeSet<Slug>),
}

impl Subscription {
    /// Whether it hears of a tenant.
    pub(crate) fn has(&self, tenant: &Slug) -> bool {
        self.tenants().is_none_or(|tenants| tenants.contains(tenant))
    }

    /// The tenants; `None` for all.
    pub(crate) fn tenants(&self) -> Option<&BTreeSet<Slug>> {
        match self {
            Subscription::All => None,
            Subscription::Tenants(tenants) | Subscription::OnDemand(tenants) => Some(tenants),
        }
    }

    /// Adds tenants that it asks for.
    pub(super) fn add(&mut self, more: &[Slug]) {
        if let Subscription::OnDemand(tenants) = self {
            tenants.extend(more.iter().cloned());
        }
    }

    /// Takes tenants out that it wants no more.
    pub(super) fn remove(&mut self, fewer: &[Slug]) {
        if let Subscription::OnDemand(tenants) = self {
            for tenant in fewer {
                tenants.remove(tenant);
            }
        }
    }
}
