//! The control plane, as this service calls it.

use std::time::Duration;

use proto::fleet::control_client::ControlClient;
use proto::fleet::{AuthorizeNodeRequest, ExpireSessionsRequest, SweepNodesRequest};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::Status;

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(10),
};

/// A client that connects on first use, and again after every loss.
#[derive(Clone)]
pub struct Control {
    client: ControlClient<AuthorizedChannel>,
}

impl Control {
    /// A client of the api at a URI.
    ///
    /// # Errors
    /// When it is not one that a token may be sent to, or the token cannot stand in a header.
    pub fn new(api: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("api_grpc", api, token, PATIENCE)?;
        let client = ControlClient::new(channel);
        Ok(Self { client })
    }

    pub(crate) async fn expire_sessions(&self, limit: u32) -> Result<Vec<String>, Status> {
        let request = ExpireSessionsRequest { limit };
        let response = self.client.clone().expire_sessions(request).await?;
        Ok(response.into_inner().session_ids)
    }

    pub(crate) async fn sweep_nodes(&self, silent_after: Duration) -> Result<Vec<String>, Status> {
        let silent_after_ms = u32::try_from(silent_after.as_millis()).unwrap_or(u32::MAX);
        let request = SweepNodesRequest { silent_after_ms };
        let response = self.client.clone().sweep_nodes(request).await?;
        Ok(response.into_inner().node_ids)
    }

    /// Asks for a sign of life that changes nothing: who holds the empty credential?
    pub(crate) async fn ping(&self) -> Result<(), Status> {
        let request = AuthorizeNodeRequest::default();
        match self.client.clone().authorize_node(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::InvalidArgument => Ok(()),
            Err(status) => Err(status),
        }
    }
}
