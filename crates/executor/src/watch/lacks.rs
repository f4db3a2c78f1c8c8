//! Modules that cannot be had, so that nobody believes that what pins them runs here.

use crate::{
    modules::{Module, Modules},
    state::State,
};
use sluice_api::distribution::v1 as wire;
use sluice_model::Slug;
use std::{collections::HashMap, sync::Arc};

/// The most that are told.
const MAX_TOLD: usize = 1_000;

/// The versions of a state whose modules are lacking, by name.
pub(super) fn of(state: &State) -> wire::MissingModules {
    let mut found = Vec::new();
    for (tenant, slug, version, info) in state.versions() {
        // Nobody waits for the module of a version that is never run again.
        if let Some(reason) = info.module.lacking().filter(|_| !info.is_revoked) {
            found.push(((tenant, slug, version), reason));
        }
    }
    found.sort_unstable_by_key(|(a, _)| *a);
    found.truncate(MAX_TOLD);
    let missing = found.into_iter().map(|((tenant, slug, version), reason)| {
        let (tenant, slug, version) = (tenant.to_string(), slug.to_string(), version.to_string());
        let version = Some(wire::VersionName { tenant, slug, version });
        wire::MissingModule { version, reason: String::clone(&reason) }
    });
    wire::MissingModules { modules: missing.collect() }
}

/// Tries the modules again that are lacking, each once.
pub(super) async fn try_again(state: &State, modules: &Modules) {
    let lacking = state.modules().filter(|(_, module)| module.lacking().is_some());
    let lacking: HashMap<&str, (&Slug, &Arc<Module>)> =
        lacking.map(|(tenant, module)| (module.digest(), (tenant, module))).collect();
    for (tenant, module) in lacking.into_values() {
        // What becomes of it is remembered by the module.
        let _tried = modules.load(tenant, module).await;
    }
}
