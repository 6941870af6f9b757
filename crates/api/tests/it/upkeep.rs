//! What `jobs` has the control plane do when it is time: once, however often it is told.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::upkeep_client::UpkeepClient;
use serde_json::{Value, json};
use service_kit::grpc::BearerInterceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::contract_auth::{SESSION, plugin, refresh};
use crate::house::{ADMIN, House, SERVICE, eventually};
use crate::{accounts, node};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) async fn upkeep(
    house: &House,
) -> UpkeepClient<InterceptedService<Channel, BearerInterceptor>> {
    let bearer = BearerInterceptor::new(&SERVICE.into()).unwrap();
    UpkeepClient::with_interceptor(house.channel().await, bearer)
}

/// Begins the moves that budgets ask for; says how many.
pub(crate) async fn plan_moves(house: &House) -> usize {
    let mut client = upkeep(house).await;
    let planned = client.plan_moves(pb::PlanMovesRequest {});
    planned.await.unwrap().into_inner().session_ids.len()
}

pub(crate) async fn expire_bans(house: &House) -> Vec<String> {
    let mut client = upkeep(house).await;
    let expired = client.expire_bans(pb::ExpireBansRequest {});
    expired.await.unwrap().into_inner().ban_ids
}

async fn reap(house: &House) -> Vec<String> {
    let mut client = upkeep(house).await;
    let reaped = client.reap_provisioning(pb::ReapProvisioningRequest::default());
    reaped.await.unwrap().into_inner().session_ids
}

async fn rotate(house: &House, signs_for: Duration) -> String {
    let signs_for_ms = u64::try_from(signs_for.as_millis()).unwrap();
    let request = pb::RotateKeysRequest { signs_for_ms };
    let rotated = upkeep(house).await.rotate_keys(request).await;
    rotated.unwrap().into_inner().kid
}

pub(crate) async fn audited(house: &House, action: &str) -> Vec<Value> {
    let path = format!("/api/v1/ops/audit?action={action}");
    let audit = house.get(ADMIN, &path).await.body;
    audit["entries"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_say_that_it_is_time() {
    let house = House::new().await;
    let mut stranger = UpkeepClient::new(house.channel().await);
    let refused = stranger.expire_bans(pb::ExpireBansRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_its_node_never_confirms_is_reaped_once() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.advance(Duration::from_secs(120));
    node.beat(&[], &[]).await;
    let started = house.start(ADMIN, "cam1").await;
    let id = started.body["session"]["session_id"].as_str().unwrap();
    // It is told, and says nothing.
    let (_, Directive::Assign(assigned)) = node.next().await else {
        panic!("not an Assign")
    };
    assert_eq!(assigned.session_id, id);
    assert!(reap(&house).await.is_empty());
    house.advance(Duration::from_secs(121));
    assert_eq!(reap(&house).await, [id]);
    assert!(reap(&house).await.is_empty());
    assert_eq!(node.revoked().await.reason, "not_confirmed");
    let again = house.start(ADMIN, "cam1").await;
    assert_ne!(again.body["session"]["session_id"], id, "the place is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_session_is_not_reaped() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;
    eventually("confirmed", async || {
        let active = house.get(ADMIN, "/api/v1/relay/active").await;
        active.body["session"]["status"] == "active"
    })
    .await;
    house.advance(Duration::from_secs(200));
    assert!(reap(&house).await.is_empty(), "{id} is confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_when_it_has_signed_for_long_enough_and_not_again() {
    let house = House::new().await;
    assert_eq!(rotate(&house, 30 * DAY).await, "");
    house.advance(30 * DAY);
    let kid = rotate(&house, 30 * DAY).await;
    assert!(!kid.is_empty());
    assert_eq!(rotate(&house, 30 * DAY).await, "");
    let keys = house.get(ADMIN, "/api/v1/ops/keys").await.body;
    let states: Vec<_> = keys["keys"].as_array().unwrap().iter().collect();
    let current = states.iter().find(|it| it["state"] == "current").unwrap();
    assert_eq!(current["kid"], kid.as_str());
    let retired = states.iter().find(|it| it["state"] == "retired").unwrap();
    assert!(retired["believed_until"].is_string(), "no lease is refused");
    let entries = audited(&house, "key.rotate").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(
        (&entries[0]["actor"], &entries[0]["subject"]),
        (&json!("api"), &json!(kid))
    );
    let never = pb::RotateKeysRequest { signs_for_ms: 0 };
    let refused = upkeep(&house).await.rotate_keys(never).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_nothing_any_more_is_dropped_and_what_does_stays() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let expire = async |limit| {
        let request = pb::ExpireTokensRequest { limit };
        let expired = upkeep(&house).await.expire_tokens(request).await;
        expired.unwrap().into_inner()
    };
    let first = expire(0).await;
    assert_eq!((first.expired, first.more), (0, false));
    let (access, renewal) = plugin(&house, &cookie).await;
    assert_eq!(expire(0).await.expired, 0);
    assert_eq!(house.get(&access, SESSION).await.status, 200);
    house.advance(Duration::from_secs(901));
    let access = expire(1).await;
    assert!(access.expired >= 1 && access.more, "{access:?}");
    while expire(1).await.more {}
    assert_eq!(refresh(&house, &renewal).await.status, 200, "that stays");
    house.advance(400 * DAY);
    let rest = expire(0).await;
    assert!(rest.expired >= 1, "its sign-in and what came with it");
    assert_eq!(expire(0).await.expired, 0);
}
