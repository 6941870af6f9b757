//! What the gateway does with a database, and without one.

use std::time::Duration;

use secrecy::SecretString;
use streamhaul_metrics_gateway::Config;
use testkit::database::TestDb;

use crate::world::{World, until};

const IDLE: &str = "streamhaul_gateway_database_connections{state=\"idle\"}";

/// Ready comes after the migrations, which are applied already here.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_connected_to_and_shown() {
    let database = TestDb::new().await;
    let world = World::with(Config {
        database_url: SecretString::from(database.url()),
        ..Config::default()
    })
    .await;
    // Those who look at it and those who write may be connected at once.
    until(async || {
        let metrics = world.metrics();
        let idle = metrics.lines().find_map(|line| line.strip_prefix(IDLE));
        (idle? != " 0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_view_needs_no_database() {
    let world = World::new().await;
    assert!(world.get("/healthz", "").starts_with("HTTP/1.1 200"));
    world.shows(&format!("{IDLE} 0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_not_ready_before_it_has_seen_its_database() {
    let failure = World::start(
        Config {
            database_url: SecretString::from("postgres://nobody@127.0.0.1:1/nothing"),
            ..Config::default()
        },
        Duration::from_secs(3),
    )
    .await
    .err();
    let failure = failure.unwrap();
    assert!(failure.contains("database"), "{failure}");
}

const SLOW_STATEMENTS: &str = include_str!("../../../../deploy/postgres/slow_statements.sql");

/// The view says what is there; the statement is understood by PostgreSQL and its extension as
/// they are.
#[tokio::test(flavor = "multi_thread")]
async fn tables_and_statements_can_be_looked_into() {
    let database = TestDb::new().await;
    let insert = "INSERT INTO telemetry.app_usage SELECT 1, day, 0, 1, 0, 0 FROM generate_series(1, 100) AS day";
    database.execute(insert).await;
    database.execute("VACUUM ANALYZE telemetry.app_usage").await;
    let seen = "SELECT count(*) FROM telemetry.table_health
        WHERE table_name = 'app_usage' AND live_rows >= 100 AND dead_ratio = 0
            AND vacuumed_at IS NOT NULL AND analyzed_at IS NOT NULL AND total_bytes > index_bytes
            AND frozen_age >= 0";
    until(async || (database.number(seen).await == 1).then_some(())).await;
    let tables = "SELECT count(*) FROM telemetry.table_health WHERE table_name ~ '^(events|contexts|rollups)'";
    assert!(database.number(tables).await >= 3);
    // Executing it takes a server that was started with the library; planning it does not.
    database
        .execute("CREATE EXTENSION pg_stat_statements")
        .await;
    database
        .execute(&format!("EXPLAIN {SLOW_STATEMENTS}"))
        .await;
}
