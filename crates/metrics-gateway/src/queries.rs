//! What people ask of events: numbers in steps of time, and the events themselves.
//!
//! ```text
//! who asks? ▸ parameters ▸ remembered? ▸ a place ▸ PostgreSQL, read only, for seconds at most
//! ```
//!
//! Questions have connections of their own, and few: events come in whatever is asked. To measure
//! something else, add it to [`ask`], `storage::telemetry::stats` and [`render`].

mod answers;
mod ask;
pub(crate) mod encoding;
pub(crate) mod export;
mod parameters;
pub(crate) mod reader;
mod refusal;
mod render;
mod rows;
mod table;
mod turns;
mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::UnixMillis;
use model::clock::Clock;
use service_kit::places::{Full, Place, Places};
use storage::Pool;
use storage::telemetry::stats::{self, Scope};
use tokio_util::sync::CancellationToken;

use crate::events::directory::Directory;
use crate::metrics::queries as metrics;
use answers::{Answer, Answers};
use ask::{Ask, Measure};
use export::Wanted;
pub(crate) use refusal::Refusal;
use render::Found;
pub(crate) use render::Subject;
use table::Table;
use turns::{Turn, Turns};

/// Questions that wait for a connection, of all apps and of one.
const WAITING_MAX: usize = 64;
const WAITING_EACH_MAX: usize = 16;
/// How long one waits, for its app's turn and then for everybody's.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How much longer than a statement may take its answer is waited for.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const MINUTE: u32 = 60;

/// What questions may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Statements at the same time: a connection for each.
    pub(crate) connections: u32,
    /// How long one may take.
    pub(crate) patience: Duration,
    /// The memory of remembered answers.
    pub(crate) cache_bytes_max: usize,
    /// Exports at the same time, of all apps and of one.
    pub(crate) exports_max: usize,
    pub(crate) exports_each_max: usize,
}

/// Answers questions.
pub(crate) struct Queries {
    directory: Arc<Directory>,
    pool: Pool,
    clock: Arc<dyn Clock>,
    answers: Answers,
    waiting: Places<i32>,
    turns: Turns,
    patience: Duration,
    exports: Places<i32>,
    stopping: CancellationToken,
}

impl Queries {
    pub(crate) fn new(
        (pool, bounds): (Pool, Bounds),
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            directory,
            pool,
            clock,
            answers: Answers::new(bounds.cache_bytes_max),
            waiting: Places::new(WAITING_MAX, WAITING_EACH_MAX),
            turns: Turns::new(bounds.connections),
            patience: bounds.patience,
            exports: Places::new(bounds.exports_max, bounds.exports_each_max),
            stopping,
        }
    }

    /// The answer to the parameters of a request, as JSON.
    pub(crate) async fn stats(
        self: &Arc<Self>,
        subject: &Subject,
        query: &str,
    ) -> Result<Bytes, Refusal> {
        let found = self.find(subject, query).await;
        let outcome = match &found {
            Ok((_, true)) => metrics::Outcome::Computed,
            Ok((_, false)) => metrics::Outcome::Remembered,
            Err(Refusal::Parameter(_)) => metrics::Outcome::Refused,
            Err(_) => metrics::Outcome::Failed,
        };
        metrics::asked(outcome);
        found.map(|(body, _)| body)
    }

    async fn find(
        self: &Arc<Self>,
        subject: &Subject,
        query: &str,
    ) -> Result<(Bytes, bool), Refusal> {
        let ask = Ask::read(query, self.clock.now())?;
        let (queries, subject) = (Arc::clone(self), subject.clone());
        to_its_end(async move {
            let key = (subject.id, ask.clone());
            let computed = queries.compute(&subject, &ask);
            queries.answers.find(key, computed).await
        })
        .await
    }

    async fn compute(&self, subject: &Subject, ask: &Ask) -> Result<Answer, Refusal> {
        let _place = place(&self.waiting, subject.id)?;
        let _turn = self.turn(subject.id).await?;
        let (started, now) = (Instant::now(), self.clock.now());
        let found = self.ask(subject.id, ask).await?;
        metrics::computed(started.elapsed());
        let body = render::answer(subject, ask, found, now).to_string();
        Ok(Answer {
            body: Bytes::from(body),
            fresh_for: answers::fresh_for(ask.span.to(), now.as_secs()),
        })
    }

    async fn ask(&self, app_id: i32, ask: &Ask) -> Result<Found, Refusal> {
        let span = ask.span;
        let scope = Scope {
            app_id,
            from_minute: span.from.div_euclid(MINUTE.into()),
            step_minutes: span.step / MINUTE,
            steps: span.steps,
            event_type: ask.event_type.as_deref(),
            by: ask.by,
            groups_max: ask.groups,
        };
        let cells = match &ask.measure {
            Measure::Count | Measure::Rate => {
                self.in_time(stats::counts(&self.pool, &scope)).await?
            }
            Measure::Uniques(of) => {
                let found = stats::uniques(&self.pool, &scope, *of);
                self.in_time(found).await?
            }
            Measure::Percentiles(path) => {
                let found = stats::quantiles(&self.pool, &scope, path);
                let cells = self.in_time(found).await?;
                let table = Table::of(cells, span.steps, |values| values.samples);
                return Ok(Found::Quantiles(table));
            }
        };
        let table = Table::of(cells, span.steps, |number| *number);
        Ok(Found::Numbers(table))
    }

    /// Waits until a connection is free for the app.
    async fn turn(&self, app_id: i32) -> Result<Turn, Refusal> {
        self.turns.take_within(WAIT_MAX, app_id).await
    }

    /// What the database says. PostgreSQL ends what takes too long; this is for when it is not
    /// heard of any more, and would have the connection for ever.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, storage::Error>>,
    ) -> Result<T, Refusal> {
        let found = tokio::time::timeout(self.patience + SILENCE_MAX, asked).await;
        Ok(found.map_err(|_| Refusal::Unavailable)??)
    }

    /// Reads what is to be exported.
    pub(crate) fn wanted(&self, query: &str) -> Result<Wanted, Refusal> {
        Ok(Wanted::read(query, self.now())?)
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

/// Does it even if whoever waits for it goes away: PostgreSQL does, and its connection is not free
/// before.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::spawn(work).await;
    done.unwrap_or(Err(Refusal::Unavailable))
}

fn place(places: &Places<i32>, app_id: i32) -> Result<Place<i32>, Refusal> {
    places.take(Some(app_id)).map_err(|full| match full {
        Full::Yours => Refusal::TooMany,
        Full::All => Refusal::Full,
    })
}
