//! Events leave the tables when no app keeps them, and nobody's too early.

use model::UnixMillis;
use model::job::JobState;
use storage::Error;
use storage::telemetry::retention;
use streamhaul_jobs::jobs::{ArchiveTelemetry, TelemetryRetention};

use crate::attic::{Attic, LONG, SHORT, TODAY};

#[tokio::test(flavor = "multi_thread")]
async fn each_app_keeps_its_days_and_no_more() {
    let attic = Attic::new().await;
    for days_ago in [SHORT, SHORT + 1, LONG, LONG + 1] {
        attic.events(1, days_ago, 3, "short").await;
        attic.events(2, days_ago, 4, "long").await;
    }
    // Older than anything has a partition for.
    attic.events(2, 200, 2, "stray").await;
    attic.retire().await;
    assert_eq!((attic.kept(1).await, attic.kept(2).await), (3, 12));
    // One day as a whole; one part of each of two days; strays.
    assert_eq!(
        (attic.retired("retired").await, attic.tables().await),
        (4, 4)
    );
    attic.retire().await;
    assert_eq!(attic.retired("retired").await, 4, "again changes nothing");
    let partitions = attic
        .number("SELECT count(*) FROM telemetry.event_days(20001) WHERE has_partition")
        .await;
    // Empty days go as well, but for those that the gateway makes partitions for: today, eight before.
    assert_eq!(partitions, 9 + 1);
    attic
        .run(ArchiveTelemetry::KIND, Some(attic.archive()))
        .await;
    let words = attic.words(&attic.archive(), LONG + 1).await;
    assert_eq!(words.len(), 7);
    assert_eq!(attic.words(&attic.archive(), SHORT + 1).await.len(), 3);
    assert_eq!(
        attic.words(&attic.archive(), 200).await,
        ["stray-1", "stray-2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_was_broken_off_goes_on() {
    let attic = Attic::new().await;
    let day = TODAY - SHORT - 1;
    attic.events(1, SHORT + 1, 10, "short").await;
    let collect = async |rows| {
        let now = UnixMillis(0);
        retention::collect(&attic.pool, day, TODAY, rows, now).await
    };
    assert_eq!(collect(4).await.unwrap(), 4);
    assert_eq!(
        (attic.retired("collecting").await, attic.kept(1).await),
        (1, 6)
    );
    // One that was moved is sent once more by a client that never heard of it.
    attic
        .database
        .execute(
            "INSERT INTO telemetry.events SELECT e.* FROM telemetry.retired_events_20240928_1 AS e LIMIT 1",
        )
        .await;
    attic.retire().await;
    assert_eq!(
        (attic.retired("retired").await, attic.kept(1).await),
        (1, 0)
    );
    attic
        .run(ArchiveTelemetry::KIND, Some(attic.archive()))
        .await;
    assert_eq!(attic.words(&attic.archive(), SHORT + 1).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_partition_went_meanwhile_is_still_collected() {
    let attic = Attic::new().await;
    attic.events(1, LONG + 1, 10, "short").await;
    let day = TODAY - LONG - 1;
    let begun = retention::collect(&attic.pool, day, TODAY, 4, UnixMillis(0)).await;
    assert_eq!(begun.unwrap(), 4);
    attic.retire().await;
    attic.retire().await;
    assert_eq!(attic.retired("retired").await, 2);
    attic
        .run(ArchiveTelemetry::KIND, Some(attic.archive()))
        .await;
    assert_eq!(attic.words(&attic.archive(), LONG + 1).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_are_waited_for_shortly_and_the_day_is_taken_later() {
    let attic = Attic::new().await;
    attic.events(2, LONG + 1, 4, "long").await;
    let writer = attic
        .database
        .hold("LOCK TABLE telemetry.events IN ROW EXCLUSIVE MODE")
        .await;
    let day = TODAY - LONG - 1;
    let refused = retention::retire_day(&attic.pool, day, TODAY, UnixMillis(0)).await;
    assert!(matches!(refused, Err(Error::Contention(_))), "{refused:?}");
    assert_eq!(attic.kept(2).await, 4);
    let state = attic.run(TelemetryRetention::KIND, None).await;
    assert_eq!(state, JobState::Retryable);
    drop(writer);
    attic.retire().await;
    assert_eq!(
        (attic.kept(2).await, attic.retired("retired").await),
        (0, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_retire_at_once_take_a_day_once() {
    let attic = Attic::new().await;
    attic.events(2, LONG + 1, 4, "long").await;
    let day = TODAY - LONG - 1;
    let retire = || retention::retire_day(&attic.pool, day, TODAY, UnixMillis(0));
    let (one, other) = tokio::join!(retire(), retire());
    assert_ne!(one.unwrap(), other.unwrap());
    assert_eq!(attic.retired("retired").await, 1);
    attic.events(1, SHORT + 1, 100, "short").await;
    let collect = || retention::collect(&attic.pool, TODAY - SHORT - 1, TODAY, 60, UnixMillis(0));
    let (one, other) = tokio::join!(collect(), collect());
    assert_eq!(one.unwrap() + other.unwrap(), 100);
    assert_eq!(attic.retired("retired").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_of_small_tables_are_deleted() {
    let attic = Attic::new().await;
    let ms = i64::from(TODAY) * 86_400_000;
    let day_ms = 86_400_000;
    attic
        .database
        .execute(&format!(
            "INSERT INTO telemetry.quarantine
             SELECT 1, sha256(n::text::bytea), {ms} - n::bigint * {day_ms}, NULL, 'malformed', ''
             FROM generate_series(0, 40) AS n;"
        ))
        .await;
    attic
        .database
        .execute(&format!(
            "INSERT INTO telemetry.rollups
             SELECT 1, ({ms} - n::bigint * {day_ms}) / 60000, 'usage', '1', 'linux', 0, 1
             FROM generate_series(0, 410) AS n"
        ))
        .await;
    attic
        .database
        .execute(&format!(
            "INSERT INTO telemetry.app_usage SELECT 1, {TODAY} - n, 0, 1, 0, 0
             FROM generate_series(0, 1110) AS n"
        ))
        .await;
    attic.retire().await;
    for (table, left) in [("quarantine", 31), ("rollups", 401), ("app_usage", 1101)] {
        let query = format!("SELECT count(*) FROM telemetry.{table}");
        assert_eq!(attic.number(&query).await, left, "{table}");
    }
}

/// Contexts of both apps that came last today, yesterday, and so on for 40 days.
async fn contexts(attic: &Attic) {
    attic
        .database
        .execute(&format!(
            "INSERT INTO telemetry.contexts (app_id, id, service, service_version, language, os,
                 user_id, first_seen_at, last_day)
             SELECT a.id, n, '', '', '', '', '', 0, {TODAY} - n
             FROM telemetry.apps AS a, generate_series(0, 40) AS n"
        ))
        .await;
}

/// How many each of them has.
async fn contexts_left(attic: &Attic) -> (i64, i64) {
    let of = |app: i32| format!("SELECT count(*) FROM telemetry.contexts WHERE app_id = {app}");
    let (short, long) = (of(1), of(2));
    (attic.number(&short).await, attic.number(&long).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_events_share_goes_after_the_last_of_them() {
    let attic = Attic::new().await;
    contexts(&attic).await;
    // Today, and three days more than the app keeps.
    let (short, long) = (i64::from(SHORT) + 4, i64::from(LONG) + 4);
    attic.events(1, SHORT + 3, 1, "over").await;
    attic.retire().await;
    assert_eq!(
        contexts_left(&attic).await,
        (41, long),
        "an event may name it"
    );
    attic.retire().await;
    assert_eq!(
        contexts_left(&attic).await,
        (41, long),
        "it waits for the archive"
    );
    let archived = attic.run(ArchiveTelemetry::KIND, Some(attic.archive()));
    assert_eq!(archived.await, JobState::Completed);
    attic.retire().await;
    assert_eq!(contexts_left(&attic).await, (short, long));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_may_name_a_context_keeps_it() {
    let attic = Attic::new().await;
    let came_before = TODAY - 8;
    let is_named = format!("SELECT telemetry.is_context_named(1, {came_before})::integer::bigint");
    let (early, later) = (
        i64::from(came_before) * 86_400_000 - 1,
        i64::from(came_before) * 86_400_000,
    );
    let event = |app: i32, day: i32, received_at: i64| {
        format!(
            "INSERT INTO telemetry.events SELECT {day}::bigint * 86400000000, {app},
                 gen_random_uuid(), 7, 'usage', NULL, NULL, {received_at}"
        )
    };
    let retired = |day: i32, state: &str| {
        format!(
            "INSERT INTO telemetry.retired (id, kind, day, relation, state, retired_at)
                 VALUES (0, 'events', {day}, 'of_old', '{state}', 0)"
        )
    };
    for (what, named) in [
        // Of the day after at the latest, and a day more for clocks that differ.
        (event(1, came_before + 1, early), 1),
        (event(1, came_before + 2, early), 0),
        (event(1, came_before + 1, later), 0),
        (event(2, came_before + 1, early), 0),
        // It has no partition.
        (event(1, TODAY - 300, early), 1),
        (retired(came_before + 1, "collecting"), 1),
        (retired(came_before + 1, "retired"), 1),
        (retired(came_before + 1, "stored"), 1),
        (retired(came_before + 1, "dropped"), 0),
        (retired(came_before + 2, "retired"), 0),
    ] {
        attic.database.execute(&what).await;
        assert_eq!(attic.number(&is_named).await, named, "{what}");
        attic.database.execute("DELETE FROM telemetry.events").await;
        attic
            .database
            .execute("DELETE FROM telemetry.retired")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_comes_again_at_this_moment_stays() {
    let attic = Attic::new().await;
    contexts(&attic).await;
    let over = retention::over_contexts(&attic.pool, TODAY).await.unwrap();
    let came_before = [TODAY - SHORT - 3, TODAY - LONG - 3];
    assert_eq!(
        over.iter().map(|it| it.came_before).collect::<Vec<_>>(),
        came_before
    );
    let writer = attic
        .database
        .hold(&format!(
            "UPDATE telemetry.contexts SET last_day = {TODAY} WHERE app_id = 1 AND id = 40"
        ))
        .await;
    let expire = async |rows_max| retention::expire_contexts(&attic.pool, over[0], rows_max).await;
    assert_eq!(expire(3).await.unwrap(), 3, "no more than was asked for");
    expire(1000).await.unwrap();
    assert_eq!(contexts_left(&attic).await.0, i64::from(SHORT) + 4 + 1);
    drop(writer);
}

/// Writers wait for the answer, so it must not depend on how much there is.
#[tokio::test(flavor = "multi_thread")]
async fn whether_anybody_keeps_a_day_is_asked_by_the_key() {
    let attic = Attic::new().await;
    attic.events(1, SHORT + 1, 20_000, "short").await;
    let idle = format!(
        "INSERT INTO telemetry.apps (org, name, tier, retention_days, created_at)
         SELECT 'acme', 'idle-' || n, 'pro', {LONG}, 0 FROM generate_series(1, 50) AS n"
    );
    attic.database.execute(&idle).await;
    attic.database.execute("ANALYZE telemetry.events").await;
    let day = TODAY - SHORT - 1;
    for asked in [
        format!("telemetry.is_event_day_kept({day}, {TODAY})::integer"),
        format!("telemetry.collect_events({day}, {TODAY}, 1, 0)"),
        format!("telemetry.is_context_named(3, {TODAY})::integer"),
    ] {
        // It fails if any row of a day was read but by an index.
        let checked = format!(
            "DO $$ BEGIN
                 PERFORM {asked};
                 ASSERT (SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables
                     WHERE relname ~ '^events_2') = 0, 'read as a whole';
                 ASSERT (SELECT sum(idx_scan) FROM pg_stat_xact_user_tables
                     WHERE relname ~ '^events_2') > 0, 'counted';
             END $$"
        );
        attic.database.execute(&checked).await;
    }
}
