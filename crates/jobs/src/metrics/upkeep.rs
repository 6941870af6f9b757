//! What the upkeep of the control plane came to.

use metrics::{counter, describe_counter};

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

const COUNTERS: [(&str, &str); 6] = [
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
];

/// Describes every counter and starts it at zero.
pub(super) fn start() {
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
        counter!(name).absolute(0);
    }
}

/// A job dealt with so many of what `name` counts.
pub(crate) fn dealt(name: &'static str, count: u64) {
    counter!(name).increment(count);
}
