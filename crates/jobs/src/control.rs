//! The control plane, as this service calls it.

use std::time::Duration;

use anyhow::Context;
use proto::fleet::control_client::ControlClient;
use proto::fleet::{AuthorizeNodeRequest, ExpireSessionsRequest, SweepNodesRequest};
use secrecy::SecretString;
use service_kit::grpc::BearerInterceptor;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that connects on first use, and again after every loss.
#[derive(Clone)]
pub struct Control {
    client: ControlClient<InterceptedService<Channel, BearerInterceptor>>,
}

impl Control {
    /// A client of the api at `uri`.
    ///
    /// # Errors
    /// When `uri` is not one, or the token cannot stand in a header.
    pub fn new(uri: &str, token: &SecretString) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(uri.to_owned())
            .with_context(|| format!("api_grpc: {uri}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        let client = ControlClient::with_interceptor(channel, BearerInterceptor::new(token)?);
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
