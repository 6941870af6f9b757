//! `fleet.v1.Upkeep`: what is done when it is time, which `jobs` says.

use std::sync::Arc;
use std::time::Duration;

use model::{BanId, NodeId, SessionId};
use placement::advice::Advice;
use proto::fleet as pb;
use storage::control::{expiry, probes, usage_history};
use tonic::{Request, Response, Status};

use super::{counted, status};
use crate::fleet::probes::{Call, record};
use crate::fleet::{advice, bans, budget, keys};
use crate::relay::{lifecycle, outage, relief};
use crate::state::App;

/// The most sessions one call stops.
const REAP_MAX: u32 = 500;
/// The most accounts one call settles.
const SETTLE_MAX: u32 = 200;
/// The most sessions one call takes into the history of usage.
const ROLLED_MAX: u32 = 1000;
/// How long the hours of that are kept; its days are for ever.
const HOURS_KEPT: Duration = Duration::from_secs(62 * 86_400);
/// The most gaps one call makes good.
const GAPS_MAX: u32 = 500;
/// The most nodes whose calls one call lists or takes.
const PROBES_MAX: u32 = 500;
const FAILURE_CHARS_MAX: usize = 200;
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

    async fn list_probe_targets(
        &self,
        request: Request<pb::ListProbeTargetsRequest>,
    ) -> Result<Response<pb::ListProbeTargetsResponse>, Status> {
        counted(
            "Upkeep/ListProbeTargets",
            self.targets(&request.into_inner()).await,
        )
    }

    async fn record_probes(
        &self,
        request: Request<pb::RecordProbesRequest>,
    ) -> Result<Response<pb::RecordProbesResponse>, Status> {
        counted(
            "Upkeep/RecordProbes",
            self.record(&request.into_inner().probes).await,
        )
    }

    async fn roll_up_usage(
        &self,
        request: Request<pb::RollUpUsageRequest>,
    ) -> Result<Response<pb::RollUpUsageResponse>, Status> {
        counted(
            "Upkeep/RollUpUsage",
            self.roll_up(request.into_inner().limit).await,
        )
    }

    async fn reconcile_outage(
        &self,
        request: Request<pb::ReconcileOutageRequest>,
    ) -> Result<Response<pb::ReconcileOutageResponse>, Status> {
        let limit = bounded(request.into_inner().limit, GAPS_MAX);
        let reconciled = outage::reconcile(&self.app, limit).await.map_err(status);
        let response = reconciled.map(|it| pb::ReconcileOutageResponse {
            reconciled: it.gaps,
            raised_ms: u64::try_from(it.raised.as_millis()).unwrap_or(u64::MAX),
            lowered_ms: u64::try_from(it.lowered.as_millis()).unwrap_or(u64::MAX),
            more: it.gaps >= limit,
        });
        counted("Upkeep/ReconcileOutage", response)
    }

    async fn advise_fleet(
        &self,
        _request: Request<pb::AdviseFleetRequest>,
    ) -> Result<Response<pb::AdviseFleetResponse>, Status> {
        let report = advice::report(&self.app).await.map_err(status);
        let response = report.map(|report| pb::AdviseFleetResponse {
            regions: report.regions.iter().map(region_advice).collect(),
        });
        counted("Upkeep/AdviseFleet", response)
    }
}

fn region_advice(advice: &Advice) -> pb::RegionAdvice {
    pb::RegionAdvice {
        region: advice.region.to_string(),
        runs_out_unix_ms: advice.runs_out_at.map_or(0, |at| at.0),
        missing_bytes_per_day: advice.missing_bytes_per_day,
    }
}

impl Upkeep {
    async fn settle(
        &self,
        request: &pb::SettleBudgetsRequest,
    ) -> Result<pb::SettleBudgetsResponse, Status> {
        let after = after(&request.after_node_id)?;
        let limit = bounded(request.limit, SETTLE_MAX);
        let (settled, last) = budget::settle_due(&self.app, after.as_ref(), limit)
            .await
            .map_err(status)?;
        Ok(pb::SettleBudgetsResponse {
            settled,
            next_after_node_id: last.map(|node| node.to_string()).unwrap_or_default(),
        })
    }

    async fn roll_up(&self, limit: u32) -> Result<pb::RollUpUsageResponse, Status> {
        let limit = bounded(limit, ROLLED_MAX);
        let (pool, now) = (&self.app.pool, self.app.now());
        let mut transaction = storage::begin(pool).await.map_err(status)?;
        let rolled = usage_history::roll_up(&mut transaction, now, limit).await;
        let rolled = rolled.map_err(status)?;
        storage::commit(transaction).await.map_err(status)?;
        let before = now.minus(HOURS_KEPT);
        usage_history::trim_hours(pool, before, ROLLED_MAX)
            .await
            .map_err(status)?;
        Ok(pb::RollUpUsageResponse {
            rolled_up: u32::try_from(rolled).unwrap_or(u32::MAX),
            more: rolled >= u64::from(limit),
        })
    }

    async fn targets(
        &self,
        request: &pb::ListProbeTargetsRequest,
    ) -> Result<pb::ListProbeTargetsResponse, Status> {
        let after = after(&request.after_node_id)?;
        let limit = bounded(request.limit, PROBES_MAX);
        let found = probes::targets(&self.app.pool, after.as_ref(), limit)
            .await
            .map_err(status)?;
        let last = found.last().filter(|_| found.len() >= limit as usize);
        Ok(pb::ListProbeTargetsResponse {
            next_after_node_id: last.map(|it| it.node_id.to_string()).unwrap_or_default(),
            targets: found
                .into_iter()
                .map(|target| pb::ProbeTarget {
                    node_id: target.node_id.to_string(),
                    host: target.host,
                    port: target.port.into(),
                })
                .collect(),
        })
    }

    async fn record(&self, told: &[pb::Probe]) -> Result<pb::RecordProbesResponse, Status> {
        if told.len() > PROBES_MAX as usize {
            return Err(Status::invalid_argument("probes: at most 500"));
        }
        let calls: Vec<Call> = told.iter().map(call).collect::<Result<_, _>>()?;
        let mut unreachable_node_ids = Vec::new();
        for call in calls {
            let recorded = record(&self.app, &call).await.map_err(status)?;
            if recorded == Some(false) {
                unreachable_node_ids.push(call.node.to_string());
            }
        }
        Ok(pb::RecordProbesResponse {
            unreachable_node_ids,
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

fn call(probe: &pb::Probe) -> Result<Call, Status> {
    let node = NodeId::parse(&probe.node_id)
        .map_err(|error| Status::invalid_argument(format!("probes.node_id: {error}")))?;
    let failure: String = probe.failure.chars().take(FAILURE_CHARS_MAX).collect();
    let is_answered = failure.is_empty();
    Ok(Call {
        node,
        rtt_us: is_answered.then_some(probe.rtt_us),
        failure: (!is_answered).then_some(failure),
    })
}

/// What a call goes on after.
fn after(node_id: &str) -> Result<Option<NodeId>, Status> {
    if node_id.is_empty() {
        return Ok(None);
    }
    let parsed = NodeId::parse(node_id).map(Some);
    parsed.map_err(|error| Status::invalid_argument(format!("after_node_id: {error}")))
}

/// What is asked for, or as much as one call may.
fn bounded(limit: u32, most: u32) -> u32 {
    if limit == 0 { most } else { limit.min(most) }
}
