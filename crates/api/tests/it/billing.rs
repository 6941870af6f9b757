//! What an outside billing system tells us.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::house::{ADMIN, Answer, House, masked};
use crate::node;

const WEBHOOK: &str = "/api/v1/billing/webhook";
const SECRET: &[u8] = b"thirty-two bytes of the billing system";
/// The clock of a house that nobody moved: 2025-11-21T04:40:00Z.
const NOW: i64 = 1_763_700_000;

/// A house that hears the billing system, and somebody who pays.
struct World {
    house: House,
    user: String,
    user_id: String,
    tenant_id: String,
}

/// A message and how it is signed.
struct Letter {
    id: &'static str,
    at: i64,
    secret: Vec<u8>,
    body: String,
}

impl World {
    async fn new() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let path = secrets.path().join("billing");
        let text = |secret: &[u8]| format!("whsec_{}\n", STANDARD.encode(secret));
        let former = text(b"the one that was before the other one");
        std::fs::write(&path, former + &text(SECRET)).unwrap();
        let house = House::with(|config| config.billing.webhook_secret_file = Some(path)).await;
        for (plan, connections) in [("pro", 3), ("free", 0)] {
            let path = format!("/api/v1/ops/plans/{plan}");
            let plan = json!({"max_concurrent_conns": connections});
            assert_eq!(house.put(ADMIN, &path, plan).await.status, 204);
        }
        let body = json!({"name": "someone"});
        let made = house.post(ADMIN, "/api/v1/ops/users", body).await.body;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self {
            user: text("token"),
            user_id: text("user_id"),
            tenant_id: text("tenant_id"),
            house,
        }
    }

    fn letter(&self, id: &'static str, at: &str, plan: &str, status: &str) -> Letter {
        let body = json!({
            "type": "subscription.updated", "timestamp": at,
            "data": {
                "tenant_id": self.tenant_id, "plan_tier": plan, "status": status,
                "current_period_start": "2025-11-01T00:00:00Z",
                "current_period_end": "2025-12-01T00:00:00Z",
            },
        });
        Letter {
            id,
            at: self.house.clock_seconds(),
            secret: SECRET.to_vec(),
            body: body.to_string(),
        }
    }

    async fn send(&self, letter: &Letter) -> Answer {
        let mut mac = Hmac::<Sha256>::new_from_slice(&letter.secret).unwrap();
        mac.update(format!("{}.{}.{}", letter.id, letter.at, letter.body).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.deliver(letter, &signature).await
    }

    async fn deliver(&self, letter: &Letter, signature: &str) -> Answer {
        let at = letter.at.to_string();
        let headers = [
            ("webhook-id", letter.id),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature),
            ("x-request-id", "test-1"),
        ];
        let body = Some(letter.body.clone());
        self.house.call("POST", WEBHOOK, &headers, body).await
    }

    /// Sends what happened; says what became of it.
    async fn tell(&self, id: &'static str, at: &str, plan: &str, status: &str) -> String {
        let answer = self.send(&self.letter(id, at, plan, status)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["outcome"].as_str().unwrap().to_owned()
    }

    async fn entitlement(&self) -> Value {
        let session = self.house.get(&self.user, "/api/v1/auth/session").await;
        session.body["entitlement"].clone()
    }

    async fn plan(&self) -> (String, String) {
        let entitlement = self.entitlement().await;
        let text = |name: &str| entitlement[name].as_str().unwrap().to_owned();
        (text("plan_tier"), text("plan_status"))
    }

    async fn audited(&self) -> Vec<Value> {
        let path = format!("/api/v1/ops/audit?subject={}", self.tenant_id);
        let listed = self.house.get(ADMIN, &path).await;
        listed.body["entries"].as_array().unwrap().clone()
    }
}

fn reason(answer: &Answer) -> (u16, &str) {
    let reason = answer.body["error"]["reason_code"].as_str();
    (answer.status, reason.unwrap_or_default())
}

fn is(plan: &str, status: &str) -> (String, String) {
    (plan.to_owned(), status.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_gives_a_tenant_its_plan_and_the_audit_knows() {
    let world = World::new().await;
    let letter = world.letter("evt_1", "2025-11-21T04:39:00Z", "pro", "active");
    insta::assert_json_snapshot!("billing_applied", masked(&world.send(&letter).await));
    assert_eq!(world.plan().await, is("pro", "active"));
    assert_eq!(world.entitlement().await["max_concurrent_conns"], 3);
    let paid = "/api/v1/billing/subscription";
    let shown = world.house.get(&world.user, paid).await;
    insta::assert_json_snapshot!("billing_subscription", masked(&shown));
    let stranger = world.house.user("stranger").await;
    assert_eq!(world.house.get(&stranger, paid).await.status, 404);

    let audited = world.audited().await;
    assert_eq!(audited.len(), 1, "{audited:?}");
    assert_eq!(audited[0]["actor"], "billing");
    assert_eq!(audited[0]["action"], "billing.subscription");
    assert_eq!(audited[0]["detail"]["event_id"], "evt_1");
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_is_deaf_without_a_secret() {
    let house = House::new().await;
    let refused = house
        .call("POST", WEBHOOK, &[], Some("{}".to_owned()))
        .await;
    assert_eq!(refused.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_without_a_good_signature_changes_nothing() {
    let world = World::new().await;
    let at = "2025-11-21T04:39:00Z";
    let good = || world.letter("evt_1", at, "pro", "active");
    let stranger = Letter {
        secret: b"the secret of somebody else, not ours".to_vec(),
        ..good()
    };
    assert_eq!(reason(&world.send(&stranger).await), (401, "bad_signature"));
    for signature in ["", "v1,", "v1,AAAA", "sha256=00"] {
        let refused = world.deliver(&good(), signature).await;
        assert_eq!(reason(&refused), (401, "bad_signature"), "{signature}");
    }
    // What is signed cannot be changed: neither the body, nor its id, nor its time.
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("evt_1.{NOW}.{}", good().body).as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let other_body = Letter {
        body: good().body.replace("pro", "free"),
        ..good()
    };
    let other_id = Letter {
        id: "evt_2",
        ..good()
    };
    let other_time = Letter {
        at: NOW + 1,
        ..good()
    };
    for changed in [other_body, other_id, other_time] {
        let refused = world.deliver(&changed, &signature).await;
        assert_eq!(reason(&refused), (401, "bad_signature"));
    }
    assert_eq!(world.plan().await, is("standard", "active"));
    assert_eq!(world.deliver(&good(), &signature).await.status, 200);
    assert_eq!(world.plan().await, is("pro", "active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_of_another_time_is_refused() {
    let world = World::new().await;
    for (seconds, status) in [(-301, 401), (301, 401), (-300, 200), (300, 200)] {
        let letter = Letter {
            at: NOW + seconds,
            ..world.letter("evt_1", "2025-11-21T04:39:00Z", "pro", "active")
        };
        let answer = world.send(&letter).await;
        assert_eq!(answer.status, status, "{seconds}: {answer:?}");
        if status == 401 {
            assert_eq!(reason(&answer), (401, "stale_timestamp"));
        }
    }
    let early = world.letter("evt_2", "2025-11-21T04:46:00Z", "pro", "active");
    assert_eq!(reason(&world.send(&early).await), (400, "in_the_future"));
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_that_is_replayed_counts_once() {
    let world = World::new().await;
    let at = "2025-11-21T04:39:00Z";
    assert_eq!(world.tell("evt_1", at, "pro", "active").await, "applied");
    // The operator has the last word until billing says something new.
    let path = format!("/api/v1/ops/users/{}/plan", world.user_id);
    let free = json!({"plan_tier": "free", "plan_status": "active"});
    assert_eq!(world.house.put(ADMIN, &path, free).await.status, 204);
    for _ in 0..3 {
        assert_eq!(world.tell("evt_1", at, "pro", "active").await, "duplicate");
    }
    assert_eq!(world.plan().await, is("free", "active"));
    assert_eq!(world.audited().await.len(), 1);
    let other = world
        .send(&world.letter("evt_1", at, "free", "active"))
        .await;
    assert_eq!(reason(&other), (409, "event_id_reused"));

    // Many at once are still one.
    let letter = world.letter("evt_2", "2025-11-21T04:39:30Z", "pro", "active");
    let answers = tokio::join!(
        world.send(&letter),
        world.send(&letter),
        world.send(&letter)
    );
    let answers = [answers.0, answers.1, answers.2];
    let applied = answers
        .iter()
        .filter(|answer| answer.body["outcome"] == "applied");
    assert_eq!(applied.count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(world.audited().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_ends_the_same_in_whatever_order_it_comes() {
    // Two of one moment: the sender's sequence decides, then the id.
    let at = [
        "2025-11-21T04:37:00Z",
        "2025-11-21T04:38:00Z",
        "2025-11-21T04:38:00Z",
    ];
    let said = [
        ("free", "active", 0),
        ("pro", "past_due", 1),
        ("pro", "active", 2),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let world = World::new().await;
        for event in order {
            let (plan, status, sequence) = said[event];
            let mut letter =
                world.letter(["evt_c", "evt_b", "evt_a"][event], at[event], plan, status);
            let mut body: Value = serde_json::from_str(&letter.body).unwrap();
            body["data"]["sequence"] = json!(sequence);
            letter.body = body.to_string();
            assert_eq!(world.send(&letter).await.status, 200);
        }
        assert_eq!(world.plan().await, is("pro", "active"), "{order:?}");
        assert_eq!(world.audited().await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_decides_whether_sessions_begin() {
    let world = World::new().await;
    let (_, _node) = node::joined(&world.house, "one", 10).await;
    let start = async |connection| {
        let answer = world.house.start(&world.user, connection).await;
        let reason = reason(&answer);
        (reason.0, reason.1.to_owned())
    };
    let refused = |reason: &str| (403, reason.to_owned());
    world
        .tell("evt_1", "2025-11-21T04:30:00Z", "free", "active")
        .await;
    assert_eq!(start("cam1").await, refused("subscription_required"));
    world
        .tell("evt_2", "2025-11-21T04:31:00Z", "pro", "active")
        .await;
    assert_eq!(start("cam1").await.0, 201);

    // What is not paid counts for two days, and the live session is let be.
    world
        .tell("evt_3", "2025-11-21T04:40:00Z", "pro", "past_due")
        .await;
    assert_eq!(start("cam2").await.0, 201);
    assert_eq!(world.entitlement().await["plan_status"], "past_due");
    world.house.advance(Duration::from_secs(48 * 3600 - 1));
    assert_eq!(world.entitlement().await["reason_code"], "ok");
    world.house.advance(Duration::from_secs(1));
    assert_eq!(start("cam3").await, refused("subscription_inactive"));
    assert_eq!(world.entitlement().await["relay_access_status"], "disabled");
    world
        .tell("evt_4", "2025-11-23T04:40:00Z", "pro", "active")
        .await;
    assert_eq!(world.entitlement().await["reason_code"], "ok");

    // What is canceled counts until the period is over, 2025-12-01.
    world
        .tell("evt_5", "2025-11-23T04:40:01Z", "pro", "canceled")
        .await;
    assert_eq!(world.entitlement().await["reason_code"], "ok");
    world.house.advance(Duration::from_secs(8 * 24 * 3600));
    let entitlement = world.entitlement().await;
    assert_eq!(entitlement["reason_code"], "subscription_inactive");
    assert_eq!(entitlement["plan_status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_of_nobody_and_of_nothing_is_refused_and_may_come_again() {
    let world = World::new().await;
    let at = "2025-11-21T04:39:00Z";
    let unknown_plan = world.letter("evt_1", at, "gold", "active");
    assert_eq!(
        reason(&world.send(&unknown_plan).await),
        (400, "unknown_plan")
    );
    let mut unknown_tenant = world.letter("evt_2", at, "pro", "active");
    unknown_tenant.body = unknown_tenant.body.replace(&world.tenant_id, "ten_1");
    assert_eq!(
        reason(&world.send(&unknown_tenant).await),
        (400, "unknown_tenant")
    );
    let mut odd = world.letter("evt_3", at, "pro", "active");
    odd.body = odd.body.replace("subscription.updated", "invoice.paid");
    assert_eq!(reason(&world.send(&odd).await), (400, "unknown_type"));
    for (what, instead) in [
        ("\"active\"", "\"paid\""),
        ("2025-12-01T00:00:00Z", "2025-11-01T00:00:00Z"),
        ("2025-11-01T00:00:00Z", "yesterday"),
        ("\"plan_tier\"", "\"plan\""),
    ] {
        let mut wrong = world.letter("evt_4", at, "pro", "active");
        wrong.body = wrong.body.replace(what, instead);
        assert_eq!(world.send(&wrong).await.status, 400, "{what}");
    }
    assert_eq!(world.audited().await, Vec::<Value>::new());
    // The plan is made meanwhile.
    let plan = json!({"max_concurrent_conns": 5});
    let path = "/api/v1/ops/plans/gold";
    assert_eq!(world.house.put(ADMIN, path, plan).await.status, 204);
    assert_eq!(world.tell("evt_1", at, "gold", "active").await, "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_read_ends_the_start() {
    let secrets = tempfile::tempdir().unwrap();
    let path = secrets.path().join("billing");
    let house = House::new().await;
    for text in ["whsec_c2hvcnQ=", "not a secret", "\n"] {
        std::fs::write(&path, text).unwrap();
        let file = Some(path.clone());
        let error = house
            .unbound(|config| config.billing.webhook_secret_file = file)
            .await;
        assert!(format!("{error:#}").contains("billing.webhook_secret_file"));
    }
}
