//! The rows of the plugin's contract that are neither about signing in nor about a session.

use serde_json::{Value, json};

use crate::house::{ADMIN, Answer, House, masked};
use crate::node;

const STREAMS: &str = "/api/v1/streams";
const PREFERENCES: &str = "/api/v1/user/preferences";

async fn call(house: &House, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-request-id", "test-1"),
    ];
    let body = body.map(|body| body.to_string());
    house.call(method, path, &headers, body).await
}

async fn plan(house: &House, name: &str, connections: u32) {
    let path = format!("/api/v1/ops/plans/{name}");
    let plan = json!({"max_concurrent_conns": connections});
    assert_eq!(house.put(ADMIN, &path, plan).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_its_address() {
    let house = House::new().await;
    let from = async |address: &str| {
        let headers = [("x-forwarded-for", address), ("x-request-id", "test-1")];
        house.call("GET", "/api/v1/ip", &headers, None).await
    };
    insta::assert_json_snapshot!("ip", masked(&from("203.0.113.7").await));
    assert_eq!(from("2001:db8::1").await.body["ip"], "2001:db8::1");
    let direct = house.raw("GET", "/api/v1/ip", &[], None).await;
    assert_eq!(direct.headers()["cache-control"], "no-store");
    assert_eq!(direct.body(), r#"{"ip":"127.0.0.1"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_are_listed_with_what_they_can_take() {
    let house = House::new().await;
    let user = house.user("someone").await;
    let (_, _node) = node::joined(&house, "one", 1).await;
    let regions = "/api/v1/relay/regions";
    let listed = call(&house, &user, "GET", regions, None).await;
    insta::assert_json_snapshot!("regions", masked(&listed));
    assert_eq!(
        call(&house, "nobody", "GET", regions, None).await.status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preferred_region_counts_where_a_start_names_none() {
    let house = House::with(|config| {
        let region = |name: &str| model::Region::parse(name).unwrap();
        config.regions = ["eu", "us", "local"].map(region).to_vec();
    })
    .await;
    let (_, _eu) = crate::moves::joined_in(&house, "eu").await;
    let (_, _us) = crate::moves::joined_in(&house, "us").await;
    let user = house.user("someone").await;
    let unset = call(&house, &user, "GET", PREFERENCES, None).await;
    insta::assert_json_snapshot!("preferences_unset", masked(&unset));
    for region in ["us", "eu"] {
        let wanted = json!({"preferred_region": region});
        let set = call(&house, &user, "PUT", PREFERENCES, Some(wanted)).await;
        insta::assert_json_snapshot!(format!("preferences_{region}"), masked(&set));
        assert_eq!(call(&house, &user, "GET", PREFERENCES, None).await, set);
        let started = house.start(&user, &format!("cam-{region}")).await;
        assert_eq!(started.body["session"]["region"], region);
        assert_eq!(started.body["session"]["region_requested"], region);
    }
    // A start that names one is asked for more than a preference.
    let body = json!({"connection_id": "cam-3", "region_preference": "us"});
    let started = house.post(&user, "/api/v1/relay/start", body).await;
    assert_eq!(started.body["session"]["region"], "us");

    let nowhere = json!({"preferred_region": "nowhere"});
    let refused = call(&house, &user, "PUT", PREFERENCES, Some(nowhere)).await;
    insta::assert_json_snapshot!("preferences_unknown_region", masked(&refused));
    let anywhere = json!({"preferred_region": "auto"});
    let reset = call(&house, &user, "PUT", PREFERENCES, Some(anywhere)).await;
    assert_eq!(reset.body, unset.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_made_as_far_as_the_plan_goes() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    plan(&house, "standard", 2).await;
    let labelled = json!({"label": "Backpack"});
    let made = call(&house, &user, "POST", STREAMS, Some(labelled)).await;
    insta::assert_json_snapshot!("stream_created", masked(&made));
    let named = json!({"connection_id": "conn_1763700000000_1"});
    let named = call(&house, &user, "POST", STREAMS, Some(named)).await;
    assert_eq!((named.status, &named.body["slot_number"]), (201, &json!(2)));
    let more = call(&house, &user, "POST", STREAMS, Some(json!({}))).await;
    insta::assert_json_snapshot!("stream_beyond_the_plan", masked(&more));

    // The slots are the plugin's, and their tokens begin sessions of any connection.
    let slots = house.get(&user, "/api/v1/user/stream-slots").await;
    assert_eq!(slots.body["stream_slots"].as_array().unwrap().len(), 2);
    let token = &made.body["stream_token"];
    let body = json!({"connection_id": "conn_2", "stream_token": token});
    let started = house.post(&user, "/api/v1/relay/start", body).await;
    assert_eq!(
        &started.body["session"]["credentials"]["stream_token"],
        token
    );
    let listed = house.get(&user, STREAMS).await;
    let connections: Vec<&Value> = listed.body["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| &stream["connection_id"])
        .collect();
    assert!(connections.contains(&&Value::Null), "{listed:?}");

    // A larger plan has room at once, for what has no slot yet.
    plan(&house, "standard", 3).await;
    let again = json!({"connection_id": "conn_1763700000000_1"});
    let taken = call(&house, &user, "POST", STREAMS, Some(again)).await;
    insta::assert_json_snapshot!("stream_exists", masked(&taken));
    let unnamed = call(&house, &user, "POST", STREAMS, Some(json!({}))).await;
    assert_eq!(
        (unnamed.status, &unnamed.body["label"]),
        (201, &json!("Stream 3"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_made_of_what_is_understood() {
    let house = House::new().await;
    let user = house.user("someone").await;
    for body in [
        json!({"label": ""}),
        json!({"label": "a".repeat(65)}),
        json!({"label": "a\nb"}),
        json!({"connection_id": ""}),
        json!({"connection_id": "a/b"}),
        json!({"colour": "red"}),
    ] {
        let refused = call(&house, &user, "POST", STREAMS, Some(body.clone())).await;
        assert_eq!(refused.status, 400, "{body}");
    }
    plan(&house, "standard", 0).await;
    let refused = call(&house, &user, "POST", STREAMS, Some(json!({}))).await;
    assert_eq!(
        (refused.status, &refused.body["error"]["reason_code"]),
        (403, &json!("subscription_required"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_bought_where_the_operator_says() {
    let checkout = "/api/v1/billing/checkout";
    let closed = House::new().await;
    let user = closed.user("someone").await;
    let nowhere = call(&closed, &user, "POST", checkout, None).await;
    insta::assert_json_snapshot!("checkout_nowhere", masked(&nowhere));
    let house = House::with(|config| {
        let page = "https://shop.example/buy?tenant={tenant_id}&plan={plan_tier}";
        config.billing.checkout_url = Some(page.to_owned());
    })
    .await;
    let user = house.user("someone").await;
    plan(&house, "pro", 3).await;
    let wanted = json!({"plan_tier": "pro"});
    let sent = call(&house, &user, "POST", checkout, Some(wanted)).await;
    insta::assert_json_snapshot!("checkout", masked(&sent));
    let unknown = json!({"plan_tier": "gold"});
    let unknown = call(&house, &user, "POST", checkout, Some(unknown)).await;
    assert_eq!(unknown.body["error"]["reason_code"], "unknown_plan");
    assert_eq!(
        call(&house, "nobody", "POST", checkout, None).await.status,
        401
    );
}
