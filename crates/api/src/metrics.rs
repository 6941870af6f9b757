//! What Prometheus reads of this service, every name in full.

mod sessions;

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use model::NodeId;
use model::node::NodeState;
use model::session::SessionState;

pub use sessions::{Ended, Setup};

/// Label `method`, `route` (the template), `status`.
pub const HTTP_REQUEST_DURATION_SECONDS: &str = "streamhaul_api_http_request_duration_seconds";
/// Label `method`, `code`.
pub const GRPC_REQUESTS_TOTAL: &str = "streamhaul_api_grpc_requests_total";
/// Label `state`.
pub const NODES: &str = "streamhaul_api_nodes";
/// Label `state`; live sessions only.
pub const SESSIONS: &str = "streamhaul_api_sessions";
/// Label `outcome`.
pub const PLACEMENTS_TOTAL: &str = "streamhaul_api_placements_total";
/// Label `outcome`.
pub const LEASES_TOTAL: &str = "streamhaul_api_leases_total";
/// Nodes connected to this process.
pub const FLEET_STREAMS: &str = "streamhaul_api_fleet_streams";
/// Label `outcome`.
pub const HEARTBEATS_TOTAL: &str = "streamhaul_api_heartbeats_total";
/// Label `directive`.
pub const DIRECTIVES_TOTAL: &str = "streamhaul_api_directives_total";
/// Directives that a node could not follow.
pub const DIRECTIVE_ERRORS_TOTAL: &str = "streamhaul_api_directive_errors_total";
/// Label `reason`.
pub const SESSIONS_STOPPED_TOTAL: &str = "streamhaul_api_sessions_stopped_total";
/// Label `outcome`; starts, once it is clear what came of them.
pub const SESSION_SETUPS_TOTAL: &str = "streamhaul_api_session_setups_total";
/// Label `reason`.
pub const SESSIONS_ENDED_TOTAL: &str = "streamhaul_api_sessions_ended_total";
/// Label `outcome`.
pub const SIGN_INS_TOTAL: &str = "streamhaul_api_sign_ins_total";
/// Label `outcome`.
pub const LETTERS_TOTAL: &str = "streamhaul_api_letters_total";

/// Label `node`, as with the rest of the budget's: only nodes that have one are shown.
pub const BUDGET_LIMIT_BYTES: &str = "streamhaul_api_budget_limit_bytes";
/// Bytes used of that limit.
pub const BUDGET_USED_BYTES: &str = "streamhaul_api_budget_used_bytes";
/// Above 1 it does not last.
pub const BUDGET_PROJECTED_RATIO: &str = "streamhaul_api_budget_projected_ratio";
/// Infinite while it lasts.
pub const BUDGET_EXHAUSTION_TIMESTAMP_SECONDS: &str =
    "streamhaul_api_budget_exhaustion_timestamp_seconds";
/// As of the last reading of the provider's.
pub const BUDGET_RECONCILE_ERROR_RATIO: &str = "streamhaul_api_budget_reconcile_error_ratio";

/// A node's byte budget; what is not known is not a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BudgetGauges {
    /// What is planned with.
    pub(crate) limit_bytes: f64,
    /// What of it is used.
    pub(crate) used_bytes: f64,
    /// What of it will be used when its window ends.
    pub(crate) projected_ratio: f64,
    /// When it is used up at the rate of now.
    pub(crate) exhaustion_timestamp_seconds: f64,
    /// By how much we were off.
    pub(crate) reconcile_error_ratio: f64,
}

impl BudgetGauges {
    /// The budget was taken away.
    pub(crate) const NONE: Self = Self {
        limit_bytes: f64::NAN,
        used_bytes: f64::NAN,
        projected_ratio: f64::NAN,
        exhaustion_timestamp_seconds: f64::NAN,
        reconcile_error_ratio: f64::NAN,
    };
}

/// What came of signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// Somebody is signed in.
    SignedIn,
    /// The address or the password was wrong.
    Refused,
    /// A refresh token was used twice: somebody has a copy.
    TokenReused,
}

impl SignIn {
    /// Every outcome.
    pub const ALL: &'static [Self] = &[Self::SignedIn, Self::Refused, Self::TokenReused];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::Refused => "refused",
            Self::TokenReused => "token_reused",
        }
    }
}

/// What came of looking for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// A node in the region that was asked for, or any when none was.
    Placed,
    /// A node in another region.
    RegionFallback,
    /// No node could take the session.
    NoCapacity,
}

impl Placement {
    /// Every outcome.
    pub const ALL: &'static [Self] = &[Self::Placed, Self::RegionFallback, Self::NoCapacity];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::RegionFallback => "region_fallback",
            Self::NoCapacity => "no_capacity",
        }
    }
}

/// What the control plane tells a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// A session and its leases.
    Assign,
    /// The end of a session.
    Revoke,
    /// The complete set.
    Resync,
    /// Whether to take new sessions.
    Drain,
    /// How many sessions it may hold.
    Limits,
    /// Which lease keys to believe.
    Keys,
    /// Which addresses to answer no longer.
    Banned,
}

impl Directive {
    /// Every directive.
    pub const ALL: &'static [Self] = &[
        Self::Assign,
        Self::Revoke,
        Self::Resync,
        Self::Drain,
        Self::Limits,
        Self::Keys,
        Self::Banned,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::Revoke => "revoke",
            Self::Resync => "resync",
            Self::Drain => "drain",
            Self::Limits => "limits",
            Self::Keys => "keys",
            Self::Banned => "banned",
        }
    }
}

/// Why a session was stopped, as far as it is ours to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Its user said so.
    Requested,
    /// Its lease ran out.
    Expired,
    /// Its node, or whose or what it was, was banned.
    Banned,
}

impl Stopped {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Requested, Self::Expired, Self::Banned];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Expired => "expired",
            Self::Banned => "banned",
        }
    }
}

const OK: &str = "ok";
const FAILED: &str = "failed";

/// Describes every series and starts the known ones at zero.
pub(crate) fn start() {
    describe_histogram!(
        HTTP_REQUEST_DURATION_SECONDS,
        "Time to answer an HTTP request."
    );
    describe_counter!(GRPC_REQUESTS_TOTAL, "gRPC calls by method and status code.");
    describe_gauge!(NODES, "Enrolled nodes by state.");
    describe_gauge!(SESSIONS, "Live sessions by state.");
    describe_counter!(PLACEMENTS_TOTAL, "Looks for a node by outcome.");
    describe_counter!(LEASES_TOTAL, "Leases signed by outcome.");
    describe_gauge!(FLEET_STREAMS, "Nodes connected to this process.");
    describe_counter!(HEARTBEATS_TOTAL, "Heartbeats by whether they were written.");
    describe_counter!(DIRECTIVES_TOTAL, "Directives sent to nodes.");
    describe_counter!(
        DIRECTIVE_ERRORS_TOTAL,
        "Directives that a node could not follow."
    );
    describe_counter!(SESSIONS_STOPPED_TOTAL, "Sessions stopped by reason.");
    describe_counter!(
        SESSION_SETUPS_TOTAL,
        "Starts of sessions by what came of them, once that is clear."
    );
    describe_counter!(SESSIONS_ENDED_TOTAL, "Sessions that ended by reason.");
    describe_counter!(SIGN_INS_TOTAL, "Sign-ins by outcome.");
    describe_counter!(LETTERS_TOTAL, "Letters by whether they were sent.");
    describe_budgets();
    for outcome in SignIn::ALL {
        counter!(SIGN_INS_TOTAL, "outcome" => outcome.as_str()).absolute(0);
    }
    for outcome in Placement::ALL {
        counter!(PLACEMENTS_TOTAL, "outcome" => outcome.as_str()).absolute(0);
    }
    for directive in Directive::ALL {
        counter!(DIRECTIVES_TOTAL, "directive" => directive.as_str()).absolute(0);
    }
    for reason in Stopped::ALL {
        counter!(SESSIONS_STOPPED_TOTAL, "reason" => reason.as_str()).absolute(0);
    }
    for outcome in Setup::ALL {
        counter!(SESSION_SETUPS_TOTAL, "outcome" => outcome.as_str()).absolute(0);
    }
    for reason in Ended::ALL {
        counter!(SESSIONS_ENDED_TOTAL, "reason" => reason.as_str()).absolute(0);
    }
    for outcome in [OK, FAILED] {
        counter!(LEASES_TOTAL, "outcome" => outcome).absolute(0);
        counter!(HEARTBEATS_TOTAL, "outcome" => outcome).absolute(0);
        counter!(LETTERS_TOTAL, "outcome" => outcome).absolute(0);
    }
    counter!(DIRECTIVE_ERRORS_TOTAL).absolute(0);
    nodes(&[]);
    sessions(&[]);
    fleet_streams(0);
}

fn describe_budgets() {
    describe_gauge!(
        BUDGET_LIMIT_BYTES,
        "Bytes of a node's allowance that are planned with."
    );
    describe_gauge!(
        BUDGET_USED_BYTES,
        "Bytes used of a node's allowance, as its provider counts them."
    );
    describe_gauge!(
        BUDGET_PROJECTED_RATIO,
        "Share of what is planned with that will be used when the window ends."
    );
    describe_gauge!(
        BUDGET_EXHAUSTION_TIMESTAMP_SECONDS,
        "When the allowance is used up at the rate of now; infinite: not before it is renewed."
    );
    describe_gauge!(
        BUDGET_RECONCILE_ERROR_RATIO,
        "By how much our count was off when the provider's reading was last taken."
    );
}

pub(crate) fn budget(node: &NodeId, gauges: &BudgetGauges) {
    let set = |name: &'static str, value: f64| {
        gauge!(name, "node" => node.to_string()).set(value);
    };
    set(BUDGET_LIMIT_BYTES, gauges.limit_bytes);
    set(BUDGET_USED_BYTES, gauges.used_bytes);
    set(BUDGET_PROJECTED_RATIO, gauges.projected_ratio);
    set(
        BUDGET_EXHAUSTION_TIMESTAMP_SECONDS,
        gauges.exhaustion_timestamp_seconds,
    );
    set(BUDGET_RECONCILE_ERROR_RATIO, gauges.reconcile_error_ratio);
}

pub(crate) fn http(method: &'static str, route: String, status: u16, took: Duration) {
    histogram!(HTTP_REQUEST_DURATION_SECONDS,
        "method" => method, "route" => route, "status" => status.to_string())
    .record(took.as_secs_f64());
}

pub(crate) fn grpc(method: &'static str, code: tonic::Code) {
    counter!(GRPC_REQUESTS_TOTAL, "method" => method, "code" => code_word(code)).increment(1);
}

pub(crate) fn placement(outcome: Placement) {
    counter!(PLACEMENTS_TOTAL, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn lease_issued(ok: bool) {
    counter!(LEASES_TOTAL, "outcome" => if ok { OK } else { FAILED }).increment(1);
}

pub(crate) fn heartbeats(written: bool, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter!(HEARTBEATS_TOTAL, "outcome" => if written { OK } else { FAILED }).increment(count);
}

pub(crate) fn sign_in(outcome: SignIn) {
    counter!(SIGN_INS_TOTAL, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn letter(sent: bool) {
    counter!(LETTERS_TOTAL, "outcome" => if sent { OK } else { FAILED }).increment(1);
}

pub(crate) fn directive(directive: Directive) {
    counter!(DIRECTIVES_TOTAL, "directive" => directive.as_str()).increment(1);
}

pub(crate) fn directive_failed() {
    counter!(DIRECTIVE_ERRORS_TOTAL).increment(1);
}

pub(crate) fn stopped(reason: Stopped, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter!(SESSIONS_STOPPED_TOTAL, "reason" => reason.as_str()).increment(count);
}

pub(crate) fn session_setup(outcome: Setup) {
    counter!(SESSION_SETUPS_TOTAL, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn session_ended(reason: Ended) {
    counter!(SESSIONS_ENDED_TOTAL, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn fleet_streams(count: usize) {
    gauge!(FLEET_STREAMS).set(u32::try_from(count).map_or(f64::INFINITY, f64::from));
}

pub(crate) fn nodes(counts: &[(NodeState, u32)]) {
    for state in NodeState::ALL {
        gauge!(NODES, "state" => state.as_str()).set(count_of(counts, *state));
    }
}

pub(crate) fn sessions(counts: &[(SessionState, u32)]) {
    for state in SessionState::ALL.iter().filter(|state| state.is_live()) {
        gauge!(SESSIONS, "state" => state.as_str()).set(count_of(counts, *state));
    }
}

fn count_of<S: Copy + PartialEq>(counts: &[(S, u32)], state: S) -> f64 {
    counts
        .iter()
        .find(|(other, _)| *other == state)
        .map_or(0.0, |(_, count)| f64::from(*count))
}

fn code_word(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "ok",
        tonic::Code::InvalidArgument => "invalid_argument",
        tonic::Code::Unauthenticated => "unauthenticated",
        tonic::Code::PermissionDenied => "permission_denied",
        tonic::Code::NotFound => "not_found",
        tonic::Code::Unavailable => "unavailable",
        tonic::Code::DeadlineExceeded => "deadline_exceeded",
        tonic::Code::ResourceExhausted => "resource_exhausted",
        tonic::Code::Internal => "internal",
        _ => "other",
    }
}
