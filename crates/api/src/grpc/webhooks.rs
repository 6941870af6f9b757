//! `fleet.v1.Webhooks`: signatures for messages that `jobs` delivers.

use std::sync::Arc;

use model::WebhookId;
use proto::fleet as pb;
use storage::control::webhooks;
use tonic::{Request, Response, Status};

use super::{counted, status};
use crate::state::App;
use crate::webhooks::Secret;

pub(super) struct Webhooks {
    pub(super) app: Arc<App>,
}

#[tonic::async_trait]
impl pb::webhooks_server::Webhooks for Webhooks {
    async fn sign_webhook(
        &self,
        request: Request<pb::SignWebhookRequest>,
    ) -> Result<Response<pb::SignWebhookResponse>, Status> {
        counted(
            "Webhooks/SignWebhook",
            self.sign(&request.into_inner()).await,
        )
    }
}

impl Webhooks {
    async fn sign(
        &self,
        request: &pb::SignWebhookRequest,
    ) -> Result<pb::SignWebhookResponse, Status> {
        let gone = || Status::not_found("no such webhook");
        let id = WebhookId::parse(&request.webhook_id).map_err(|_| gone())?;
        let found = webhooks::secret(&self.app.pool, &id)
            .await
            .map_err(status)?;
        let (url, sealed) = found.ok_or_else(gone)?;
        let secret = Secret::unseal(&self.app, &id, &sealed).map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "A webhook cannot be signed"
            );
            Status::internal("the secret cannot be unsealed")
        })?;
        let timestamp_unix = self.app.now().as_secs();
        Ok(pb::SignWebhookResponse {
            signature: secret.sign(&request.message_id, timestamp_unix, &request.body),
            url,
            timestamp_unix,
        })
    }
}
