//! What a watcher is told of a session, beside the gateway's figures.

use proto::fleet as pb;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{ADMIN, House};
use crate::node;

/// A gateway's side of one live view.
struct Gateway(TcpListener);

/// A viewer of one session.
struct Viewer(Lines<BufReader<TcpStream>>);

impl Gateway {
    async fn new() -> (Self, House) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let house = House::with(|config| config.gateway_http = format!("http://{address}")).await;
        (Self(listener), house)
    }

    /// Lets the next viewer in, with what it has at once.
    async fn serve(&self) -> TcpStream {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let snapshot = "event: snapshot\ndata: []\n\n";
        let answer = format!("{head}{snapshot}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    }
}

impl Viewer {
    /// HTTP/1.0, so that the body comes without chunks.
    async fn open(house: &House, session: &str) -> Self {
        let mut stream = TcpStream::connect(house.http).await.unwrap();
        let request = format!(
            "GET /v1/sessions/{session}/live HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    async fn line(&mut self) -> String {
        let patience = std::time::Duration::from_secs(30);
        let line = tokio::time::timeout(patience, self.0.next_line()).await;
        line.expect("a line comes")
            .unwrap()
            .expect("the stream lives")
    }

    /// The name of the next event.
    async fn event(&mut self) -> String {
        loop {
            if let Some(name) = self.line().await.strip_prefix("event: ") {
                return name.to_owned();
            }
        }
    }

    /// Waits for the beginning of an event of this name.
    async fn begins(&mut self, name: &str) {
        while self.event().await != name {}
    }

    async fn data(&mut self) -> Value {
        let data = self.line().await;
        serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
    }

    /// The next word of what the session is doing.
    async fn state(&mut self) -> Value {
        self.begins("state").await;
        self.data().await
    }
}

fn what(state: &Value) -> (&Value, &Value) {
    (&state["status"], &state["publishing"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_what_the_session_is_doing() {
    let (gateway, house) = Gateway::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let started = house.start(ADMIN, "cam1").await;
    let id = started.body["session"]["session_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (mut viewer, mut figures) = tokio::join!(Viewer::open(&house, &id), gateway.serve());

    assert_eq!(viewer.event().await, "state");
    let state = viewer.data().await;
    assert_eq!(what(&state), (&json!("provisioning"), &json!(false)));
    assert_eq!(viewer.event().await, "snapshot");
    assert_eq!(state["session_id"], json!(id));
    assert_eq!(state["node_id"], json!(enrolled.node_id));
    assert!(state["observed_at"].is_i64());

    node.assigned().await;
    let state = viewer.state().await;
    assert_eq!(what(&state), (&json!("active"), &json!(false)));

    let event = |kind: pb::SessionEventKind| {
        Message::Event(pb::SessionEvent {
            session_id: id.clone(),
            kind: kind.into(),
            ..Default::default()
        })
    };
    node.say(event(pb::SessionEventKind::PublisherConnected))
        .await;
    let state = viewer.state().await;
    assert_eq!(what(&state), (&json!("active"), &json!(true)));
    node.say(event(pb::SessionEventKind::PublisherGone)).await;
    let state = viewer.state().await;
    assert_eq!(what(&state), (&json!("grace"), &json!(false)));

    // The gateway's own events come through, and ours do not tear them.
    figures
        .write_all(b"event: sample\ndata: {\"a\":")
        .await
        .unwrap();
    viewer.begins("sample").await;
    let stop = json!({"session_id": id, "reason": "done"});
    let stopped = house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    assert_eq!(stopped.status, 200);
    figures.write_all(b"1}\n\n").await.unwrap();
    assert_eq!(viewer.data().await, json!({"a": 1}));
    let state = viewer.state().await;
    assert_eq!(what(&state), (&json!("stopped"), &json!(false)));
    assert!(state["stop_reason"].is_string());
}
