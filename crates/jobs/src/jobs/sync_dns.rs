//! Makes the DNS say where streams are, as the control plane knows it.
//!
//! ```text
//! claim some ─▶ write one after the other ─▶ report ─▶ claim more, until there are none
//!                    └─ trouble that is everybody's: give the rest back, try again later
//! ```
//! A claim outlasts an attempt, so that no two write one name at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::fleet::{DnsChange, DnsOutcome, DnsResult};

use crate::dns::{Error, Provider, Record, Target};
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics;
use crate::names::Names;

/// Records claimed at once, and how often in one attempt.
const BATCH_MAX: u32 = 50;
const BATCHES_MAX: u32 = 100;
/// After this long no record is begun; one takes at most half a minute.
const BUDGET: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(100);
/// Longer than an attempt and what is left of one that is cut off.
const CLAIM: Duration = Duration::from_secs(180);

/// The job.
pub struct SyncDns {
    names: Names,
    provider: Option<Arc<dyn Provider>>,
}

/// What became of a batch.
struct Batch {
    outcomes: Vec<DnsOutcome>,
    /// Why it came to an end before its end.
    trouble: Option<Error>,
}

impl SyncDns {
    /// Its kind.
    pub const KIND: &'static str = "sync_dns";

    /// One that writes what `names` says with `provider`; without one there is nothing to do.
    #[must_use]
    pub fn new(names: Names, provider: Option<Arc<dyn Provider>>) -> Self {
        Self { names, provider }
    }

    async fn sync(&self, run: &Run) -> Result<Done, Failure> {
        let Some(provider) = &self.provider else {
            return Ok(Done::Completed);
        };
        let began = Instant::now();
        let is_over = || began.elapsed() > BUDGET || run.stopping.is_cancelled();
        for _ in 0..BATCHES_MAX {
            let claimed = self.names.claim(BATCH_MAX, CLAIM).await;
            let claimed = claimed.context("ask the api for records")?;
            metrics::dns_records(claimed.counts.unwrap_or_default());
            if claimed.changes.is_empty() {
                break;
            }
            let batch = write(provider.as_ref(), claimed.changes, &is_over).await;
            let reported = self.names.report(batch.outcomes).await;
            reported.context("report records to the api")?;
            match batch.trouble {
                None if is_over() => break,
                None => {}
                Some(Error::RateLimited(wait)) => return Ok(Done::Snooze(wait)),
                Some(trouble) => return Err(anyhow!(trouble).into()),
            }
        }
        Ok(Done::Completed)
    }
}

async fn write(
    provider: &dyn Provider,
    changes: Vec<DnsChange>,
    is_over: &(impl Fn() -> bool + Sync),
) -> Batch {
    let mut batch = Batch {
        outcomes: Vec::with_capacity(changes.len()),
        trouble: None,
    };
    for change in changes {
        if batch.trouble.is_some() || is_over() {
            batch.note(change, DnsResult::Left, String::new());
            continue;
        }
        match write_one(provider, &change).await {
            Ok(()) => {
                metrics::dns_written(&change);
                batch.note(change, DnsResult::Done, String::new());
            }
            Err(error) => {
                metrics::dns_failed(&error);
                tracing::warn!(
                    stream.id = change.stream_id,
                    dns.name = change.name,
                    %error,
                    "a record was not written"
                );
                batch.note(change, DnsResult::Failed, error.to_string());
                batch.trouble = error.concerns_all().then_some(error);
            }
        }
    }
    batch
}

async fn write_one(provider: &dyn Provider, change: &DnsChange) -> Result<(), Error> {
    let target = match change.host.as_str() {
        "" => None,
        host => Some(Target::parse(host)?),
    };
    let record = Record {
        name: change.name.clone(),
        target,
        ttl_seconds: change.ttl_seconds,
    };
    provider.apply(&record).await
}

impl Batch {
    fn note(&mut self, change: DnsChange, result: DnsResult, failure: String) {
        self.outcomes.push(DnsOutcome {
            change: Some(change),
            result: result.into(),
            failure,
        });
    }
}

impl Job for SyncDns {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        Policy {
            timeout: TIMEOUT,
            attempts_max: 200,
            backoff_max: Duration::from_secs(60),
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.sync(&run).await }.boxed()
    }
}
