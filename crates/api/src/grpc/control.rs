//! `fleet.v1.Control`: what the other services may ask.

use std::sync::Arc;
use std::time::Duration;

use model::{NodeId, OpsRole, SessionId, UnixMillis};
use placement::vitals::Evidence;
use proto::fleet as pb;
use storage::control::{idempotency, nodes, placements, session_events, sessions, standings};
use tonic::{Request, Response, Status};

use super::{counted, status};
use crate::auth::{check_ban, identify, role};
use crate::fleet::roster;
use crate::fleet::standing::{self, Judge};
use crate::relay::lifecycle;
use crate::state::App;
use crate::token;

/// The most sessions one call stops.
const EXPIRE_MAX: u32 = 1000;
const EXPIRE_DEFAULT: u32 = 100;
/// The most sessions one call asks about.
const SESSIONS_ASKED_MAX: usize = 1000;
/// The most nodes one answer has: with the longest names it is below a default message.
const NODES_LISTED_MAX: u32 = 500;
/// The most expired idempotency records, and old decisions, one call drops.
const TRIM_MAX: u32 = 1000;
/// The most silent nodes that one call marks.
const SWEEP_MAX: u32 = 1000;
/// How long it can be asked what a session did.
const EVENTS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// How long it can be asked why a session is where it is.
const PLACEMENTS_KEPT: Duration = Duration::from_secs(30 * 86_400);

pub(super) struct Control {
    pub(super) app: Arc<App>,
}

#[tonic::async_trait]
impl pb::control_server::Control for Control {
    async fn expire_sessions(
        &self,
        request: Request<pb::ExpireSessionsRequest>,
    ) -> Result<Response<pb::ExpireSessionsResponse>, Status> {
        counted(
            "Control/ExpireSessions",
            self.expire(request.into_inner().limit).await,
        )
    }

    async fn sweep_nodes(
        &self,
        request: Request<pb::SweepNodesRequest>,
    ) -> Result<Response<pb::SweepNodesResponse>, Status> {
        counted(
            "Control/SweepNodes",
            self.sweep(request.into_inner().silent_after_ms).await,
        )
    }

    async fn authorize_viewer(
        &self,
        request: Request<pb::AuthorizeViewerRequest>,
    ) -> Result<Response<pb::AuthorizeViewerResponse>, Status> {
        let request = request.into_inner();
        let allowed = self.may_view(&request.token, &request.session_id).await;
        let response = allowed.map(|allowed| pb::AuthorizeViewerResponse { allowed });
        counted("Control/AuthorizeViewer", response)
    }

    async fn authorize_operator(
        &self,
        request: Request<pb::AuthorizeOperatorRequest>,
    ) -> Result<Response<pb::AuthorizeOperatorResponse>, Status> {
        let allowed = self.is_operator(&request.into_inner().token).await;
        let response = allowed.map(|allowed| pb::AuthorizeOperatorResponse { allowed });
        counted("Control/AuthorizeOperator", response)
    }

    async fn authorize_node(
        &self,
        request: Request<pb::AuthorizeNodeRequest>,
    ) -> Result<Response<pb::AuthorizeNodeResponse>, Status> {
        let hash = token::hash(&request.into_inner().credential);
        let node = nodes::by_credential(&self.app.pool, &hash)
            .await
            .map_err(status);
        let response = node.map(|node| pb::AuthorizeNodeResponse {
            node_id: node.map(|node| node.to_string()).unwrap_or_default(),
        });
        counted("Control/AuthorizeNode", response)
    }

    async fn authorize_sessions(
        &self,
        request: Request<pb::AuthorizeSessionsRequest>,
    ) -> Result<Response<pb::AuthorizeSessionsResponse>, Status> {
        counted(
            "Control/AuthorizeSessions",
            self.given_to(&request.into_inner()).await,
        )
    }

    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        let request = request.into_inner();
        let limit = match request.limit {
            0 => NODES_LISTED_MAX,
            limit => limit.min(NODES_LISTED_MAX),
        };
        let page = roster::page(&self.app, &request.after_node_id, limit as usize).await;
        let response = page
            .map_err(status)
            .map(|(nodes, more)| pb::ListNodesResponse {
                nodes: nodes.into_iter().map(Into::into).collect(),
                more,
            });
        counted("Control/ListNodes", response)
    }
}

impl Control {
    async fn expire(&self, limit: u32) -> Result<pb::ExpireSessionsResponse, Status> {
        let limit = if limit == 0 {
            EXPIRE_DEFAULT
        } else {
            limit.min(EXPIRE_MAX)
        };
        let now = self.app.now();
        let stopped = lifecycle::expire(&self.app, limit).await.map_err(status)?;
        lifecycle::keep(&self.app).await.map_err(status)?;
        idempotency::trim(&self.app.pool, now, TRIM_MAX)
            .await
            .map_err(status)?;
        placements::trim(&self.app.pool, now.minus(PLACEMENTS_KEPT), TRIM_MAX)
            .await
            .map_err(status)?;
        session_events::trim(&self.app.pool, now.minus(EVENTS_KEPT), TRIM_MAX)
            .await
            .map_err(status)?;
        let session_ids = stopped.iter().map(ToString::to_string).collect();
        Ok(pb::ExpireSessionsResponse { session_ids })
    }

    async fn sweep(&self, silent_after_ms: u32) -> Result<pb::SweepNodesResponse, Status> {
        if silent_after_ms == 0 {
            return Err(Status::invalid_argument("silent_after_ms: at least 1"));
        }
        let silent_after = Duration::from_millis(silent_after_ms.into());
        let now = self.app.now();
        // Who could not be heard is not silent.
        if self.app.pause.is_on(silent_after, now) {
            return Ok(pb::SweepNodesResponse::default());
        }
        let silent_since = now.minus(silent_after);
        let silent = standings::silent(&self.app.pool, silent_since, SWEEP_MAX)
            .await
            .map_err(status)?;
        let mut swept = Vec::with_capacity(silent.len());
        for node in silent {
            if self
                .mark_silent(&node, silent_since)
                .await
                .map_err(status)?
            {
                tracing::warn!(node.id = %node, "A node is offline");
                swept.push(node);
            }
        }
        let node_ids = swept.iter().map(ToString::to_string).collect();
        Ok(pb::SweepNodesResponse { node_ids })
    }

    /// Unless it was heard meanwhile. Says whether it is offline.
    async fn mark_silent(
        &self,
        node: &NodeId,
        silent_since: UnixMillis,
    ) -> Result<bool, storage::Error> {
        let app = &self.app;
        let judge = Judge::observer(&app.config.fleet, app.now());
        let mut transaction = storage::begin(&app.pool).await?;
        let known = standings::lock(&mut transaction, node).await?;
        let heartbeat_at = known.and_then(|known| known.heartbeat_at);
        if heartbeat_at.is_none_or(|at| at >= silent_since) {
            return Ok(false);
        }
        let judged = standing::judge(&mut transaction, node, &judge, |vitals| {
            vitals.take(Evidence::Silent, judge.probation, judge.now);
        });
        judged.await?;
        storage::commit(transaction).await?;
        Ok(true)
    }

    async fn given_to(
        &self,
        request: &pb::AuthorizeSessionsRequest,
    ) -> Result<pb::AuthorizeSessionsResponse, Status> {
        if request.session_ids.len() > SESSIONS_ASKED_MAX {
            return Err(Status::invalid_argument("session_ids: at most 1000"));
        }
        let node = NodeId::parse(&request.node_id)
            .map_err(|error| Status::invalid_argument(format!("node_id: {error}")))?;
        let sessions = request.session_ids.iter().map(|id| SessionId::parse(id));
        let sessions: Vec<SessionId> = sessions
            .collect::<Result<_, _>>()
            .map_err(|error| Status::invalid_argument(format!("session_ids: {error}")))?;
        let given = sessions::given_to(&self.app.pool, &node, &sessions)
            .await
            .map_err(status)?;
        let session_ids = given.iter().map(ToString::to_string).collect();
        Ok(pb::AuthorizeSessionsResponse { session_ids })
    }

    /// Whether somebody may look at the operator's routes.
    async fn is_operator(&self, token: &str) -> Result<bool, Status> {
        let Some(caller) = identify(&self.app, token).await.map_err(status)? else {
            return Ok(false);
        };
        let role = role(&self.app, &caller).await.map_err(status)?;
        Ok(check_ban(&self.app, &caller).is_ok() && role >= OpsRole::Viewer)
    }

    /// The admin may see everything, a user what their tenant has.
    async fn may_view(&self, token: &str, session: &str) -> Result<bool, Status> {
        let Ok(session) = SessionId::parse(session) else {
            return Ok(false);
        };
        let Some(caller) = identify(&self.app, token).await.map_err(status)? else {
            return Ok(false);
        };
        if check_ban(&self.app, &caller).is_err() {
            return Ok(false);
        }
        let record = sessions::find(&self.app.pool, &session)
            .await
            .map_err(status)?;
        Ok(record.is_some_and(|record| {
            caller.is_admin || record.session.tenant_id == caller.account.tenant_id
        }))
    }
}
