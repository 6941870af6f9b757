//! A node's samples.

use model::UnixMillis;
use model::telemetry::{NodeReport, NodeSample, PlayerSample, PublisherSample, SessionSample};

use super::{Error, PLAYERS_MAX, SESSIONS_MAX, TEXT_LENGTH_MAX, list, parse, word};
use crate::telemetry as pb;

impl TryFrom<pb::NodeReport> for NodeReport {
    type Error = Error;

    fn try_from(report: pb::NodeReport) -> Result<Self, Error> {
        Ok(Self {
            node_id: parse("node_id", &report.node_id)?,
            boot_id: word("boot_id", report.boot_id, TEXT_LENGTH_MAX)?,
            observed_at: UnixMillis(report.observed_at_unix_ms),
            node: report.node.ok_or(Error::Missing("node"))?.into(),
            sessions: list("sessions", report.sessions, SESSIONS_MAX, TryInto::try_into)?,
        })
    }
}

impl From<NodeReport> for pb::NodeReport {
    fn from(report: NodeReport) -> Self {
        Self {
            node_id: report.node_id.to_string(),
            boot_id: report.boot_id,
            observed_at_unix_ms: report.observed_at.0,
            node: Some(report.node.into()),
            sessions: report.sessions.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::SessionSample> for SessionSample {
    type Error = Error;

    fn try_from(sample: pb::SessionSample) -> Result<Self, Error> {
        Ok(Self {
            session_id: parse("session_id", &sample.session_id)?,
            publishing: sample.publishing,
            publisher: sample.publisher.map(Into::into),
            players: list("players", sample.players, PLAYERS_MAX, |player| {
                Ok(player.into())
            })?,
        })
    }
}

impl From<SessionSample> for pb::SessionSample {
    fn from(sample: SessionSample) -> Self {
        Self {
            session_id: sample.session_id.to_string(),
            publishing: sample.publishing,
            publisher: sample.publisher.map(Into::into),
            players: sample.players.into_iter().map(Into::into).collect(),
        }
    }
}

/// Both ways between two structs of the same fields.
macro_rules! same_fields {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl From<pb::$name> for $name {
            fn from(sample: pb::$name) -> Self {
                Self { $($field: sample.$field),+ }
            }
        }

        impl From<$name> for pb::$name {
            fn from(sample: $name) -> Self {
                Self { $($field: sample.$field),+ }
            }
        }
    };
}

same_fields!(NodeSample {
    ingress_bytes_total,
    egress_bytes_total,
    ingress_datagrams_total,
    egress_datagrams_total,
    dropped_datagrams_total,
    publishers,
    players,
});

same_fields!(PublisherSample {
    bytes_total,
    packets_total,
    packets_lost_total,
    packets_recovered_total,
    packets_dropped_total,
    packets_duplicate_total,
    bitrate_bps,
    rtt_us,
    latency_ms,
    uptime_ms,
    naks_sent_total,
    packets_retransmitted_total,
    packets_limited_total,
    packets_missing,
    packets_buffered,
    reorder_packets_max,
    acks_sent_total,
    ackacks_received_total,
    rtt_var_us,
    drift_us,
});

same_fields!(PlayerSample {
    bytes_total,
    packets_total,
    packets_retransmitted_total,
    packets_dropped_total,
    bitrate_bps,
    rtt_us,
    latency_ms,
    uptime_ms,
    naks_received_total,
    player_id,
    packets_in_flight,
    window_packets,
    acks_received_total,
    drop_requests_sent_total,
    jumps_total,
    rtt_var_us,
    receive_rate_bps,
});

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> pb::NodeReport {
        pb::NodeReport {
            node_id: "nod_1".into(),
            boot_id: "b".into(),
            observed_at_unix_ms: 1,
            node: Some(pb::NodeSample {
                ingress_bytes_total: 2,
                ..Default::default()
            }),
            sessions: vec![pb::SessionSample {
                session_id: "ses_1".into(),
                publishing: true,
                publisher: Some(pb::PublisherSample {
                    bytes_total: 3,
                    ..Default::default()
                }),
                players: vec![pb::PlayerSample {
                    bytes_total: 4,
                    ..Default::default()
                }],
            }],
        }
    }

    #[test]
    fn a_report_comes_back_as_it_went() {
        let there = NodeReport::try_from(report()).unwrap();
        assert_eq!(pb::NodeReport::from(there), report());
    }

    #[test]
    fn a_report_is_bounded() {
        let mut many = report();
        many.sessions[0].players = vec![pb::PlayerSample::default(); PLAYERS_MAX + 1];
        assert!(matches!(
            NodeReport::try_from(many),
            Err(Error::TooLong { .. })
        ));
        let nodeless = pb::NodeReport {
            node: None,
            ..report()
        };
        assert_eq!(NodeReport::try_from(nodeless), Err(Error::Missing("node")));
    }
}
