//! The control plane, as far as it is told that it is time.

use std::time::Duration;

use proto::fleet::upkeep_client::UpkeepClient;
use proto::fleet::{
    AdviseFleetRequest, ExpireBansRequest, ExpireTokensRequest, ExpireTokensResponse,
    ListProbeTargetsRequest, ListProbeTargetsResponse, PlanMovesRequest, Probe,
    ReapProvisioningRequest, ReconcileOutageRequest, ReconcileOutageResponse, RecordProbesRequest,
    RegionAdvice, RollUpUsageRequest, RollUpUsageResponse, RotateKeysRequest, SettleBudgetsRequest,
    SettleBudgetsResponse,
};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::Status;

/// What it is asked for may be a few hundred transactions.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(25),
};

/// A client that connects on first use, and again after every loss.
#[derive(Clone)]
pub struct Upkeep(UpkeepClient<AuthorizedChannel>);

impl Upkeep {
    /// A client of the api at a URI.
    ///
    /// # Errors
    /// When it is not one that a token may be sent to, or the token cannot stand in a header.
    pub fn new(api: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("api_grpc", api, token, PATIENCE)?;
        Ok(Self(UpkeepClient::new(channel)))
    }

    pub(crate) async fn reap_provisioning(&self, limit: u32) -> Result<Vec<String>, Status> {
        let request = ReapProvisioningRequest { limit };
        let response = self.0.clone().reap_provisioning(request).await?;
        Ok(response.into_inner().session_ids)
    }

    pub(crate) async fn plan_moves(&self) -> Result<Vec<String>, Status> {
        let response = self.0.clone().plan_moves(PlanMovesRequest {}).await?;
        Ok(response.into_inner().session_ids)
    }

    pub(crate) async fn settle_budgets(
        &self,
        after_node_id: String,
    ) -> Result<SettleBudgetsResponse, Status> {
        let request = SettleBudgetsRequest {
            limit: 0,
            after_node_id,
        };
        let response = self.0.clone().settle_budgets(request).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn expire_bans(&self) -> Result<Vec<String>, Status> {
        let response = self.0.clone().expire_bans(ExpireBansRequest {}).await?;
        Ok(response.into_inner().ban_ids)
    }

    pub(crate) async fn expire_tokens(&self) -> Result<ExpireTokensResponse, Status> {
        let request = ExpireTokensRequest { limit: 0 };
        let response = self.0.clone().expire_tokens(request).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn rotate_keys(&self, signs_for: Duration) -> Result<String, Status> {
        let signs_for_ms = u64::try_from(signs_for.as_millis()).unwrap_or(u64::MAX);
        let request = RotateKeysRequest { signs_for_ms };
        let response = self.0.clone().rotate_keys(request).await?;
        Ok(response.into_inner().kid)
    }

    pub(crate) async fn probe_targets(
        &self,
        after_node_id: String,
    ) -> Result<ListProbeTargetsResponse, Status> {
        let request = ListProbeTargetsRequest {
            limit: 0,
            after_node_id,
        };
        let response = self.0.clone().list_probe_targets(request).await?;
        Ok(response.into_inner())
    }

    /// Returns the nodes that count as unreachable now.
    pub(crate) async fn record_probes(&self, probes: Vec<Probe>) -> Result<Vec<String>, Status> {
        let request = RecordProbesRequest { probes };
        let response = self.0.clone().record_probes(request).await?;
        Ok(response.into_inner().unreachable_node_ids)
    }

    pub(crate) async fn roll_up_usage(&self) -> Result<RollUpUsageResponse, Status> {
        let request = RollUpUsageRequest { limit: 0 };
        let response = self.0.clone().roll_up_usage(request).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn reconcile_outage(&self) -> Result<ReconcileOutageResponse, Status> {
        let request = ReconcileOutageRequest { limit: 0 };
        let response = self.0.clone().reconcile_outage(request).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn advise_fleet(&self) -> Result<Vec<RegionAdvice>, Status> {
        let response = self.0.clone().advise_fleet(AdviseFleetRequest {}).await?;
        Ok(response.into_inner().regions)
    }
}
