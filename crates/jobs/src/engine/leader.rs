//! Stands for leadership, and keeps it while it can.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use storage::queue::Lead;
use tokio::sync::{Notify, watch};

use super::outage::Outage;
use super::{Core, backoff};
use crate::metrics;

/// Who leads looks after all schedules.
pub(crate) const SCHEDULER: &str = "scheduler";
/// Everybody asks this many times in a term: a leader to stay it, the others to become it.
const TURNS_PER_TERM: u32 = 3;

/// Whether this process leads.
pub(super) struct Leadership {
    lead: Mutex<Option<(Lead, Instant)>>,
    changed: watch::Sender<()>,
    stand: Notify,
}

impl Default for Leadership {
    fn default() -> Self {
        Self {
            lead: Mutex::default(),
            changed: watch::Sender::new(()),
            stand: Notify::new(),
        }
    }
}

impl Leadership {
    /// Proof of leadership, while it may be believed. The database has the last word: by the
    /// time that this is used, somebody else may lead.
    pub(super) fn held(&self) -> Option<Lead> {
        let lead = self.lock();
        let (lead, until) = lead.as_ref()?;
        (Instant::now() < *until).then(|| lead.clone())
    }

    /// Tells of every election that this process won after a time without leadership.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Asks now: the leader gave up.
    pub(super) fn stand(&self) {
        self.stand.notify_one();
    }

    fn set(&self, lead: Option<(Lead, Instant)>) {
        let leads = lead.is_some();
        let led = std::mem::replace(&mut *self.lock(), lead).is_some();
        metrics::leads(SCHEDULER, leads);
        match (led, leads) {
            (false, true) => {
                tracing::info!("this replica leads: it looks after the schedules");
                self.changed.send_replace(());
            }
            (true, false) => tracing::info!("this replica leads no more"),
            _ => {}
        }
    }

    fn take(&self) -> Option<Lead> {
        self.lock().take().map(|(lead, _)| lead)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Lead, Instant)>> {
        self.lead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn run(core: Arc<Core>) {
    let mut outage = Outage::new("electing a leader");
    let term = core.settings.leader_term;
    while !core.stopping.is_cancelled() {
        // From before the question: by the database's clock it ends no sooner.
        let until = Instant::now() + term;
        let elected = core.queue.elect(SCHEDULER, &core.name, term).await;
        if let Some(elected) = outage.note(elected) {
            core.leadership.set(elected.map(|lead| (lead, until)));
        } else if core.leadership.held().is_none() {
            core.leadership.set(None);
        }
        let pause = (term / TURNS_PER_TERM).mul_f64(0.8 + 0.2 * backoff::jitter());
        tokio::select! {
            () = core.stopping.cancelled() => {}
            () = core.leadership.stand.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Some(lead) = core.leadership.take() {
        metrics::leads(SCHEDULER, false);
        outage.note(core.queue.resign(&lead).await);
    }
}
