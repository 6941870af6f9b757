//! What tenants are told of their sessions.

use proto::fleet as pb;
use proto::fleet::webhooks_client::WebhooksClient;
use serde_json::{Value, json};
use service_kit::grpc::BearerInterceptor;
use storage::queue::{Filter, Queue};
use tonic::Code;

use crate::expiry::expire;
use crate::house::{ADMIN, House, SERVICE, eventually};
use crate::moves::{beat, joined_in};

const WEBHOOKS: &str = "/api/v1/webhooks";
const URL: &str = "https://example.com/hooks";

async fn remove(house: &House, token: &str, id: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let path = format!("{WEBHOOKS}/{id}");
    house.call("DELETE", &path, &headers, None).await.status
}

/// The arguments of the jobs that deliver messages, the oldest first.
async fn messages(house: &House) -> Vec<Value> {
    let filter = Filter {
        kind: Some("deliver_webhook".to_owned()),
        limit: 100,
        ..Filter::default()
    };
    let jobs = Queue::new(house.pool()).list(&filter).await.unwrap();
    let jobs = jobs.iter().rev();
    jobs.map(|job| serde_json::from_str(&job.arguments_json).unwrap())
        .collect()
}

fn kinds(messages: &[Value]) -> Vec<String> {
    let body = |message: &Value| -> Value {
        serde_json::from_str(message["body"].as_str().unwrap()).unwrap()
    };
    messages
        .iter()
        .map(|message| body(message)["type"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_told_what_its_sessions_do() {
    let house = House::new().await;
    let (_, mut node) = joined_in(&house, "eu").await;
    let made = house.post(ADMIN, WEBHOOKS, json!({"url": URL})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.body["secret"].as_str().unwrap().starts_with("whsec_"));
    let stranger = house.user("Ada").await;
    house.post(&stranger, WEBHOOKS, json!({"url": URL})).await;

    house.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;
    beat(&node, &id, false).await;
    let published = async || {
        let active = house.get(ADMIN, "/api/v1/relay/active").await;
        active.body["session"]["publishing"] == true
    };
    eventually("published", published).await;
    expire(&house).await;
    expire(&house).await;
    let stop = json!({"session_id": id});
    house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    expire(&house).await;
    let told = messages(&house).await;
    assert_eq!(
        kinds(&told),
        ["session.up", "session.down", "session.ended"],
        "once each, and nothing to the stranger"
    );
    assert!(
        told.iter()
            .all(|it| it["webhook_id"] == made.body["webhook_id"])
    );
    let ended: Value = serde_json::from_str(told[2]["body"].as_str().unwrap()).unwrap();
    assert_eq!(ended["data"]["session_id"], id.as_str());
    assert_eq!(ended["data"]["reason"], "requested");

    let bearer = BearerInterceptor::new(&SERVICE.into()).unwrap();
    let mut signer = WebhooksClient::with_interceptor(house.channel().await, bearer);
    let request = |webhook: &str| pb::SignWebhookRequest {
        webhook_id: webhook.to_owned(),
        message_id: "msg_1".to_owned(),
        body: "{}".to_owned(),
    };
    let webhook = made.body["webhook_id"].as_str().unwrap();
    let signed = signer.sign_webhook(request(webhook)).await.unwrap();
    let signed = signed.into_inner();
    assert_eq!(signed.url, URL);
    assert_eq!(signed.timestamp_unix, 1_763_700_000);
    assert!(signed.signature.starts_with("v1,"));
    let mut anybody = WebhooksClient::new(house.channel().await);
    let refused = anybody.sign_webhook(request(webhook)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(remove(&house, ADMIN, webhook).await, 204);
    let gone = signer.sign_webhook(request(webhook)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_their_tenants_own_and_few() {
    let house = House::new().await;
    let ada = house.user("Ada").await;
    let wanted = json!({"url": URL, "events": ["session.up"]});
    let made = house.post(&ada, WEBHOOKS, wanted).await;
    let id = made.body["webhook_id"].as_str().unwrap();
    let listed = house.get(&ada, WEBHOOKS).await.body;
    assert_eq!(listed["webhooks"][0]["events"], json!(["session.up"]));
    assert_eq!(listed["webhooks"][0]["secret"], Value::Null);
    assert_eq!(house.get(ADMIN, WEBHOOKS).await.body["webhooks"], json!([]));
    assert_eq!(remove(&house, ADMIN, id).await, 404);
    for wrong in [
        json!({"url": "http://example.com/"}),
        json!({"url": "https://u:p@example.com/"}),
        json!({"url": URL, "events": ["session.sideways"]}),
    ] {
        assert_eq!(house.post(&ada, WEBHOOKS, wrong).await.status, 400);
    }
    for _ in 1..16 {
        let made = house.post(&ada, WEBHOOKS, json!({"url": URL})).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    let over = house.post(&ada, WEBHOOKS, json!({"url": URL})).await;
    assert_eq!(over.body["error"]["reason_code"], "too_many");
    assert_eq!(remove(&house, &ada, id).await, 204);
}
