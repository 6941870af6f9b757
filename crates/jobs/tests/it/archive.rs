//! What retired is in the archive, whole, before it is dropped: whatever happens in between.

use std::io::Write as _;
use std::time::Duration;

use backup::{Archive, ArchiveConfig, Identities};
use model::UnixMillis;
use model::job::JobState;
use secrecy::ExposeSecret as _;
use storage::telemetry::retention;
use storage::telemetry::session_steps::{self, Kept};
use streamhaul_jobs::jobs::ArchiveTelemetry;
use streamhaul_jobs::shelf::Unfinished;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::attic::{Attic, LONG, TODAY};

/// A day that nobody keeps.
const OVER: i32 = LONG + 1;
/// Longer than a claim lasts.
const LATER: Duration = Duration::from_secs(3600);

async fn with_a_retired_day() -> Attic {
    let attic = Attic::new().await;
    attic.events(2, OVER, 50, "old").await;
    attic.retire().await;
    assert_eq!((attic.kept(2).await, attic.tables().await), (0, 1));
    attic
}

/// The day is in the archive, once, and nowhere else.
async fn assert_archived(attic: &Attic, rows: usize) {
    assert_eq!(
        (attic.tables().await, attic.retired("dropped").await),
        (0, 1)
    );
    let archive = attic.archive();
    assert_eq!(attic.parts(&archive, "events").await.len(), 1);
    assert_eq!(attic.words(&archive, OVER).await.len(), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_stored_read_back_and_dropped() {
    let attic = with_a_retired_day().await;
    attic
        .database
        .execute(
            "INSERT INTO telemetry.contexts (app_id, id, service, service_version, language, os, user_id,
                 first_seen_at)
             VALUES (2, 7, 'cam', '1.2', 'rust', 'linux', 'client_1', 0)",
        )
        .await;
    let state = attic
        .run(ArchiveTelemetry::KIND, Some(attic.archive()))
        .await;
    assert_eq!(state, JobState::Completed);
    assert_archived(&attic, 50).await;
    let archive = attic.archive();
    let part = attic.parts(&archive, "events").await.remove(0);
    assert_eq!((part.rows, part.encrypted), (50, false));
    let lines = attic.fetch(&archive, &part).await.unwrap();
    assert_eq!(lines.len() as u64, part.plain_bytes);
    let event: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(event["app"], "acme/long", "{event}");
    assert_eq!(event["context"]["service"], "cam", "{event}");
    assert_eq!(event["data"]["lines"], "one\ntwo", "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_between_two_steps_is_followed() {
    let (attic, killed) = (with_a_retired_day().await, "what was killed left no trace");
    let (archive, shelf) = (attic.archive(), attic.shelf(Some(attic.archive())));
    let first = attic.take(&shelf).await;
    assert!(shelf.take(Uuid::new_v4(), 0).await.unwrap().is_none());
    // In the middle of the upload.
    {
        let mut writing = std::pin::pin!(shelf.export(&archive, &first));
        let waker = std::task::Waker::noop();
        let _ = writing
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
    }
    assert!(attic.parts(&archive, "events").await.is_empty(), "{killed}");
    // After the object, before it was written down: another takes over.
    attic.clock.advance(LATER);
    let second = attic.take(&shelf).await;
    assert_eq!(second.table, first.table);
    let lost = shelf.export(&archive, &first).await.unwrap_err();
    assert!(matches!(lost, Unfinished::Lost), "{lost:?}");
    assert!(attic.parts(&archive, "events").await.is_empty(), "{killed}");
    // Written down, and not proven.
    let stored = shelf.export(&archive, &second).await.unwrap();
    attic.clock.advance(LATER);
    let third = attic.take(&shelf).await;
    assert_eq!(third.table.stored.as_ref(), Some(&stored));
    // Proven, and not dropped.
    shelf.prove(&archive, &third, &stored).await.unwrap();
    assert_eq!(attic.tables().await, 1);
    attic.clock.advance(LATER);
    let fourth = attic.take(&shelf).await;
    let gone = shelf.finish(&third).await.unwrap_err();
    assert!(matches!(gone, Unfinished::Lost), "{gone:?}");
    assert_eq!(shelf.finish(&fourth).await.unwrap(), 50);
    assert_archived(&attic, 50).await;
    assert!(shelf.take(Uuid::new_v4(), 0).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_not_trusted() {
    let attic = with_a_retired_day().await;
    let (archive, shelf) = (attic.archive(), attic.shelf(Some(attic.archive())));
    for tamper in [flip, cut, lengthen, remove] {
        let held = attic.take(&shelf).await;
        let stored = shelf.export(&archive, &held).await.unwrap();
        let object = attic.objects(&stored.object).remove(0);
        tamper(&object);
        let refused = shelf.prove(&archive, &held, &stored).await.unwrap_err();
        assert_eq!(refused.reason(), "damaged", "{refused}");
        assert_eq!(
            (attic.tables().await, attic.retired("retired").await),
            (1, 1)
        );
        assert!(attic.objects(".zst").is_empty() && attic.objects(".json").is_empty());
        shelf.put_back(&held).await.unwrap();
    }
    attic
        .run(ArchiveTelemetry::KIND, Some(archive.clone()))
        .await;
    assert_archived(&attic, 50).await;
    // And neither by those who read it later.
    let part = attic.parts(&archive, "events").await.remove(0);
    flip(&attic.objects(".zst")[0]);
    let refused = attic.fetch(&archive, &part).await.unwrap_err();
    assert_eq!(refused.reason(), "damaged", "{refused}");
}

fn flip(object: &std::path::Path) {
    let mut bytes = std::fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(object, bytes).unwrap();
}

fn cut(object: &std::path::Path) {
    let bytes = std::fs::read(object).unwrap();
    std::fs::write(object, &bytes[..bytes.len() - 1]).unwrap();
}

fn lengthen(object: &std::path::Path) {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(object)
        .unwrap();
    file.write_all(b"\n").unwrap();
}

fn remove(object: &std::path::Path) {
    std::fs::remove_file(object).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_late_are_archived_too() {
    let attic = with_a_retired_day().await;
    let (archive, shelf) = (attic.archive(), attic.shelf(Some(attic.archive())));
    let held = attic.take(&shelf).await;
    shelf.export(&archive, &held).await.unwrap();
    // Somebody who knows the table by its name, after all of it was stored.
    attic
        .database
        .execute(&format!(
            "INSERT INTO telemetry.retired_events_20240913_1 VALUES
             ({TODAY}, 2, gen_random_uuid(), 7, 'usage', NULL, '{{\"word\": \"late\"}}', 5)"
        ))
        .await;
    attic.clock.advance(LATER);
    let held = attic.take(&shelf).await;
    let changed = shelf.finish(&held).await.unwrap_err();
    assert!(matches!(changed, Unfinished::Changed), "{changed:?}");
    assert_eq!(
        (attic.tables().await, attic.retired("retired").await),
        (1, 1)
    );
    shelf.put_back(&held).await.unwrap();
    // And somebody who sends what is older than all that is kept, as clients may.
    attic.events(2, OVER, 3, "later").await;
    assert_eq!(attic.kept(2).await, 3);
    attic.retire().await;
    attic
        .run(ArchiveTelemetry::KIND, Some(archive.clone()))
        .await;
    assert_eq!((attic.tables().await, attic.kept(2).await), (0, 0));
    let words = attic.words(&archive, OVER).await;
    assert_eq!(words.len(), 50 + 1 + 3);
    assert!(words.contains(&"late".to_owned()) && words.contains(&"later-3".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_archive_each_day_once() {
    let attic = Attic::new().await;
    for days_ago in OVER..OVER + 6 {
        attic.events(2, days_ago, 20, "old").await;
    }
    attic.retire().await;
    let work = async || {
        let shelf = attic.shelf(Some(attic.archive()));
        let (holder, mut after, mut done) = (Uuid::new_v4(), 0, 0);
        while let Some(held) = shelf.take(holder, after).await.unwrap() {
            after = held.table.id;
            shelf.finish(&held).await.unwrap();
            done += 1;
        }
        done
    };
    let (one, other) = tokio::join!(work(), work());
    assert_eq!(one + other, 6);
    assert_eq!(
        (attic.tables().await, attic.retired("dropped").await),
        (0, 6)
    );
    assert_eq!(attic.parts(&attic.archive(), "events").await.len(), 6);
    assert_eq!(attic.objects(".zst").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_secret_the_day_stays() {
    let attic = with_a_retired_day().await;
    let wrong = attic.dir.path().join("wrong");
    std::fs::write(&wrong, "another").unwrap();
    let mut config = attic.s3();
    config.s3.as_mut().unwrap().secret_access_key_file = wrong;
    let archive = Archive::open(&config).unwrap();
    let state = attic
        .run(ArchiveTelemetry::KIND, Some(archive.clone()))
        .await;
    assert_eq!(state, JobState::Retryable);
    let shelf = attic.shelf(Some(archive));
    let held = attic.take(&shelf).await;
    let refused = shelf.finish(&held).await.unwrap_err();
    assert_eq!(refused.reason(), "destination", "{refused}");
    assert!(!refused.to_string().contains("another"), "{refused}");
    assert_eq!(
        (attic.tables().await, attic.retired("retired").await),
        (1, 1)
    );
    assert!(attic.objects(".zst").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bucket_is_away_the_day_waits() {
    let attic = with_a_retired_day().await;
    // Takes connections and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut config = attic.s3();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    config.s3.as_mut().unwrap().endpoint = Some(endpoint);
    let shelf = attic.shelf(Some(Archive::open(&config).unwrap()));
    let held = attic.take(&shelf).await;
    let finishing = shelf.finish(&held);
    tokio::select! {
        done = finishing => panic!("{done:?}"),
        // As long as somebody is patient.
        asked = silent.accept() => drop(asked.unwrap()),
    }
    assert_eq!(
        (attic.tables().await, attic.retired("retired").await),
        (1, 1)
    );
    attic.clock.advance(LATER);
    attic
        .run(ArchiveTelemetry::KIND, Some(attic.archive()))
        .await;
    assert_archived(&attic, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_key_reads_what_is_encrypted() {
    let attic = with_a_retired_day().await;
    let key = attic.dir.path().join("key");
    std::fs::write(&key, backup::generate_identity().expose_secret()).unwrap();
    let config = ArchiveConfig {
        recipients: Identities::read(&key).unwrap().recipients(),
        unencrypted: false,
        ..attic.s3()
    };
    let archive = Archive::open(&config).unwrap();
    let state = attic
        .run(ArchiveTelemetry::KIND, Some(archive.clone()))
        .await;
    assert_eq!(state, JobState::Completed);
    let part = attic.parts(&archive, "events").await.remove(0);
    assert!(
        part.encrypted && part.object.ends_with(".zst.age"),
        "{part:?}"
    );
    let refused = attic.fetch(&archive, &part).await.unwrap_err();
    assert_eq!(refused.reason(), "key", "{refused}");
    let archive = archive.with_identities(Identities::read(&key).unwrap());
    assert_eq!(attic.words(&archive, OVER).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_archive_a_day_is_dropped_and_written_down() {
    let attic = with_a_retired_day().await;
    attic.run(ArchiveTelemetry::KIND, None).await;
    assert_eq!(
        (attic.tables().await, attic.retired("dropped").await),
        (0, 1)
    );
    let unarchived = "SELECT rows FROM telemetry.retired WHERE object IS NULL AND dropped_at > 0";
    assert_eq!(attic.number(unarchived).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_sessions_are_archived_while_jobs_archive() {
    let attic = Attic::new().await;
    let now = |days_ago: i32| UnixMillis(i64::from(TODAY - days_ago) * 86_400_000);
    let kept = Kept {
        ten_seconds: Duration::from_secs(7 * 86_400),
        minutes: Duration::from_secs(90 * 86_400),
    };
    let turn = async |days_ago| session_steps::turn_days(&attic.pool, kept, now(days_ago)).await;
    turn(20).await.unwrap();
    let at = now(20).0;
    attic
        .database
        .execute(&format!(
            "INSERT INTO telemetry.session_10s (session_id, link, at, part, node_id, samples, live_samples,
                 bytes, egress_bytes, packets, lost, dropped, retransmitted, players_max)
             SELECT 'ses_1', -1, {at} + n * 10000, 1, 'nod_1', 10, 10, n, 0, 0, 0, 0, 0, 0
             FROM generate_series(1, 30) AS n"
        ))
        .await;
    retention::declare(&attic.pool, true).await.unwrap();
    // Three days of steps of ten seconds; one has something in it.
    assert_eq!(turn(10).await.unwrap(), 3);
    assert_eq!(attic.tables().await, 1);
    attic
        .run(ArchiveTelemetry::KIND, Some(attic.archive()))
        .await;
    let archive = attic.archive();
    let part = attic.parts(&archive, "session_10s").await.remove(0);
    let lines = attic.fetch(&archive, &part).await.unwrap();
    let bytes: u64 = lines.lines().map(bytes_of).sum();
    assert_eq!((part.rows, bytes), (30, (1..=30).sum()));
    assert_eq!(attic.tables().await, 0);
    retention::declare(&attic.pool, false).await.unwrap();
    assert_eq!(turn(0).await.unwrap(), 3);
    assert_eq!(attic.retired("retired").await, 0, "dropped as before");
}

fn bytes_of(line: &str) -> u64 {
    let step: serde_json::Value = serde_json::from_str(line).unwrap();
    step["bytes"].as_u64().unwrap()
}
