//! Turns at the connections for questions: one app waits for its own before it takes another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Refusal;

/// A turn for each connection, of which one app never has them all, if there are two.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    each_max: usize,
    apps: Mutex<HashMap<i32, Weak<Semaphore>>>,
}

/// A connection may be used until this is dropped.
pub(super) struct Turn {
    _of_app: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(connections: u32) -> Self {
        let connections = connections as usize;
        Self {
            all: Arc::new(Semaphore::new(connections)),
            each_max: connections.saturating_sub(1).max(1),
            apps: Mutex::default(),
        }
    }

    /// Waits for a turn, but not longer than `patience` for each of the two.
    ///
    /// # Errors
    /// When it does not come: because of the app's own questions, or of all.
    pub(super) async fn take_within(
        &self,
        patience: Duration,
        app_id: i32,
    ) -> Result<Turn, Refusal> {
        let of_app = timeout(patience, self.of_app(app_id)).await;
        let of_app = of_app.map_err(|_| Refusal::TooMany)??;
        let of_all = timeout(patience, permit(self.all.clone())).await;
        let of_all = of_all.map_err(|_| Refusal::Full)??;
        Ok(Turn {
            _of_app: of_app,
            _of_all: of_all,
        })
    }

    /// Waits for a turn as long as it takes.
    ///
    /// # Errors
    /// Never, as long as this exists.
    pub(super) async fn take(&self, app_id: i32) -> Result<Turn, Refusal> {
        Ok(Turn {
            _of_app: self.of_app(app_id).await?,
            _of_all: permit(self.all.clone()).await?,
        })
    }

    async fn of_app(&self, app_id: i32) -> Result<OwnedSemaphorePermit, Refusal> {
        permit(self.turns_of(app_id)).await
    }

    /// The app's own, as long as somebody has or awaits one of them.
    fn turns_of(&self, app_id: i32) -> Arc<Semaphore> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = apps.get(&app_id).and_then(Weak::upgrade) {
            return turns;
        }
        apps.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.each_max));
        apps.insert(app_id, Arc::downgrade(&turns));
        turns
    }
}

async fn permit(turns: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    turns.acquire_owned().await.map_err(|_| Refusal::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn one_app_leaves_a_turn_to_the_others() {
        let turns = Turns::new(3);
        let mut taken = Vec::new();
        for _ in 0..2 {
            taken.push(turns.take_within(AT_ONCE, 1).await.ok().unwrap());
        }
        let third = turns.take_within(AT_ONCE, 1).await;
        assert_eq!(third.err(), Some(Refusal::TooMany));
        let other = turns.take_within(AT_ONCE, 2).await.ok().unwrap();
        let full = turns.take_within(AT_ONCE, 3).await;
        assert_eq!(full.err(), Some(Refusal::Full));
        taken.pop();
        drop(other);
        assert!(turns.take_within(AT_ONCE, 1).await.is_ok());
    }

    #[tokio::test]
    async fn apps_that_ask_nothing_are_forgotten() {
        let turns = Turns::new(1);
        for app_id in 0..100 {
            assert!(turns.take(app_id).await.is_ok());
        }
        assert_eq!(turns.apps.lock().unwrap().len(), 1);
    }
}
