//! The names of stream slots: what `jobs` is told to write, and what users are shown.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::dns_client::DnsClient;
use proto::fleet::{DnsChange, DnsOutcome, DnsResult};
use serde_json::{Value, json};
use service_kit::grpc::BearerInterceptor;
use storage::queue::{Filter, Queue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::expiry::expire;
use crate::house::{ADMIN, House, SERVICE, eventually};
use crate::node::{self, Node};

const ZONE: &str = "live.example.com";
const STATUS: &str = "/api/v1/ops/dns";
const EU: &str = "203.0.113.1";
const US: &str = "2001:db8::2";

async fn house() -> House {
    House::with(|config| config.dns.zone = Some(ZONE.to_owned())).await
}

/// A node in a region, at an address.
async fn joined_at(house: &House, region: &str, host: &str) -> (String, Node) {
    let body = json!({"name": format!("node-{region}"), "region": region});
    let made = house.post(ADMIN, "/api/v1/ops/nodes", body).await;
    let token = made.body["join_token"].as_str().unwrap();
    let enrolled = node::enrol(house, token).await.unwrap();
    let hello = pb::Hello {
        public_host: host.to_owned(),
        ..node::hello(&enrolled, 10, Vec::new())
    };
    let (mut node, _) = node::greeted(house, &enrolled, hello).await.unwrap();
    assert!(node.resync().await.is_empty());
    (enrolled.node_id, node)
}

/// What `jobs` is to `api`.
struct Writer(DnsClient<InterceptedService<Channel, BearerInterceptor>>);

impl Writer {
    async fn of(house: &House) -> Self {
        let bearer = BearerInterceptor::new(&SERVICE.into()).unwrap();
        Self(DnsClient::with_interceptor(house.channel().await, bearer))
    }

    async fn ask(&mut self, limit: u32, claim_ms: u32) -> Result<Vec<DnsChange>, Status> {
        let request = pb::ClaimDnsChangesRequest { limit, claim_ms };
        let answer = self.0.claim_dns_changes(request).await?;
        Ok(answer.into_inner().changes)
    }

    async fn claim(&mut self) -> Vec<DnsChange> {
        self.ask(100, 60_000).await.unwrap()
    }

    async fn claim_one(&mut self) -> DnsChange {
        let mut changes = self.claim().await;
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.remove(0)
    }

    async fn report(&mut self, change: &DnsChange, result: DnsResult, failure: &str) {
        let outcome = DnsOutcome {
            change: Some(change.clone()),
            result: result.into(),
            failure: failure.to_owned(),
        };
        let outcomes = vec![outcome];
        let request = pb::ReportDnsChangesRequest { outcomes };
        self.0.report_dns_changes(request).await.unwrap();
    }

    async fn done(&mut self, change: &DnsChange) {
        self.report(change, DnsResult::Done, "").await;
    }
}

async fn active(house: &House, token: &str) -> Value {
    let path = "/api/v1/relay/active?connection_id=cam1";
    house.get(token, path).await.body["session"].clone()
}

async fn start_in(house: &House, region: &str) -> Value {
    let body = json!({"connection_id": "cam1", "region_preference": region});
    let started = house.post(ADMIN, "/api/v1/relay/start", body).await;
    assert_eq!(started.status, 201, "{started:?}");
    started.body["session"].clone()
}

async fn stop(house: &House, token: &str) {
    let stop = json!({"connection_id": "cam1"});
    let stopped = house.post(token, "/api/v1/relay/stop", stop).await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
}

/// How many looks at the names wait in the queue.
async fn looks(house: &House) -> usize {
    let filter = Filter {
        kind: Some("sync_dns".to_owned()),
        limit: 100,
        ..Filter::default()
    };
    Queue::new(house.pool()).list(&filter).await.unwrap().len()
}

fn is_label(label: &str) -> bool {
    label.len() == 16 && label.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A session in `eu` whose name is written; says what was.
async fn named(house: &House, eu: &mut Node, writer: &mut Writer) -> DnsChange {
    start_in(house, "eu").await;
    eu.assigned().await;
    let change = writer.claim_one().await;
    writer.done(&change).await;
    change
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_follows_its_stream_from_node_to_node() {
    let house = house().await;
    let (_, mut eu) = joined_at(&house, "eu", EU).await;
    let (_, mut us) = joined_at(&house, "us", US).await;
    let mut writer = Writer::of(&house).await;
    start_in(&house, "eu").await;
    eu.assigned().await;

    let change = writer.claim_one().await;
    let (label, zone) = change.name.split_once('.').unwrap();
    assert!(is_label(label), "{label}");
    assert_eq!(
        (zone, change.host.as_str(), change.ttl_seconds),
        (ZONE, EU, 60)
    );
    writer.done(&change).await;
    assert_eq!(writer.claim().await, []);

    // The new node has not said that it is ready: the name stays where the stream is.
    let body = json!({"connection_id": "cam1", "new_region": "us"});
    let moved = house.post(ADMIN, "/api/v1/relay/migrate", body).await;
    assert_eq!(moved.status, 202, "{moved:?}");
    assert_eq!(writer.claim().await, []);
    us.assigned().await;
    eventually("ready", async || {
        active(&house, ADMIN).await["status"] == "active"
    })
    .await;
    let followed = writer.claim_one().await;
    assert_eq!(followed.name, change.name);
    assert_eq!(followed.host, US);
    writer.done(&followed).await;

    let session = active(&house, ADMIN).await;
    assert_eq!(session["relay"]["relay_hostname"], change.name.as_str());
    assert_eq!(session["relay"]["public_ip"], US);
    stop(&house, ADMIN).await;
    assert_eq!(writer.claim().await, [], "a name outlives the session");

    // After its time it goes; from before that on nobody is shown it.
    house.advance(Duration::from_secs(30 * 86_400));
    let removal = writer.claim_one().await;
    assert_eq!(
        (removal.name.as_str(), removal.host.as_str()),
        (change.name.as_str(), "")
    );
    writer.done(&removal).await;
    assert_eq!(writer.claim().await, []);
    assert_eq!(house.get(ADMIN, STATUS).await.body["records"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_no_dns_and_the_name_is_shown_when_it_is_there() {
    let house = house().await;
    let (_, mut eu) = joined_at(&house, "eu", EU).await;
    let mut writer = Writer::of(&house).await;
    let started = start_in(&house, "eu").await;
    assert_eq!(started["relay"]["relay_hostname"], EU);
    assert!(
        started["sender_url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("srtla://{EU}:5000?"))
    );
    assert_eq!(started["direct"], Value::Null);
    assert_eq!(looks(&house).await, 1);
    eu.assigned().await;
    expire(&house).await;
    assert_eq!(looks(&house).await, 1, "one look is enough for all");

    let change = writer.claim_one().await;
    writer
        .report(&change, DnsResult::Failed, "the provider is away")
        .await;
    let shown = house.get(ADMIN, STATUS).await.body;
    assert_eq!(shown["records"][0]["state"], "failing");
    assert_eq!(shown["records"][0]["failure"], "the provider is away");
    assert_eq!(
        (&shown["published"], &shown["failing"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(active(&house, ADMIN).await["relay"]["relay_hostname"], EU);
    assert_eq!(writer.claim().await, [], "not at once");
    house.advance(Duration::from_secs(1));
    let again = writer.claim_one().await;
    assert_eq!((&again.name, &again.host), (&change.name, &change.host));
    writer.done(&again).await;

    let name = &change.name;
    let session = active(&house, ADMIN).await;
    assert_eq!(session["relay"]["relay_hostname"], name.as_str());
    assert_eq!(session["relay"]["public_ip"], EU);
    for (field, scheme) in [
        ("sender_url", "srtla"),
        ("srt_publish_url", "srt"),
        ("media_source_url", "srt"),
    ] {
        let url = session[field].as_str().unwrap();
        assert!(
            url.starts_with(&format!("{scheme}://{name}:5000?")),
            "{url}"
        );
    }
    let direct = session["direct"]["sender_srtla_url"].as_str().unwrap();
    assert_eq!(direct, started["sender_url"].as_str().unwrap());
    let listed = house.get(ADMIN, STATUS).await.body;
    assert_eq!(listed["records"][0]["state"], "published");
    assert_eq!(listed["records"][0]["name"], name.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_their_slots_own_whatever_these_are_called() {
    let house = house().await;
    let (_, mut eu) = joined_at(&house, "eu", EU).await;
    let mut writer = Writer::of(&house).await;
    let ada = house.user("Ada").await;
    let bob = house.user("Bob").await;
    let mut names = Vec::new();
    for token in [&ada, &bob] {
        assert_eq!(house.start(token, "cam1").await.status, 201);
        eu.assigned().await;
        let change = writer.claim_one().await;
        writer.done(&change).await;
        names.push(change.name);
    }
    assert_ne!(names[0], names[1], "the same words, two tenants");

    let slot = "/api/v1/user/stream-slots/1";
    let label = json!({"label": &names[1][..16]});
    let renamed = house.put(&ada, &format!("{slot}/label"), label).await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let token = json!({"slot_number": 1});
    let rotated = house
        .post(&ada, "/api/v1/user/regenerate-token", token)
        .await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(
        writer.claim().await,
        [],
        "neither label nor keys are in the name"
    );
    stop(&house, &ada).await;
    assert_eq!(house.start(&ada, "cam1").await.status, 201);
    assert_eq!(writer.claim().await, [], "the same node, the same record");
    for (token, name) in [(&ada, &names[0]), (&bob, &names[1])] {
        let session = active(&house, token).await;
        assert_eq!(session["relay"]["relay_hostname"], name.as_str());
    }
    assert_eq!(house.get(&ada, STATUS).await.status, 403);
    let sync = format!("{STATUS}/sync");
    assert_eq!(house.post(&ada, &sync, json!({})).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_written_by_one_at_a_time() {
    let house = house().await;
    let (_, _eu) = joined_at(&house, "eu", EU).await;
    for connection in ["cam1", "cam2", "cam3"] {
        assert_eq!(house.start(ADMIN, connection).await.status, 201);
    }
    let (mut one, mut other) = (Writer::of(&house).await, Writer::of(&house).await);
    let (mine, theirs) = tokio::join!(one.ask(2, 1000), other.ask(2, 1000));
    let mut claimed = [mine.unwrap(), theirs.unwrap()].concat();
    claimed.extend(one.ask(3, 1000).await.unwrap());
    claimed.sort_by(|a, b| a.name.cmp(&b.name));
    claimed.dedup_by(|a, b| a.name == b.name);
    assert_eq!(claimed.len(), 3, "each once");

    // It took too long, and somebody else has it now.
    house.advance(Duration::from_secs(1));
    let again = other.ask(1, 1000).await.unwrap().remove(0);
    let late = claimed.iter().find(|it| it.name == again.name).unwrap();
    one.done(late).await;
    let pending = async || house.get(ADMIN, STATUS).await.body["pending"].clone();
    assert_eq!(pending().await, 3, "what came too late says nothing");
    other.report(&again, DnsResult::Left, "").await;
    assert_eq!(one.ask(100, 1000).await.unwrap().len(), 3, "given back");

    let refused = |result: Result<Vec<DnsChange>, Status>| result.unwrap_err().code();
    assert_eq!(refused(one.ask(0, 1000).await), Code::InvalidArgument);
    assert_eq!(refused(one.ask(201, 1000).await), Code::InvalidArgument);
    assert_eq!(refused(one.ask(1, 999).await), Code::InvalidArgument);
    let mut anybody = DnsClient::new(house.channel().await);
    let request = pb::ClaimDnsChangesRequest {
        limit: 1,
        claim_ms: 1000,
    };
    let stranger = anybody.claim_dns_changes(request).await.unwrap_err();
    assert_eq!(stranger.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_written_again_when_somebody_asks_and_now_and_then() {
    let house = house().await;
    let (_, mut eu) = joined_at(&house, "eu", EU).await;
    let mut writer = Writer::of(&house).await;
    let change = named(&house, &mut eu, &mut writer).await;

    let synced = house
        .post(ADMIN, &format!("{STATUS}/sync"), json!({}))
        .await;
    assert_eq!(synced.status, 202, "{synced:?}");
    assert_eq!(synced.body["records"], 1);
    let audit = house
        .get(ADMIN, "/api/v1/ops/audit?action=dns.sync")
        .await
        .body;
    assert_eq!(audit["entries"][0]["subject"], ZONE);
    let again = writer.claim_one().await;
    assert_eq!(again.host, EU);
    // Nobody knows how that ended: not even a stream that is where it was is settled.
    writer.report(&again, DnsResult::Left, "").await;
    let again = writer.claim_one().await;
    writer.done(&again).await;
    assert_eq!(writer.claim().await, []);
    house.advance(Duration::from_secs(6 * 3600));
    assert_eq!(writer.claim_one().await.name, change.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_points_at_a_node_that_was_shut_out() {
    let house = house().await;
    let (node_id, mut eu) = joined_at(&house, "eu", EU).await;
    let mut writer = Writer::of(&house).await;
    let change = named(&house, &mut eu, &mut writer).await;
    stop(&house, ADMIN).await;
    assert_eq!(writer.claim().await, []);
    let path = format!("/api/v1/ops/nodes/{node_id}/ban");
    let banned = house
        .post(ADMIN, &path, json!({"banned": true, "reason": "stolen"}))
        .await;
    assert_eq!(banned.status, 200, "{banned:?}");
    let removal = writer.claim_one().await;
    assert_eq!((removal.name, removal.host), (change.name, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_zone_there_are_no_names() {
    let house = House::new().await;
    let (_, _eu) = joined_at(&house, "eu", EU).await;
    let started = start_in(&house, "eu").await;
    assert_eq!(started["relay"]["relay_hostname"], EU);
    expire(&house).await;
    assert_eq!(looks(&house).await, 0);
    assert_eq!(Writer::of(&house).await.claim().await, []);
    let sync = house
        .post(ADMIN, &format!("{STATUS}/sync"), json!({}))
        .await;
    assert_eq!(sync.status, 409);
    assert_eq!(sync.body["error"]["reason_code"], "no_zone");
    assert_eq!(house.get(ADMIN, STATUS).await.body["zone"], Value::Null);
}
