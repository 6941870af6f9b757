//! The control plane, as this service calls it.

use std::collections::HashSet;
use std::time::Duration;

use model::node::NodeFacts;
use model::{NodeId, SessionId};
use proto::fleet::control_client::ControlClient;
use proto::fleet::{
    AuthorizeNodeRequest, AuthorizeOperatorRequest, AuthorizeSessionsRequest,
    AuthorizeViewerRequest, ListNodesRequest,
};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::Status;

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    call: Duration::from_secs(3),
};

/// The most sessions one call asks about.
const SESSIONS_ASKED_MAX: usize = 1000;

/// A client that connects on first use, and again after every loss.
#[derive(Clone)]
pub(crate) struct Control {
    client: ControlClient<AuthorizedChannel>,
}

impl Control {
    pub(crate) fn new(api: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("api_grpc", api, token, PATIENCE)?;
        let client = ControlClient::new(channel);
        Ok(Self { client })
    }

    /// Whose credential this is.
    pub(crate) async fn node(&self, credential: &str) -> Result<Option<NodeId>, Status> {
        let credential = credential.to_owned();
        let request = AuthorizeNodeRequest { credential };
        let response = self.client.clone().authorize_node(request).await?;
        let node_id = response.into_inner().node_id;
        if node_id.is_empty() {
            return Ok(None);
        }
        let parsed = NodeId::parse(&node_id);
        parsed
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }

    /// Which of these sessions the node was given.
    pub(crate) async fn sessions(
        &self,
        node: &NodeId,
        sessions: &[SessionId],
    ) -> Result<HashSet<String>, Status> {
        let mut given = HashSet::new();
        for sessions in sessions.chunks(SESSIONS_ASKED_MAX) {
            let request = AuthorizeSessionsRequest {
                node_id: node.to_string(),
                session_ids: sessions.iter().map(ToString::to_string).collect(),
            };
            let response = self.client.clone().authorize_sessions(request).await?;
            given.extend(response.into_inner().session_ids);
        }
        Ok(given)
    }

    /// Every node as it is now; no more than `nodes_max`.
    pub(crate) async fn fleet(&self, nodes_max: usize) -> Result<Vec<NodeFacts>, Status> {
        let mut nodes: Vec<NodeFacts> = Vec::new();
        loop {
            let last = nodes.last().map(|node| node.node_id.to_string());
            let request = ListNodesRequest {
                after_node_id: last.unwrap_or_default(),
                limit: 0,
            };
            let page = self.client.clone().list_nodes(request).await?.into_inner();
            let more = page.more && !page.nodes.is_empty();
            for node in page.nodes {
                let node = NodeFacts::try_from(node);
                nodes.push(node.map_err(|error| Status::internal(error.to_string()))?);
            }
            if !more || nodes.len() >= nodes_max {
                return Ok(nodes);
            }
        }
    }

    /// Whether the holder of a token may watch a session.
    pub(crate) async fn viewer(&self, token: &str, session: &SessionId) -> Result<bool, Status> {
        let request = AuthorizeViewerRequest {
            token: token.to_owned(),
            session_id: session.to_string(),
        };
        let response = self.client.clone().authorize_viewer(request).await?;
        Ok(response.into_inner().allowed)
    }

    /// Whether the holder of a token may see what belongs to anybody.
    pub(crate) async fn operator(&self, token: &str) -> Result<bool, Status> {
        let token = token.to_owned();
        let request = AuthorizeOperatorRequest { token };
        let response = self.client.clone().authorize_operator(request).await?;
        Ok(response.into_inner().allowed)
    }

    /// Asks for a sign of life that changes nothing: who holds the empty credential?
    pub(crate) async fn ping(&self) -> Result<(), Status> {
        match self.node("").await {
            Err(status) if !is_answer(&status) => Err(status),
            _ => Ok(()),
        }
    }
}

/// Whether the api answered and said no, rather than being away.
pub(crate) fn is_answer(status: &Status) -> bool {
    use tonic::Code::{InvalidArgument, NotFound};
    matches!(status.code(), InvalidArgument | NotFound)
}
