//! `fleet.v1.Upkeep`: what is done when it is time, which `jobs` says.

use std::sync::Arc;
use std::time::Duration;

use model::{BanId, NodeId, SessionId};
use proto::fleet as pb;
use storage::control::expiry;
use tonic::{Request, Response, Status};

use super::{counted, status};
use crate::fleet::{bans, budget, keys};
use crate::relay::{lifecycle, relief};
use crate::state::App;

/// The most sessions one call stops.
const REAP_MAX: u32 = 500;
/// The most accounts one call settles.
const SETTLE_MAX: u32 = 200;
/// The most tokens of each kind that one call drops.
const TOKENS_MAX: u32 = 1000;

pub(super) struct Upkeep {
    pub(super) app: Arc<App>,
}

#[tonic::async_trait]
impl pb::upkeep_server::Upkeep for Upkeep {
    async fn reap_provisioning(
        &self,
        request: Request<pb::ReapProvisioningRequest>,
    ) -> Result<Response<pb::ReapProvisioningResponse>, Status> {
        let limit = bounded(request.into_inner().limit, REAP_MAX);
        let reaped = lifecycle::reap(&self.app, limit).await.map_err(status);
        let response = reaped.map(|reaped| pb::ReapProvisioningResponse {
            session_ids: reaped.iter().map(SessionId::to_string).collect(),
        });
        counted("Upkeep/ReapProvisioning", response)
    }

    async fn plan_moves(
        &self,
        _request: Request<pb::PlanMovesRequest>,
    ) -> Result<Response<pb::PlanMovesResponse>, Status> {
        let moved = relief::relieve(&self.app).await.map_err(status);
        let response = moved.map(|moved| pb::PlanMovesResponse {
            session_ids: moved.iter().map(SessionId::to_string).collect(),
        });
        counted("Upkeep/PlanMoves", response)
    }

    async fn settle_budgets(
        &self,
        request: Request<pb::SettleBudgetsRequest>,
    ) -> Result<Response<pb::SettleBudgetsResponse>, Status> {
        counted(
            "Upkeep/SettleBudgets",
            self.settle(&request.into_inner()).await,
        )
    }

    async fn expire_bans(
        &self,
        _request: Request<pb::ExpireBansRequest>,
    ) -> Result<Response<pb::ExpireBansResponse>, Status> {
        let expired = bans::expire(&self.app).await.map_err(status);
        let response = expired.map(|expired| pb::ExpireBansResponse {
            ban_ids: expired.iter().map(BanId::to_string).collect(),
        });
        counted("Upkeep/ExpireBans", response)
    }

    async fn expire_tokens(
        &self,
        request: Request<pb::ExpireTokensRequest>,
    ) -> Result<Response<pb::ExpireTokensResponse>, Status> {
        let limit = bounded(request.into_inner().limit, TOKENS_MAX);
        let expired = expiry::tokens(&self.app.pool, self.app.now(), limit).await;
        let response = expired
            .map_err(status)
            .map(|expired| pb::ExpireTokensResponse {
                expired: u32::try_from(expired.iter().sum::<u64>()).unwrap_or(u32::MAX),
                more: expired.iter().any(|kind| *kind >= u64::from(limit)),
            });
        counted("Upkeep/ExpireTokens", response)
    }

    async fn rotate_keys(
        &self,
        request: Request<pb::RotateKeysRequest>,
    ) -> Result<Response<pb::RotateKeysResponse>, Status> {
        counted(
            "Upkeep/RotateKeys",
            self.rotate(request.into_inner().signs_for_ms).await,
        )
    }
}

impl Upkeep {
    async fn settle(
        &self,
        request: &pb::SettleBudgetsRequest,
    ) -> Result<pb::SettleBudgetsResponse, Status> {
        let after = match request.after_node_id.as_str() {
            "" => None,
            id => Some(
                NodeId::parse(id)
                    .map_err(|error| Status::invalid_argument(format!("after_node_id: {error}")))?,
            ),
        };
        let limit = bounded(request.limit, SETTLE_MAX);
        let (settled, last) = budget::settle_due(&self.app, after.as_ref(), limit)
            .await
            .map_err(status)?;
        Ok(pb::SettleBudgetsResponse {
            settled,
            next_after_node_id: last.map(|node| node.to_string()).unwrap_or_default(),
        })
    }

    async fn rotate(&self, signs_for_ms: u64) -> Result<pb::RotateKeysResponse, Status> {
        if signs_for_ms == 0 {
            return Err(Status::invalid_argument("signs_for_ms: at least 1"));
        }
        let signs_for = Duration::from_millis(signs_for_ms);
        let rotated = keys::rotate_old(&self.app, signs_for).await;
        let kid = rotated.map_err(|error| match error {
            keys::Error::Storage(error) => status(error),
            keys::Error::TooMany => Status::failed_precondition(error.to_string()),
            error => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "The lease keys could not be rotated");
                Status::internal("something went wrong on our side")
            }
        })?;
        Ok(pb::RotateKeysResponse {
            kid: kid.unwrap_or_default(),
        })
    }
}

/// What is asked for, or as much as one call may.
fn bounded(limit: u32, most: u32) -> u32 {
    if limit == 0 { most } else { limit.min(most) }
}
