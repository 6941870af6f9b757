//! A relay node as far as the control plane can tell.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::fleet_client::FleetClient;
use proto::fleet::node_message::Message;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::house::{ADMIN, House, eventually};

/// A node's identity after its enrolment.
#[derive(Debug, Clone)]
pub(crate) struct Enrolled {
    pub(crate) node_id: String,
    pub(crate) credential: String,
    pub(crate) keys: lease::KeySet,
}

/// A node's stream.
pub(crate) struct Node {
    pub(crate) outgoing: mpsc::Sender<pb::NodeMessage>,
    pub(crate) incoming: Streaming<pb::ControlMessage>,
}

pub(crate) async fn create(house: &House, name: &str) -> String {
    let made = house
        .post(ADMIN, "/api/v1/ops/nodes", json!({"name": name}))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    made.body["join_token"].as_str().unwrap().to_owned()
}

pub(crate) async fn enrol(house: &House, join_token: &str) -> Result<Enrolled, Status> {
    let request = pb::EnrolRequest {
        join_token: join_token.to_owned(),
    };
    let mut client = FleetClient::new(house.channel().await);
    let response = client.enrol(request).await?.into_inner();
    let keys = response.keys.unwrap().keys.into_iter().map(|key| {
        let kid = lease::Kid::parse(&key.kid).unwrap();
        (kid, key.public_key.try_into().unwrap())
    });
    Ok(Enrolled {
        node_id: response.node_id,
        credential: response.credential,
        keys: lease::KeySet::new(keys).unwrap(),
    })
}

/// Creates, enrols and connects a node; what it hears first is Welcome and an empty Resync.
pub(crate) async fn joined(house: &House, name: &str, sessions_max: u32) -> (Enrolled, Node) {
    let enrolled = enrol(house, &create(house, name).await).await.unwrap();
    let mut node = connect(house, &enrolled, sessions_max, Vec::new())
        .await
        .unwrap();
    let resync = node.resync().await;
    assert!(resync.is_empty());
    (enrolled, node)
}

pub(crate) async fn connect(
    house: &House,
    enrolled: &Enrolled,
    sessions_max: u32,
    held: Vec<pb::HeldLease>,
) -> Result<Node, Status> {
    let (node, _) = welcomed(house, enrolled, sessions_max, held).await?;
    Ok(node)
}

/// Connects, and hears how it is welcomed.
pub(crate) async fn welcomed(
    house: &House,
    enrolled: &Enrolled,
    sessions_max: u32,
    held: Vec<pb::HeldLease>,
) -> Result<(Node, pb::Welcome), Status> {
    greeted(house, enrolled, hello(enrolled, sessions_max, held)).await
}

/// A node's first word.
pub(crate) fn hello(enrolled: &Enrolled, sessions_max: u32, held: Vec<pb::HeldLease>) -> pb::Hello {
    pb::Hello {
        node_id: enrolled.node_id.clone(),
        version: "0.1.0".into(),
        region: "local".into(),
        public_host: "relay.example".into(),
        udp_port: 5000,
        publish_port: 4001,
        play_port: 4000,
        sessions_max,
        boot_id: "boot".into(),
        held,
        encrypts_remotes: true,
    }
}

/// Connects with these words, and hears how it is welcomed.
pub(crate) async fn greeted(
    house: &House,
    enrolled: &Enrolled,
    hello: pb::Hello,
) -> Result<(Node, pb::Welcome), Status> {
    let (outgoing, messages) = mpsc::channel(16);
    outgoing
        .send(pb::NodeMessage {
            message: Some(Message::Hello(hello)),
        })
        .await
        .unwrap();
    let mut request = Request::new(ReceiverStream::new(messages));
    let bearer = format!("Bearer {}", enrolled.credential).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let incoming = FleetClient::new(house.channel().await)
        .connect(request)
        .await?
        .into_inner();
    let mut node = Node { outgoing, incoming };
    let Directive::Welcome(welcome) = node.next().await.1 else {
        panic!("Welcome comes first")
    };
    assert_eq!(welcome.keys.as_ref().unwrap().keys.len(), 2);
    Ok((node, welcome))
}

/// What a node says when something happens to a session.
pub(crate) fn event(session: &str, kind: pb::SessionEventKind) -> Message {
    Message::Event(pb::SessionEvent {
        session_id: session.to_owned(),
        kind: kind.into(),
        ..Default::default()
    })
}

impl Node {
    pub(crate) async fn next(&mut self) -> (u64, Directive) {
        let message = tokio::time::timeout(Duration::from_secs(30), self.incoming.message());
        let message = message
            .await
            .expect("a directive comes")
            .unwrap()
            .expect("the stream lives");
        (message.directive_id, message.directive.unwrap())
    }

    /// The next directive, acknowledged.
    pub(crate) async fn follow(&mut self) -> Directive {
        let (directive_id, directive) = self.next().await;
        self.say(Message::Ack(pb::Ack {
            directive_id,
            error: String::new(),
        }))
        .await;
        directive
    }

    pub(crate) async fn assigned(&mut self) -> pb::AssignLease {
        match self.follow().await {
            Directive::Assign(assign) => assign,
            other => panic!("not an Assign: {other:?}"),
        }
    }

    pub(crate) async fn revoked(&mut self) -> pb::Revoke {
        match self.follow().await {
            Directive::Revoke(revoke) => revoke,
            other => panic!("not a Revoke: {other:?}"),
        }
    }

    pub(crate) async fn resync(&mut self) -> Vec<pb::AssignLease> {
        match self.follow().await {
            Directive::Resync(resync) => resync.assigned,
            other => panic!("not a Resync: {other:?}"),
        }
    }

    pub(crate) async fn say(&self, message: Message) {
        self.outgoing
            .send(pb::NodeMessage {
                message: Some(message),
            })
            .await
            .unwrap();
    }

    /// A heartbeat that says how busy the node is.
    pub(crate) async fn beat_loaded(&self, held: &[&str], load_ratio: f64) {
        self.say(Message::Heartbeat(pb::Heartbeat {
            boot_id: "boot".into(),
            held_session_ids: held.iter().map(|id| (*id).to_owned()).collect(),
            data_thread_load_ratio: load_ratio,
            players: 3,
            ..Default::default()
        }))
        .await;
    }

    /// Why the stream ended, whatever came before.
    pub(crate) async fn ended(&mut self) -> Status {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(30), self.incoming.message());
            match message.await.expect("the stream ends") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("closed"),
                Err(status) => return status,
            }
        }
    }

    pub(crate) async fn beat(&self, held: &[&str], publishing: &[&str]) {
        let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        self.say(Message::Heartbeat(pb::Heartbeat {
            boot_id: "boot".into(),
            held_session_ids: texts(held),
            publishing_session_ids: texts(publishing),
            ..Default::default()
        }))
        .await;
    }
}

/// Does `say`, and waits until a node is heard at the house's time.
pub(crate) async fn heard_since(house: &House, name: &str, say: impl Future<Output = ()>) {
    let heard_at = async || {
        let listed = house.get(ADMIN, "/api/v1/ops/nodes").await.body;
        let nodes = listed["nodes"].as_array().unwrap().clone();
        let found = nodes.into_iter().find(|it| it["name"] == name).unwrap();
        found["heartbeat_at"].clone()
    };
    let before = heard_at().await;
    say.await;
    eventually("heard", async || heard_at().await != before).await;
}
