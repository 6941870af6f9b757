//! Every metric of this service: name, help, label values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use proto::fleet::{DnsChange, DnsCounts};
use storage::queue::Depth;

use crate::dns;
use crate::engine::schedule::Schedule;
use crate::job::Registry;

/// Jobs in the queue by `state`.
pub const DEPTH: &str = "streamhaul_jobs_depth";
/// For how long the oldest available job could have run.
pub const OLDEST_AVAILABLE_AGE: &str = "streamhaul_jobs_oldest_available_age_seconds";
/// How long attempts take, by `job` and `outcome`.
pub const RUN_DURATION: &str = "streamhaul_jobs_run_duration_seconds";
/// Attempts ended, by `job` and `outcome`.
pub const ATTEMPTS: &str = "streamhaul_jobs_attempts_total";
/// Jobs that failed for good, by `job`.
pub const DISCARDS: &str = "streamhaul_jobs_discards_total";
/// Jobs taken from silent workers, by `job`.
pub const RESCUES: &str = "streamhaul_jobs_rescues_total";
/// Attempts whose end came after their lease was lost, by `job`.
pub const LOST_CLAIMS: &str = "streamhaul_jobs_lost_claims_total";
/// Slots without a job because the previous one still lived, by `schedule`.
pub const OVERLAPS: &str = "streamhaul_jobs_schedule_overlaps_total";
/// When this replica last completed a schedule's job, by `schedule`.
pub const LAST_SUCCESS: &str = "streamhaul_jobs_schedule_last_success_timestamp_seconds";
/// Sessions stopped because their lease ran out.
pub const SESSIONS_EXPIRED: &str = "streamhaul_jobs_sessions_expired_total";
/// Nodes marked offline because they fell silent.
pub const NODES_SWEPT: &str = "streamhaul_jobs_nodes_swept_total";
/// Names of streams by `state`, as the api counted them last.
pub const DNS_RECORDS: &str = "streamhaul_jobs_dns_records";
/// Records written, by `change`.
pub const DNS_WRITES: &str = "streamhaul_jobs_dns_writes_total";
/// Records not written, by `reason`.
pub const DNS_FAILURES: &str = "streamhaul_jobs_dns_failures_total";
/// When this replica last wrote a record.
pub const DNS_LAST_WRITE: &str = "streamhaul_jobs_dns_last_write_timestamp_seconds";

const SET: &str = "set";
const REMOVED: &str = "removed";

/// How an attempt ended, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The job is done.
    Completed,
    /// The job asked to wait.
    Snoozed,
    /// The job said that it failed.
    Failed,
    /// The job took too long.
    TimedOut,
    /// The job panicked.
    Panicked,
    /// Given back at a stop.
    Returned,
    /// Stopped because another attempt has the job.
    Lost,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Snoozed,
        Self::Failed,
        Self::TimedOut,
        Self::Panicked,
        Self::Returned,
        Self::Lost,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Snoozed => "snoozed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
            Self::Returned => "returned",
            Self::Lost => "lost",
        }
    }
}

/// Describes every metric and starts the known series at zero.
pub(crate) fn start(registry: &Registry, schedules: &[Schedule]) {
    describe();
    depth(&Depth::default());
    for kind in registry.kinds() {
        let kind = registry.label(&kind);
        for outcome in Outcome::ALL {
            counter!(ATTEMPTS, "job" => kind, "outcome" => outcome.as_str()).absolute(0);
        }
        for name in [DISCARDS, RESCUES, LOST_CLAIMS] {
            counter!(name, "job" => kind).absolute(0);
        }
    }
    for schedule in schedules {
        counter!(OVERLAPS, "schedule" => schedule.kind).absolute(0);
        gauge!(LAST_SUCCESS, "schedule" => schedule.kind).set(0.0);
    }
    counter!(SESSIONS_EXPIRED).absolute(0);
    counter!(NODES_SWEPT).absolute(0);
    dns_records(DnsCounts::default());
    for change in [SET, REMOVED] {
        counter!(DNS_WRITES, "change" => change).absolute(0);
    }
    for reason in dns::Error::REASONS {
        counter!(DNS_FAILURES, "reason" => reason).absolute(0);
    }
    gauge!(DNS_LAST_WRITE).set(0.0);
}

fn describe() {
    describe_gauge!(
        DEPTH,
        "Jobs in the queue by state; every replica shows the same queue"
    );
    describe_gauge!(
        OLDEST_AVAILABLE_AGE,
        Unit::Seconds,
        "For how long the oldest available job could have run"
    );
    describe_histogram!(
        RUN_DURATION,
        Unit::Seconds,
        "How long attempts take by job and outcome"
    );
    describe_counter!(ATTEMPTS, "Attempts ended by job and outcome");
    describe_counter!(DISCARDS, "Jobs that failed for good by job");
    describe_counter!(RESCUES, "Jobs taken from silent workers by job");
    describe_counter!(
        LOST_CLAIMS,
        "Attempts whose end came after their lease was lost, by job"
    );
    describe_counter!(
        OVERLAPS,
        "Slots without a job because the previous one still lived, by schedule"
    );
    describe_gauge!(
        LAST_SUCCESS,
        Unit::Seconds,
        "When this replica last completed a job of the schedule, Unix time; 0 is never"
    );
    describe_counter!(
        SESSIONS_EXPIRED,
        "Sessions stopped because their lease ran out"
    );
    describe_counter!(NODES_SWEPT, "Nodes marked offline because they fell silent");
    describe_gauge!(
        DNS_RECORDS,
        "Names of streams by state; every replica shows the same names, as it last saw them"
    );
    describe_counter!(DNS_WRITES, "Records written by change");
    describe_counter!(DNS_FAILURES, "Records not written by reason");
    describe_gauge!(
        DNS_LAST_WRITE,
        Unit::Seconds,
        "When this replica last wrote a record, Unix time; 0 is never"
    );
}

pub(crate) fn depth(depth: &Depth) {
    for state in model::job::JobState::ALL {
        let jobs = depth.jobs.get(state).copied().unwrap_or(0);
        gauge!(DEPTH, "state" => state.as_str()).set(jobs as f64);
    }
    gauge!(OLDEST_AVAILABLE_AGE).set(depth.oldest_available_age.as_secs_f64());
}

pub(crate) fn run_ended(job: &'static str, outcome: Outcome, took: Duration) {
    let outcome = outcome.as_str();
    histogram!(RUN_DURATION, "job" => job, "outcome" => outcome).record(took);
    counter!(ATTEMPTS, "job" => job, "outcome" => outcome).increment(1);
}

/// A job of this kind completed; its schedule is the one of the same name.
pub(crate) fn succeeded(job: &'static str) {
    gauge!(LAST_SUCCESS, "schedule" => job).set(now_seconds());
}

fn now_seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

pub(crate) fn discarded(job: &'static str) {
    counter!(DISCARDS, "job" => job).increment(1);
}

pub(crate) fn rescued(job: &'static str) {
    counter!(RESCUES, "job" => job).increment(1);
}

pub(crate) fn claim_lost(job: &'static str) {
    counter!(LOST_CLAIMS, "job" => job).increment(1);
}

pub(crate) fn slot_overlapped(schedule: &'static str) {
    counter!(OVERLAPS, "schedule" => schedule).increment(1);
}

pub(crate) fn sessions_expired(sessions: usize) {
    counter!(SESSIONS_EXPIRED).increment(sessions as u64);
}

pub(crate) fn nodes_swept(nodes: usize) {
    counter!(NODES_SWEPT).increment(nodes as u64);
}

pub(crate) fn dns_records(counts: DnsCounts) {
    let DnsCounts {
        published,
        pending,
        failing,
    } = counts;
    let all = [
        ("published", published),
        ("pending", pending),
        ("failing", failing),
    ];
    for (state, records) in all {
        gauge!(DNS_RECORDS, "state" => state).set(records as f64);
    }
}

pub(crate) fn dns_written(change: &DnsChange) {
    let change = if change.host.is_empty() { REMOVED } else { SET };
    counter!(DNS_WRITES, "change" => change).increment(1);
    gauge!(DNS_LAST_WRITE).set(now_seconds());
}

pub(crate) fn dns_failed(error: &dns::Error) {
    counter!(DNS_FAILURES, "reason" => error.reason()).increment(1);
}
