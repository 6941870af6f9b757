//! Every metric of the relay node: name, help and label values, started at zero.
//! The data thread counts in plain integers; they are published each second.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use model::session::Role;
use model::telemetry::ForwardDelay;
use relay_core::{Direction, RemoteFailure};
use service_kit::exposition::{Exposition, Kind};
use srtla::{GroupEnd, LinkEnd, Refusal};

use crate::snapshot::{SendStats, Snapshot};
use crate::stats;

const TRAFFIC_BYTES: &str = "streamhaul_relay_traffic_bytes_total";
const TRAFFIC_DATAGRAMS: &str = "streamhaul_relay_traffic_datagrams_total";
const DROPPED_DATAGRAMS: &str = "streamhaul_relay_dropped_datagrams_total";
const REFUSALS: &str = "streamhaul_relay_refusals_total";
const ADMISSIONS: &str = "streamhaul_relay_admissions_total";
const FORWARD_DELAY: &str = "streamhaul_relay_forward_delay_seconds";
const SESSIONS: &str = "streamhaul_relay_sessions";
const SESSIONS_HELD: &str = "streamhaul_relay_sessions_held";
const SRTLA_GROUPS: &str = "streamhaul_relay_srtla_groups";
const SRTLA_LINKS: &str = "streamhaul_relay_srtla_links";
const SRTLA_GROUPS_ENDED: &str = "streamhaul_relay_srtla_groups_ended_total";
const SRTLA_LINKS_JOINED: &str = "streamhaul_relay_srtla_links_joined_total";
const SRTLA_LINKS_ENDED: &str = "streamhaul_relay_srtla_links_ended_total";
const SRTLA_REFUSALS: &str = "streamhaul_relay_srtla_refusals_total";
const SRTLA_SOURCES_BLOCKED: &str = "streamhaul_relay_srtla_sources_blocked_total";
const DATA_THREAD_LOAD: &str = "streamhaul_relay_data_thread_load_ratio";
const DATA_THREAD_BUSY: &str = "streamhaul_relay_data_thread_busy_seconds_total";
const SOCKET_CALLS: &str = "streamhaul_relay_socket_calls_total";
const SEND_ERRORS: &str = "streamhaul_relay_send_errors_total";
const RECEIVE_ERRORS: &str = "streamhaul_relay_receive_errors_total";
const KERNEL_DROPS: &str = "streamhaul_relay_kernel_drops_total";
const CONTROL_CONNECTED: &str = "streamhaul_relay_control_connected";
const CONTROL_LOST: &str = "streamhaul_relay_control_connections_lost_total";
const HEARTBEAT_ANSWERS: &str = "streamhaul_relay_heartbeat_answer_seconds";
const REMOTE_FAILURES: &str = "streamhaul_relay_remote_failures_total";
const EVENTS_DROPPED: &str = "streamhaul_relay_events_dropped_total";
const REPORTS_DROPPED: &str = "streamhaul_relay_reports_dropped_total";

const ASN_DATABASE_READS: &str = "streamhaul_relay_asn_database_reads_total";
const ASN_DATABASE_BUILT: &str = "streamhaul_relay_asn_database_build_timestamp_seconds";

const REMOTE_FAILURE_CAUSES: [&str; 7] = [
    "no_address",
    "forbidden_address",
    "no_keys",
    "no_answer",
    "rejected",
    "unusable",
    "refused_here",
];
const OK: &str = "ok";
const FAILED: &str = "failed";

/// Describes every metric and starts every series at zero.
pub(crate) fn register() {
    describe();
    publish(&Snapshot::default(), &[]);
    stats::register();
    control_connected(false);
    counter!(CONTROL_LOST).absolute(0);
    counter!(EVENTS_DROPPED, "stage" => "control").absolute(0);
    counter!(REPORTS_DROPPED).absolute(0);
    asn_database_built_at(0);
    for outcome in [OK, FAILED] {
        counter!(ASN_DATABASE_READS, "outcome" => outcome).absolute(0);
    }
    for direction in [Direction::Pull, Direction::Push] {
        for cause in REMOTE_FAILURE_CAUSES {
            remote_failures(direction, cause).absolute(0);
        }
    }
}

fn describe() {
    describe_counter!(TRAFFIC_BYTES, "UDP payload bytes by direction.");
    describe_counter!(TRAFFIC_DATAGRAMS, "Datagrams by direction.");
    describe_counter!(
        DROPPED_DATAGRAMS,
        "Datagrams received and without effect, by reason."
    );
    describe_counter!(
        REFUSALS,
        "Callers with a proven address that were refused, by reason."
    );
    describe_counter!(ADMISSIONS, "Callers admitted.");
    describe_gauge!(SESSIONS, "Publishers and players connected, by role.");
    describe_gauge!(SESSIONS_HELD, "Sessions that the node holds a lease for.");
    describe_srtla();
    describe_gauge!(
        DATA_THREAD_LOAD,
        "Share of its core that a data thread used in the last second."
    );
    describe_counter!(
        DATA_THREAD_BUSY,
        "Time a data thread spent working, not waiting."
    );
    describe_counter!(
        SOCKET_CALLS,
        "Socket calls that carried datagrams, by direction: datagrams per call is the batch size."
    );
    describe_counter!(SEND_ERRORS, "Sends that failed, by cause.");
    describe_counter!(RECEIVE_ERRORS, "Receive calls that failed.");
    describe_gauge!(
        CONTROL_CONNECTED,
        "1 while the control plane's stream is up."
    );
    describe_counter!(
        CONTROL_LOST,
        "Times the control plane's stream was lost or not established."
    );
    describe_histogram!(
        HEARTBEAT_ANSWERS,
        "From a heartbeat to the control plane's word that it is written."
    );
    describe_counter!(
        KERNEL_DROPS,
        "Datagrams that the kernel threw away because the receive buffers were full."
    );
    describe_counter!(
        EVENTS_DROPPED,
        "Session events that nobody took in time, by stage."
    );
    describe_counter!(
        REMOTE_FAILURES,
        "Attempts to reach a remote that failed, by direction and cause."
    );
    describe_counter!(
        REPORTS_DROPPED,
        "Samples given up because the metrics-gateway was away."
    );
}

fn describe_srtla() {
    describe_counter!(
        ASN_DATABASE_READS,
        "Files read for an ASN database, by outcome."
    );
    describe_gauge!(
        ASN_DATABASE_BUILT,
        "When the ASN database in use was made; 0 without one."
    );
    describe_gauge!(SRTLA_GROUPS, "Groups of bonded links.");
    describe_gauge!(SRTLA_LINKS, "Links of all groups.");
    describe_counter!(SRTLA_GROUPS_ENDED, "Groups that ended, by reason.");
    describe_counter!(SRTLA_LINKS_JOINED, "Links that registered.");
    describe_counter!(SRTLA_LINKS_ENDED, "Links that ended, by reason.");
    describe_counter!(
        SRTLA_REFUSALS,
        "Registrations that were refused, by reason; most senders begin with an unknown id."
    );
    describe_counter!(
        SRTLA_SOURCES_BLOCKED,
        "Sources kept out for a while because they kept trying wrong keys."
    );
}

/// Writes how long datagrams were in the node.
pub(crate) fn forward_delay(page: &mut Exposition, delay: &ForwardDelay) {
    let bounds = ForwardDelay::BOUNDS_US.map(|bound| bound as f64 / 1e6);
    let help = "From the wake-up that found a datagram, and the pause before it, to when what came of it was sent.";
    page.metric(FORWARD_DELAY, Kind::Histogram, help).histogram(
        &[],
        &bounds,
        &delay.counts,
        delay.sum_us as f64 / 1e6,
    );
}

/// Counts a file that was read for an ASN database, or would not do.
pub(crate) fn asn_database_read(ok: bool) {
    counter!(ASN_DATABASE_READS, "outcome" => if ok { OK } else { FAILED }).increment(1);
}

/// Says of when the ASN database in use is, Unix seconds.
pub(crate) fn asn_database_built_at(seconds: u64) {
    gauge!(ASN_DATABASE_BUILT).set(seconds as f64);
}

/// Publishes what the data thread said.
pub(crate) fn publish(snapshot: &Snapshot, load_ratios: &[f64]) {
    traffic(snapshot);
    reasons(snapshot);
    callers(snapshot);
    srtla(snapshot);
    sends(&snapshot.send);
    counter!(SOCKET_CALLS, "direction" => "ingress").absolute(snapshot.receive.calls);
    counter!(RECEIVE_ERRORS).absolute(snapshot.receive.errors);
    counter!(EVENTS_DROPPED, "stage" => "data_thread").absolute(snapshot.events_dropped);
    counter!(KERNEL_DROPS).absolute(snapshot.receive.kernel_drops);
    threads(snapshot, load_ratios);
}

fn threads(snapshot: &Snapshot, load_ratios: &[f64]) {
    for (thread, busy) in snapshot.busy.iter().enumerate() {
        counter!(DATA_THREAD_BUSY, "thread" => thread.to_string()).absolute(busy.as_secs());
    }
    for (thread, ratio) in load_ratios.iter().enumerate() {
        gauge!(DATA_THREAD_LOAD, "thread" => thread.to_string()).set(*ratio);
    }
}

fn traffic(snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    counter!(TRAFFIC_BYTES, "direction" => "ingress").absolute(counters.ingress_bytes);
    counter!(TRAFFIC_BYTES, "direction" => "egress").absolute(counters.egress_bytes);
    counter!(TRAFFIC_DATAGRAMS, "direction" => "ingress").absolute(counters.ingress_datagrams);
    counter!(TRAFFIC_DATAGRAMS, "direction" => "egress").absolute(counters.egress_datagrams);
}

fn reasons(snapshot: &Snapshot) {
    for (reason, drops) in snapshot.drops() {
        counter!(DROPPED_DATAGRAMS, "reason" => reason).absolute(drops);
    }
    for (reason, refusals) in snapshot.refusals() {
        counter!(REFUSALS, "reason" => reason).absolute(refusals);
    }
    counter!(ADMISSIONS).absolute(snapshot.counters.admitted);
}

fn callers(snapshot: &Snapshot) {
    gauge!(SESSIONS, "role" => Role::Publish.as_str()).set(f64::from(snapshot.publishers));
    gauge!(SESSIONS, "role" => Role::Play.as_str()).set(f64::from(snapshot.players));
    gauge!(SESSIONS_HELD).set(snapshot.held.len() as f64);
}

fn srtla(snapshot: &Snapshot) {
    let counters = &snapshot.srtla;
    gauge!(SRTLA_GROUPS).set(f64::from(snapshot.groups));
    gauge!(SRTLA_LINKS).set(f64::from(snapshot.links));
    counter!(SRTLA_LINKS_JOINED).absolute(counters.links_joined);
    counter!(SRTLA_SOURCES_BLOCKED).absolute(counters.sources_blocked);
    for end in GroupEnd::ALL {
        let count = counters.groups_ended[end.index()];
        counter!(SRTLA_GROUPS_ENDED, "reason" => end.as_str()).absolute(count);
    }
    for end in LinkEnd::ALL {
        let count = counters.links_ended[end.index()];
        counter!(SRTLA_LINKS_ENDED, "reason" => end.as_str()).absolute(count);
    }
    for refusal in Refusal::ALL {
        let count = counters.refused[refusal.index()];
        counter!(SRTLA_REFUSALS, "reason" => refusal.as_str()).absolute(count);
    }
}

fn sends(send: &SendStats) {
    counter!(SOCKET_CALLS, "direction" => "egress").absolute(send.calls);
    let causes = [
        ("too_big", send.too_big),
        ("unreachable", send.unreachable),
        ("denied", send.denied),
        ("other", send.other),
        ("queue_full", send.queue_full),
    ];
    for (cause, count) in causes {
        counter!(SEND_ERRORS, "cause" => cause).absolute(count);
    }
}

/// Says whether the control plane's stream is up.
pub(crate) fn control_connected(connected: bool) {
    gauge!(CONTROL_CONNECTED).set(if connected { 1.0 } else { 0.0 });
}

/// Counts a lost or failed connection to the control plane.
pub(crate) fn control_connection_lost() {
    counter!(CONTROL_LOST).increment(1);
}

/// Notes how long the control plane took to write a heartbeat down and say so.
pub(crate) fn heartbeat_answered(took: Duration) {
    histogram!(HEARTBEAT_ANSWERS).record(took.as_secs_f64());
}

/// Counts an event given up while the control plane was away.
pub(crate) fn event_dropped() {
    counter!(EVENTS_DROPPED, "stage" => "control").increment(1);
}

/// Counts an attempt to reach a remote that failed. A rejection's number is the
/// remote's to choose, so it is no label.
pub(crate) fn remote_failed(direction: Direction, reason: RemoteFailure) {
    let cause = match reason {
        RemoteFailure::NoAddress => "no_address",
        RemoteFailure::ForbiddenAddress => "forbidden_address",
        RemoteFailure::NoKeys => "no_keys",
        RemoteFailure::NoAnswer => "no_answer",
        RemoteFailure::Rejected(_) => "rejected",
        RemoteFailure::Unusable(_) => "unusable",
        RemoteFailure::Refused(_) => "refused_here",
    };
    remote_failures(direction, cause).increment(1);
}

fn remote_failures(direction: Direction, cause: &'static str) -> metrics::Counter {
    counter!(REMOTE_FAILURES, "direction" => direction.as_str(), "cause" => cause)
}

/// Counts a report given up while the gateway was away.
pub(crate) fn report_dropped() {
    counter!(REPORTS_DROPPED).increment(1);
}
