//! A database with two apps and days of events, and a bucket for what need not be kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backup::{Archive, ArchiveConfig, Part, S3Config};
use model::UnixMillis;
use model::clock::Clock;
use model::job::JobState;
use storage::Pool;
use storage::queue::{NewJob, Queue};
use streamhaul_jobs::engine;
use streamhaul_jobs::job::Registry;
use streamhaul_jobs::jobs::{ArchiveTelemetry, KeptRows, TelemetryRetention};
use streamhaul_jobs::shelf::{Held, Shelf};
use tempfile::TempDir;
use testkit::bucket::{self, Bucket};
use testkit::database::{TestDb, number_in};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{settings, until};

/// The day on which everything happens, since 1970.
pub(crate) const TODAY: i32 = 20_000;
/// How long the two apps keep events, in days.
pub(crate) const SHORT: i32 = 5;
pub(crate) const LONG: i32 = 20;

/// A clock that is moved by hand.
pub(crate) struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

impl Hand {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }
}

pub(crate) struct Attic {
    pub(crate) database: TestDb,
    pub(crate) pool: Pool,
    pub(crate) clock: Arc<Hand>,
    pub(crate) bucket: Bucket,
    pub(crate) dir: TempDir,
}

impl Attic {
    /// Apps `acme/short` (1) and `acme/long` (2), partitions from 30 days ago to tomorrow.
    pub(crate) async fn new() -> Self {
        let database = TestDb::new().await;
        let pool = storage::connect("attic", database.url(), 6).unwrap();
        database
            .execute(&format!(
                "INSERT INTO telemetry.apps (org, name, tier, retention_days, created_at)
                 VALUES ('acme', 'short', 'free', {SHORT}, 0), ('acme', 'long', 'pro', {LONG}, 0)"
            ))
            .await;
        storage::telemetry::days::make(&pool, TODAY - 30, TODAY + 1)
            .await
            .unwrap();
        Self {
            database,
            pool,
            clock: Arc::new(Hand(AtomicI64::new(i64::from(TODAY) * 86_400_000))),
            bucket: Bucket::serve().await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// So many events of an app, so many days ago; what they say begins with `word`.
    pub(crate) async fn events(&self, app: i32, days_ago: i32, count: i32, word: &str) {
        let day = i64::from(TODAY - days_ago) * 86_400_000_000;
        let sql = format!(
            "INSERT INTO telemetry.events
             SELECT {day} + n, {app}, gen_random_uuid(), 7, 'usage', NULL,
                 jsonb_build_object('word', '{word}-' || n, 'lines', E'one\\ntwo'), 5
             FROM generate_series(1, {count}) AS n"
        );
        self.database.execute(&sql).await;
    }

    /// Events in the tables that are read.
    pub(crate) async fn kept(&self, app: i32) -> i64 {
        let query = format!("SELECT count(*) FROM telemetry.events WHERE app_id = {app}");
        self.database.number(&query).await
    }

    /// Retired tables in a state.
    pub(crate) async fn retired(&self, state: &str) -> i64 {
        let query = format!("SELECT count(*) FROM telemetry.retired WHERE state = '{state}'");
        self.database.number(&query).await
    }

    /// Tables that were retired and are still there.
    pub(crate) async fn tables(&self) -> i64 {
        let query = "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
                     WHERE nspname = 'telemetry' AND relname ~ '^retired_.*_[0-9]+$' AND relkind = 'r'";
        self.database.number(query).await
    }

    pub(crate) fn s3(&self) -> ArchiveConfig {
        ArchiveConfig {
            s3: Some(S3Config {
                endpoint: Some(self.bucket.endpoint().to_owned()),
                bucket: bucket::NAME.to_owned(),
                prefix: "live/one".to_owned(),
                access_key_id: bucket::ACCESS_KEY_ID.to_owned(),
                secret_access_key_file: self.bucket.secret_file(),
                allow_http: true,
                ..S3Config::default()
            }),
            unencrypted: true,
            ..ArchiveConfig::default()
        }
    }

    pub(crate) fn archive(&self) -> Archive {
        Archive::open(&self.s3()).unwrap()
    }

    pub(crate) fn shelf(&self, archive: Option<Archive>) -> Shelf {
        Shelf::new(self.pool.clone(), self.clock.clone(), archive)
    }

    pub(crate) fn registry(&self, archive: Option<Archive>) -> Registry {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let kept = KeptRows {
            quarantine: days(30),
            rollups: days(400),
            usage: days(1100),
        };
        let shelf = self.shelf(archive);
        Registry::default()
            .with(TelemetryRetention::new(
                self.pool.clone(),
                self.clock.clone(),
                kept,
            ))
            .with(ArchiveTelemetry::new(self.pool.clone(), shelf))
    }

    /// Has a job done by an engine; what state it comes to, of these two.
    pub(crate) async fn run(&self, kind: &str, archive: Option<Archive>) -> JobState {
        let queue = Queue::new(self.pool.clone());
        let stopping = CancellationToken::new();
        let mut settings = settings();
        settings
            .queues
            .insert(TelemetryRetention::QUEUE.to_owned(), 1);
        let registry = self.registry(archive);
        let job = NewJob {
            queue: TelemetryRetention::QUEUE.to_owned(),
            ..NewJob::new(kind)
        };
        let storage::queue::Enqueued::Created(job) = queue.enqueue(&job).await.unwrap() else {
            panic!("it is there already")
        };
        let engine = engine::run(queue.clone(), registry, settings, stopping.clone());
        let engine = tokio::spawn(engine);
        let ended = until(async || {
            let job = queue.job(job.id).await.unwrap().unwrap();
            let has_ended = matches!(job.state, JobState::Completed | JobState::Retryable);
            has_ended.then_some(job)
        })
        .await;
        stopping.cancel();
        engine.await.unwrap();
        ended.state
    }

    /// Retires what is over.
    pub(crate) async fn retire(&self) {
        let done = self.run(TelemetryRetention::KIND, None).await;
        assert_eq!(done, JobState::Completed);
    }

    /// The first retired table, in our hands.
    pub(crate) async fn take(&self, shelf: &Shelf) -> Held {
        shelf.take(Uuid::new_v4(), 0).await.unwrap().unwrap()
    }

    /// The words of all events of a day that the archive has.
    pub(crate) async fn words(&self, archive: &Archive, days_ago: i32) -> Vec<String> {
        let mut words = Vec::new();
        for part in self.parts(archive, "events").await {
            let at = part.day.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
            if at.timestamp().as_second() / 86_400 != i64::from(TODAY - days_ago) {
                continue;
            }
            let lines = self.fetch(archive, &part).await.unwrap();
            assert_eq!(lines.lines().count() as u64, part.rows);
            let word = |line: &str| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                event["data"]["word"].as_str().unwrap().to_owned()
            };
            words.extend(lines.lines().map(word));
        }
        words.sort();
        words
    }

    pub(crate) async fn parts(&self, archive: &Archive, kind: &str) -> Vec<Part> {
        archive.list(kind, |_| true).await.unwrap()
    }

    pub(crate) async fn fetch(
        &self,
        archive: &Archive,
        part: &Part,
    ) -> Result<String, backup::Error> {
        let path = self.dir.path().join(Uuid::new_v4().to_string());
        let file = std::fs::File::create(&path).unwrap();
        archive.fetch(part, file).await?;
        Ok(std::fs::read_to_string(path).unwrap())
    }

    /// The files of the bucket whose names end so.
    pub(crate) fn objects(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut next = vec![self.bucket.objects()];
        while let Some(dir) = next.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => next.push(path),
                    false if path.to_string_lossy().ends_with(ending) => found.push(path),
                    false => {}
                }
            }
        }
        found
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        number_in(self.database.url(), query).await
    }
}
