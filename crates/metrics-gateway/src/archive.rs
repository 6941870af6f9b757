//! What sessions did, kept for longer than the live view has it: seconds are added up in
//! steps of ten seconds and of a minute, and written together.
//!
//! ```text
//! live ─▶ a bounded queue ─▶ steps of each session ─▶ a bounded outbox ─▶ the database
//! ```
//!
//! Nobody waits for it. While the database is away the outbox fills; then the oldest steps go
//! and are counted, and the live view is what it always is.

mod growth;
mod outbox;
mod steps;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::clock::Clock;
use model::{SessionId, UnixMillis};
use storage::Pool;
use storage::telemetry::session_steps::{self, Kept};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::point::Point;
use outbox::Outbox;
use steps::{Done, Track};

/// Seconds on their way from the live view: two of as many sessions as one gateway has.
const QUEUE_LENGTH: usize = 4096;
/// Seconds taken from it at once.
const BATCH_MAX: usize = 256;
/// Between two looks at what is complete, and two writes.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks at the partitions.
const DAYS_INTERVAL: Duration = Duration::from_secs(3600);
/// How long the rest may take when the service stops.
const LAST_WRITE_MAX: Duration = Duration::from_secs(3);

/// A second of a session, as the live view took it.
struct Seen {
    session: SessionId,
    point: Arc<Point>,
    now: UnixMillis,
}

/// Where the live view leaves what it took. Without a database it keeps nothing.
#[derive(Clone, Default)]
pub(crate) struct Tap(Option<mpsc::Sender<Seen>>);

/// Adds up and writes.
pub(crate) struct Archive {
    seconds: mpsc::Receiver<Seen>,
    clock: Arc<dyn Clock>,
    kept: Kept,
    sessions_max: usize,
    tracks: HashMap<SessionId, Track>,
    outbox: Outbox,
}

impl Tap {
    pub(crate) fn leave(&self, session: &SessionId, point: &Arc<Point>, now: UnixMillis) {
        let Some(sender) = &self.0 else { return };
        let seen = Seen {
            session: session.clone(),
            point: point.clone(),
            now,
        };
        if sender.try_send(seen).is_err() {
            metrics::archive::second_dropped();
        }
    }
}

impl Archive {
    /// The archive and the live view's way to it.
    pub(crate) fn new(clock: Arc<dyn Clock>, kept: Kept, sessions_max: usize) -> (Self, Tap) {
        let (sender, seconds) = mpsc::channel(QUEUE_LENGTH);
        let archive = Self {
            seconds,
            clock,
            kept,
            sessions_max,
            tracks: HashMap::new(),
            outbox: Outbox::default(),
        };
        (archive, Tap(Some(sender)))
    }

    /// Writes to a database with our schema until the service stops.
    pub(crate) async fn run(mut self, pool: Pool, stopping: CancellationToken) {
        let mut writes = tokio::time::interval(WRITE_INTERVAL);
        writes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut days = tokio::time::interval(DAYS_INTERVAL);
        let mut seconds = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                _ = days.tick() => self.turn_days(&pool, &mut days).await,
                _ = writes.tick() => self.write(&pool).await,
                count = self.seconds.recv_many(&mut seconds, BATCH_MAX) => {
                    if count == 0 {
                        break;
                    }
                    self.take(seconds.drain(..));
                }
            }
        }
        self.finish(&pool).await;
    }

    fn take(&mut self, seconds: impl Iterator<Item = Seen>) {
        let mut done = Done::new();
        for seen in seconds {
            let full = self.tracks.len() >= self.sessions_max;
            if full && !self.tracks.contains_key(&seen.session) {
                metrics::archive::second_dropped();
                continue;
            }
            let track = self.tracks.entry(seen.session.clone()).or_default();
            track.take(&seen.session, seen.point, seen.now, &mut done);
        }
        self.outbox.add(done);
    }

    /// Ends the steps of sessions that nobody reports, and writes what is complete.
    async fn write(&mut self, pool: &Pool) {
        let now = self.clock.now();
        let mut done = Done::new();
        for (session, track) in self.tracks.extract_if(|_, track| track.is_silent(now)) {
            track.end(&session, &mut done);
        }
        self.outbox.add(done);
        self.outbox.write(pool).await;
    }

    async fn finish(mut self, pool: &Pool) {
        self.seconds.close();
        while let Ok(seen) = self.seconds.try_recv() {
            self.take(std::iter::once(seen));
        }
        let mut done = Done::new();
        for (session, track) in self.tracks.drain() {
            track.end(&session, &mut done);
        }
        self.outbox.add(done);
        let written = tokio::time::timeout(LAST_WRITE_MAX, self.outbox.write(pool)).await;
        if written.is_err() {
            tracing::warn!("the last seconds of sessions' histories were not written");
        }
    }

    /// Tomorrow's partitions are made an hour at a time; after a failure it is tried again soon.
    async fn turn_days(&self, pool: &Pool, days: &mut tokio::time::Interval) {
        match session_steps::turn_days(pool, self.kept, self.clock.now()).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "days of sessions' histories are over"),
            Err(error) => {
                tracing::debug!(%error, "the days of sessions' histories could not be turned");
                days.reset_after(WRITE_INTERVAL);
            }
        }
    }
}
