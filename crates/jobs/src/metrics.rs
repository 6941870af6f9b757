//! Every metric of this service: name, help, label values.

pub mod telemetry;
pub mod upkeep;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use model::UnixMillis;
use model::job::JobState;
use proto::fleet::{DnsChange, DnsCounts};
use storage::backup::{Record, Slot};
use storage::queue::{Depth, OldestTransaction};

use crate::dns;
use crate::engine::SCHEDULER;
use crate::engine::schedule::Schedule;
use crate::job::{OTHER, Registry};
use crate::jobs::{ArchiveLog, BackupDatabase, VerifyBackup};

/// Live jobs by `queue` and `state`.
pub const DEPTH: &str = "streamhaul_jobs_depth";
/// How long the oldest job of a `queue` and `state` has been due, or has run.
pub const OLDEST_AGE: &str = "streamhaul_jobs_oldest_age_seconds";
/// Discarded jobs that are kept.
pub const DISCARDED: &str = "streamhaul_jobs_discarded";
/// 1 while a `queue` is paused.
pub const PAUSED: &str = "streamhaul_jobs_queue_paused";
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
/// 1 in the replica that leads, by what it leads, `name`.
pub const LEADER: &str = "streamhaul_jobs_leader";
/// How long the first slot that nobody made has been due, by `schedule`.
pub const SCHEDULE_LAG: &str = "streamhaul_jobs_schedule_lag_seconds";
/// Slots without a job because the previous one still lived, by `schedule`.
pub const OVERLAPS: &str = "streamhaul_jobs_schedule_overlaps_total";
/// When a job of a `schedule` last completed.
pub const LAST_SUCCESS: &str = "streamhaul_jobs_schedule_last_success_timestamp_seconds";
/// How long the oldest transaction in the database has been open.
pub const OLDEST_TRANSACTION_AGE: &str = "streamhaul_jobs_oldest_transaction_age_seconds";
/// How many transactions began since the oldest that still holds dead rows.
pub const OLDEST_TRANSACTION_LAG: &str = "streamhaul_jobs_oldest_transaction_lag_transactions";
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

/// When a `destination`'s newest backup was made.
pub const BACKUP_LAST: &str = "streamhaul_jobs_backup_last_timestamp_seconds";
/// The size of it.
pub const BACKUP_BYTES: &str = "streamhaul_jobs_backup_bytes";
/// How long it took to make.
pub const BACKUP_DURATION: &str = "streamhaul_jobs_backup_duration_seconds";
/// When a backup of a `destination` last came back as it was.
pub const BACKUP_VERIFIED: &str = "streamhaul_jobs_backup_verified_timestamp_seconds";
/// How long that took.
pub const BACKUP_VERIFY_DURATION: &str = "streamhaul_jobs_backup_verify_duration_seconds";
/// Attempts of a `job` that failed, by `reason`.
pub const BACKUP_FAILURES: &str = "streamhaul_jobs_backup_failures_total";
/// How much of its log the database's server keeps for backups.
pub const BACKUP_LOG_KEPT: &str = "streamhaul_jobs_backup_log_kept_bytes";
/// 1 when it gave up keeping it.
pub const BACKUP_LOG_LOST: &str = "streamhaul_jobs_backup_log_lost";

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
    /// Somebody cancelled the job.
    Cancelled,
    /// Given back at a stop.
    Returned,
    /// Stopped because another attempt has the job.
    Lost,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Completed,
        Self::Snoozed,
        Self::Failed,
        Self::TimedOut,
        Self::Panicked,
        Self::Cancelled,
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
            Self::Cancelled => "cancelled",
            Self::Returned => "returned",
            Self::Lost => "lost",
        }
    }
}

/// Describes every metric and starts the known series at zero.
pub(crate) fn start(registry: &Registry, schedules: &[Schedule]) {
    describe();
    depth(registry, &[]);
    discarded_kept(0);
    oldest_transaction(OldestTransaction::default());
    leads(SCHEDULER, false);
    for queue in registry.queues() {
        paused(queue, false);
    }
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
        counter!(OVERLAPS, "schedule" => schedule.name).absolute(0);
        self::schedule(schedule.name, Duration::ZERO, None);
    }
    upkeep::start();
    telemetry::start();
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
    for job in [BackupDatabase::KIND, ArchiveLog::KIND, VerifyBackup::KIND] {
        for reason in backup::Error::REASONS {
            counter!(BACKUP_FAILURES, "job" => job, "reason" => reason).absolute(0);
        }
    }
    backup_log(None);
}

fn describe() {
    describe_gauge!(
        DEPTH,
        "Live jobs by queue and state; every replica shows the same queue"
    );
    describe_gauge!(
        OLDEST_AGE,
        Unit::Seconds,
        "How long the oldest job by queue and state has been due, or has run"
    );
    describe_gauge!(
        DISCARDED,
        "Jobs that failed for good and are kept; every replica shows all"
    );
    describe_gauge!(PAUSED, "1 while the queue is paused");
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
        "When a job of the schedule last completed, Unix time; 0 is never; every replica shows it"
    );
    describe_gauge!(
        SCHEDULE_LAG,
        Unit::Seconds,
        "How long the schedule's first slot without a job has been due; every replica shows it"
    );
    describe_gauge!(
        LEADER,
        "1 in the replica that leads, by what it leads; the sum over replicas is 1"
    );
    describe_gauge!(
        OLDEST_TRANSACTION_AGE,
        Unit::Seconds,
        "How long the oldest transaction in the database has been open: no row that died since is removed"
    );
    describe_gauge!(
        OLDEST_TRANSACTION_LAG,
        "Transactions since the oldest that holds dead rows, replication slots counted as well"
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
    describe_backups();
}

fn describe_backups() {
    describe_gauge!(
        BACKUP_LAST,
        Unit::Seconds,
        "When the destination's newest backup was made, Unix time; 0 is never; every replica shows it"
    );
    describe_gauge!(
        BACKUP_BYTES,
        Unit::Bytes,
        "The size of the destination's newest backup, without the log; every replica shows it"
    );
    describe_gauge!(
        BACKUP_DURATION,
        Unit::Seconds,
        "How long the destination's newest backup took to make; every replica shows it"
    );
    describe_gauge!(
        BACKUP_VERIFIED,
        Unit::Seconds,
        "When a backup of the destination was last restored and found whole, Unix time; 0 is never; every replica shows it"
    );
    describe_gauge!(
        BACKUP_VERIFY_DURATION,
        Unit::Seconds,
        "How long that took; every replica shows it"
    );
    describe_counter!(BACKUP_FAILURES, "Attempts that failed by job and reason");
    describe_gauge!(
        BACKUP_LOG_KEPT,
        Unit::Bytes,
        "How much of its log the database's server keeps until it is stored; every replica shows it"
    );
    describe_gauge!(
        BACKUP_LOG_LOST,
        "1 when the server gave up keeping its log: only the next backup begins anew"
    );
}

/// Shows a destination's newest backup and proof.
pub(crate) fn backup(destination: &str, record: Option<&Record>) {
    let seconds = |at: UnixMillis| at.0 as f64 / 1000.0;
    let made = record.map(|it| &it.made);
    let proof = record.and_then(|it| it.proof);
    let shown = [
        (BACKUP_LAST, made.map(|it| seconds(it.made_at))),
        (BACKUP_BYTES, made.map(|it| it.bytes as f64)),
        (BACKUP_DURATION, made.map(|it| it.took.as_secs_f64())),
        (BACKUP_VERIFIED, proof.map(|it| seconds(it.verified_at))),
        (
            BACKUP_VERIFY_DURATION,
            proof.map(|it| it.took.as_secs_f64()),
        ),
    ];
    for (name, value) in shown {
        gauge!(name, "destination" => destination.to_owned()).set(value.unwrap_or_default());
    }
}

/// Shows what the server keeps for backups; nothing: there was none yet.
pub(crate) fn backup_log(slot: Option<Slot>) {
    let kept = slot.map_or(0, |slot| slot.kept_bytes);
    let is_lost = slot.is_some_and(|slot| slot.kept_from.is_none());
    gauge!(BACKUP_LOG_KEPT).set(kept as f64);
    gauge!(BACKUP_LOG_LOST).set(f64::from(u8::from(is_lost)));
}

pub(crate) fn backup_failed(job: &'static str, error: &backup::Error) {
    counter!(BACKUP_FAILURES, "job" => job, "reason" => error.reason()).increment(1);
}

/// States of jobs that are in the table of live ones.
const LIVE: [JobState; 4] = [
    JobState::Available,
    JobState::Running,
    JobState::Retryable,
    JobState::Scheduled,
];

/// Shows every known queue and state; what is of no known queue is of `unknown`.
pub(crate) fn depth(registry: &Registry, depths: &[Depth]) {
    for queue in registry.queues().into_iter().chain([OTHER]) {
        for state in LIVE {
            let of_both = depths.iter().filter(|depth| {
                registry.queue_label(&depth.queue) == queue && depth.state == state
            });
            let (mut jobs, mut oldest) = (0, Duration::ZERO);
            for depth in of_both {
                jobs += depth.jobs;
                oldest = oldest.max(depth.oldest_age);
            }
            let state = state.as_str();
            gauge!(DEPTH, "queue" => queue, "state" => state).set(jobs as f64);
            gauge!(OLDEST_AGE, "queue" => queue, "state" => state).set(oldest.as_secs_f64());
        }
    }
}

pub(crate) fn discarded_kept(jobs: u64) {
    gauge!(DISCARDED).set(jobs as f64);
}

pub(crate) fn paused(queue: &'static str, is_paused: bool) {
    gauge!(PAUSED, "queue" => queue).set(f64::from(u8::from(is_paused)));
}

pub(crate) fn leads(name: &'static str, leads: bool) {
    gauge!(LEADER, "name" => name).set(f64::from(u8::from(leads)));
}

pub(crate) fn oldest_transaction(oldest: OldestTransaction) {
    gauge!(OLDEST_TRANSACTION_AGE).set(oldest.age.as_secs_f64());
    gauge!(OLDEST_TRANSACTION_LAG).set(oldest.transactions as f64);
}

pub(crate) fn schedule(name: &'static str, lag: Duration, last_success: Option<UnixMillis>) {
    let last_success = last_success.map_or(0.0, |at| at.0 as f64 / 1000.0);
    gauge!(SCHEDULE_LAG, "schedule" => name).set(lag.as_secs_f64());
    gauge!(LAST_SUCCESS, "schedule" => name).set(last_success);
}

pub(crate) fn run_ended(job: &'static str, outcome: Outcome, took: Duration) {
    let outcome = outcome.as_str();
    histogram!(RUN_DURATION, "job" => job, "outcome" => outcome).record(took);
    counter!(ATTEMPTS, "job" => job, "outcome" => outcome).increment(1);
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
