//! What a watcher is told of a session, beside the gateway's figures.

use std::time::Duration;

use proto::fleet as pb;
use serde_json::{Value, json};
use streamhaul_api::Config;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{ADMIN, House, eventually};
use crate::{expiry, moves, node};

/// A gateway's side of one live view.
struct Gateway(TcpListener);

/// A viewer of one session.
struct Viewer(Lines<BufReader<TcpStream>>);

impl Gateway {
    async fn new() -> (Self, House) {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> (Self, House) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let house = House::with(|config| {
            config.gateway_http = format!("http://{address}");
            change(config);
        });
        (Self(listener), house.await)
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
    async fn open(house: &House, session: &str) -> Self {
        Self::open_as(ADMIN, house, session).await
    }

    /// HTTP/1.0, so that the body comes without chunks.
    async fn open_as(token: &str, house: &House, session: &str) -> Self {
        let mut stream = TcpStream::connect(house.http).await.unwrap();
        let request = format!(
            "GET /v1/sessions/{session}/live HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    async fn line(&mut self) -> String {
        let patience = Duration::from_secs(30);
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

    /// The first word of a state that is called so.
    async fn told(&mut self, status: &str) -> Value {
        loop {
            let state = self.state().await;
            if state["status"] == status {
                return state;
            }
        }
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

    let event = |kind| node::event(&id, kind);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_where_the_stream_goes() {
    let (gateway, house) = Gateway::new().await;
    let (_, mut eu) = moves::joined_in(&house, "eu").await;
    let (us_id, mut us) = moves::joined_in(&house, "us").await;
    let user = house.user("someone").await;
    let body = json!({"connection_id": "cam1", "region_preference": "eu"});
    house.post(&user, "/api/v1/relay/start", body).await;
    let old = eu.assigned().await.session_id;
    moves::beat(&eu, &old, false).await;
    let (mut owner, _figures) = tokio::join!(Viewer::open_as(&user, &house, &old), gateway.serve());
    let (mut operator, _more) = tokio::join!(Viewer::open(&house, &old), gateway.serve());
    let before = owner.told("active").await;
    assert_eq!(before["moved_to"], Value::Null);

    let body = json!({"connection_id": "cam1", "new_region": "us"});
    let moved = house.post(&user, "/api/v1/relay/migrate", body).await;
    let new = &moved.body["session"];
    let goes = owner.told("draining").await;
    assert_eq!(goes["session_id"], old.as_str());
    let urls = json!({
        "sender_srtla_url": new["sender_url"],
        "sender_srt_url": new["srt_publish_url"],
        "media_source_url": new["media_source_url"],
    });
    assert_eq!(
        goes["moved_to"],
        json!({
            "session_id": new["session_id"], "region": "us", "node_id": us_id, "urls": urls,
        })
    );
    // Whoever is not the owner learns where it goes, and not by which keys.
    let mut shown = goes["moved_to"].clone();
    shown.as_object_mut().unwrap().remove("urls");
    assert_eq!(operator.told("draining").await["moved_to"], shown);

    // Who comes when it is over is told as well.
    let arrived = us.assigned().await.session_id;
    moves::beat(&us, &arrived, false).await;
    eventually("moved", async || {
        expiry::expire(&house).await;
        let active = house.get(&user, "/api/v1/relay/active").await;
        active.body["session"]["moving_from"].is_null()
    })
    .await;
    let over = owner.told("stopped").await;
    assert_eq!(
        (&over["stop_reason"], &over["moved_to"]),
        (&json!("superseded"), &goes["moved_to"])
    );
    let (mut late, _late) = tokio::join!(Viewer::open(&house, &old), gateway.serve());
    assert_eq!(late.told("stopped").await["moved_to"], shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_that_a_move_was_undone() {
    let (gateway, house) = Gateway::new().await;
    let (_, mut eu) = moves::joined_in(&house, "eu").await;
    let (_, mut us) = moves::joined_in(&house, "us").await;
    let body = json!({"connection_id": "cam1", "region_preference": "eu"});
    house.post(ADMIN, "/api/v1/relay/start", body).await;
    let old = eu.assigned().await.session_id;
    moves::beat(&eu, &old, false).await;
    let (mut viewer, _figures) = tokio::join!(Viewer::open(&house, &old), gateway.serve());
    viewer.told("active").await;
    let body = json!({"connection_id": "cam1", "new_region": "us"});
    let moved = house.post(ADMIN, "/api/v1/relay/migrate", body).await;
    let new = moved.body["session"]["session_id"].clone();
    assert_eq!(viewer.told("draining").await["moved_to"]["session_id"], new);
    us.assigned().await;
    // The new node is silent for too long; the old one is not.
    let lease = async || {
        let path = format!("/api/v1/ops/sessions/{old}");
        house.get(ADMIN, &path).await.body["session"]["lease_expires_at"].clone()
    };
    let before = lease().await;
    house.advance(Duration::from_secs(61));
    moves::beat(&eu, &old, false).await;
    eventually("renewed", async || lease().await != before).await;
    eventually("undone", async || {
        expiry::expire(&house).await;
        let active = house.get(ADMIN, "/api/v1/relay/active").await;
        active.body["session"]["session_id"] == old.as_str()
    })
    .await;
    let state = viewer.told("active").await;
    assert_eq!(state["moved_to"], Value::Null, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_every_place_to_watch() {
    let (gateway, house) = Gateway::with(|config| config.http.live_streams_each_max = 2).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let started = async |token: &str| {
        let begun = house.start(token, "cam1").await;
        begun.body["session"]["session_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (user, other) = (house.user("someone").await, house.user("other").await);
    let (mine, others) = (started(&user).await, started(&other).await);
    let serving = tokio::spawn(async move {
        let mut served = Vec::new();
        loop {
            served.push(gateway.serve().await);
        }
    });
    let open = async |token: &str, session: &str| {
        let mut viewer = Viewer::open_as(token, &house, session).await;
        let status = viewer.line().await;
        let status = status.split(' ').nth(1).unwrap().to_owned();
        (viewer, status)
    };
    let (first, status) = open(&user, &mine).await;
    assert_eq!(status, "200");
    let (_second, status) = open(&user, &mine).await;
    assert_eq!(status, "200");
    assert_eq!(open(&user, &mine).await.1, "429");
    let (_others, status) = open(&other, &others).await;
    assert_eq!(status, "200");
    drop(first);
    eventually("room again", async || open(&user, &mine).await.1 == "200").await;
    serving.abort();
}
