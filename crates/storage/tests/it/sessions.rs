//! What a node's words make of sessions, in the database as in the domain; and what of them
//! is counted in which month.

use std::time::Duration;

use model::node::{Heartbeat, SessionTraffic};
use model::session::{Happening, SessionState};
use model::{NodeId, Region, SessionId, StreamId, TenantId, UnixMillis, UserId};
use storage::Pool;
use storage::control::accounts::{self, Account};
use storage::control::epochs::StreamEpoch;
use storage::control::heartbeats::{self, Beat, Renewal};
use storage::control::nodes::{self, NewNode};
use storage::control::plans;
use storage::control::round_trips;
use storage::control::sessions::{self, NewSession};
use storage::control::streams::{self, Slot};
use streamhaul_storage as storage;
use testkit::database::TestDb;

/// 2025-11-30T23:59:50Z
const NOW: UnixMillis = UnixMillis(1_764_547_190_000);
const MONTH: UnixMillis = UnixMillis(1_764_547_200_000);
const NODE: u128 = 1;

fn account() -> Account {
    Account {
        user_id: UserId::from_u128(1),
        tenant_id: TenantId::from_u128(1),
    }
}

fn session() -> SessionId {
    SessionId::from_u128(1)
}

/// A database with one session, which began at `NOW`.
async fn with_session(database: &TestDb) -> Pool {
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let node = NewNode {
        id: NodeId::from_u128(NODE),
        name: "one".into(),
        region: Region::parse("local").unwrap(),
        sessions_limit: None,
        join_token_sha256: [1; 32],
        join_token_expires_at: NOW,
        vitals: serde_json::json!({}),
    };
    nodes::create(&pool, &node, NOW).await.unwrap();
    let mut transaction = storage::begin(&pool).await.unwrap();
    accounts::create(&mut transaction, &account(), "one", &[1; 32], NOW)
        .await
        .unwrap();
    let slot = Slot {
        tenant_id: &account().tenant_id,
        user_id: &account().user_id,
        name: "cam1",
    };
    let stream = StreamId::from_u128(1);
    streams::find_or_create(&mut transaction, slot, &stream, NOW)
        .await
        .unwrap();
    let new = NewSession {
        id: session(),
        account: account(),
        stream_id: stream,
        connection_id: Some("cam1".into()),
        node_id: node.id,
        region: node.region,
        region_requested: None,
        lease_expires_at: NOW.plus(Duration::from_secs(300)),
        ends_at: NOW.plus(Duration::from_secs(86_400)),
        supersedes: None,
    };
    sessions::insert(&mut transaction, &new, NOW).await.unwrap();
    transaction.commit().await.unwrap();
    pool
}

fn beat(publishing: bool) -> Heartbeat {
    Heartbeat {
        boot_id: "a".into(),
        sessions: 1,
        publishers: publishing.into(),
        players: 0,
        ingress_bytes_total: 0,
        egress_bytes_total: 0,
        data_thread_load_ratio: 0.0,
        publishing: publishing.then(session).into_iter().collect(),
        held: vec![session()],
        traffic: Vec::new(),
        draining: false,
        observed_at: NOW,
    }
}

fn moved(boot_id: &str, bytes: u64) -> Heartbeat {
    Heartbeat {
        boot_id: boot_id.into(),
        traffic: vec![SessionTraffic {
            session_id: session(),
            ingress_bytes: bytes,
            egress_bytes: 2 * bytes,
            pulled: false,
            publisher_rtt_us: None,
        }],
        ..beat(true)
    }
}

async fn record(pool: &Pool, beat: &Heartbeat, at: UnixMillis) {
    let renewal = Renewal {
        lease: Duration::from_secs(300),
        grace: Duration::from_secs(600),
    };
    let beat = Beat {
        node: NodeId::from_u128(NODE),
        epoch: StreamEpoch::default(),
        at,
        said: beat.clone(),
    };
    heartbeats::record(pool, &[beat], renewal).await.unwrap();
}

async fn set(pool: &Pool, state: SessionState, published_at: Option<UnixMillis>) {
    sqlx::query(
        "UPDATE control.sessions SET state = $1, last_published_at = $2, publishing = false,
             drain_ends_at = 9, stopped_at = CASE WHEN $1 = 'stopped' THEN 9 END,
             stop_reason = CASE WHEN $1 = 'stopped' THEN 'x' END",
    )
    .bind(state.as_str())
    .bind(published_at.map(|at| at.0))
    .execute(pool)
    .await
    .unwrap();
}

async fn state(pool: &Pool) -> SessionState {
    let record = sessions::find(pool, &session()).await.unwrap();
    record.unwrap().session.state
}

#[tokio::test]
async fn the_database_knows_the_same_states_as_the_domain() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    for before in SessionState::ALL {
        let words = [
            (true, None, Happening::Published),
            (true, Some(NOW), Happening::Published),
            (false, Some(NOW), Happening::Unpublished),
            (false, None, Happening::Held),
        ];
        for (publishing, published_at, happening) in words {
            // Grace has a publisher to wait for.
            if *before == SessionState::Grace && published_at.is_none() {
                continue;
            }
            set(&pool, *before, published_at).await;
            record(&pool, &beat(publishing), NOW).await;
            let after = state(&pool).await;
            assert_eq!(after, before.after(happening), "{before} {happening:?}");
        }
    }
}

#[tokio::test]
async fn a_publisher_that_the_node_pulls_is_not_the_sessions_own() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    let mut pulled = moved("a", 10);
    pulled.traffic[0].pulled = true;
    for second in [0, 5, 10] {
        record(&pool, &pulled, NOW.plus(Duration::from_secs(second))).await;
    }
    let found = sessions::find(&pool, &session()).await.unwrap().unwrap();
    assert!(!found.session.publishing);
    assert_eq!(found.session.state, SessionState::Active);
    let standing = standing(&pool, MONTH).await;
    assert_eq!(standing, 0, "it is counted where the publisher is");
}

async fn standing(pool: &Pool, month: UnixMillis) -> u64 {
    let standing = plans::standing(pool, &account().user_id, month).await;
    standing.unwrap().unwrap().seconds.consumed
}

async fn totals(pool: &Pool) -> (i64, i64, i64) {
    sqlx::query_as("SELECT published_ms, ingress_bytes, egress_bytes FROM control.sessions")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn bytes_add_up_across_boots_of_the_node() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    let at = MONTH.plus(Duration::from_secs(100_000));
    for (boot_id, bytes) in [("a", 10), ("a", 30), ("b", 5), ("b", 7), ("b", 7)] {
        record(&pool, &moved(boot_id, bytes), at).await;
    }
    assert_eq!(totals(&pool).await, (0, 37, 74));
}

#[tokio::test]
async fn a_session_is_counted_in_each_month_by_what_fell_in_it() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    record(&pool, &moved("a", 1000), at(0)).await;
    record(&pool, &moved("a", 6000), at(5)).await;
    // Ten seconds, of which five are each month's.
    record(&pool, &moved("a", 16_000), at(15)).await;
    record(&pool, &moved("a", 20_000), at(18)).await;
    assert_eq!(totals(&pool).await, (18_000, 20_000, 40_000));
    let closed: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT cycle_began_at, published_ms, ingress_bytes, egress_bytes
         FROM control.session_cycles",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    // 2025-11-01
    assert_eq!(closed, (1_761_955_200_000, 10_000, 11_000, 22_000));
    assert_eq!(standing(&pool, MONTH).await, 8);
}

#[tokio::test]
async fn a_publisher_that_leaves_after_the_border_is_counted_up_to_it_before() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    record(&pool, &beat(true), NOW).await;
    let gone = model::node::SessionEvent {
        session_id: session(),
        kind: model::node::SessionEventKind::PublisherGone,
        reason: "closed".into(),
        pulled: false,
        observed_at: NOW,
    };
    let at = NOW.plus(Duration::from_secs(13));
    let stream = (&NodeId::from_u128(NODE), StreamEpoch::default());
    heartbeats::observe(&pool, stream, &gone, at).await.unwrap();
    assert_eq!(state(&pool).await, SessionState::Grace);
    assert_eq!(standing(&pool, MONTH).await, 3);
    assert_eq!(totals(&pool).await.0, 13_000);
}

async fn stop(pool: &Pool, at: UnixMillis) {
    let mut transaction = storage::begin(pool).await.unwrap();
    sessions::stop(&mut transaction, &session(), "requested", at)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn what_was_published_since_the_last_word_counts_when_a_session_ends() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    record(&pool, &beat(true), NOW).await;
    // The month turns meanwhile: ten seconds are of the old one, three of the new one.
    stop(&pool, NOW.plus(Duration::from_secs(13))).await;
    assert_eq!(totals(&pool).await.0, 13_000);
    assert_eq!(standing(&pool, MONTH).await, 3);
    let closed: i64 = sqlx::query_scalar("SELECT published_ms FROM control.session_cycles")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(closed, 10_000);
}

#[tokio::test]
async fn the_silence_that_a_session_ends_with_does_not_count() {
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    let at = |seconds: u64| MONTH.plus(Duration::from_secs(100_000 + seconds));
    record(&pool, &beat(true), at(0)).await;
    record(&pool, &beat(true), at(5)).await;
    stop(&pool, at(65)).await;
    assert_eq!(totals(&pool).await.0, 5_000);
    stop(&pool, at(66)).await;
    assert_eq!(totals(&pool).await.0, 5_000, "it has ended");
}

#[tokio::test]
async fn the_shortest_way_of_a_week_counts_and_for_a_month() {
    const DAY: Duration = Duration::from_secs(86_400);
    let database = TestDb::new().await;
    let pool = with_session(&database).await;
    let learn = async |node: u128, rtt_us: u32, at: UnixMillis| {
        let mut said = moved("a", 1);
        said.traffic[0].publisher_rtt_us = Some(rtt_us);
        let beat = Beat {
            node: NodeId::from_u128(node),
            epoch: StreamEpoch::default(),
            at,
            said,
        };
        round_trips::learn(&pool, &[beat]).await.unwrap();
    };
    let known = async |now: UnixMillis| {
        let user = account().user_id;
        let known = round_trips::of_user(&pool, &user, now).await.unwrap();
        known.get(&Region::parse("local").unwrap()).copied()
    };
    assert_eq!(known(NOW).await, None);
    learn(NODE + 1, 10_000, NOW).await;
    assert_eq!(known(NOW).await, None, "the session is another node's");
    for (rtt_us, after, expected) in [
        (50_000, Duration::ZERO, 50_000),
        (90_000, DAY, 50_000),
        (40_000, DAY * 2, 40_000),
        (90_000, DAY * 8, 40_000),
        (90_000, DAY * 10, 90_000),
    ] {
        let at = NOW.plus(after);
        learn(NODE, rtt_us, at).await;
        assert_eq!(known(at).await, Some(expected), "{after:?}");
    }
    assert_eq!(known(NOW.plus(DAY * 39)).await, Some(90_000));
    assert_eq!(known(NOW.plus(DAY * 41)).await, None);
    set(&pool, SessionState::Stopped, None).await;
    learn(NODE, 1, NOW.plus(DAY * 42)).await;
    assert_eq!(known(NOW.plus(DAY * 42)).await, None);
}
