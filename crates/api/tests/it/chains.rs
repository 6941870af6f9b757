//! What a move must not do: cut a stream that is live, or leave one that was stopped.

use std::time::Duration;

use model::SessionId;
use serde_json::{Value, json};
use storage::control::sessions;

use crate::expiry::expire;
use crate::house::{ADMIN, Answer, House, eventually};
use crate::moves::{
    active, beat, joined_as, joined_in, migrate, published, published_on, start_in,
};
use crate::node::Node;
use crate::streams::set;

const SESSIONS: &str = "/api/v1/ops/sessions";

/// What an operator sees of a session.
async fn shown(house: &House, id: &str) -> Value {
    let shown = house.get(ADMIN, &format!("{SESSIONS}/{id}")).await;
    shown.body["session"].clone()
}

async fn move_to(house: &House, id: &str, node: &str) -> Answer {
    let path = format!("{SESSIONS}/{id}/migrate");
    let to = json!({"node": node, "reason": "a test"});
    house.post(ADMIN, &path, to).await
}

/// A stream that is published at `old` in `eu`, and pulled by `new` in `us`.
struct Moving {
    house: House,
    old: String,
    new: String,
    eu: Node,
    us: Node,
}

impl Moving {
    async fn begun() -> Self {
        let house = House::new().await;
        let (old, eu, mut us) = published(&house).await;
        assert_eq!(migrate(&house, "us").await.status, 202);
        let new = us.assigned().await.session_id;
        let moving = Self {
            house,
            old,
            new,
            eu,
            us,
        };
        moving.pull().await;
        moving
    }

    /// The new node says that it has the picture from the old one.
    async fn pull(&self) {
        beat(&self.us, &self.new, true).await;
        eventually("pulled", async || {
            shown(&self.house, &self.new).await["state"] == "active"
        })
        .await;
    }

    /// The publisher comes to the new node, and the old session ends.
    async fn arrive(&mut self) {
        beat(&self.us, &self.new, false).await;
        eventually("moved", async || {
            expire(&self.house).await;
            shown(&self.house, &self.old).await["state"] == "stopped"
        })
        .await;
        assert_eq!(self.eu.revoked().await.reason, "superseded");
        assert_eq!(self.us.assigned().await.pull, None);
    }

    /// Some time passes, and both nodes are heard after it.
    async fn pass(&self, time: Duration) {
        self.house.advance(time);
        self.renew(&self.old, async || beat(&self.eu, &self.old, false).await)
            .await;
        self.renew(&self.new, async || beat(&self.us, &self.new, true).await)
            .await;
    }

    /// A node is heard, and the lease of its session is longer for it.
    async fn renew(&self, id: &str, beat: impl AsyncFn()) {
        let lease = async || shown(&self.house, id).await["lease_expires_at"].clone();
        let before = lease().await;
        beat().await;
        eventually("renewed", async || lease().await != before).await;
    }

    /// Looks after all sessions twice, as time does.
    async fn look(&self) {
        for _ in 0..2 {
            expire(&self.house).await;
        }
    }

    async fn stop(&self, id: &str) {
        let stop = json!({"session_id": id});
        let stopped = self.house.post(ADMIN, "/api/v1/relay/stop", stop).await;
        assert_eq!(stopped.status, 200, "{stopped:?}");
        assert_eq!(stopped.body["status"], "stopped");
        assert_eq!(active(&self.house).await, Value::Null);
    }

    async fn health(&self, id: &str) -> u16 {
        let body = json!({"session_id": id});
        let said = self.house.post(ADMIN, "/api/v1/relay/health", body).await;
        said.status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_moves_on_before_its_sender_followed_stays_live() {
    let mut it = Moving::begun().await;
    let (asia, mut ap) = joined_in(&it.house, "ap").await;
    let moved = move_to(&it.house, &it.new, &asia).await;
    assert_eq!(moved.status, 202, "{moved:?}");
    // The third pulls from where the publisher is, not from who pulled.
    assert_eq!(moved.body["supersedes"], it.old.as_str());
    let third = ap.assigned().await;
    assert!(third.pull.is_some());
    let ended = it.us.revoked().await;
    assert_eq!(
        (ended.session_id, ended.reason),
        (it.new.clone(), "superseded".into())
    );
    beat(&ap, &third.session_id, true).await;
    beat(&it.eu, &it.old, false).await;
    it.look().await;
    let old = shown(&it.house, &it.old).await;
    assert_eq!(
        (&old["state"], &old["publishing"]),
        (&json!("draining"), &json!(true))
    );
    assert_eq!(active(&it.house).await["moving_from"], it.old.as_str());
    // Whoever knows the one between is told of a stream that lives.
    assert_eq!(it.health(&it.new).await, 200);
    beat(&ap, &third.session_id, false).await;
    eventually("moved", async || {
        expire(&it.house).await;
        shown(&it.house, &it.old).await["state"] == "stopped"
    })
    .await;
    assert_eq!(active(&it.house).await["session_id"], third.session_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_sent_back_is_where_it_was() {
    let mut it = Moving::begun().await;
    let eu = shown(&it.house, &it.old).await["node_id"].clone();
    let back = move_to(&it.house, &it.new, eu.as_str().unwrap()).await;
    assert_eq!(back.status, 202, "{back:?}");
    assert_eq!(back.body["session_id"], it.old.as_str());
    assert_eq!(it.us.revoked().await.reason, "move_undone");
    it.look().await;
    let live = active(&it.house).await;
    assert_eq!(live["session_id"], it.old.as_str());
    assert_eq!(live["status"], "active");
    assert_eq!(live["publishing"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_drains_hands_the_move_on() {
    let it = Moving::begun().await;
    let (_, mut ap) = joined_in(&it.house, "ap").await;
    let us = shown(&it.house, &it.new).await["node_id"].clone();
    let eu = shown(&it.house, &it.old).await["node_id"].clone();
    for node in [&eu, &us] {
        let path = format!("/api/v1/ops/nodes/{}/drain", node.as_str().unwrap());
        let drained = it.house.post(ADMIN, &path, json!({"draining": true})).await;
        assert_eq!(drained.status, 200, "{drained:?}");
    }
    it.look().await;
    let third = ap.assigned().await;
    assert!(third.pull.is_some());
    it.look().await;
    assert_eq!(shown(&it.house, &it.old).await["publishing"], true);
    assert_eq!(active(&it.house).await["moving_from"], it.old.as_str());
    assert_eq!(shown(&it.house, &it.new).await["stop_reason"], "superseded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_does_not_follow_is_not_cut() {
    let mut it = Moving::begun().await;
    it.pass(Duration::from_secs(599)).await;
    expire(&it.house).await;
    assert_eq!(active(&it.house).await["moving_from"], it.old.as_str());
    it.pass(Duration::from_secs(2)).await;
    eventually("undone", async || {
        expire(&it.house).await;
        active(&it.house).await["session_id"] == it.old.as_str()
    })
    .await;
    assert_eq!(it.us.revoked().await.reason, "move_not_followed");
    let old = shown(&it.house, &it.old).await;
    assert_eq!(
        (&old["state"], &old["publishing"]),
        (&json!("active"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn banning_the_destination_undoes_the_move() {
    let it = Moving::begun().await;
    let us = shown(&it.house, &it.new).await["node_id"].clone();
    let path = format!("/api/v1/ops/nodes/{}/ban", us.as_str().unwrap());
    let order = json!({"banned": true, "reason": "stolen"});
    assert_eq!(it.house.post(ADMIN, &path, order).await.status, 200);
    assert_eq!(it.health(&it.new).await, 200, "the old one lives");
    eventually("undone", async || {
        expire(&it.house).await;
        active(&it.house).await["session_id"] == it.old.as_str()
    })
    .await;
    assert_eq!(active(&it.house).await["publishing"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_the_destination_is_silent_finds_the_old_session() {
    let it = Moving::begun().await;
    it.house.advance(Duration::from_secs(16));
    it.renew(&it.old, async || beat(&it.eu, &it.old, false).await)
        .await;
    let started = async || {
        let started = it.house.start(ADMIN, "cam1").await;
        assert_eq!(started.status, 200, "{started:?}");
        started.body["session"].clone()
    };
    eventually("the old one", async || {
        started().await["session_id"] == it.old.as_str()
    })
    .await;
    let old = started().await;
    assert_eq!(
        (&old["status"], &old["publishing"]),
        (&json!("active"), &json!(true))
    );
    assert_eq!(shown(&it.house, &it.new).await["stop_reason"], "node_lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_session_that_drains_stops_where_its_stream_went() {
    let mut it = Moving::begun().await;
    it.stop(&it.old).await;
    assert_eq!(it.us.revoked().await.reason, "requested");
    assert_eq!(it.eu.revoked().await.reason, "requested");
    assert_eq!(it.health(&it.old).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_the_session_before_the_move_still_holds_the_stream() {
    let house = House::new().await;
    let (_, mut eu) = joined_in(&house, "eu").await;
    let (_, mut us) = joined_in(&house, "us").await;
    let body = json!({"connection_id": "cam1", "region_preference": "eu"});
    let first = house.start_with_key(ADMIN, "k1", body.clone()).await;
    assert_eq!(first.status, 201);
    let old = eu.assigned().await.session_id;
    beat(&eu, &old, false).await;
    assert_eq!(migrate(&house, "us").await.status, 202);
    let new = us.assigned().await.session_id;
    let mut it = Moving {
        house,
        old,
        new,
        eu,
        us,
    };
    it.pull().await;
    it.arrive().await;
    assert_eq!(it.health(&it.old).await, 200);
    let again = it.house.start_with_key(ADMIN, "k1", body).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.body["session"]["session_id"], it.new.as_str());
    it.stop(&it.old).await;
    assert_eq!(it.us.revoked().await.reason, "requested");
    assert_eq!(it.health(&it.old).await, 404);
    // The same connection's next stream is another: the old name does not reach it.
    start_in(&it.house, "us").await;
    let stop = json!({"session_id": it.old});
    it.house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    assert_ne!(active(&it.house).await, Value::Null);
    assert_eq!(it.health(&it.old).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_stops_a_stream_by_any_of_its_sessions() {
    let mut it = Moving::begun().await;
    let path = format!("{SESSIONS}/{}/stop", it.old);
    let reason = json!({"reason": "abuse"});
    assert_eq!(it.house.post(ADMIN, &path, reason).await.status, 200);
    assert_eq!(it.us.revoked().await.session_id, it.new);
    assert_eq!(it.eu.revoked().await.session_id, it.old);
    assert_eq!(active(&it.house).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_its_move_begins_is_not_moved() {
    let house = House::new().await;
    let (id, _eu, _us) = published(&house).await;
    let pool = house.pool();
    let mut transaction = storage::begin(&pool).await.unwrap();
    let session = SessionId::parse(&id).unwrap();
    let now = model::UnixMillis(1_763_700_000_000);
    sessions::stop(&mut transaction, &session, "grace_over", now)
        .await
        .unwrap();
    let mut moving = Box::pin(migrate(&house, "us"));
    let waits = tokio::time::timeout(Duration::from_millis(500), &mut moving).await;
    assert!(waits.is_err(), "the row is locked: {waits:?}");
    storage::commit(transaction).await.unwrap();
    let refused = moving.await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.body["error"]["reason_code"], "stopped");
    assert_eq!(active(&house).await, Value::Null);
}

/// The new node is a player of the old one: what players encrypt with is what it pulls
/// with, and only where there is something.
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_stream_is_pulled_with_its_players_passphrase() {
    for encryption in ["required", "optional", "off"] {
        let house = House::new().await;
        let (_, mut eu, mut us) = published(&house).await;
        let settings = json!({"encryption": encryption});
        assert_eq!(set(&house, ADMIN, "cam1", settings).await.status, 200);
        let players = eu.assigned().await.play.unwrap().passphrase;
        assert_eq!(players.is_empty(), encryption == "off");
        let moved = migrate(&house, "us").await;
        assert_eq!(moved.status, 202, "{moved:?}");
        let pull = us
            .assigned()
            .await
            .pull
            .expect("there is a picture to keep");
        assert_eq!(pull.passphrase, players);
    }
}

/// Settings that change while a stream moves change what it is pulled with.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_to_be_encrypted_while_it_moves_is_pulled_anew() {
    let mut it = Moving::begun().await;
    set(&it.house, ADMIN, "cam1", json!({"encryption": "required"})).await;
    let assigned = it.us.assigned().await;
    assert_eq!(assigned.session_id, it.new);
    let pull = assigned.pull.unwrap();
    assert_eq!(pull.passphrase, assigned.play.unwrap().passphrase);
    assert!(!pull.passphrase.is_empty());
}

/// It would leave the passphrase out and pull in the clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_encrypt_what_it_pulls_is_not_told_to() {
    for (encryption, is_pulled) in [("required", false), ("optional", false), ("off", true)] {
        let house = House::new().await;
        let (_, mut eu) = joined_in(&house, "eu").await;
        let (_, mut us) = joined_as(&house, "us", false).await;
        published_on(&house, &mut eu).await;
        set(&house, ADMIN, "cam1", json!({"encryption": encryption})).await;
        assert_eq!(migrate(&house, "us").await.status, 202);
        let assigned = us.assigned().await;
        assert_eq!(assigned.pull.is_some(), is_pulled, "{encryption}");
    }
}
