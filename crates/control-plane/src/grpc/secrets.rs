//! `SecretService`.

use super::{MAX_WAIT, answer, opened, tenant, to_wire_rollout, to_wire_warnings};
use crate::distribution::Distribution;
use crate::secrets::{Listed, RemoveSecret, Secret, Secrets, SetSecret};
use crate::{keys, page};
use sluice_api::control::v1::{self as wire, secret_service_server::SecretService};
use sluice_api::convert::{self, Ctx as _};
use sluice_model::{Error, Slug};
use sluice_serve::{Principal, seal::SecretText};
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct SecretEdge {
    secrets: Secrets,
    distribution: Distribution,
}

impl SecretEdge {
    pub(crate) fn new(secrets: Secrets, distribution: Distribution) -> SecretEdge {
        SecretEdge { secrets, distribution }
    }

    async fn set(&self, principal: Principal, asked: wire::SetSecretRequest) -> Result<wire::SetSecretResponse, Error> {
        // First, so that whatever is refused wipes it.
        let value = SecretText::new(asked.value);
        let tenant = tenant(&principal, &asked.tenant)?;
        let wait = convert::duration(asked.wait, MAX_WAIT).ctx("wait")?;
        let set = SetSecret { tenant, name: asked.name, value, etag: asked.etag };
        let (secret, since) = self.secrets.set(&principal.name, &set, &asked.request_id).await?;
        let rollout = self.distribution.judged(&set.tenant, since, wait).await;
        Ok(wire::SetSecretResponse {
            secret: Some(to_wire(secret, Vec::new())?),
            rollout: Some(to_wire_rollout(rollout)),
        })
    }

    async fn list(
        &self,
        principal: Principal,
        asked: wire::ListSecretsRequest,
    ) -> Result<wire::ListSecretsResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let after = page::after(&asked.page_token, &keys::secrets(&tenant))?;
        let found = self.secrets.list(&tenant, after, page::size(asked.page_size)?).await?;
        let secrets = found.entries.into_iter().map(|Listed { secret, used_by }| to_wire(secret, used_by));
        Ok(wire::ListSecretsResponse {
            secrets: secrets.collect::<Result<_, _>>()?,
            next_page_token: page::token(found.next.as_ref()),
        })
    }

    async fn remove(
        &self,
        principal: Principal,
        asked: wire::RemoveSecretRequest,
    ) -> Result<wire::RemoveSecretResponse, Error> {
        let tenant = tenant(&principal, &asked.tenant)?;
        let wait = convert::duration(asked.wait, MAX_WAIT).ctx("wait")?;
        let remove = RemoveSecret { tenant, name: asked.name, etag: asked.etag };
        let (removed, since) = self.secrets.remove(&principal.name, &remove, &asked.request_id).await?;
        let rollout = self.distribution.judged(&remove.tenant, since, wait).await;
        Ok(wire::RemoveSecretResponse {
            name: removed.name,
            version: removed.version,
            warnings: to_wire_warnings(removed.warnings),
            rollout: Some(to_wire_rollout(rollout)),
        })
    }
}

fn to_wire(secret: Secret, used_by: Vec<Slug>) -> Result<wire::Secret, Error> {
    Ok(wire::Secret {
        etag: secret.etag()?,
        name: secret.name,
        version: secret.version,
        created_at: Some(convert::to_timestamp(secret.created_at)),
        updated_at: Some(convert::to_timestamp(secret.updated_at)),
        updated_by: secret.updated_by,
        used_by: used_by.iter().map(Slug::to_string).collect(),
    })
}

#[tonic::async_trait]
impl SecretService for SecretEdge {
    async fn set_secret(
        &self,
        request: Request<wire::SetSecretRequest>,
    ) -> Result<Response<wire::SetSecretResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.set(principal, asked).await)
    }

    async fn list_secrets(
        &self,
        request: Request<wire::ListSecretsRequest>,
    ) -> Result<Response<wire::ListSecretsResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.list(principal, asked).await)
    }

    async fn remove_secret(
        &self,
        request: Request<wire::RemoveSecretRequest>,
    ) -> Result<Response<wire::RemoveSecretResponse>, Status> {
        let (principal, asked) = opened(request)?;
        answer(self.remove(principal, asked).await)
    }
}
