//! `fleet.v1.Fleet`: enrolment once, then a node's stream.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::Map;
use model::NodeId;
use model::node::Hello;
use placement::vitals::{Evidence, Vitals};
use proto::fleet as pb;
use proto::fleet::node_message::Message;
use secrecy::ExposeSecret;
use storage::control::epochs::{self, StreamEpoch};
use storage::control::nodes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{counted, status};
use crate::fleet::connection::{Connection, OUTGOING_MAX};
use crate::fleet::leases::key_set;
use crate::fleet::standing::{self, Judge};
use crate::state::App;
use crate::token::{self, Kind};

/// How long a node may take to say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Fleet {
    pub(super) app: Arc<App>,
    pub(super) stopping: CancellationToken,
}

/// What a node is told.
type Directives = Map<ReceiverStream<Told>, fn(Told) -> Directive>;
type Told = Result<Box<pb::ControlMessage>, Status>;
type Directive = Result<pb::ControlMessage, Status>;

#[tonic::async_trait]
impl pb::fleet_server::Fleet for Fleet {
    type ConnectStream = Directives;

    async fn enrol(
        &self,
        request: Request<pb::EnrolRequest>,
    ) -> Result<Response<pb::EnrolResponse>, Status> {
        counted(
            "Fleet/Enrol",
            self.exchange(&request.into_inner().join_token).await,
        )
    }

    async fn connect(
        &self,
        request: Request<Streaming<pb::NodeMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        counted("Fleet/Connect", self.open(request).await)
    }
}

impl Fleet {
    async fn exchange(&self, join_token: &str) -> Result<pb::EnrolResponse, Status> {
        let credential = token::fresh(Kind::Node);
        let node = nodes::enrol(
            &self.app.pool,
            &token::hash(join_token),
            &token::hash(credential.expose_secret()),
            self.app.now(),
        )
        .await
        .map_err(status)?;
        let node = node.ok_or_else(|| {
            Status::unauthenticated("the join token is unknown, used up or has expired")
        })?;
        tracing::info!(node.id = %node, "A node enrolled");
        Ok(pb::EnrolResponse {
            node_id: node.to_string(),
            credential: credential.expose_secret().to_owned(),
            keys: Some(key_set(&self.app.issuer.believed())),
        })
    }

    async fn open(
        &self,
        request: Request<Streaming<pb::NodeMessage>>,
    ) -> Result<<Self as pb::fleet_server::Fleet>::ConnectStream, Status> {
        let node = self.authenticate(&request).await?;
        let (_, extensions, mut incoming) = request.into_parts();
        let hello = hello(&mut incoming).await?;
        if hello.node_id != node {
            return Err(Status::permission_denied(
                "the credential is another node's",
            ));
        }
        let welcome = self.welcome(&hello).await.map_err(status)?;
        let (epoch, vitals) = welcome.ok_or_else(refused)?;
        service_kit::grpc::admit(&extensions);
        tracing::info!(node.id = %node, version = hello.version, held = hello.held.len(),
            "A node connected");
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        let seat = self.app.registry.enter(&node);
        let connection = Connection::new(self.app.clone(), &hello, (epoch, vitals), seat, outgoing);
        tokio::spawn(connection.run(incoming, self.stopping.clone()));
        let unboxed: fn(Told) -> Directive = unboxed;
        Ok(ReceiverStream::new(messages).map(unboxed))
    }

    /// Writes down what it says of itself, and that it is there. `None`: it was removed.
    async fn welcome(
        &self,
        hello: &Hello,
    ) -> Result<Option<(StreamEpoch, Vitals)>, storage::Error> {
        let app = &self.app;
        let judge = Judge::observer(&app.config.fleet, app.now());
        let _turn = app.stream_queries.acquire().await;
        let mut transaction = storage::begin(&app.pool).await?;
        let epoch = epochs::begin(&mut transaction, &hello.node_id).await?;
        nodes::connected(&mut transaction, hello, judge.now).await?;
        let judged = standing::judge(&mut transaction, &hello.node_id, &judge, |vitals| {
            vitals.take(Evidence::Connected, judge.probation, judge.now);
        });
        let vitals = judged.await?;
        storage::commit(transaction).await?;
        Ok(epoch.zip(vitals))
    }

    async fn authenticate<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let credential = service_kit::grpc::bearer(request.metadata()).ok_or_else(refused)?;
        let _turn = self.app.stream_queries.acquire().await;
        let node = nodes::by_credential(&self.app.pool, &token::hash(credential)).await;
        node.map_err(status)?.ok_or_else(refused)
    }
}

fn unboxed(told: Told) -> Directive {
    told.map(|message| *message)
}

/// One word for what is unknown, removed and banned: who asks is not known.
fn refused() -> Status {
    Status::unauthenticated("a node's credential is needed, of a node that is not banned")
}

async fn hello(incoming: &mut Streaming<pb::NodeMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello in time"))??;
    match first.and_then(|message| message.message) {
        Some(Message::Hello(hello)) => hello
            .try_into()
            .map_err(|error: proto::convert::Error| Status::invalid_argument(error.to_string())),
        _ => Err(Status::failed_precondition("Hello comes first")),
    }
}
