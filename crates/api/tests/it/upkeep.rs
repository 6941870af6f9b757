//! What `jobs` has the control plane do when it is time: once, however often it is told.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::node_message::Message;
use proto::fleet::upkeep_client::UpkeepClient;
use serde_json::{Value, json};
use service_kit::grpc::BearerInterceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::contract_auth::{SESSION, plugin, refresh};
use crate::house::{ADMIN, House, SERVICE, eventually};
use crate::{accounts, node};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) async fn upkeep(
    house: &House,
) -> UpkeepClient<InterceptedService<Channel, BearerInterceptor>> {
    let bearer = BearerInterceptor::new(&SERVICE.into()).unwrap();
    UpkeepClient::with_interceptor(house.channel().await, bearer)
}

/// Settles the accounts that are due; says how many there were.
pub(crate) async fn settle(house: &House) -> u32 {
    let mut client = upkeep(house).await;
    let settled = client.settle_budgets(pb::SettleBudgetsRequest::default());
    settled.await.unwrap().into_inner().settled
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

async fn audited(house: &House, action: &str) -> Vec<Value> {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_nodes_window_turns_without_a_heartbeat() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    let path = format!("/api/v1/ops/nodes/{}/budget", enrolled.node_id);
    let policy = json!({"policy": {
        "port_bps": 1_000_000_000_u64, "overhead_ratio": 1.0,
        "allowance": {"kind": "rolling_cap", "limit_bytes": 2_000_000_000_000_u64, "hours": 24},
        "after": {"kind": "floor", "floor_bps": 200_000_000},
    }});
    assert_eq!(house.post(ADMIN, &path, policy).await.status, 200);
    let beat = async |bytes| {
        node.say(Message::Heartbeat(pb::Heartbeat {
            boot_id: "boot".into(),
            egress_bytes_total: bytes,
            ..Default::default()
        }))
        .await;
    };
    let used = async || house.get(ADMIN, &path).await.body["used_bytes"].clone();
    for bytes in [0, 5_000] {
        let heard = async || {
            house.get(ADMIN, "/api/v1/ops/nodes").await.body["nodes"][0]["heartbeat_at"].clone()
        };
        let before = heard().await;
        house.advance(Duration::from_secs(61));
        beat(bytes).await;
        eventually("heard", async || heard().await != before).await;
        assert_eq!(settle(&house).await, 1);
        assert_eq!(settle(&house).await, 0, "it is settled");
    }
    assert_eq!(used().await, 5_000);
    drop(node);
    house.advance(DAY + Duration::from_secs(600));
    assert_eq!(settle(&house).await, 1);
    assert_eq!(used().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_goes_from_node_to_node() {
    let house = House::new().await;
    for name in ["one", "two", "three"] {
        let (enrolled, _) = node::joined(&house, name, 10).await;
        let path = format!("/api/v1/ops/nodes/{}/budget", enrolled.node_id);
        let policy = json!({"policy": {"port_bps": 1_000_000, "allowance": {"kind": "unmetered"}}});
        let set = house.post(ADMIN, &path, policy).await;
        assert_eq!(set.status, 200, "{set:?}");
    }
    house.advance(Duration::from_secs(61));
    let mut client = upkeep(&house).await;
    let (mut after_node_id, mut settled) = (String::new(), Vec::new());
    loop {
        let request = pb::SettleBudgetsRequest {
            limit: 2,
            after_node_id,
        };
        let answer = client.settle_budgets(request).await.unwrap().into_inner();
        settled.push(answer.settled);
        after_node_id = answer.next_after_node_id;
        if after_node_id.is_empty() {
            break;
        }
    }
    assert_eq!(settled, [2, 1]);
}

async fn targets(house: &House) -> Vec<pb::ProbeTarget> {
    let request = pb::ListProbeTargetsRequest::default();
    let listed = upkeep(house).await.list_probe_targets(request).await;
    listed.unwrap().into_inner().targets
}

/// Tells what a call came to, half a minute after the last; says who is unreachable.
async fn tell(house: &House, node: &str, failure: &str) -> Vec<String> {
    house.advance(Duration::from_secs(30));
    let probe = pb::Probe {
        node_id: node.to_owned(),
        rtt_us: 12_500,
        failure: failure.to_owned(),
    };
    let request = pb::RecordProbesRequest {
        // Told twice, it counts once.
        probes: vec![probe.clone(), probe],
    };
    let told = upkeep(house).await.record_probes(request).await.unwrap();
    let mut unreachable = told.into_inner().unreachable_node_ids;
    unreachable.dedup();
    unreachable
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_callers_do_not_find_degrades_until_they_do() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    let id = enrolled.node_id.as_str();
    let called = targets(&house).await;
    assert_eq!(called.len(), 1);
    assert_eq!(
        (called[0].host.as_str(), called[0].port),
        ("relay.example", 5000)
    );
    let shown = async || {
        let path = format!("/api/v1/ops/nodes/{id}");
        house.get(ADMIN, &path).await.body
    };
    assert_eq!(shown().await["probe"], Value::Null);
    assert!(tell(&house, id, "").await.is_empty());
    let probe = shown().await["probe"].clone();
    assert_eq!(
        (&probe["reachable"], &probe["rtt_ms"]),
        (&json!(true), &json!(12.5))
    );
    for _ in 0..2 {
        assert!(tell(&house, id, "no answer in 3 s").await.is_empty());
    }
    assert_eq!(tell(&house, id, "no answer in 3 s").await, [id]);
    node.beat(&[], &[]).await;
    let is = async |state: &str, reason: &str| {
        let shown = shown().await;
        (&shown["state"], &shown["state_reason"]) == (&json!(state), &json!(reason))
    };
    // Its own word does not make it reachable.
    assert!(is("degraded", "unreachable").await);
    let probe = shown().await["probe"].clone();
    assert_eq!(probe["failure"], "no answer in 3 s");
    assert_eq!(
        (&probe["reachable"], &probe["rtt_ms"]),
        (&json!(false), &json!(12.5))
    );
    for _ in 0..3 {
        assert_eq!(tell(&house, id, "").await, [id]);
    }
    assert!(tell(&house, id, "").await.is_empty());
    assert!(is("active", "well").await);
    let changes = audited(&house, "node.state").await;
    let reasons: Vec<_> = changes.iter().map(|it| it["reason"].clone()).collect();
    assert!(
        reasons.starts_with(&[json!("well"), json!("unreachable")]),
        "{reasons:?}"
    );
    assert!(
        tell(&house, "nod_ffffffffffffffffffffffffffffffff", "x")
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_heard_is_not_called() {
    let house = House::new().await;
    node::joined(&house, "one", 10).await;
    assert_eq!(targets(&house).await.len(), 1);
    house.advance(Duration::from_secs(130));
    let silent = pb::SweepNodesRequest {
        silent_after_ms: 15_000,
    };
    let swept = house.control().await.sweep_nodes(silent).await.unwrap();
    assert_eq!(swept.into_inner().node_ids.len(), 1);
    assert!(targets(&house).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_knows_what_sessions_moved_and_what_offers_cost() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let advised = async || house.get(ADMIN, "/api/v1/ops/fleet/advice").await.body;
    let before = advised().await;
    assert_eq!(
        before["undescribed"][0]["node_id"],
        enrolled.node_id.as_str()
    );
    assert_eq!(before["regions"], json!([]));
    // More than the port that is described later would be given.
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let session_id = node.assigned().await.session_id;
    let path = format!("/api/v1/ops/nodes/{}/budget", enrolled.node_id);
    let policy = json!({"policy": {
        "port_bps": 1_000_000, "price_per_month": 5.0, "overhead_ratio": 1.0,
        "allowance": {"kind": "unmetered"},
    }});
    assert_eq!(house.post(ADMIN, &path, policy).await.status, 200);
    let calm = advised().await;
    assert_eq!(calm["regions"][0]["runs_out_at"], Value::Null, "{calm}");
    // 7.56 GB a day is what a port of 1 Mbit/s carries.
    assert_eq!(
        calm["regions"][0]["supply_bytes_per_day"],
        7_560_000_000_u64
    );
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![session_id.clone()],
        publishing_session_ids: vec![session_id.clone()],
        traffic: vec![pb::SessionTraffic {
            session_id,
            ingress_bytes: 10_000_000_000,
            egress_bytes: 10_000_000_000,
            pulled: false,
            ..Default::default()
        }],
        ..Default::default()
    }))
    .await;
    eventually("it is counted", async || {
        let usage = house.get(ADMIN, "/api/v1/usage/current").await.body;
        usage["consumed_bytes"] == 20_000_000_000_u64
    })
    .await;
    house.advance(DAY);
    let advice = advised().await;
    let region = &advice["regions"][0];
    assert_eq!(
        region["demand_bytes_per_day"], 20_000_000_000_u64,
        "{advice}"
    );
    assert!(region["runs_out_at"].is_string());
    let add = &region["add"];
    // 12.44 GB a day are missing.
    assert_eq!(
        (&add["nodes"], &add["price_per_month"]),
        (&json!(2), &json!(10.0))
    );
    assert_eq!(add["like_node_id"], enrolled.node_id.as_str());
    let regions = upkeep(&house)
        .await
        .advise_fleet(pb::AdviseFleetRequest {})
        .await;
    let regions = regions.unwrap().into_inner().regions;
    assert_eq!(regions[0].region, "local");
    assert!(regions[0].runs_out_unix_ms > 0);
}

/// A heartbeat of a node whose session has received and sent so much, all in all.
async fn carry(house: &House, node: &node::Node, session: &str, ingress: u64, egress: u64) {
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![session.to_owned()],
        publishing_session_ids: vec![session.to_owned()],
        traffic: vec![pb::SessionTraffic {
            session_id: session.to_owned(),
            ingress_bytes: ingress,
            egress_bytes: egress,
            pulled: false,
            ..Default::default()
        }],
        ..Default::default()
    }))
    .await;
    eventually("it is counted", async || {
        let usage = house.get(ADMIN, "/api/v1/usage/current").await.body;
        usage["consumed_bytes"] == ingress + egress
    })
    .await;
}

/// A session that is published at 1 MB a second for a minute.
async fn publishing(house: &House, node: &mut node::Node) -> String {
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let session = node.assigned().await.session_id;
    for second in [1, 21, 41, 61] {
        carry(house, node, &session, second * 1_000_000, 0).await;
        house.advance(Duration::from_secs(20));
    }
    session
}

async fn consumed_seconds(house: &House) -> Value {
    let usage = house.get(ADMIN, "/api/v1/usage/current").await.body;
    usage["consumed_seconds"].clone()
}

async fn reconcile(house: &House) -> pb::ReconcileOutageResponse {
    let request = pb::ReconcileOutageRequest::default();
    let done = upkeep(house).await.reconcile_outage(request).await;
    done.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_an_outage_is_judged_by_what_came_meanwhile() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let session = publishing(&house, &mut node).await;
    assert_eq!(consumed_seconds(&house).await, 60);
    assert_eq!(reconcile(&house).await.reconciled, 0, "nobody was away");
    // Ten minutes and twenty seconds without a word, and all of it was sent.
    house.advance(Duration::from_secs(600));
    carry(&house, &node, &session, 681_000_000, 0).await;
    assert_eq!(consumed_seconds(&house).await, 120, "a minute at most");
    let raised = reconcile(&house).await;
    assert_eq!(
        (raised.reconciled, raised.raised_ms, raised.lowered_ms),
        (1, 560_000, 0)
    );
    assert_eq!(consumed_seconds(&house).await, 680);
    // Ten minutes in which next to nothing was sent.
    house.advance(Duration::from_secs(600));
    carry(&house, &node, &session, 691_000_000, 0).await;
    assert_eq!(consumed_seconds(&house).await, 740);
    let lowered = reconcile(&house).await;
    assert_eq!(lowered.raised_ms, 0);
    assert!(
        (49_000..51_000).contains(&lowered.lowered_ms),
        "{lowered:?}"
    );
    let seconds = consumed_seconds(&house).await.as_u64().unwrap();
    assert!((689..=691).contains(&seconds), "{seconds}");
    assert_eq!(reconcile(&house).await.reconciled, 0, "once");
    let entries = audited(&house, "usage.reconcile").await;
    assert_eq!(entries.len(), 2);
    let detail = &entries[1]["detail"];
    assert_eq!(
        (&detail["counted_ms"], &detail["published_ms"]),
        (&json!(60_000), &json!(620_000))
    );
}

async fn roll_up(house: &House) -> u32 {
    let request = pb::RollUpUsageRequest::default();
    let rolled = upkeep(house).await.roll_up_usage(request).await;
    rolled.unwrap().into_inner().rolled_up
}

async fn history(house: &House, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/usage/history{query}");
    let answer = house.get(ADMIN, &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["spans"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_rolled_up_once_and_divided_over_its_hours() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    // 04:40:00, and the session begins ten minutes before the hour.
    house.advance(Duration::from_secs(600));
    node.beat(&[], &[]).await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let session = node.assigned().await.session_id;
    carry(&house, &node, &session, 1, 0).await;
    for minute in 1..=40 {
        house.advance(Duration::from_secs(60));
        carry(
            &house,
            &node,
            &session,
            minute * 1_000_000,
            minute * 2_000_000,
        )
        .await;
    }
    assert_eq!(roll_up(&house).await, 1);
    assert_eq!(roll_up(&house).await, 0, "nothing new");
    let hours = history(&house, "?by=hour").await;
    let of =
        |field: &str| -> Vec<u64> { hours.iter().map(|it| it[field].as_u64().unwrap()).collect() };
    assert_eq!(of("seconds"), [600, 1800]);
    assert_eq!(of("ingress_bytes"), [10_000_000, 30_000_000]);
    assert_eq!(of("egress_bytes"), [20_000_000, 60_000_000]);
    assert_eq!(hours[0]["began_at"], "2025-11-21T04:00:00Z");
    // What comes after goes to its own hour, up to the end.
    house.advance(Duration::from_secs(60));
    carry(&house, &node, &session, 41_000_000, 82_000_000).await;
    let stop = json!({"session_id": session});
    assert_eq!(
        house.post(ADMIN, "/api/v1/relay/stop", stop).await.status,
        200
    );
    assert_eq!(roll_up(&house).await, 1);
    assert_eq!(roll_up(&house).await, 0, "it is whole");
    let days = history(&house, "").await;
    assert_eq!(days.len(), 1);
    assert_eq!(
        (&days[0]["seconds"], &days[0]["ingress_bytes"]),
        (&json!(2460), &json!(41_000_000))
    );
    assert_eq!(
        consumed_seconds(&house).await,
        2460,
        "the month says the same"
    );
    assert_eq!(history(&house, "?by=hour&last=1").await.len(), 1);
    for wrong in ["?last=0", "?by=hour&last=745", "?by=week", "?days=3"] {
        let refused = house
            .get(ADMIN, &format!("/api/v1/usage/history{wrong}"))
            .await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
}
