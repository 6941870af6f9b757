//! Tells a tenant's endpoint what a session did. What fails is tried again for about a day,
//! and then is a discarded job: the dead letter.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tonic::Code;

use crate::courier::{Courier, Message};
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::signer::Signer;

/// The job.
pub struct DeliverWebhook {
    signer: Signer,
    courier: Courier,
}

#[derive(Deserialize)]
struct Arguments {
    webhook_id: String,
    message_id: String,
    body: String,
}

impl DeliverWebhook {
    /// Its kind.
    pub const KIND: &'static str = "deliver_webhook";
    /// Its queue.
    pub const QUEUE: &'static str = "webhooks";

    /// One whose messages `signer` signs and `courier` brings.
    #[must_use]
    pub const fn new(signer: Signer, courier: Courier) -> Self {
        Self { signer, courier }
    }

    async fn deliver(&self, run: Run) -> Result<Done, Failure> {
        let arguments: Arguments = serde_json::from_value(run.arguments)
            .context("the arguments are no message")
            .map_err(Failure::Discard)?;
        let Some(message) = self.signed(arguments).await? else {
            return Ok(Done::Completed);
        };
        let courier = self.courier.clone();
        let sent = tokio::task::spawn_blocking(move || courier.send(&message));
        let status = sent
            .await
            .context("the courier")?
            .context("the endpoint cannot be called")?;
        match status {
            200..=299 => Ok(Done::Completed),
            status => Err(anyhow!("the endpoint answered {status}").into()),
        }
    }

    /// Signed anew for each attempt: receivers refuse old timestamps. None: the endpoint was
    /// removed.
    async fn signed(&self, arguments: Arguments) -> Result<Option<Message>, Failure> {
        let Arguments {
            webhook_id,
            message_id,
            body,
        } = arguments;
        let signed = self.signer.sign(&webhook_id, &message_id, &body).await;
        let signed = match signed {
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            signed => signed.context("sign at the api")?,
        };
        Ok(Some(Message {
            url: signed.url,
            id: message_id,
            timestamp_unix: signed.timestamp_unix,
            signature: signed.signature,
            body,
        }))
    }
}

impl Job for DeliverWebhook {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// Endpoints may be slow: nothing else waits for them.
    fn queue(&self) -> &'static str {
        Self::QUEUE
    }

    fn policy(&self) -> Policy {
        Policy {
            timeout: Duration::from_secs(30),
            attempts_max: 30,
            ..Policy::default()
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.deliver(run).await }.boxed()
    }
}
