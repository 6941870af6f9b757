//! `streamhaul jobs`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use model::job::JobState;

use super::{ServiceAccess, duration};

/// Background work.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// Lists jobs, the newest first.
    List {
        /// Only jobs in this state
        #[arg(long)]
        state: Option<State>,
        /// Only jobs of this kind, such as `sweep_nodes`
        #[arg(long)]
        kind: Option<String>,
        /// Only jobs of this queue
        #[arg(long)]
        queue: Option<String>,
        /// Only jobs made before this one: to read on where a list ended
        #[arg(long, value_name = "JOB")]
        before: Option<i64>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Shows one job: its arguments, its attempts, its last error.
    Show {
        /// The job's number
        job: i64,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Puts a job into its queue.
    Enqueue {
        /// The kind, such as `sweep_nodes`
        kind: String,
        /// Its arguments, a JSON object
        #[arg(long, value_name = "JSON", default_value = "{}")]
        arguments: String,
        /// Not before this long from now, such as 10m
        #[arg(long = "in", value_name = "TIME", value_parser = duration)]
        after: Option<Duration>,
        /// 1, which runs first, to 4 [default: the kind's own]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4))]
        priority: Option<u32>,
        /// The same key within a day finds the same job
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Cancels a job; one that runs is stopped.
    Cancel {
        /// The job's number
        job: i64,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Runs a job now that waits, failed for good, was cancelled or is done; its attempts so far
    /// no longer count.
    Retry {
        /// The job's number
        job: i64,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Lists the queues.
    Queues(JobsTarget),
    /// Lets nothing more of a queue begin; what runs goes on.
    Pause {
        /// The queue
        queue: String,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Lets a paused queue go on.
    Resume {
        /// The queue
        queue: String,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
    /// Lists what runs by itself, and when it last did.
    Schedules(JobsTarget),
    /// Runs a schedule's job now, beside its usual times.
    Run {
        /// The schedule
        schedule: String,
        /// Which instance.
        #[command(flatten)]
        target: JobsTarget,
    },
}

/// Which instance's jobs: the one of `run.json` unless told otherwise.
#[derive(Debug, Clone, Args)]
pub struct JobsTarget {
    /// The gRPC listener of jobs, such as http://127.0.0.1:7002
    /// or https://jobs.example:7002
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMHAUL_JOBS_URL",
        requires = "service_token_file"
    )]
    pub jobs: Option<String>,
    /// The rest.
    #[command(flatten)]
    pub access: ServiceAccess,
}

/// A job's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(pub JobState);

impl ValueEnum for State {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [State; 7] = [
            State(JobState::Available),
            State(JobState::Running),
            State(JobState::Retryable),
            State(JobState::Scheduled),
            State(JobState::Completed),
            State(JobState::Cancelled),
            State(JobState::Discarded),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}
