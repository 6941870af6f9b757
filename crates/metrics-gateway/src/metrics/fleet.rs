//! Names and help of the fleet's metrics. Those of a node have the label `node`.

/// A metric's name and its help.
type Name = (&'static str, &'static str);

pub(crate) const INFO: Name = (
    "streamhaul_gateway_node_info",
    "A node's name, region and version; always 1.",
);

pub(crate) const STATE: Name = (
    "streamhaul_gateway_node_state",
    "1 for the state that a node is in.",
);

pub(crate) const SESSIONS: Name = (
    "streamhaul_gateway_node_sessions",
    "Live sessions placed on a node.",
);

pub(crate) const SESSIONS_MAX: Name = (
    "streamhaul_gateway_node_sessions_limit",
    "Live sessions that may be placed on a node.",
);

pub(crate) const HEARTBEAT_AGE: Name = (
    "streamhaul_gateway_node_heartbeat_age_seconds",
    "Since a node's last heartbeat to the control plane.",
);

pub(crate) const SESSIONS_HELD: Name = (
    "streamhaul_gateway_node_sessions_held",
    "Sessions that a node holds a lease for.",
);

pub(crate) const PUBLISHERS: Name = (
    "streamhaul_gateway_node_publishers",
    "Publishers connected to a node.",
);

pub(crate) const PLAYERS: Name = (
    "streamhaul_gateway_node_players",
    "Players connected to a node.",
);

pub(crate) const LAST_REPORT: Name = (
    "streamhaul_gateway_node_last_report_timestamp_seconds",
    "When a node last reported, Unix time of the gateway.",
);

pub(crate) const BUDGET_LIMIT: Name = (
    "streamhaul_gateway_node_budget_limit_bytes",
    "Bytes of a node's allowance that are planned with.",
);

pub(crate) const BUDGET_USED: Name = (
    "streamhaul_gateway_node_budget_used_bytes",
    "Bytes used of a node's allowance.",
);

pub(crate) const BUDGET_PROJECTED: Name = (
    "streamhaul_gateway_node_budget_projected_ratio",
    "Share of what is planned with that will be used when the window ends.",
);

pub(crate) const BUDGET_EXHAUSTION: Name = (
    "streamhaul_gateway_node_budget_exhaustion_timestamp_seconds",
    "When the allowance is used up at the rate of now; infinite: not before it is renewed.",
);

pub(crate) const INGRESS_BYTES: Name = (
    "streamhaul_gateway_node_ingress_bytes_total",
    "UDP payload towards a node.",
);

pub(crate) const EGRESS_BYTES: Name = (
    "streamhaul_gateway_node_egress_bytes_total",
    "UDP payload away from a node.",
);

pub(crate) const INGRESS_DATAGRAMS: Name = (
    "streamhaul_gateway_node_ingress_datagrams_total",
    "Datagrams towards a node.",
);

pub(crate) const EGRESS_DATAGRAMS: Name = (
    "streamhaul_gateway_node_egress_datagrams_total",
    "Datagrams away from a node.",
);

pub(crate) const ADMISSIONS: Name = (
    "streamhaul_gateway_node_admissions_total",
    "Callers that a node admitted.",
);

pub(crate) const DROPS: Name = (
    "streamhaul_gateway_node_dropped_datagrams_total",
    "Datagrams without effect, by reason.",
);

pub(crate) const REFUSALS: Name = (
    "streamhaul_gateway_node_refusals_total",
    "Callers that a node refused, by reason.",
);

pub(crate) const FORWARD_DELAY: Name = (
    "streamhaul_gateway_node_forward_delay_seconds",
    "How long datagrams were in a node, the pause before it took them included.",
);

pub(crate) const NODES_BY_STATE: Name = ("streamhaul_gateway_fleet_nodes", "Nodes in each state.");

pub(crate) const SESSIONS_PLACED: Name = (
    "streamhaul_gateway_fleet_sessions",
    "Live sessions placed on nodes.",
);

pub(crate) const FACTS_AGE: Name = (
    "streamhaul_gateway_fleet_facts_age_seconds",
    "Since the control plane last told of the fleet.",
);

pub(crate) const NODE_SERIES_MAX: Name = (
    "streamhaul_gateway_fleet_node_series_max",
    "The most series that any node has on this page.",
);

pub(crate) const SERIES: Name = (
    "streamhaul_gateway_fleet_series",
    "Series that this page has of the fleet.",
);
