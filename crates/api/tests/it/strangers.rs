//! What many strangers can do to those who are no strangers: nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use http::header::SET_COOKIE;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::fleet_client::FleetClient;
use proto::fleet::node_message::Message;
use serde_json::json;
use storage::control::device_logins::{self, Kind, NewDeviceLogin};
use storage::control::pending::PendingMax;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use crate::accounts::{self, PASSWORD};
use crate::house::{ADMIN, House, Raw, eventually};
use crate::node;

const EMAIL: &str = "someone@example.com";
const SIGN_IN: &str = "/api/v1/auth/sign-in";
const HEALTHZ: &str = "/healthz";

/// Posts as our own page does, from an address.
async fn post(
    house: &House,
    path: &str,
    (from, cookie): (&str, &str),
    body: serde_json::Value,
) -> Raw {
    let origin = format!("http://{}", house.http);
    let headers = [
        ("origin", origin.as_str()),
        ("x-forwarded-for", from),
        ("cookie", cookie),
    ];
    house
        .raw("POST", path, &headers, Some(body.to_string()))
        .await
}

async fn sign_in(house: &House, from: (&str, &str), password: &str) -> u16 {
    let body = json!({"email": EMAIL, "password": password});
    post(house, SIGN_IN, from, body).await.status().as_u16()
}

/// The cookie by which a browser is known later.
fn known(answer: &Raw) -> String {
    let cookies = answer.headers().get_all(SET_COOKIE).iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    let known = cookies.find(|cookie| cookie.starts_with("streamhaul_known="));
    known.unwrap().to_owned()
}

/// As many wrong passwords as it takes until nobody unknown is heard, and many more.
async fn guess(house: &House) {
    for number in 0..100 {
        let from = format!("198.51.100.{number}");
        for _ in 0..3 {
            let status = sign_in(house, (&from, ""), "a wrong password").await;
            assert!([401, 429].contains(&status), "{status}");
        }
    }
    let from = ("192.0.2.1", "");
    assert_eq!(sign_in(house, from, PASSWORD).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_out_from_outside_leaves_the_owners_browser_in() {
    let house = House::new().await;
    accounts::person(&house, EMAIL).await;
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let came = post(&house, SIGN_IN, ("192.0.2.1", ""), body).await;
    let cookie = known(&came);
    guess(&house).await;
    // From the very address of a guesser, too.
    for from in ["192.0.2.1", "198.51.100.7"] {
        assert_eq!(sign_in(&house, (from, &cookie), PASSWORD).await, 204);
    }
    // A cookie that was made up, of another account or of another house is none.
    let (_, value) = cookie.split_once('=').unwrap();
    let (nonce, mark) = value.split_once('.').unwrap();
    accounts::person(&house, "other@example.com").await;
    let other = json!({"email": "other@example.com", "password": PASSWORD});
    let others = known(&post(&house, SIGN_IN, ("192.0.2.9", ""), other).await);
    for made_up in [
        format!("streamhaul_known={mark}.{nonce}"),
        format!("streamhaul_known={nonce}.{nonce}"),
        format!("streamhaul_known={nonce}."),
        format!("streamhaul_known={}.{mark}", "0".repeat(nonce.len())),
        others,
    ] {
        let from = ("192.0.2.1", made_up.as_str());
        assert_eq!(sign_in(&house, from, PASSWORD).await, 429, "{made_up}");
    }
    // A browser that was stolen guesses as slowly as anybody.
    let mut heard = 0;
    while sign_in(&house, ("192.0.2.1", &cookie), "a wrong password").await == 401 {
        heard += 1;
    }
    assert_eq!(heard, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_out_from_outside_ends_with_a_letter() {
    let house = House::new().await;
    accounts::person(&house, EMAIL).await;
    guess(&house).await;
    let forgot = async || {
        let body = json!({"email": EMAIL});
        let asked = post(&house, "/api/v1/auth/forgot", ("192.0.2.1", ""), body).await;
        assert_eq!(asked.status(), 202);
    };
    forgot().await;
    let first = accounts::letter(&house, EMAIL, 2).await;
    // Strangers who ask for more spoil none, and do not fill the mailbox.
    for count in 3..=6 {
        house.advance(Duration::from_secs(61));
        forgot().await;
        accounts::letter(&house, EMAIL, count).await;
    }
    house.advance(Duration::from_secs(61));
    forgot().await;
    let body = json!({"email": "nobody@example.com"});
    post(&house, "/api/v1/auth/forgot", ("192.0.2.1", ""), body).await;

    guess(&house).await;
    let reset = json!({"token": first, "password": "another long password"});
    let path = "/api/v1/auth/reset";
    let came = post(&house, path, ("192.0.2.1", ""), reset).await;
    assert_eq!(came.status(), 204);
    let cookie = crate::house::cookie_of(&came);
    let shown = house.browse("GET", "/api/v1/account", &cookie, None).await;
    assert_eq!(shown.status(), 200, "it signs in");
    let from = ("192.0.2.1", &*known(&came));
    assert_eq!(sign_in(&house, from, "another long password").await, 204);
    assert_eq!(house.letters(EMAIL).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_of_strangers_leaves_others_a_place_to_sign_a_device_in() {
    let house = House::new().await;
    let start = async |from: &str| {
        let path = "/api/v1/dock/login/start";
        let begun = post(&house, path, (from, ""), json!({})).await;
        begun.status().as_u16()
    };
    let mut begun = 0;
    while start(&format!("2001:db8:1:{begun:x}::1")).await == 201 {
        begun += 1;
        assert!(begun <= 200, "one network has them all");
    }
    assert_eq!(begun, 200);
    assert_eq!(start("2001:db8:2::1").await, 201);
    house.advance(Duration::from_secs(601));
    assert_eq!(start("2001:db8:1::1").await, 201, "it is not for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_networks_drops_its_own_devices_first() {
    let house = House::new().await;
    let (pool, now) = (house.pool(), model::clock::Clock::now(&*house.clock));
    let begin = async |number: u32, origin: &str| {
        let new = NewDeviceLogin {
            id: &format!("pla_{number}"),
            kind: Kind::Dock,
            poll_sha256: &[0; 32],
            user_code: &format!("CODE-{number}"),
            device: "",
            origin,
            expires_at: now.plus(Duration::from_secs(600)),
        };
        let max = PendingMax {
            all: 5,
            of_origin: 3,
        };
        let at = now.plus(Duration::from_millis(number.into()));
        device_logins::add(&pool, new, max, at).await.unwrap()
    };
    let is_there = async |number: u32| {
        let found = device_logins::find(&pool, &format!("pla_{number}")).await;
        found.unwrap().is_some()
    };
    assert!(begin(1, "192.0.2.0").await);
    for number in 2..=4 {
        assert!(begin(number, "198.51.100.0").await);
    }
    assert!(!begin(5, "198.51.100.0").await, "no network has more");
    assert!(begin(6, "203.0.113.0").await);
    // Full: for who comes now, the oldest of those who are the most goes.
    assert!(begin(7, "192.0.2.128").await);
    assert!(!is_there(2).await);
    for number in [1, 3, 4, 6, 7] {
        assert!(is_there(number).await, "{number}");
    }
}

/// A connection on which nothing is said.
fn silent(house: &House) -> TcpStream {
    let stream = TcpStream::connect(house.http).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Reads until the other side closes.
fn is_closed(mut stream: &TcpStream) -> bool {
    let mut said = Vec::new();
    // A reset is as good an end.
    match stream.read_to_end(&mut said) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dawdles_over_a_request_is_cut() {
    let house = House::with(|config| {
        config.http.trusted_proxies = Vec::new();
        config.http.head_timeout_seconds = 1;
    })
    .await;
    let (nothing, mut half) = (silent(&house), silent(&house));
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").unwrap();
    let cut = tokio::task::spawn_blocking(move || is_closed(&nothing) && is_closed(&half));
    assert!(cut.await.unwrap());
    let answer = house.raw("GET", HEALTHZ, &[], None).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_has_a_few_connections_at_once() {
    let house = House::with(|config| {
        config.http.trusted_proxies = Vec::new();
        config.http.connections_each_max = 2;
    })
    .await;
    let held = [silent(&house), silent(&house)];
    let closed = async || {
        let further = silent(&house);
        tokio::task::spawn_blocking(move || {
            let mut further = further;
            let _ = further.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
            let mut said = Vec::new();
            let _ = further.read_to_end(&mut said);
            said.is_empty()
        })
        .await
        .unwrap()
    };
    // The kernel takes connections before we do.
    eventually("bounded", closed).await;
    drop(held);
    eventually("free again", async || !closed().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_no_hello_is_cut_and_one_that_did_stays() {
    let house = House::with(|config| config.kit.grpc.connections.stranger_seconds = 1).await;
    let (_, mut welcome) = node::joined(&house, "one", 10).await;
    // With a good credential, too.
    let join_token = node::create(&house, "two").await;
    let enrolled = node::enrol(&house, &join_token).await.unwrap();
    let (_nothing, messages) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(messages));
    let bearer = format!("Bearer {}", enrolled.credential).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let mut client = FleetClient::new(house.channel().await);
    let cut = client.connect(request).await.unwrap_err();
    assert_ne!(cut.code(), Code::DeadlineExceeded, "its own time is longer");
    let sequence = 7;
    let beat = pb::Heartbeat {
        boot_id: "boot".into(),
        sequence,
        ..Default::default()
    };
    welcome.say(Message::Heartbeat(beat)).await;
    let (_, heard) = welcome.next().await;
    assert_eq!(
        heard,
        Directive::HeartbeatAck(pb::HeartbeatAck { sequence })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_slow_requests_is_one_networks_and_stops_no_health_check() {
    let house = House::with(|config| {
        config.http.requests_max = 2;
        config.http.requests_each_max = 1;
    })
    .await;
    // A body that does not come keeps its request's place.
    let slow = async |from: &str| {
        let (mut stream, to) = (silent(&house), house.http);
        let head = format!(
            "POST {SIGN_IN} HTTP/1.1\r\nhost: {to}\r\norigin: http://{to}\r\n\
             x-forwarded-for: {from}\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The word comes when the body is waited for.
        let waited_for = tokio::task::spawn_blocking(move || {
            let mut word = [0; 12];
            stream.read_exact(&mut word).unwrap();
            (word, stream)
        });
        let (word, stream) = waited_for.await.unwrap();
        assert_eq!(&word, b"HTTP/1.1 100");
        stream
    };
    let ask = async |path: &str, from: &str| {
        let headers = [("x-forwarded-for", from)];
        let answer = house.raw("GET", path, &headers, None).await;
        answer.status().as_u16()
    };
    let page = "/api/docs/style.css";
    let first = slow("198.51.100.1").await;
    assert_eq!(ask(page, "198.51.100.2").await, 503);
    assert_eq!(ask(page, "203.0.113.1").await, 200, "others are served");
    let second = slow("203.0.113.1").await;
    assert_eq!(ask(page, "192.0.2.1").await, 503);
    assert_eq!(ask(HEALTHZ, "198.51.100.2").await, 200);
    drop((first, second));
    eventually("free", async || ask(page, "192.0.2.1").await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_proxy_of_ours_says_that_a_browser_came_by_https() {
    let sets = async |house: &House| {
        accounts::person(house, EMAIL).await;
        let origin = format!("http://{}", house.http);
        let headers = [("origin", origin.as_str()), ("x-forwarded-proto", "https")];
        let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
        let came = house.raw("POST", SIGN_IN, &headers, Some(body)).await;
        let cookie = came.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        (
            cookie.starts_with("__Host-"),
            cookie.split("; ").any(|part| part == "Secure"),
        )
    };
    let behind = House::new().await;
    assert_eq!(sets(&behind).await, (true, true));
    let before = House::with(|config| config.http.trusted_proxies = Vec::new()).await;
    assert_eq!(sets(&before).await, (false, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_prefix_is_served_by_nothing_and_lets_the_operator_lift_it() {
    let house = House::new().await;
    let token = house.user("someone").await;
    let request = json!({"kind": "prefix", "subject": "198.51.100.0/24", "reason": "guesses"});
    let banned = house.post(ADMIN, "/api/v1/ops/bans", request).await;
    assert_eq!(banned.status, 201, "{banned:?}");
    let ask = async |path: &str, token: &str, from: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", from),
        ];
        house.call("GET", path, &headers, None).await
    };
    for (path, token) in [("/api/v1/streams", &*token), ("/account", "")] {
        let refused = ask(path, token, "198.51.100.77").await;
        assert_eq!(refused.status, 403, "{path}");
        assert_eq!(refused.body["error"]["reason_code"], "prefix_banned");
        assert_ne!(ask(path, token, "198.51.101.77").await.status, 403);
    }
    assert_eq!(sign_in(&house, ("198.51.100.1", ""), PASSWORD).await, 403);
    let bans = "/api/v1/ops/bans";
    assert_eq!(ask(bans, ADMIN, "198.51.100.77").await.status, 200);
}
