//! What the upkeep of the control plane came to.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use proto::fleet::{ReconcileOutageResponse, RegionAdvice};

use crate::probe;

/// Sessions stopped because their nodes never confirmed them.
pub const SESSIONS_REAPED: &str = "streamhaul_jobs_sessions_reaped_total";
/// Moves begun for nodes' byte budgets.
pub const MOVES_PLANNED: &str = "streamhaul_jobs_moves_planned_total";
/// Byte budgets settled.
pub const BUDGETS_SETTLED: &str = "streamhaul_jobs_budgets_settled_total";
/// Bans ended because their time was over.
pub const BANS_EXPIRED: &str = "streamhaul_jobs_bans_expired_total";
/// Tokens dropped because they opened nothing any more.
pub const TOKENS_EXPIRED: &str = "streamhaul_jobs_tokens_expired_total";
/// Times that another key began to sign leases.
pub const KEYS_ROTATED: &str = "streamhaul_jobs_keys_rotated_total";
/// Partitions made for events of apps.
pub const PARTITIONS_MADE: &str = "streamhaul_jobs_partitions_made_total";

/// Sessions whose usage was taken into the history, each time counted.
pub const SESSIONS_ROLLED_UP: &str = "streamhaul_jobs_sessions_rolled_up_total";
/// Times without word of a session that were made good.
pub const GAPS_RECONCILED: &str = "streamhaul_jobs_usage_gaps_reconciled_total";
/// Published time that was corrected, by `direction`.
pub const USAGE_CORRECTED: &str = "streamhaul_jobs_usage_corrected_seconds_total";
/// Calls to nodes from outside, by `outcome`.
pub const PROBES: &str = "streamhaul_jobs_probes_total";
/// How long nodes took to answer.
pub const PROBE_RTT: &str = "streamhaul_jobs_probe_rtt_seconds";
/// Nodes that callers from outside do not find, as this replica last saw it.
pub const UNREACHABLE_NODES: &str = "streamhaul_jobs_unreachable_nodes";
/// When a region's bytes run out, by `region`, as this replica last saw it.
pub const FLEET_RUNS_OUT: &str = "streamhaul_jobs_fleet_runs_out_timestamp_seconds";

const RAISED: &str = "raised";
const LOWERED: &str = "lowered";
const ANSWERED: &str = "answered";

const COUNTERS: [(&str, &str); 9] = [
    (
        SESSIONS_REAPED,
        "Sessions stopped because their nodes never confirmed them",
    ),
    (MOVES_PLANNED, "Moves begun for nodes' byte budgets"),
    (BUDGETS_SETTLED, "Byte budgets settled"),
    (BANS_EXPIRED, "Bans ended because their time was over"),
    (
        TOKENS_EXPIRED,
        "Tokens dropped because they opened nothing any more",
    ),
    (KEYS_ROTATED, "Times that another key began to sign leases"),
    (PARTITIONS_MADE, "Partitions made for events of apps"),
    (
        SESSIONS_ROLLED_UP,
        "Sessions whose usage was taken into the history, each time counted",
    ),
    (
        GAPS_RECONCILED,
        "Times without word of a session that were made good",
    ),
];

/// Describes every counter and starts it at zero.
pub(super) fn start() {
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
        counter!(name).absolute(0);
    }
    describe_counter!(
        USAGE_CORRECTED,
        Unit::Seconds,
        "Published time that was corrected after outages by direction"
    );
    for direction in [RAISED, LOWERED] {
        counter!(USAGE_CORRECTED, "direction" => direction).absolute(0);
    }
    start_probes();
}

/// Times without word of sessions were made good. Seconds are counted whole.
pub(crate) fn reconciled(done: &ReconcileOutageResponse) {
    dealt(GAPS_RECONCILED, done.reconciled.into());
    for (direction, ms) in [(RAISED, done.raised_ms), (LOWERED, done.lowered_ms)] {
        counter!(USAGE_CORRECTED, "direction" => direction).increment(ms / 1000);
    }
}

/// What nodes are told of by name, at most so many: labels are bounded.
const REGIONS_MAX: usize = 100;

fn start_probes() {
    describe_counter!(PROBES, "Calls to nodes from outside by outcome");
    for outcome in probe::Error::WORDS.into_iter().chain([ANSWERED]) {
        counter!(PROBES, "outcome" => outcome).absolute(0);
    }
    describe_histogram!(PROBE_RTT, Unit::Seconds, "How long nodes took to answer");
    describe_gauge!(
        UNREACHABLE_NODES,
        "Nodes that callers from outside do not find; of the replica that looked last"
    );
    gauge!(UNREACHABLE_NODES).set(0.0);
    describe_gauge!(
        FLEET_RUNS_OUT,
        Unit::Seconds,
        "When a region's bytes run out, Unix time; 0 is not in sight; of the replica that looked last"
    );
}

/// A node was called: how long its answer took, or why there was none.
pub(crate) fn probed(called: Result<&Duration, &'static str>) {
    let outcome = match called {
        Ok(rtt) => {
            histogram!(PROBE_RTT).record(*rtt);
            ANSWERED
        }
        Err(outcome) => outcome,
    };
    counter!(PROBES, "outcome" => outcome).increment(1);
}

pub(crate) fn unreachable_nodes(nodes: usize) {
    gauge!(UNREACHABLE_NODES).set(nodes as f64);
}

pub(crate) fn fleet_advice(regions: &[RegionAdvice]) {
    for it in regions.iter().take(REGIONS_MAX) {
        let at = it.runs_out_unix_ms as f64 / 1000.0;
        gauge!(FLEET_RUNS_OUT, "region" => it.region.clone()).set(at);
    }
}

/// A job dealt with so many of what `name` counts.
pub(crate) fn dealt(name: &'static str, count: u64) {
    counter!(name).increment(count);
}
