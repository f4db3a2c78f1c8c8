//! `CatalogService`.

use super::{MAX_WAIT, action_slug, answer, opened, operator, tenant, to_wire_rollout, to_wire_warnings};
use crate::catalogue::{self, Action, Catalogue, Deletion, Mark, Marked, Marking, Publish, Publisher};
use crate::distribution::Distribution;
use crate::store::Revision;
use crate::{keys, page};
use bytes::{Bytes, BytesMut};
use sluice_api::control::v1::{self as wire, catalog_service_server::CatalogService, publish_version_request::Message};
use sluice_api::convert::{self, Ctx as _, Word as _};
use sluice_api::{status, types::v1 as types};
use sluice_compiler::MAX_ARCHIVE_BYTES;
use sluice_model::version::ActionVersion;
use sluice_model::{Code, Error};
use sluice_serve::Principal;
use tonic::{Request, Response, Status, Streaming};

/// The most bytes of one chunk.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The service.
pub(crate) struct CatalogEdge {
    catalogue: Catalogue,
    publisher: Publisher,
    distribution: Distribution,
}

/// What the requests that mark a version have in common.
struct AskedMark {
    tenant: String,
    slug: String,
    version: String,
    on: bool,
    etag: String,
    request_id: String,
}

impl CatalogEdge {
    pub(crate) fn new(catalogue: Catalogue, publisher: Publisher, distribution: Distribution) -> CatalogEdge {
        CatalogEdge { catalogue, publisher, distribution }
    }

    async fn publish(
        &self,
        principal: Principal,
        header: wire::PublishHeader,
        chunks: &mut Streaming<wire::PublishVersionRequest>,
    ) -> Result<wire::PublishVersionResponse, Error> {
        // Who may not publish here is told before the package is taken.
        let tenant = tenant(&principal, &header.tenant)?;
        let next = convert::next_version(header.next)?;
        let archive = collect(chunks).await?;
        let publish = Publish { tenant, next, archive, request_id: header.request_id };
        let published = self.publisher.publish(&principal.name, publish).await?;
        Ok(wire::PublishVersionResponse {
            version: Some(shown(published.version)?),
            created: published.created,
            warnings: to_wire_warnings(published.warnings),
        })
    }

    async fn actions(
        &self,
        principal: Principal,
        asked: wire::ListActionsRequest,
    ) -> Result<wire::ListActionsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let after = page::after(&asked.page_token, &keys::actions(&tenant))?;
        let found = self.catalogue.actions(&tenant, after, page::size(asked.page_size)?).await?;
        Ok(wire::ListActionsResponse {
            actions: found.entries.into_iter().map(to_wire).collect(),
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn versions(
        &self,
        principal: Principal,
        asked: wire::ListVersionsRequest,
    ) -> Result<wire::ListVersionsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let slug = action_slug(&asked.slug).ctx("slug")?;
        let after = page::after(&asked.page_token, &keys::versions(&tenant, &slug))?;
        let found = self.catalogue.versions(&tenant, &slug, after, page::size(asked.page_size)?).await?;
        let bare = |version: ActionVersion| shown(ActionVersion { schema: None, ..version });
        Ok(wire::ListVersionsResponse {
            versions: found.entries.into_iter().map(bare).collect::<Result<_, _>>()?,
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn version(
        &self,
        principal: Principal,
        asked: wire::GetVersionRequest,
    ) -> Result<wire::GetVersionResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let slug = action_slug(&asked.slug).ctx("slug")?;
        let found = self.catalogue.show(&tenant, &slug, &asked.version).await?;
        Ok(wire::GetVersionResponse { version: Some(shown(found)?) })
    }

    async fn action(
        &self,
        principal: Principal,
        asked: wire::GetActionRequest,
    ) -> Result<wire::GetActionResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let slug = action_slug(&asked.slug).ctx("slug")?;
        let action = self.catalogue.show_action(&tenant, &slug).await?;
        Ok(wire::GetActionResponse { action: Some(to_wire(action)) })
    }

    async fn mark(&self, principal: &Principal, mark: Mark, asked: AskedMark) -> Result<(Marked, Revision), Error> {
        let marking = Marking {
            tenant: tenant(principal, &asked.tenant)?,
            slug: action_slug(&asked.slug).ctx("slug")?,
            version: convert::exact_version(&asked.version).ctx("version")?,
            mark,
            on: asked.on,
            etag: asked.etag,
        };
        self.catalogue.mark(&principal.name, &marking, &asked.request_id).await
    }

    async fn deprecate(
        &self,
        principal: Principal,
        asked: wire::DeprecateVersionRequest,
    ) -> Result<wire::DeprecateVersionResponse, Error> {
        let wire::DeprecateVersionRequest { tenant, slug, version, undo, etag, request_id } = asked;
        let asked = AskedMark { tenant, slug, version, on: !undo, etag, request_id };
        let (marked, _) = self.mark(&principal, Mark::Deprecated, asked).await?;
        let warnings = to_wire_warnings(marked.warnings);
        Ok(wire::DeprecateVersionResponse { version: Some(shown(marked.version)?), warnings })
    }

    async fn yank(
        &self,
        principal: Principal,
        asked: wire::YankVersionRequest,
    ) -> Result<wire::YankVersionResponse, Error> {
        let wire::YankVersionRequest { tenant, slug, version, undo, etag, request_id } = asked;
        let asked = AskedMark { tenant, slug, version, on: !undo, etag, request_id };
        let (marked, _) = self.mark(&principal, Mark::Yanked, asked).await?;
        let warnings = to_wire_warnings(marked.warnings);
        Ok(wire::YankVersionResponse { version: Some(shown(marked.version)?), warnings })
    }

    async fn revoke(
        &self,
        principal: Principal,
        asked: wire::RevokeVersionRequest,
    ) -> Result<wire::RevokeVersionResponse, Error> {
        operator(&principal)?;
        let wire::RevokeVersionRequest { tenant, slug, version, etag, request_id, wait } = asked;
        let wait = convert::duration(wait, MAX_WAIT).ctx("wait")?;
        let asked = AskedMark { tenant, slug, version, on: true, etag, request_id };
        let (marked, since) = self.mark(&principal, Mark::Revoked, asked).await?;
        let rollout = self.distribution.judged(&marked.version.tenant, since, wait).await;
        Ok(wire::RevokeVersionResponse {
            version: Some(shown(marked.version)?),
            warnings: to_wire_warnings(marked.warnings),
            rollout: Some(to_wire_rollout(rollout)),
        })
    }

    async fn delete(
        &self,
        principal: Principal,
        asked: wire::DeleteActionRequest,
    ) -> Result<wire::DeleteActionResponse, Error> {
        let deletion = Deletion {
            tenant: tenant(&principal, &asked.tenant)?,
            slug: action_slug(&asked.slug).ctx("slug")?,
            etag: asked.etag,
        };
        let newest = self.catalogue.delete(&principal.name, &deletion, &asked.request_id).await?;
        Ok(wire::DeleteActionResponse { newest: newest.to_string() })
    }
}

/// A version with its etag.
fn shown(version: ActionVersion) -> Result<types::Version, Error> {
    let etag = catalogue::etag_of(&version)?;
    Ok(types::Version { etag, ..version.into() })
}

/// The package that comes in chunks.
async fn collect(chunks: &mut Streaming<wire::PublishVersionRequest>) -> Result<Bytes, Error> {
    let mut archive = BytesMut::new();
    loop {
        match chunks.message().await.map_err(|status| status::from_status(&status))? {
            None if archive.is_empty() => {
                return Err(Error::field("chunk", "is required: a .tar.gz of the package's folder"));
            }
            None => return Ok(archive.freeze()),
            Some(wire::PublishVersionRequest { message: Some(Message::Chunk(chunk)) }) => {
                if chunk.len() > MAX_CHUNK_BYTES {
                    let message = format!("has {} bytes; a chunk has at most {MAX_CHUNK_BYTES}", chunk.len());
                    return Err(Error::field("chunk", message));
                }
                if archive.len() + chunk.len() > MAX_ARCHIVE_BYTES {
                    let message = format!("the package has over {MAX_ARCHIVE_BYTES} bytes, the most that are taken");
                    return Err(Error::field("chunk", message));
                }
                archive.extend_from_slice(&chunk);
            }
            Some(wire::PublishVersionRequest { message: Some(Message::Header(_)) }) => {
                return Err(Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", "the header comes once, first")
                    .with_field("header", "comes once, first"));
            }
            Some(wire::PublishVersionRequest { message: None }) => {
                return Err(Error::field("message", "is required: a chunk"));
            }
        }
    }
}

fn to_wire(action: Action) -> wire::Action {
    wire::Action {
        slug: action.slug.to_string(),
        name: action.name,
        kind: action.kind.to_wire(),
        triggers: action.triggers.iter().map(ToString::to_string).collect(),
        attached: action.attached,
        newest: action.newest.to_string(),
        etag: action.etag,
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogEdge {
    async fn publish_version(
        &self,
        request: Request<Streaming<wire::PublishVersionRequest>>,
    ) -> Result<Response<wire::PublishVersionResponse>, Status> {
        let (principal, mut messages) = opened(request)?;
        let Some(Message::Header(header)) = super::first(&mut messages).await?.message else {
            let error = Error::new(Code::InvalidArgument, "PROTOCOL_VIOLATION", "the first message is the header");
            return Err(status::to_status(error.with_field("header", "is required, first")));
        };
        answer(self.publish(principal, header, &mut messages).await)
    }

    async fn list_actions(
        &self,
        request: Request<wire::ListActionsRequest>,
    ) -> Result<Response<wire::ListActionsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.actions(principal, asked).await)
    }

    async fn list_versions(
        &self,
        request: Request<wire::ListVersionsRequest>,
    ) -> Result<Response<wire::ListVersionsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.versions(principal, asked).await)
    }

    async fn get_version(
        &self,
        request: Request<wire::GetVersionRequest>,
    ) -> Result<Response<wire::GetVersionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.version(principal, asked).await)
    }

    async fn get_action(
        &self,
        request: Request<wire::GetActionRequest>,
    ) -> Result<Response<wire::GetActionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.action(principal, asked).await)
    }

    async fn deprecate_version(
        &self,
        request: Request<wire::DeprecateVersionRequest>,
    ) -> Result<Response<wire::DeprecateVersionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.deprecate(principal, asked).await)
    }

    async fn yank_version(
        &self,
        request: Request<wire::YankVersionRequest>,
    ) -> Result<Response<wire::YankVersionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.yank(principal, asked).await)
    }

    async fn revoke_version(
        &self,
        request: Request<wire::RevokeVersionRequest>,
    ) -> Result<Response<wire::RevokeVersionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.revoke(principal, asked).await)
    }

    async fn delete_action(
        &self,
        request: Request<wire::DeleteActionRequest>,
    ) -> Result<Response<wire::DeleteActionResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.delete(principal, asked).await)
    }
}
