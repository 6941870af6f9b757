//! What a drill of the job engine found.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::ledger::Tally;

use super::LEASE;
use crate::machine;

/// What came of a drill.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Jobs in all.
    pub jobs: u32,
    /// Worker processes.
    pub workers: usize,
    /// Workers that were killed.
    pub kills: u32,
    /// Times that the database was killed and came back.
    pub restarts: u32,
    /// From the first kill until the last job was done.
    pub took: Duration,
    /// The effects.
    pub tally: Tally,
    /// Jobs given up.
    pub discarded: u64,
    /// The longest that a lease had been over before its job was rescued.
    pub overdue_max: Duration,
}

impl Finding {
    /// Checks that every job was done, and the fenced ones once.
    ///
    /// # Errors
    /// With what was not.
    pub fn judge(&self) -> anyhow::Result<()> {
        let lost = u64::from(self.jobs).saturating_sub(self.tally.numbers);
        ensure!(self.kills > 0, "nobody was killed");
        ensure!(lost == 0, "{lost} jobs were not done");
        ensure!(self.discarded == 0, "{} jobs were given up", self.discarded);
        let repeats = self.tally.fenced_repeats;
        ensure!(repeats == 0, "{repeats} fenced effects happened again");
        Ok(())
    }

    /// Whether, besides, nothing was stuck for longer than its lease after its lease was over.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.judge().is_ok() && self.overdue_max <= LEASE
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "bars": {
                "jobs_lost": u64::from(self.jobs).saturating_sub(self.tally.numbers),
                "fenced_repeats": self.tally.fenced_repeats,
                "overdue_max_seconds": self.overdue_max.as_secs_f64(),
            },
            "limits": {
                "jobs_lost": 0, "fenced_repeats": 0,
                "overdue_max_seconds": LEASE.as_secs_f64(),
            },
            "jobs": self.jobs,
            "workers": self.workers,
            "workers_killed": self.kills,
            "database_restarts": self.restarts,
            "plain_repeats": self.tally.plain_repeats,
            "jobs_discarded": self.discarded,
            "seconds": self.took.as_secs_f64(),
            "machine": machine::describe(),
            "passed": self.meets_bars(),
        })
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} jobs on {} workers in {:.1} s; {} workers killed, the database {} times",
            self.jobs,
            self.workers,
            self.took.as_secs_f64(),
            self.kills,
            self.restarts
        )?;
        writeln!(
            f,
            "{} done; effects that happened again: {} fenced, {} plain; the longest wait for a \
             rescue {:.2} s after the lease",
            self.tally.numbers,
            self.tally.fenced_repeats,
            self.tally.plain_repeats,
            self.overdue_max.as_secs_f64()
        )?;
        match self.judge() {
            Ok(()) => writeln!(f, "nothing lost, and nothing fenced done twice"),
            Err(error) => writeln!(f, "FAILED: {error:#}"),
        }
    }
}
