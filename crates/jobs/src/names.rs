//! The control plane, as far as it says where the names of streams point.

use std::time::Duration;

use proto::fleet::dns_client::DnsClient;
use proto::fleet::{
    ClaimDnsChangesRequest, ClaimDnsChangesResponse, DnsOutcome, ReportDnsChangesRequest,
};
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
pub struct Names(DnsClient<AuthorizedChannel>);

impl Names {
    /// A client of the api at a URI.
    ///
    /// # Errors
    /// When it is not one that a token may be sent to, or the token cannot stand in a header.
    pub fn new(api: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("api_grpc", api, token, PATIENCE)?;
        Ok(Self(DnsClient::new(channel)))
    }

    pub(crate) async fn claim(
        &self,
        limit: u32,
        claim: Duration,
    ) -> Result<ClaimDnsChangesResponse, Status> {
        let claim_ms = u32::try_from(claim.as_millis()).unwrap_or(u32::MAX);
        let request = ClaimDnsChangesRequest { limit, claim_ms };
        let response = self.0.clone().claim_dns_changes(request).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn report(&self, outcomes: Vec<DnsOutcome>) -> Result<(), Status> {
        let request = ReportDnsChangesRequest { outcomes };
        self.0.clone().report_dns_changes(request).await?;
        Ok(())
    }
}
