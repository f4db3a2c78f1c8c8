//! `sluice dev --watch DIR`: publishes what is saved, and has the flows of the local set-up run it.

use crate::{
    client::{ControlUrl, Wire},
    file,
    screen::{Look, Screen, View},
    stop::{Refusal, Stop, Told},
    verbs::{publish, test},
    watch::Watch,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::control::v1::{
    self as control, catalog_service_client::CatalogServiceClient, flow_service_client::FlowServiceClient,
    publish_header::Next,
};
use sluice_model::Error;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The most flows that are looked through.
const MAX_FLOWS: u32 = 1_000;

/// What is watched, and where it goes.
pub(super) struct Live {
    folder: PathBuf,
    tenant: String,
    watch: Watch,
    catalog: CatalogServiceClient<Wire>,
    flows: FlowServiceClient<Wire>,
}

/// What became of a save: `{tenant, slug | null, version | null, created, pinned: [{flow, attachment, revision}], error | null}`
#[derive(Debug, Serialize)]
struct Republished {
    tenant: String,
    slug: Option<String>,
    version: Option<String>,
    created: bool,
    pinned: Vec<Pinned>,
    error: Option<Refusal>,
    #[serde(skip)]
    told: String,
    #[serde(skip)]
    hint: String,
}

#[derive(Debug, Serialize)]
struct Pinned {
    flow: String,
    attachment: String,
    revision: u64,
}

impl View for Republished {
    fn render(&self, look: &Look) -> String {
        let mut text = String::new();
        if let (Some(slug), Some(version)) = (&self.slug, &self.version) {
            let what = if self.created { "published" } else { "is what is published" };
            text.push_str(&format!("{} {} {what}\n", look.good("✓"), look.strong(&format!("{slug}@{version}"))));
        }
        for Pinned { flow, attachment, revision } in &self.pinned {
            text.push_str(&format!("  {flow} runs it at {attachment}, revision {revision}\n"));
        }
        if self.error.is_some() {
            text.push_str(&format!("{} {}\n", look.bad("✗"), self.told));
        }
        text.push_str(&look.hint(&self.hint));
        text
    }
}

impl Live {
    /// Makes the tenant where it is not there, and begins to watch.
    pub(super) async fn begin(folder: &Path, tenant: &str, control: &ControlUrl) -> Result<Live, Stop> {
        if packages(folder).is_empty() {
            let message = format!("{} has no action.toml, and no folder in it has one", folder.display());
            return Err(Error::field("--watch", message).into());
        }
        let request = control::CreateTenantRequest { tenant: tenant.to_owned(), request_id: String::new() };
        match control.tenants().await?.create_tenant(request).await {
            Ok(_) => {}
            Err(status) if status.code() == tonic::Code::AlreadyExists => {}
            Err(status) => return Err(status.into()),
        }
        Ok(Live {
            folder: folder.to_owned(),
            tenant: tenant.to_owned(),
            watch: Watch::new(folder)?,
            catalog: control.catalog().await?,
            flows: control.flows().await?,
        })
    }

    /// Publishes all, and then what is saved, until it is dropped.
    pub(super) async fn go_on(mut self, screen: &Screen) {
        for package in packages(&self.folder) {
            self.save(&package, screen).await;
        }
        loop {
            let saved = self.watch.changed().await;
            screen.say(|look| look.strong(&format!("\n{} {}\n", look.time(Timestamp::now()), test::named(&saved))));
            for package in packages(&self.folder) {
                let inner = package.strip_prefix(&self.folder).unwrap_or(Path::new(""));
                if saved.iter().any(|file| file.starts_with(inner)) {
                    self.save(&package, screen).await;
                }
            }
        }
    }

    async fn save(&mut self, package: &Path, screen: &Screen) {
        let mut done = Republished {
            tenant: self.tenant.clone(),
            slug: None,
            version: None,
            created: false,
            pinned: Vec::new(),
            error: None,
            told: String::new(),
            hint: String::new(),
        };
        if let Err(Stop { error: Some(error), .. }) = self.republish(package, &mut done).await {
            done.told = Told(&error).to_string();
            done.error = Some(Refusal::from(&*error));
        }
        screen.show(&done);
    }

    /// Publishes a package as the next version, and pins it wherever the Action is attached.
    async fn republish(&mut self, package: &Path, done: &mut Republished) -> Result<(), Stop> {
        let package = file::read_package(package)?;
        let slug = package.manifest.slug.to_string();
        let archive = Bytes::from(package.to_archive());
        let published = match self.publish(control::Bump::Patch, &archive).await {
            // Here nobody else depends on it: configs that do not fit any more are told where they are pinned.
            Err(error) if error.reason == "MAJOR_VERSION_REQUIRED" => {
                self.publish(control::Bump::Major, &archive).await?
            }
            published => published?,
        };
        let version = published.version.unwrap_or_default().version;
        (done.slug, done.version, done.created) = (Some(slug.clone()), Some(version.clone()), published.created);
        let attached = self.attached(&slug).await?;
        if attached.is_empty() {
            let trigger = package.manifest.triggers.first().map_or("post-login", |trigger| trigger.as_str());
            done.hint = format!("Next: sluice flow attach FLOW --trigger {trigger} --action {slug}");
        }
        let mut refused = None;
        for (flow, attachment, pinned) in attached {
            if pinned == version {
                continue;
            }
            let request = control::PinAttachmentRequest {
                tenant: self.tenant.clone(),
                flow: flow.clone(),
                attachment: attachment.clone(),
                version: version.clone(),
                ..control::PinAttachmentRequest::default()
            };
            match self.flows.pin_attachment(request).await {
                Ok(saved) => {
                    let revision = saved.into_inner().saved.unwrap_or_default().revision;
                    done.pinned.push(Pinned { flow, attachment, revision });
                }
                // A config that does not fit any more keeps no other flow from the new version.
                Err(status) => {
                    let mut error = sluice_api::status::from_status(&status);
                    error.message = format!("{flow} still runs {slug}@{pinned} at {attachment}: {}", error.message);
                    refused.get_or_insert(error);
                }
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn publish(
        &mut self,
        bump: control::Bump,
        archive: &Bytes,
    ) -> Result<control::PublishVersionResponse, Error> {
        let header = control::PublishHeader {
            tenant: self.tenant.clone(),
            next: Some(Next::Bump(bump.into())),
            request_id: String::new(),
        };
        publish::send(&mut self.catalog, header, archive).await
    }

    /// Where an Action is attached: the flow, the attachment and the version.
    async fn attached(&mut self, slug: &str) -> Result<Vec<(String, String, String)>, Stop> {
        let request =
            control::ListFlowsRequest { tenant: self.tenant.clone(), page_size: MAX_FLOWS, page_token: String::new() };
        let flows = self.flows.list_flows(request).await?.into_inner().flows;
        let mut found = Vec::new();
        for flow in flows {
            let request = control::GetFlowRequest { tenant: self.tenant.clone(), flow: flow.flow.clone(), revision: 0 };
            let shown = match self.flows.get_flow(request).await {
                Ok(shown) => shown.into_inner().flow.unwrap_or_default(),
                // Somebody has deleted it meanwhile.
                Err(status) if status.code() == tonic::Code::NotFound => continue,
                Err(status) => return Err(status.into()),
            };
            let attachments = shown.slots.into_iter().flat_map(|slot| slot.attachments);
            let own = attachments.filter(|attachment| attachment.slug == slug);
            found.extend(own.map(|a| (flow.flow.clone(), a.attachment, a.version)));
        }
        Ok(found)
    }
}

/// The packages of a folder: itself, or those right in it.
fn packages(folder: &Path) -> BTreeSet<PathBuf> {
    let is_package = |path: &PathBuf| path.join("action.toml").is_file();
    if is_package(&folder.to_owned()) {
        return BTreeSet::from([folder.to_owned()]);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_package_or_holds_some() {
        let folder = tempfile::tempdir().unwrap();
        assert!(packages(folder.path()).is_empty());
        for name in ["b", "a", "no"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["b", "a"] {
            std::fs::write(folder.path().join(name).join("action.toml"), "").unwrap();
        }
        let found: Vec<_> = packages(folder.path()).into_iter().collect();
        assert_eq!(found, [folder.path().join("a"), folder.path().join("b")]);
        std::fs::write(folder.path().join("action.toml"), "").unwrap();
        assert_eq!(packages(folder.path()), BTreeSet::from([folder.path().to_owned()]));
    }
}
