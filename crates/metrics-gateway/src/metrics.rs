//! Every metric of this service: name, help, label values.

pub mod events;
pub mod http;
#[cfg(feature = "nats")]
pub mod nats;
pub mod spool;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::fleet::Moved;

pub(crate) mod archive;
pub(crate) mod fleet;

/// Nodes that reported in the last seconds.
pub const NODES: &str = "streamhaul_gateway_nodes";
/// Sessions that are reported.
pub const SESSIONS: &str = "streamhaul_gateway_sessions";
/// Publishers on reporting nodes.
pub const PUBLISHERS: &str = "streamhaul_gateway_publishers";
/// Players on reporting nodes.
pub const PLAYERS: &str = "streamhaul_gateway_players";
/// Bytes towards all nodes, those that left as well.
pub const FLEET_INGRESS: &str = "streamhaul_gateway_fleet_ingress_bytes_total";
/// Bytes away from all nodes, those that left as well.
pub const FLEET_EGRESS: &str = "streamhaul_gateway_fleet_egress_bytes_total";
/// Reports taken.
pub const REPORTS_ACCEPTED: &str = "streamhaul_gateway_reports_accepted_total";
/// Reports and report streams refused, by `reason`.
pub const REPORTS_REFUSED: &str = "streamhaul_gateway_reports_refused_total";
/// Session samples refused within accepted reports, by `reason`.
pub const SAMPLES_REFUSED: &str = "streamhaul_gateway_samples_refused_total";
/// Viewers connected.
pub const VIEWERS: &str = "streamhaul_gateway_viewers";
/// Viewers refused, by `reason`.
pub const VIEWERS_REFUSED: &str = "streamhaul_gateway_viewers_refused_total";
/// Viewers dropped because they did not keep up.
pub const VIEWERS_DROPPED: &str = "streamhaul_gateway_viewers_dropped_total";
/// Memory of all histories.
pub const HISTORY_BYTES: &str = "streamhaul_gateway_history_bytes";

/// Connections to the database, by `state`: `active`, `idle`.
pub const DATABASE_CONNECTIONS: &str = "streamhaul_gateway_database_connections";

/// An enum of reasons with a word each, for labels.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The label's value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

pub mod queries;
pub mod slis;

reasons! {
    /// Why a report, or a whole stream of them, was refused.
    ReportRefusal {
        /// No credential, or one that the api does not know.
        Unauthenticated = "unauthenticated",
        /// The api is away and the credential was not seen lately.
        Unverified = "unverified",
        /// The report names another node than its credential.
        WrongNode = "wrong_node",
        /// Not what the contract promises.
        Invalid = "invalid",
        /// The node's clock is far from ours.
        Clock = "clock",
        /// Too many nodes, or a report that was overtaken.
        NotTaken = "not_taken",
        /// Too many streams.
        StreamsFull = "streams_full",
    }
}

reasons! {
    /// Why one session's sample was refused.
    SampleRefusal {
        /// There is no place for another session.
        SessionsFull = "sessions_full",
        /// The node was never given this session.
        NotGiven = "not_given",
        /// Another node reports this session.
        OtherNode = "other_node",
        /// Not newer than the last one.
        OutOfOrder = "out_of_order",
    }
}

reasons! {
    /// Why a viewer was refused.
    ViewerRefusal {
        /// No token.
        Unauthenticated = "unauthenticated",
        /// The token may not watch this session.
        Forbidden = "forbidden",
        /// The api is away and the token was not seen lately.
        Unverified = "unverified",
        /// There is no place for another session.
        SessionsFull = "sessions_full",
        /// This session has its viewers.
        SessionViewersFull = "session_viewers_full",
        /// All viewers' places are taken.
        ViewersFull = "viewers_full",
    }
}

/// Sums over the reporting nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) nodes: u64,
    pub(crate) publishers: u64,
    pub(crate) players: u64,
}

/// Describes every metric and starts the known series at zero.
pub(crate) fn start() {
    describe();
    events::start();
    http::start();
    spool::start();
    queries::start();
    slis::start();
    #[cfg(feature = "nats")]
    nats::start();
    totals(Totals::default());
    sessions(0, 0);
    viewers(0);
    connections(0, 0);
    archive::start();
    for name in [REPORTS_ACCEPTED, FLEET_INGRESS, FLEET_EGRESS] {
        counter!(name).absolute(0);
    }
    counter!(VIEWERS_DROPPED).absolute(0);
    for reason in ReportRefusal::ALL {
        counter!(REPORTS_REFUSED, "reason" => reason.as_str()).absolute(0);
    }
    for reason in SampleRefusal::ALL {
        counter!(SAMPLES_REFUSED, "reason" => reason.as_str()).absolute(0);
    }
    for reason in ViewerRefusal::ALL {
        counter!(VIEWERS_REFUSED, "reason" => reason.as_str()).absolute(0);
    }
}

fn describe() {
    describe_gauge!(NODES, "Nodes that reported in the last 10 seconds");
    describe_gauge!(SESSIONS, "Sessions that are reported and not stale");
    describe_gauge!(PUBLISHERS, "Publishers connected to reporting nodes");
    describe_gauge!(PLAYERS, "Players connected to reporting nodes");
    describe_counter!(FLEET_INGRESS, Unit::Bytes, "UDP payload towards all nodes");
    describe_counter!(FLEET_EGRESS, Unit::Bytes, "UDP payload away from all nodes");
    describe_counter!(REPORTS_ACCEPTED, "Reports taken");
    describe_counter!(
        REPORTS_REFUSED,
        "Reports and report streams refused by reason"
    );
    describe_counter!(
        SAMPLES_REFUSED,
        "Session samples refused within accepted reports by reason"
    );
    describe_gauge!(VIEWERS, "Viewers connected to live sessions");
    describe_counter!(VIEWERS_REFUSED, "Viewers refused by reason");
    describe_counter!(
        VIEWERS_DROPPED,
        "Viewers dropped because they did not keep up"
    );
    describe_gauge!(
        HISTORY_BYTES,
        Unit::Bytes,
        "Memory of all sessions' histories"
    );
    describe_gauge!(DATABASE_CONNECTIONS, "Connections to the database by state");
}

pub(crate) fn connections(all: u32, idle: usize) {
    let active = (f64::from(all) - idle as f64).max(0.0);
    gauge!(http::CONNECTIONS_ACTIVE).set(active);
    gauge!(DATABASE_CONNECTIONS, "state" => "active").set(active);
    gauge!(DATABASE_CONNECTIONS, "state" => "idle").set(idle as f64);
}

pub(crate) fn totals(totals: Totals) {
    gauge!(NODES).set(totals.nodes as f64);
    gauge!(PUBLISHERS).set(totals.publishers as f64);
    gauge!(PLAYERS).set(totals.players as f64);
}

pub(crate) fn sessions(sessions: usize, history_bytes: usize) {
    gauge!(SESSIONS).set(sessions as f64);
    gauge!(HISTORY_BYTES).set(history_bytes as f64);
}

pub(crate) fn viewers(viewers: usize) {
    gauge!(VIEWERS).set(viewers as f64);
}

pub(crate) fn report_accepted(moved: Moved) {
    counter!(REPORTS_ACCEPTED).increment(1);
    counter!(FLEET_INGRESS).increment(moved.ingress_bytes);
    counter!(FLEET_EGRESS).increment(moved.egress_bytes);
}

pub(crate) fn report_refused(reason: ReportRefusal) {
    counter!(REPORTS_REFUSED, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn sample_refused(reason: SampleRefusal) {
    counter!(SAMPLES_REFUSED, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn viewer_refused(reason: ViewerRefusal) {
    counter!(VIEWERS_REFUSED, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn viewer_dropped() {
    counter!(VIEWERS_DROPPED).increment(1);
}
