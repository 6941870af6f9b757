//! A control plane that knows two nodes and two users, and can be told otherwise.

use std::sync::{Arc, Mutex};

use proto::fleet::control_server::Control;
use proto::fleet::{
    AuthorizeNodeRequest, AuthorizeNodeResponse, AuthorizeOperatorRequest,
    AuthorizeOperatorResponse, AuthorizeSessionsRequest, AuthorizeSessionsResponse,
    AuthorizeViewerRequest, AuthorizeViewerResponse, ExpireSessionsRequest, ExpireSessionsResponse,
    FleetNode, ListNodesRequest, ListNodesResponse, SweepNodesRequest, SweepNodesResponse,
};
use testkit::control_plane::ControlPlane;
use tonic::{Request, Response, Status};

/// Node 1's credential.
pub(crate) const NODE: &str = "sh_node_1";
/// The token of the user whose sessions begin with `ses_mine`.
pub(crate) const USER: &str = "sh_user_1";
/// The token of a user of another tenant.
pub(crate) const OTHER_TENANT: &str = "sh_user_2";

/// The token of an operator.
pub(crate) const OPERATOR: &str = "sh_operator";

/// A session of the user's that neither node was given.
pub(crate) const NOBODYS: &str = "ses_mine_elsewhere";

/// How often it was asked.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    inner: Arc<Mutex<Counts>>,
    fleet: Arc<Mutex<Vec<FleetNode>>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) nodes: u32,
    pub(crate) viewers: u32,
    pub(crate) sessions: u32,
    /// Every call fails as if nobody was there.
    away: bool,
}

impl Asked {
    pub(crate) fn counts(&self) -> Counts {
        *self.inner.lock().unwrap()
    }

    pub(crate) fn go_away(&self) {
        self.inner.lock().unwrap().away = true;
    }

    /// What there is from now on, in the order of ids.
    pub(crate) fn set_fleet(&self, nodes: Vec<FleetNode>) {
        *self.fleet.lock().unwrap() = nodes;
    }

    fn check_here(&self) -> Result<(), Status> {
        if self.counts().away {
            return Err(Status::unavailable("as the test says"));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Control for Asked {
    async fn expire_sessions(
        &self,
        _request: Request<ExpireSessionsRequest>,
    ) -> Result<Response<ExpireSessionsResponse>, Status> {
        Err(Status::unimplemented("not the gateway's"))
    }

    async fn sweep_nodes(
        &self,
        _request: Request<SweepNodesRequest>,
    ) -> Result<Response<SweepNodesResponse>, Status> {
        Err(Status::unimplemented("not the gateway's"))
    }

    async fn authorize_viewer(
        &self,
        request: Request<AuthorizeViewerRequest>,
    ) -> Result<Response<AuthorizeViewerResponse>, Status> {
        self.check_here()?;
        self.inner.lock().unwrap().viewers += 1;
        let request = request.into_inner();
        let allowed = request.token == USER && request.session_id.starts_with("ses_mine");
        Ok(Response::new(AuthorizeViewerResponse { allowed }))
    }

    async fn authorize_operator(
        &self,
        request: Request<AuthorizeOperatorRequest>,
    ) -> Result<Response<AuthorizeOperatorResponse>, Status> {
        self.check_here()?;
        let allowed = request.into_inner().token == OPERATOR;
        Ok(Response::new(AuthorizeOperatorResponse { allowed }))
    }

    async fn authorize_node(
        &self,
        request: Request<AuthorizeNodeRequest>,
    ) -> Result<Response<AuthorizeNodeResponse>, Status> {
        self.check_here()?;
        let credential = request.into_inner().credential;
        if credential.is_empty() {
            return Ok(Response::new(AuthorizeNodeResponse::default()));
        }
        self.inner.lock().unwrap().nodes += 1;
        let number = credential.strip_prefix("sh_node_");
        let known = number.filter(|number| ["1", "2"].contains(number));
        let node_id = known.map_or(String::new(), |number| format!("nod_{number}"));
        Ok(Response::new(AuthorizeNodeResponse { node_id }))
    }

    async fn authorize_sessions(
        &self,
        request: Request<AuthorizeSessionsRequest>,
    ) -> Result<Response<AuthorizeSessionsResponse>, Status> {
        self.check_here()?;
        self.inner.lock().unwrap().sessions += 1;
        let mut session_ids = request.into_inner().session_ids;
        session_ids.retain(|id| id != NOBODYS);
        Ok(Response::new(AuthorizeSessionsResponse { session_ids }))
    }

    /// A node at a time, so that pages are asked for.
    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        self.check_here()?;
        let after = request.into_inner().after_node_id;
        let nodes = self.fleet.lock().unwrap().clone();
        let mut nodes = nodes.into_iter().filter(|node| node.node_id > after);
        let page = nodes.next();
        Ok(Response::new(ListNodesResponse {
            nodes: page.into_iter().collect(),
            more: nodes.next().is_some(),
        }))
    }
}

/// The fake, until it is dropped.
pub(crate) struct FakeApi {
    pub(crate) asked: Asked,
    server: ControlPlane,
}

impl FakeApi {
    pub(crate) async fn start() -> Self {
        let asked = Asked::default();
        let server = ControlPlane::start(asked.clone()).await.unwrap();
        Self { asked, server }
    }

    pub(crate) fn uri(&self) -> String {
        self.server.uri()
    }
}
