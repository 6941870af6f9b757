//! A control plane that does what the test says, and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use proto::fleet as pb;
use proto::fleet::control_server::Control;
use proto::fleet::upkeep_server::Upkeep;
use proto::fleet::{
    AuthorizeNodeRequest, AuthorizeNodeResponse, AuthorizeSessionsRequest,
    AuthorizeSessionsResponse, AuthorizeViewerRequest, AuthorizeViewerResponse,
    ExpireSessionsRequest, ExpireSessionsResponse, SweepNodesRequest, SweepNodesResponse,
};
use testkit::control_plane::ControlPlane;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub(crate) struct Script {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    failures: u32,
    expirable: VecDeque<String>,
    silent_nodes: Vec<String>,
    expire_limits: Vec<u32>,
    silent_after_ms: Vec<u32>,
    /// What each call of upkeep asked for, by its name.
    asked: Vec<String>,
    unconfirmed: VecDeque<String>,
    budgets: VecDeque<String>,
    token_batches: u32,
    targets: Vec<pb::ProbeTarget>,
    probes: Vec<pb::Probe>,
}

impl Script {
    /// The next calls fail, so many times.
    pub(crate) fn fail(&self, calls: u32) {
        self.inner.lock().unwrap().failures = calls;
    }

    pub(crate) fn make_expirable(&self, sessions: usize) {
        let ids = (0..sessions).map(|number| format!("ses_{number}"));
        self.inner.lock().unwrap().expirable.extend(ids);
    }

    pub(crate) fn expirable(&self) -> usize {
        self.inner.lock().unwrap().expirable.len()
    }

    pub(crate) fn silence(&self, node: &str) {
        self.inner
            .lock()
            .unwrap()
            .silent_nodes
            .push(node.to_owned());
    }

    /// The limits of the calls that were answered.
    pub(crate) fn expire_limits(&self) -> Vec<u32> {
        self.inner.lock().unwrap().expire_limits.clone()
    }

    pub(crate) fn silent_after_ms(&self) -> Vec<u32> {
        self.inner.lock().unwrap().silent_after_ms.clone()
    }

    pub(crate) fn leave_unconfirmed(&self, sessions: usize) {
        let ids = (0..sessions).map(|number| format!("ses_{number}"));
        self.inner.lock().unwrap().unconfirmed.extend(ids);
    }

    pub(crate) fn add_budgets(&self, nodes: &[&str]) {
        let nodes = nodes.iter().map(ToString::to_string);
        self.inner.lock().unwrap().budgets.extend(nodes);
    }

    /// So many calls drop tokens until none is left.
    pub(crate) fn make_token_batches(&self, batches: u32) {
        self.inner.lock().unwrap().token_batches = batches;
    }

    pub(crate) fn add_target(&self, node: &str, host: &str, port: u16) {
        self.inner.lock().unwrap().targets.push(pb::ProbeTarget {
            node_id: node.to_owned(),
            host: host.to_owned(),
            port: port.into(),
        });
    }

    /// What it was told of nodes, in their order.
    pub(crate) fn probes(&self) -> Vec<pb::Probe> {
        let mut probes = self.inner.lock().unwrap().probes.clone();
        probes.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        probes
    }

    /// The calls of upkeep that were answered.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.inner.lock().unwrap().asked.clone()
    }

    fn answer<T>(&self, answer: impl FnOnce(&mut Inner) -> T) -> Result<Response<T>, Status> {
        let mut inner = self.inner.lock().unwrap();
        if inner.failures > 0 {
            inner.failures -= 1;
            return Err(Status::unavailable("as the test says"));
        }
        Ok(Response::new(answer(&mut inner)))
    }
}

#[tonic::async_trait]
impl Control for Script {
    async fn expire_sessions(
        &self,
        request: Request<ExpireSessionsRequest>,
    ) -> Result<Response<ExpireSessionsResponse>, Status> {
        let limit = request.into_inner().limit;
        self.answer(|inner| {
            inner.expire_limits.push(limit);
            let batch = inner.expirable.len().min(limit as usize);
            let session_ids = inner.expirable.drain(..batch).collect();
            ExpireSessionsResponse { session_ids }
        })
    }

    async fn sweep_nodes(
        &self,
        request: Request<SweepNodesRequest>,
    ) -> Result<Response<SweepNodesResponse>, Status> {
        self.answer(|inner| {
            inner
                .silent_after_ms
                .push(request.into_inner().silent_after_ms);
            let node_ids = std::mem::take(&mut inner.silent_nodes);
            SweepNodesResponse { node_ids }
        })
    }

    async fn authorize_viewer(
        &self,
        _request: Request<AuthorizeViewerRequest>,
    ) -> Result<Response<AuthorizeViewerResponse>, Status> {
        Err(Status::unimplemented("jobs does not watch"))
    }

    async fn authorize_operator(
        &self,
        _request: Request<pb::AuthorizeOperatorRequest>,
    ) -> Result<Response<pb::AuthorizeOperatorResponse>, Status> {
        Err(Status::unimplemented("jobs does not look"))
    }

    async fn authorize_node(
        &self,
        _request: Request<AuthorizeNodeRequest>,
    ) -> Result<Response<AuthorizeNodeResponse>, Status> {
        Ok(Response::new(AuthorizeNodeResponse::default()))
    }

    async fn authorize_sessions(
        &self,
        _request: Request<AuthorizeSessionsRequest>,
    ) -> Result<Response<AuthorizeSessionsResponse>, Status> {
        Err(Status::unimplemented("jobs does not report"))
    }

    async fn list_nodes(
        &self,
        _request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        Err(Status::unimplemented("jobs does not count nodes"))
    }
}

#[tonic::async_trait]
impl Upkeep for Script {
    async fn reap_provisioning(
        &self,
        request: Request<pb::ReapProvisioningRequest>,
    ) -> Result<Response<pb::ReapProvisioningResponse>, Status> {
        let limit = request.into_inner().limit;
        self.answer(|inner| {
            inner.asked.push(format!("reap {limit}"));
            let batch = inner.unconfirmed.len().min(limit as usize);
            let session_ids = inner.unconfirmed.drain(..batch).collect();
            pb::ReapProvisioningResponse { session_ids }
        })
    }

    async fn plan_moves(
        &self,
        _request: Request<pb::PlanMovesRequest>,
    ) -> Result<Response<pb::PlanMovesResponse>, Status> {
        self.answer(|inner| {
            inner.asked.push("plan moves".to_owned());
            pb::PlanMovesResponse {
                session_ids: vec!["ses_1".to_owned()],
            }
        })
    }

    async fn settle_budgets(
        &self,
        request: Request<pb::SettleBudgetsRequest>,
    ) -> Result<Response<pb::SettleBudgetsResponse>, Status> {
        let after = request.into_inner().after_node_id;
        self.answer(|inner| {
            inner.asked.push(format!("settle after {after:?}"));
            let settled = inner.budgets.pop_front();
            let more = !inner.budgets.is_empty();
            pb::SettleBudgetsResponse {
                settled: u32::from(settled.is_some()),
                next_after_node_id: settled.filter(|_| more).unwrap_or_default(),
            }
        })
    }

    async fn expire_bans(
        &self,
        _request: Request<pb::ExpireBansRequest>,
    ) -> Result<Response<pb::ExpireBansResponse>, Status> {
        self.answer(|inner| {
            inner.asked.push("expire bans".to_owned());
            pb::ExpireBansResponse {
                ban_ids: vec!["ban_1".to_owned(), "ban_2".to_owned()],
            }
        })
    }

    async fn expire_tokens(
        &self,
        _request: Request<pb::ExpireTokensRequest>,
    ) -> Result<Response<pb::ExpireTokensResponse>, Status> {
        self.answer(|inner| {
            inner.asked.push("expire tokens".to_owned());
            inner.token_batches = inner.token_batches.saturating_sub(1);
            pb::ExpireTokensResponse {
                expired: 10,
                more: inner.token_batches > 0,
            }
        })
    }

    async fn rotate_keys(
        &self,
        request: Request<pb::RotateKeysRequest>,
    ) -> Result<Response<pb::RotateKeysResponse>, Status> {
        let signs_for_ms = request.into_inner().signs_for_ms;
        self.answer(|inner| {
            inner.asked.push(format!("rotate after {signs_for_ms} ms"));
            pb::RotateKeysResponse {
                kid: "0123456789ab".to_owned(),
            }
        })
    }

    async fn list_probe_targets(
        &self,
        _request: Request<pb::ListProbeTargetsRequest>,
    ) -> Result<Response<pb::ListProbeTargetsResponse>, Status> {
        self.answer(|inner| pb::ListProbeTargetsResponse {
            targets: inner.targets.clone(),
            next_after_node_id: String::new(),
        })
    }

    async fn record_probes(
        &self,
        request: Request<pb::RecordProbesRequest>,
    ) -> Result<Response<pb::RecordProbesResponse>, Status> {
        let told = request.into_inner().probes;
        self.answer(|inner| {
            inner.probes.extend(told);
            pb::RecordProbesResponse::default()
        })
    }

    async fn roll_up_usage(
        &self,
        _request: Request<pb::RollUpUsageRequest>,
    ) -> Result<Response<pb::RollUpUsageResponse>, Status> {
        self.answer(|inner| {
            inner.asked.push("roll up".to_owned());
            pb::RollUpUsageResponse {
                rolled_up: 1000,
                more: inner.asked.len() < 3,
            }
        })
    }

    async fn reconcile_outage(
        &self,
        _request: Request<pb::ReconcileOutageRequest>,
    ) -> Result<Response<pb::ReconcileOutageResponse>, Status> {
        self.answer(|inner| {
            inner.asked.push("reconcile".to_owned());
            pb::ReconcileOutageResponse {
                more: inner.asked.len() < 2,
                ..Default::default()
            }
        })
    }

    async fn advise_fleet(
        &self,
        _request: Request<pb::AdviseFleetRequest>,
    ) -> Result<Response<pb::AdviseFleetResponse>, Status> {
        self.answer(|inner| {
            inner.asked.push("advise".to_owned());
            pb::AdviseFleetResponse::default()
        })
    }
}

/// The fake, until it is dropped.
pub(crate) struct FakeApi {
    pub(crate) script: Script,
    server: ControlPlane,
}

impl FakeApi {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), Script::default()).await
    }

    pub(crate) async fn start_at(address: SocketAddr, script: Script) -> Self {
        let server = ControlPlane::start_whole_at(address, script.clone()).await;
        Self {
            script,
            server: server.unwrap(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn uri(&self) -> String {
        self.server.uri()
    }
}
