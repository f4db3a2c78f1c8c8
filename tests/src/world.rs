//! A control plane, executors and a flow that is re-pinned all the time: what the fault tests have in common.

use crate::{Cli, Server, control_plane, executor, load::channel};
use sluice_api::control::v1::{
    GetRolloutRequest, PinAttachmentRequest, PublishHeader, PublishVersionRequest, SavedFlow,
    catalog_service_client::CatalogServiceClient, flow_service_client::FlowServiceClient, publish_header::Next,
    publish_version_request::Message,
};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::Channel;

/// The tenant of the load.
pub const TENANT: &str = "acme";
/// Its flow.
pub const FLOW: &str = "login";
/// The two versions that the flow is pinned to in turn. Each says in its answer which it is.
pub const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

/// One control plane and executors, a tenant with an Action in two versions, and a flow with that Action attached.
pub struct World {
    /// The control plane.
    pub control: Server,
    /// The executors.
    pub executors: Vec<Server>,
    /// The attachment.
    pub attachment: String,
    /// The flow's revision once it was attached.
    pub revision: u64,
    _folder: TempDir,
}

impl World {
    /// Starts everything.
    pub fn start(executors: usize) -> World {
        let control = control_plane();
        let url = control.url("control");
        World::start_with(control, &url, executors, &[])
    }

    /// The same with a control plane that runs already, that the executors know by the address `known_as`, and with variables
    /// in the executors' environment.
    pub fn start_with(control: Server, known_as: &str, executors: usize, variables: &[(&str, &str)]) -> World {
        let url = control.url("control");
        let executors: Vec<Server> = (0..executors).map(|_| executor(known_as, variables)).collect();
        let folder = TempDir::new().unwrap();
        let cli = Cli { control: url, executor: executors[0].url("executor"), tenant: TENANT.into() };
        cli.run(&["tenant", "create", TENANT]);
        for version in VERSIONS {
            let package = package(folder.path(), version);
            cli.run(&["action", "publish", &package, "--version", version]);
        }
        cli.run(&["flow", "create", FLOW]);
        let attached = cli.run(&["flow", "attach", FLOW, "--trigger", "post-login", "--action", "who@1.0.0"]);
        let attachment = attached["attachment"].as_str().unwrap().to_owned();
        World { control, executors, attachment, revision: attached["revision"].as_u64().unwrap(), _folder: folder }
    }

    /// The command line, with the first executor.
    pub fn cli(&self) -> Cli {
        Cli { control: self.control.url("control"), executor: self.executors[0].url("executor"), tenant: TENANT.into() }
    }

    /// The executors' addresses.
    pub fn urls(&self) -> Vec<String> {
        self.executors.iter().map(|e| e.url("executor")).collect()
    }

    /// Somebody who edits the flow.
    pub fn editor(&self) -> Editor {
        Editor {
            client: FlowServiceClient::new(channel(&self.control.url("control"))),
            attachment: self.attachment.clone(),
        }
    }
}

const MANIFEST: &str = r#"
slug = "who"
name = "Who"
description = "Says which version it is."
triggers = ["post-login"]
"#;

fn code(version: &str) -> String {
    format!("export function execute() {{ return {{ kind: 'continue', state: {{ ran: '{version}' }} }} }}\n")
}

fn package(folder: &std::path::Path, version: &str) -> String {
    let folder = folder.join(version);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("action.toml"), MANIFEST).unwrap();
    std::fs::write(folder.join("src/index.ts"), code(version)).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// The package of a version of the Action with 200 lines of TypeScript, as a .tar.gz.
pub fn package_of_200_lines(version: &str) -> Vec<u8> {
    let mut source: String = (0..39)
        .map(|n| {
            format!(
                "interface Rule{n} {{ id: string; weight: number }}\n\
                 export function weigh{n}(rule: Rule{n}, factor: number = {n}): number {{\n  \
                   const weighed: number = rule.weight * factor\n  \
                   return rule.id.length > 3 ? weighed : 0\n}}\n"
            )
        })
        .collect();
    source.push_str("\n\n\n\n");
    source.push_str(&code(version));
    assert_eq!(source.lines().count(), 200);
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, text) in [("action.toml", MANIFEST), ("src/index.ts", &source)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// Publishes a package as a version of the tenant's.
pub async fn publish(control: &str, package: Vec<u8>, version: &str) {
    let header = PublishHeader {
        tenant: TENANT.into(),
        next: Some(Next::Version(version.into())),
        request_id: format!("publish-{version}"),
    };
    let messages = [Message::Header(header), Message::Chunk(package.into())];
    let messages = messages.map(|message| PublishVersionRequest { message: Some(message) });
    let mut client = CatalogServiceClient::new(channel(control));
    client.publish_version(tokio_stream::iter(messages)).await.unwrap();
}

/// Pins versions and does not give up: an edit is tried with one request id until its answer comes.
#[derive(Clone)]
pub struct Editor {
    client: FlowServiceClient<Channel>,
    attachment: String,
}

impl Editor {
    /// Pins a version; answers what was saved, and how often it had to be asked.
    pub async fn pin(&mut self, version: &str, request_id: &str) -> (SavedFlow, u32) {
        let request = PinAttachmentRequest {
            tenant: TENANT.into(),
            flow: FLOW.into(),
            attachment: self.attachment.clone(),
            version: version.into(),
            config: None,
            etag: String::new(),
            request_id: request_id.into(),
        };
        let asked = async {
            for attempt in 1.. {
                let mut asked = tonic::Request::new(request.clone());
                asked.set_timeout(Duration::from_secs(5));
                match self.client.pin_attachment(asked).await {
                    Ok(saved) => return (saved.into_inner().saved.unwrap(), attempt),
                    Err(status) => {
                        // What another attempt cannot mend is a defect.
                        use tonic::Code::{Cancelled, DeadlineExceeded, Unavailable, Unknown};
                        assert!(
                            matches!(status.code(), Unavailable | Unknown | Cancelled | DeadlineExceeded),
                            "{status}"
                        );
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            unreachable!("it goes on until it is answered")
        };
        tokio::time::timeout(crate::PATIENCE, asked).await.expect("an edit is answered in the end")
    }

    /// Waits until every connected executor has a revision; answers how many that are.
    pub async fn rolled_out(&mut self, revision: u64) -> u32 {
        let wait = Some(prost_types::Duration { seconds: 5, nanos: 0 });
        let request = GetRolloutRequest { tenant: TENANT.into(), flow: FLOW.into(), revision, wait };
        let rollout = self.client.get_rollout(request).await.unwrap().into_inner().rollout.unwrap();
        assert_eq!(rollout.waiting, 0, "revision {revision} is not everywhere after 5 s: {rollout:?}");
        rollout.have
    }
}
