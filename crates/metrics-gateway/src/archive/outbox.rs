//! Steps on their way to the database.

use std::collections::VecDeque;

use storage::Pool;
use storage::telemetry::session_steps::{self, Step, Width};

use super::steps::Done;
use crate::metrics::archive as metrics;

/// Steps that wait while the database is away, of each width: some 20 MB, and half an hour of
/// a hundred sessions of two links.
const WAITING_MAX: usize = 50_000;
/// Steps in one statement.
const BATCH_MAX: usize = 2_000;

pub(super) struct Outbox {
    /// Of each width, the oldest first.
    waiting: [VecDeque<Step>; Width::ALL.len()],
    /// Tells what this process wrote from what others did.
    part: i64,
    is_away: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        let random = uuid::Uuid::now_v7().as_u64_pair().1;
        Self {
            waiting: Default::default(),
            part: random.cast_signed(),
            is_away: false,
        }
    }
}

impl Outbox {
    /// Adds complete steps; when there are too many the oldest go.
    pub(super) fn add(&mut self, done: Done) {
        for (width, step) in done {
            let waiting = &mut self.waiting[place(width)];
            waiting.push_back(step);
            if waiting.len() > WAITING_MAX {
                waiting.pop_front();
                metrics::steps_dropped(1);
            }
        }
        self.show();
    }

    /// Writes what waits, unless the database fails: then it waits on.
    pub(super) async fn write(&mut self, pool: &Pool) {
        for width in Width::ALL {
            while let Some(count) = self.write_batch(pool, width).await {
                self.waiting[place(width)].drain(..count);
                metrics::steps_written(count);
                self.show();
            }
        }
    }

    /// How many steps were written; none when there is nothing to write, or the database fails.
    /// They stay until that is known: a batch that is written twice changes nothing.
    async fn write_batch(&mut self, pool: &Pool, width: Width) -> Option<usize> {
        let batch: Vec<&Step> = self.waiting[place(width)].iter().take(BATCH_MAX).collect();
        let count = batch.len();
        if count == 0 {
            return None;
        }
        let written = session_steps::write(pool, width, self.part, &batch).await;
        match written {
            Ok(()) => {
                self.is_away = false;
                Some(count)
            }
            Err(error) => {
                metrics::write_failed();
                self.failed(width, count, &error);
                None
            }
        }
    }

    /// What the database will never take must not hold up the rest: a day that has no
    /// partition any more, for instance.
    fn failed(&mut self, width: Width, count: usize, error: &storage::Error) {
        if !error.is_retryable() {
            tracing::warn!(%error, count, "steps of sessions cannot be written; they are given up");
            self.waiting[place(width)].drain(..count);
            metrics::steps_dropped(count);
        } else if !self.is_away {
            tracing::warn!(%error, "steps of sessions cannot be written; they wait");
            self.is_away = true;
        }
    }

    fn show(&self) {
        metrics::steps_waiting(self.waiting.iter().map(VecDeque::len).sum());
    }
}

const fn place(width: Width) -> usize {
    match width {
        Width::TenSeconds => 0,
        Width::Minute => 1,
    }
}

#[cfg(test)]
mod tests {
    use model::{NodeId, SessionId, UnixMillis};
    use storage::telemetry::session_steps::Figures;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes() {
        let mut outbox = Outbox::default();
        let steps = (0..WAITING_MAX as i64 + 2).map(|at| Step {
            session_id: SessionId::from_u128(1),
            link: None,
            at: UnixMillis(at),
            node_id: NodeId::from_u128(1),
            figures: Figures::default(),
            identity: None,
        });
        outbox.add(steps.map(|step| (Width::Minute, step)).collect());
        let waiting = &outbox.waiting[place(Width::Minute)];
        assert_eq!((waiting.len(), waiting[0].at), (WAITING_MAX, UnixMillis(2)));
    }
}
