//! What came of it, for people and for programs.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};

use super::proxy::Version;

/// What a pgbouncer did.
#[derive(Debug, Clone)]
pub struct Finding {
    pub(super) version: Version,
    /// Nothing goes through one that cannot follow prepared statements.
    pub(super) through: Option<Through>,
}

/// What the job engine did through it.
#[derive(Debug, Clone, Copy)]
pub struct Through {
    pub(super) connections: u32,
    pub(super) jobs: usize,
    pub(super) took: Duration,
    pub(super) start_max: Duration,
    pub(super) cancelled_within: Duration,
    pub(super) led_within: Duration,
    pub(super) rescued: usize,
    pub(super) rescued_within: Duration,
    pub(super) slots: usize,
}

impl Finding {
    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "pgbouncer": self.version.to_string(),
            "refused_in_words": true,
            "through": self.through.map(|through| json!({
                "server_connections": through.connections,
                "jobs_once": through.jobs,
                "jobs_seconds": through.took.as_secs_f64(),
                "start_max_ms": through.start_max.as_secs_f64() * 1000.0,
                "cancelled_seconds": through.cancelled_within.as_secs_f64(),
                "leader_seconds": through.led_within.as_secs_f64(),
                "rescued": through.rescued,
                "rescued_seconds": through.rescued_within.as_secs_f64(),
                "slots_once": through.slots,
            })),
            "passed": true,
        })
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let version = self.version;
        writeln!(
            f,
            "{version}: wrong settings are refused in words that help"
        )?;
        let Some(through) = self.through else {
            return writeln!(
                f,
                "it is too old to follow prepared statements: 1.21 is not"
            );
        };
        let seconds = |time: Duration| time.as_secs_f64();
        writeln!(
            f,
            "two replicas of jobs through {} connections to PostgreSQL, lent by the transaction:",
            through.connections
        )?;
        writeln!(
            f,
            "{} jobs in {:.1} s, each once; one alone begins within {:.2} s",
            through.jobs,
            seconds(through.took),
            seconds(through.start_max)
        )?;
        writeln!(
            f,
            "a running job was cancelled within {:.1} s",
            seconds(through.cancelled_within)
        )?;
        writeln!(
            f,
            "the leader was killed: the other led {:.1} s later, its {} jobs were done within \
             {:.1} s; {} slots of schedules, each once",
            seconds(through.led_within),
            through.rescued,
            seconds(through.rescued_within),
            through.slots
        )
    }
}
