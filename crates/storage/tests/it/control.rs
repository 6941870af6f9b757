//! The schema's own promises; what the control plane makes of them is tried in `api`.

use model::node::Heartbeat;
use model::{NodeId, Region, TenantId, UnixMillis, UserId};
use storage::Error;
use storage::control::accounts::{self, Account};
use storage::control::epochs::{self, StreamEpoch};
use storage::control::heartbeats::{self, Beat, Renewal};
use storage::control::nodes::{self, NewNode};
use streamhaul_storage as storage;
use testkit::database::TestDb;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn account(number: u128) -> Account {
    Account {
        user_id: UserId::from_u128(number),
        tenant_id: TenantId::from_u128(number),
    }
}

fn node(number: u8, name: &str) -> NewNode {
    NewNode {
        id: NodeId::from_u128(number.into()),
        name: name.into(),
        region: Region::parse("local").unwrap(),
        sessions_limit: None,
        join_token_sha256: [number; 32],
        join_token_expires_at: NOW,
        vitals: serde_json::json!({}),
    }
}

#[tokio::test]
async fn migrating_again_and_at_once_changes_nothing() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 4).unwrap();
    let (one, two) = tokio::join!(storage::migrate(&pool), storage::migrate(&pool));
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn a_schema_is_looked_at_without_being_changed() {
    let database = TestDb::new().await;
    let pool = storage::connect_proxied("test", database.url(), 2).unwrap();
    storage::check_schema(&pool).await.unwrap();
    let newer = "DELETE FROM _sqlx_migrations WHERE version >= 20";
    database.execute(newer).await;
    for _ in 0..2 {
        let error = storage::check_schema(&pool).await.unwrap_err();
        assert!(
            matches!(error, Error::Outdated { missing } if missing >= 20) && error.is_retryable(),
            "{error:?}"
        );
    }
    database.execute("DROP TABLE _sqlx_migrations").await;
    let error = storage::check_schema(&pool).await.unwrap_err();
    assert!(matches!(error, Error::Outdated { missing: 1 }), "{error:?}");
}

#[tokio::test]
async fn statements_that_somebody_forgot_are_a_proxys_fault() {
    let database = TestDb::new().await;
    let pool = storage::connect_proxied("test", database.url(), 2).unwrap();
    storage::check_proxy(&pool).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    // As if the next transaction were on another of the server's connections.
    sqlx::raw_sql("DEALLOCATE ALL")
        .execute(&mut *connection)
        .await
        .unwrap();
    let lost = sqlx::query("SELECT 1").execute(&mut *connection).await;
    let error = Error::from(lost.unwrap_err());
    assert!(
        matches!(error, Error::StatementsLost(_)) && !error.is_retryable(),
        "{error:?}"
    );
}

#[tokio::test]
async fn there_is_one_bootstrap_account_however_many_start_at_once() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 4).unwrap();
    let (one, two) = (account(1), account(2));
    let (first, second) = tokio::join!(
        accounts::bootstrap(&pool, &one, NOW),
        accounts::bootstrap(&pool, &two, NOW)
    );
    assert_eq!(first.unwrap(), second.unwrap());
}

#[tokio::test]
async fn a_token_is_good_for_its_hash_only() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let mut transaction = storage::begin(&pool).await.unwrap();
    accounts::create(&mut transaction, &account(1), "one", &[1; 32], NOW)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(
        accounts::by_token(&pool, &[1; 32], NOW).await.unwrap(),
        Some(account(1))
    );
    assert_eq!(
        accounts::by_token(&pool, &[2; 32], NOW).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_that_trying_again_does_not_help() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    nodes::create(&pool, &node(1, "one"), NOW).await.unwrap();
    let error = nodes::create(&pool, &node(2, "one"), NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Conflict { .. }) && !error.is_retryable(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_worth_another_try() {
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    let pool = storage::connect("test", nowhere, 1).unwrap();
    let error = storage::ping(&pool).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let error = storage::migrate(&pool).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn bytes_add_up_across_a_nodes_boots() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let new = node(1, "one");
    nodes::create(&pool, &new, NOW).await.unwrap();
    for (boot_id, bytes) in [("a", 10), ("a", 30), ("b", 5), ("b", 7)] {
        let beat = Beat {
            node: new.id.clone(),
            epoch: StreamEpoch::default(),
            at: NOW,
            said: beat(boot_id, bytes),
        };
        let renewal = Renewal {
            lease: std::time::Duration::ZERO,
            grace: std::time::Duration::ZERO,
        };
        heartbeats::record(&pool, &[beat], renewal).await.unwrap();
    }
    let row: (i64, i64) = sqlx::query_as(
        "SELECT ingress_bytes_before + ingress_bytes, egress_bytes_before + egress_bytes
         FROM control.nodes",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(row, (37, 74));
}

#[tokio::test]
async fn what_an_older_stream_of_a_node_hears_is_not_written() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let (two, one) = (node(2, "two"), node(1, "one"));
    nodes::create(&pool, &two, NOW).await.unwrap();
    nodes::create(&pool, &one, NOW).await.unwrap();
    let mut transaction = storage::begin(&pool).await.unwrap();
    let older = epochs::begin(&mut transaction, &one.id).await.unwrap();
    let newer = epochs::begin(&mut transaction, &one.id).await.unwrap();
    assert_ne!(older, newer);
    storage::commit(transaction).await.unwrap();

    let heard = |node: &NewNode, epoch: Option<StreamEpoch>, boot: &str, bytes| Beat {
        node: node.id.clone(),
        epoch: epoch.unwrap_or_default(),
        at: NOW,
        said: beat(boot, bytes),
    };
    let renewal = Renewal {
        lease: std::time::Duration::ZERO,
        grace: std::time::Duration::ZERO,
    };
    let first = [heard(&one, newer, "b", 5), heard(&two, None, "a", 3)];
    let superseded = heartbeats::record(&pool, &first, renewal).await.unwrap();
    assert_eq!(superseded.len(), 0);
    let late = [heard(&one, older, "a", 30), heard(&two, None, "a", 4)];
    let superseded = heartbeats::record(&pool, &late, renewal).await.unwrap();
    assert_eq!(Vec::from_iter(superseded), std::slice::from_ref(&one.id));
    let counted: Vec<i64> = sqlx::query_scalar(
        "SELECT ingress_bytes_before + ingress_bytes FROM control.nodes ORDER BY name",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(counted, [5, 4]);
}

fn beat(boot_id: &str, bytes: u64) -> Heartbeat {
    Heartbeat {
        boot_id: boot_id.into(),
        sessions: 0,
        publishers: 0,
        players: 0,
        ingress_bytes_total: bytes,
        egress_bytes_total: 2 * bytes,
        data_thread_load_ratio: 0.0,
        publishing: Vec::new(),
        held: Vec::new(),
        traffic: Vec::new(),
        draining: false,
        observed_at: NOW,
    }
}
