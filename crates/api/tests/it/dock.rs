//! The dock's sign-in, its connections and its live view.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::expiry::expire;
use crate::house::{ADMIN, House, Raw, eventually};
use crate::{moves, node};

const SESSION: &str = "/api/v1/dock/session";
const CONNECTIONS: &str = "/api/v1/dock/connections";

/// A link's code, as `streamhaul dock-url` gets it.
async fn code(house: &House, token: &str) -> String {
    let made = house.post(token, "/api/v1/dock/links", json!({})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let code = made.body["code"].as_str().unwrap().to_owned();
    assert_eq!(made.body["path"], format!("/dock#code={code}"));
    code
}

async fn enter(house: &House, code: &str) -> Raw {
    let body = json!({ "code": code });
    house.browse("POST", SESSION, "", Some(body)).await
}

/// The `Cookie` header of a dock that signed in.
async fn signed_in(house: &House, token: &str) -> String {
    let entered = enter(house, &code(house, token).await).await;
    assert_eq!(entered.status(), 204);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn connections(house: &House, cookie: &str) -> Value {
    let listed = house.browse("GET", CONNECTIONS, cookie, None).await;
    assert_eq!(listed.status(), 200, "{}", listed.body());
    serde_json::from_str(listed.body()).unwrap()
}

/// Every field's path, such as `connections[].session.node.host`.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                fields(inner, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.trim_start_matches('.').to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_not_for_long() {
    let house = House::new().await;
    let user = house.user("someone").await;
    let first = code(&house, &user).await;
    assert_eq!(enter(&house, &first).await.status(), 204);
    assert_eq!(enter(&house, &first).await.status(), 401);
    assert_eq!(enter(&house, "sh_link_0").await.status(), 401);
    let late = code(&house, &user).await;
    house.advance(Duration::from_secs(601));
    assert_eq!(enter(&house, &late).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_links_at_once_leave_only_the_newest() {
    let house = House::new().await;
    let oldest = code(&house, ADMIN).await;
    let mut newest = String::new();
    for _ in 0..20 {
        house.advance(Duration::from_millis(1));
        newest = code(&house, ADMIN).await;
    }
    assert_eq!(enter(&house, &oldest).await.status(), 401);
    assert_eq!(enter(&house, &newest).await.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dock_stays_signed_in_until_it_signs_out_or_a_month_goes_by() {
    let house = House::new().await;
    let cookie = signed_in(&house, ADMIN).await;
    let status = async |cookie: &str| {
        house
            .browse("GET", CONNECTIONS, cookie, None)
            .await
            .status()
    };
    assert_eq!(status(&cookie).await, 200);
    let left = house.browse("DELETE", SESSION, &cookie, None).await;
    assert_eq!(left.status(), 204);
    assert!(
        left.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(status(&cookie).await, 401);

    let other = signed_in(&house, ADMIN).await;
    house.advance(Duration::from_secs(30 * 24 * 3600 + 1));
    assert_eq!(status(&other).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_opens_nothing_but_the_dock_and_for_no_other_page() {
    let house = House::new().await;
    let cookie = signed_in(&house, ADMIN).await;
    let secret = cookie.split_once('=').unwrap().1.to_owned();
    // Neither as a cookie nor as a bearer token.
    let nodes = house
        .browse("GET", "/api/v1/ops/nodes", &cookie, None)
        .await;
    assert_eq!(nodes.status(), 401);
    let active = house.get(&secret, "/api/v1/relay/active").await;
    assert_eq!(active.status, 401);

    let body = Some(json!({"name": "cam1"}).to_string());
    for origin in [None, Some("http://127.0.0.1:1"), Some("null")] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let added = house.call("POST", CONNECTIONS, &headers, body.clone());
        assert_eq!(added.await.status, 403, "{origin:?}");
    }
    assert_eq!(connections(&house, &cookie).await["connections"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_from_adding_to_removing() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let (mine, other) = (house.user("me").await, house.user("other").await);
    let cookie = signed_in(&house, &mine).await;
    let body = json!({"name": "phone", "region": null});
    let added = house
        .browse("POST", CONNECTIONS, &cookie, Some(body.clone()))
        .await;
    assert_eq!(added.status(), 201, "{}", added.body());
    // Adding it again changes nothing.
    let again = house.browse("POST", CONNECTIONS, &cookie, Some(body)).await;
    let session = |raw: &Raw| {
        let body: Value = serde_json::from_str(raw.body()).unwrap();
        body["session"]["session_id"].clone()
    };
    assert_eq!(session(&added), session(&again));
    let listed = connections(&house, &cookie).await;
    assert_eq!(
        listed["connections"][0]["session"]["session_id"],
        session(&added)
    );
    assert_eq!(listed["connections"][0]["session"]["node"]["name"], "one");

    let urls = format!("{CONNECTIONS}/phone/urls");
    let shown = house.browse("GET", &urls, &cookie, None).await;
    assert_eq!(shown.headers()["cache-control"], "no-store");
    let shown: Value = serde_json::from_str(shown.body()).unwrap();
    let sender = shown["sender_srtla_url"].as_str().unwrap();
    assert!(
        sender.starts_with("srtla://relay.example:5000?streamid=live_"),
        "{sender}"
    );

    // Somebody else's is as unknown as none.
    let stranger = signed_in(&house, &other).await;
    for (method, path) in [
        ("GET", urls.clone()),
        ("DELETE", format!("{CONNECTIONS}/phone")),
    ] {
        let refused = house.browse(method, &path, &stranger, None).await;
        assert_eq!(refused.status(), 404, "{method} {path}");
    }
    let removed = house
        .browse("DELETE", &format!("{CONNECTIONS}/phone"), &cookie, None)
        .await;
    assert_eq!(removed.status(), 204);
    assert_eq!(connections(&house, &cookie).await["connections"], json!([]));
    assert_eq!(house.get(&mine, "/api/v1/relay/active").await.status, 204);
    assert_eq!(
        house.browse("GET", &urls, &cookie, None).await.status(),
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_knows_of_a_move_until_the_sender_has_followed() {
    let house = House::new().await;
    let (old, mut eu, mut us) = moves::published(&house).await;
    let cookie = signed_in(&house, ADMIN).await;
    let session = async || connections(&house, &cookie).await["connections"][0]["session"].clone();
    assert_eq!(session().await["moving_from"], Value::Null);
    assert_eq!(moves::migrate(&house, "us").await.status, 202);
    let new = us.assigned().await.session_id;
    let listed = session().await;
    assert_eq!(listed["session_id"], new);
    assert_eq!(listed["node"]["name"], "node-us");
    assert_eq!(
        listed["moving_from"],
        json!({"session_id": old, "node_name": "node-eu"})
    );

    moves::beat(&us, &new, false).await;
    eventually("moved", async || {
        expire(&house).await;
        session().await["moving_from"].is_null()
    })
    .await;
    assert_eq!(eu.revoked().await.session_id, old);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_holds_no_secret() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let cookie = signed_in(&house, ADMIN).await;
    house.start(ADMIN, "plugin").await;
    let body = Some(json!({"name": "phone"}));
    house.browse("POST", CONNECTIONS, &cookie, body).await;
    let listed = connections(&house, &cookie).await;
    let mut found = BTreeSet::new();
    fields(&listed, "", &mut found);
    let expected = [
        "connections[].name",
        "connections[].session.node.host",
        "connections[].session.node.name",
        "connections[].session.node.online",
        "connections[].session.node.port",
        "connections[].session.node.region",
        "connections[].session.publishing",
        "connections[].session.region_fallback",
        "connections[].session.session_id",
        "connections[].session.status",
        "observed_at",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
    let active = house
        .get(ADMIN, "/api/v1/relay/active?connection_id=plugin")
        .await;
    let text = listed.to_string();
    for key in ["stream_token", "play_token"] {
        let secret = active.body["session"]["credentials"][key].as_str().unwrap();
        assert!(!text.contains(secret), "{key} is on the page");
    }
    let secret = cookie.split_once('=').unwrap().1;
    for word in [
        secret,
        ADMIN,
        "pair_token",
        "relay_ws_token",
        "access",
        "refresh",
    ] {
        assert!(!text.contains(word), "{word} is on the page: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_connection_gets_a_session_as_soon_as_a_node_can_take_it() {
    let house = House::new().await;
    let cookie = signed_in(&house, ADMIN).await;
    let added = house
        .browse("POST", CONNECTIONS, &cookie, Some(json!({"name": "phone"})))
        .await;
    assert_eq!(added.status(), 201);
    assert_eq!(added.body(), r#"{"name":"phone","session":null}"#);
    let (_, _node) = node::joined(&house, "one", 10).await;
    let has_session =
        async || connections(&house, &cookie).await["connections"][0]["session"].is_object();
    eventually("provisioned", has_session).await;

    // Stopped by another client of its user, it is wanted no longer.
    let listed = connections(&house, &cookie).await;
    let old = json!({"session_id": listed["connections"][0]["session"]["session_id"]});
    let stop = async |named: &Value| house.post(ADMIN, "/api/v1/relay/stop", named.clone()).await;
    assert_eq!(stop(&json!({"connection_id": "phone"})).await.status, 200);
    assert_eq!(connections(&house, &cookie).await["connections"], json!([]));

    // Wanted again, it does not mind that its old session is stopped once more.
    let body = Some(json!({"name": "phone"}));
    house.browse("POST", CONNECTIONS, &cookie, body).await;
    assert_eq!(stop(&old).await.status, 200);
    assert!(has_session().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_connection_needs_no_sender_to_stay() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let cookie = signed_in(&house, ADMIN).await;
    let body = Some(json!({"name": "phone"}));
    house.browse("POST", CONNECTIONS, &cookie, body).await;
    let id = node.assigned().await.session_id;
    let expires_at = async || {
        let active = house.get(ADMIN, "/api/v1/relay/active").await;
        active.body["session"]["lease_expires_at"].clone()
    };
    // Twice as long as a session lives without its sender otherwise.
    for _ in 0..5 {
        let before = expires_at().await;
        house.advance(Duration::from_secs(250));
        node.beat(&[&id], &[]).await;
        eventually("renewed", async || expires_at().await != before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_view_is_the_gateways_and_goes_on_where_it_was() {
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gateway.local_addr().unwrap();
    let house = House::with(|config| config.gateway_http = format!("http://{address}")).await;
    let cookie = signed_in(&house, ADMIN).await;
    let (secret, events) = (
        cookie.split_once('=').unwrap().1.to_owned(),
        "event: sample\nid: 8\ndata: {}\n\n",
    );
    let served = tokio::spawn(async move {
        let (mut stream, _) = gateway.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream
            .write_all(format!("{head}{events}").as_bytes())
            .await
            .unwrap();
        String::from_utf8(asked).unwrap().to_lowercase()
    });
    let headers = [("cookie", cookie.as_str()), ("last-event-id", "7")];
    let answer = house
        .call("GET", "/v1/sessions/ses_1/live", &headers, None)
        .await;
    assert_eq!(answer.status, 200);
    let asked = served.await.unwrap();
    assert!(asked.starts_with("get /v1/sessions/ses_1/live "), "{asked}");
    assert!(asked.contains("last-event-id: 7\r\n"), "{asked}");
    assert!(
        asked.contains(&format!("authorization: bearer {secret}\r\n")),
        "{asked}"
    );
    assert!(!asked.contains("cookie"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_view_does_not_hold_up_the_end() {
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gateway.local_addr().unwrap();
    let house = House::with(|config| config.gateway_http = format!("http://{address}")).await;
    let request = format!(
        "GET /v1/sessions/ses_1/live HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n\r\n"
    );
    let mut viewer = TcpStream::connect(house.http).await.unwrap();
    viewer.write_all(request.as_bytes()).await.unwrap();
    let (mut stream, _) = gateway.accept().await.unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: sample\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: sample") {
        seen.push(viewer.read_u8().await.unwrap());
    }
    house.stop().await;
    viewer.read_to_end(&mut seen).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_hears_who_a_dock_is() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let (mine, other) = (house.user("me").await, house.user("other").await);
    let started = house.start(&mine, "cam1").await;
    let session_id = started.body["session"]["session_id"].as_str().unwrap();
    let mut control = house.control().await;
    for (user, expected) in [(&mine, true), (&other, false)] {
        let cookie = signed_in(&house, user).await;
        let request = proto::fleet::AuthorizeViewerRequest {
            token: cookie.split_once('=').unwrap().1.to_owned(),
            session_id: session_id.to_owned(),
        };
        let answer = control.authorize_viewer(request).await.unwrap();
        assert_eq!(answer.into_inner().allowed, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_a_strict_policy() {
    let house = House::new().await;
    for path in ["/dock", "/dock/", "/account"] {
        let page = house.browse("GET", path, "", None).await;
        assert_eq!(page.status(), 200);
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers()["cache-control"], "no-cache");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    }
    let outside = house.browse("GET", "/dock/../Cargo.toml", "", None).await;
    assert_eq!(outside.status(), 404);
}
