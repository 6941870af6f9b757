//! The names of stream slots in the DNS: what their users are shown, and who is told that
//! records may have to change.
//!
//! A name is shown from when the DNS has it until it is about to lose it: a resolver that
//! is asked too early remembers for long that there is nothing. Nothing here waits for the
//! DNS: records follow from the sessions, and `jobs` writes them.

use std::time::Duration;

use model::moving::EMPTY_MAX;
use storage::Transaction;
use storage::control::dns::Plan;
use storage::queue::{self, NewJob};

use crate::config::{Config, seconds};
use crate::state::App;

/// The kind of job that writes records.
const SYNC: &str = "sync_dns";
/// Shared with the schedule of that job: one is enough.
const UNIQUE_KEY: &str = "schedule:sync_dns";
const ATTEMPTS_MAX: u32 = 200;

/// How records should be; none: slots have no names.
pub(crate) fn plan(config: &Config) -> Option<Plan<'_>> {
    let dns = &config.dns;
    Some(Plan {
        zone: dns.zone.as_deref()?,
        ttl_seconds: dns.ttl_seconds,
        keep: dns.keep(),
        refresh: dns.refresh(),
    })
}

/// The name that a stream's users are shown: the one that the DNS has, if it is in the zone
/// of today.
pub(crate) fn shown<'a>(config: &Config, name: Option<&'a str>) -> Option<&'a str> {
    let zone = config.dns.zone.as_deref()?;
    let name = name?;
    let (_, rest) = name.split_once('.')?;
    (rest == zone).then_some(name)
}

/// How long a session whose stream moves may be without its publisher, who may be sent
/// there once more by a resolver that has not heard of the move.
pub(crate) fn empty_max(config: &Config) -> Duration {
    EMPTY_MAX + plan(config).map_or(Duration::ZERO, |plan| seconds(plan.ttl_seconds))
}

/// Has `jobs` look at the records when the transaction commits; last in it, because others
/// who do the same wait for its end.
///
/// A look that is under way is not repeated: what it came too early for is found by the
/// next one of the schedule.
pub(crate) async fn look(app: &App, transaction: &mut Transaction) -> Result<(), storage::Error> {
    if plan(&app.config).is_none() {
        return Ok(());
    }
    let job = NewJob {
        unique_key: Some(UNIQUE_KEY.to_owned()),
        attempts_max: ATTEMPTS_MAX,
        ..NewJob::new(SYNC)
    };
    queue::enqueue(transaction, &job).await?;
    Ok(())
}
