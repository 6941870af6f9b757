//! The metrics-gateway, as far as it is told that it is time.

use std::time::Duration;

use proto::telemetry::upkeep_client::UpkeepClient;
use proto::telemetry::{MakePartitionsRequest, MakePartitionsResponse};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::Status;

/// Partitions wait for writers, each for a moment.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(25),
};

/// A client that connects on first use, and again after every loss.
#[derive(Clone)]
pub struct Gateway(UpkeepClient<AuthorizedChannel>);

impl Gateway {
    /// A client of the gateway at a URI.
    ///
    /// # Errors
    /// When it is not one that a token may be sent to, or the token cannot stand in a header.
    pub fn new(gateway: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("gateway_grpc", gateway, token, PATIENCE)?;
        Ok(Self(UpkeepClient::new(channel)))
    }

    pub(crate) async fn make_partitions(&self) -> Result<MakePartitionsResponse, Status> {
        let request = MakePartitionsRequest {};
        let response = self.0.clone().make_partitions(request).await?;
        Ok(response.into_inner())
    }
}
