//! The control plane, as far as it signs messages.

use std::time::Duration;

use proto::fleet::webhooks_client::WebhooksClient;
use proto::fleet::{SignWebhookRequest, SignWebhookResponse};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::Status;

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(5),
};

/// A client that connects on first use, and again after every loss.
#[derive(Clone)]
pub struct Signer(WebhooksClient<AuthorizedChannel>);

impl Signer {
    /// A client of the api at a URI.
    ///
    /// # Errors
    /// When it is not one that a token may be sent to, or the token cannot stand in a header.
    pub fn new(api: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("api_grpc", api, token, PATIENCE)?;
        Ok(Self(WebhooksClient::new(channel)))
    }

    pub(crate) async fn sign(
        &self,
        webhook_id: &str,
        message_id: &str,
        body: &str,
    ) -> Result<SignWebhookResponse, Status> {
        let request = SignWebhookRequest {
            webhook_id: webhook_id.to_owned(),
            message_id: message_id.to_owned(),
            body: body.to_owned(),
        };
        let response = self.0.clone().sign_webhook(request).await?;
        Ok(response.into_inner())
    }
}
