//! A node's samples.

use std::time::Duration;

use model::UnixMillis;
use model::live::NewestLinks;
use model::telemetry::{
    ForwardDelay, LinkClaim, LinkSample, LinkTally, LinkType, LinkWindow, NodeReport, NodeSample,
    PlayerSample, PublisherSample, ReasonCount, SessionSample,
};

use super::{
    Error, LINKS_MAX, PLAYERS_MAX, REASON_LENGTH_MAX, REASONS_MAX, SESSIONS_MAX, TEXT_LENGTH_MAX,
    invalid, list, parse, text, word,
};
use crate::telemetry as pb;

impl TryFrom<pb::NodeReport> for NodeReport {
    type Error = Error;

    fn try_from(report: pb::NodeReport) -> Result<Self, Error> {
        Ok(Self {
            node_id: parse("node_id", &report.node_id)?,
            boot_id: word("boot_id", report.boot_id, TEXT_LENGTH_MAX)?,
            observed_at: UnixMillis(report.observed_at_unix_ms),
            node: report.node.ok_or(Error::Missing("node"))?.try_into()?,
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

impl TryFrom<pb::NodeSample> for NodeSample {
    type Error = Error;

    fn try_from(sample: pb::NodeSample) -> Result<Self, Error> {
        Ok(Self {
            ingress_bytes_total: sample.ingress_bytes_total,
            egress_bytes_total: sample.egress_bytes_total,
            ingress_datagrams_total: sample.ingress_datagrams_total,
            egress_datagrams_total: sample.egress_datagrams_total,
            dropped_datagrams_total: sample.dropped_datagrams_total,
            publishers: sample.publishers,
            players: sample.players,
            sessions_held: sample.sessions_held,
            admitted_total: sample.admitted_total,
            drops: list("drops", sample.drops, REASONS_MAX, TryInto::try_into)?,
            refusals: list("refusals", sample.refusals, REASONS_MAX, TryInto::try_into)?,
            forward_delay: sample.forward_delay.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<NodeSample> for pb::NodeSample {
    fn from(sample: NodeSample) -> Self {
        Self {
            ingress_bytes_total: sample.ingress_bytes_total,
            egress_bytes_total: sample.egress_bytes_total,
            ingress_datagrams_total: sample.ingress_datagrams_total,
            egress_datagrams_total: sample.egress_datagrams_total,
            dropped_datagrams_total: sample.dropped_datagrams_total,
            publishers: sample.publishers,
            players: sample.players,
            sessions_held: sample.sessions_held,
            admitted_total: sample.admitted_total,
            drops: sample.drops.into_iter().map(Into::into).collect(),
            refusals: sample.refusals.into_iter().map(Into::into).collect(),
            forward_delay: sample.forward_delay.map(Into::into),
        }
    }
}

impl TryFrom<pb::ReasonCount> for ReasonCount {
    type Error = Error;

    fn try_from(count: pb::ReasonCount) -> Result<Self, Error> {
        Ok(Self {
            reason: word("reason", count.reason, REASON_LENGTH_MAX)?,
            total: count.total,
        })
    }
}

impl From<ReasonCount> for pb::ReasonCount {
    fn from(count: ReasonCount) -> Self {
        Self {
            reason: count.reason,
            total: count.total,
        }
    }
}

impl TryFrom<pb::ForwardDelay> for ForwardDelay {
    type Error = Error;

    fn try_from(delay: pb::ForwardDelay) -> Result<Self, Error> {
        let counts = delay.counts.try_into();
        Ok(Self {
            counts: counts.map_err(|_| invalid("forward_delay.counts", "thirteen counts"))?,
            sum_us: delay.sum_us,
        })
    }
}

impl From<ForwardDelay> for pb::ForwardDelay {
    fn from(delay: ForwardDelay) -> Self {
        Self {
            counts: delay.counts.to_vec(),
            sum_us: delay.sum_us,
        }
    }
}

impl TryFrom<pb::NewestLinksResponse> for NewestLinks {
    type Error = Error;

    fn try_from(newest: pb::NewestLinksResponse) -> Result<Self, Error> {
        Ok(Self {
            observed_at: newest.observed_at_unix_ms.map(UnixMillis),
            age: Duration::from_millis(newest.age_ms),
            links: list("links", newest.links, LINKS_MAX, TryInto::try_into)?,
        })
    }
}

impl From<NewestLinks> for pb::NewestLinksResponse {
    fn from(newest: NewestLinks) -> Self {
        Self {
            observed_at_unix_ms: newest.observed_at.map(|at| at.0),
            age_ms: u64::try_from(newest.age.as_millis()).unwrap_or(u64::MAX),
            links: newest.links.into_iter().map(Into::into).collect(),
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
            links: list("links", sample.links, LINKS_MAX, TryInto::try_into)?,
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
            links: sample.links.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::LinkSample> for LinkSample {
    type Error = Error;

    fn try_from(sample: pb::LinkSample) -> Result<Self, Error> {
        let link_type = sample.link_type().into();
        let carrier = sample.carrier;
        let carrier = carrier.map(|name| text("carrier", name, TEXT_LENGTH_MAX));
        Ok(Self {
            number: sample.number,
            address: parse("address", &sample.address)?,
            carrier: carrier.transpose()?,
            asn: sample.asn,
            link_type,
            uptime_ms: sample.uptime_ms,
            silent_ms: sample.silent_ms,
            total: sample.total.unwrap_or_default().into(),
            last_second: sample.last_second.unwrap_or_default().into(),
            last_ten_seconds: sample.last_ten_seconds.unwrap_or_default().into(),
            jitter_us: sample.jitter_us,
            relative_delay_us: sample.relative_delay_us,
            sender: sample.sender.map(Into::into),
        })
    }
}

impl From<LinkSample> for pb::LinkSample {
    fn from(sample: LinkSample) -> Self {
        Self {
            number: sample.number,
            address: sample.address.to_string(),
            carrier: sample.carrier,
            asn: sample.asn,
            link_type: pb::LinkType::from(sample.link_type).into(),
            uptime_ms: sample.uptime_ms,
            silent_ms: sample.silent_ms,
            total: Some(sample.total.into()),
            last_second: Some(sample.last_second.into()),
            last_ten_seconds: Some(sample.last_ten_seconds.into()),
            jitter_us: sample.jitter_us,
            relative_delay_us: sample.relative_delay_us,
            sender: sample.sender.map(Into::into),
        }
    }
}

/// A kind that only newer nodes know is read as unspecified before it comes here.
impl From<pb::LinkType> for LinkType {
    fn from(link_type: pb::LinkType) -> Self {
        match link_type {
            pb::LinkType::Unspecified => Self::Unknown,
            pb::LinkType::Cellular => Self::Cellular,
            pb::LinkType::Satellite => Self::Satellite,
            pb::LinkType::Fixed => Self::Fixed,
            pb::LinkType::Hosting => Self::Hosting,
            pb::LinkType::Local => Self::Local,
        }
    }
}

impl From<LinkType> for pb::LinkType {
    fn from(link_type: LinkType) -> Self {
        match link_type {
            LinkType::Unknown => Self::Unspecified,
            LinkType::Cellular => Self::Cellular,
            LinkType::Satellite => Self::Satellite,
            LinkType::Fixed => Self::Fixed,
            LinkType::Hosting => Self::Hosting,
            LinkType::Local => Self::Local,
        }
    }
}

impl From<pb::LinkWindow> for LinkWindow {
    fn from(window: pb::LinkWindow) -> Self {
        Self {
            tally: window.tally.unwrap_or_default().into(),
            time_ms: window.time_ms,
            bitrate_bps: window.bitrate_bps,
            share_permille: window.share_permille,
        }
    }
}

impl From<LinkWindow> for pb::LinkWindow {
    fn from(window: LinkWindow) -> Self {
        Self {
            tally: Some(window.tally.into()),
            time_ms: window.time_ms,
            bitrate_bps: window.bitrate_bps,
            share_permille: window.share_permille,
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

same_fields!(LinkTally {
    packets,
    bytes,
    unique,
    duplicate,
    late,
    retransmitted,
    lost,
});

same_fields!(LinkClaim {
    age_ms,
    rtt_ms,
    window,
    in_flight,
    naks_total,
    bytes_per_second,
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
                sessions_held: 3,
                admitted_total: 4,
                drops: vec![count("malformed")],
                refusals: vec![count("unknown_key")],
                forward_delay: Some(pb::ForwardDelay {
                    counts: (0..13).collect(),
                    sum_us: 6,
                }),
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
                links: vec![link()],
            }],
        }
    }

    fn count(reason: &str) -> pb::ReasonCount {
        pb::ReasonCount {
            reason: reason.into(),
            total: 5,
        }
    }

    fn link() -> pb::LinkSample {
        let window = pb::LinkWindow {
            tally: Some(pb::LinkTally {
                bytes: 5,
                ..Default::default()
            }),
            share_permille: 6,
            ..Default::default()
        };
        pb::LinkSample {
            number: 7,
            address: "[2001:db8::1]:8".into(),
            carrier: Some("Example Mobile".into()),
            asn: Some(64_500),
            link_type: pb::LinkType::Cellular.into(),
            total: Some(pb::LinkTally::default()),
            last_second: Some(window),
            last_ten_seconds: Some(window),
            relative_delay_us: Some(9),
            sender: Some(pb::LinkClaim {
                in_flight: -10,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_report_comes_back_as_it_went() {
        let there = NodeReport::try_from(report()).unwrap();
        assert_eq!(pb::NodeReport::from(there), report());
    }

    #[test]
    fn newest_links_come_back_as_they_went_and_are_bounded() {
        let newest = pb::NewestLinksResponse {
            observed_at_unix_ms: Some(11),
            age_ms: 12,
            links: vec![link()],
        };
        let there = NewestLinks::try_from(newest.clone()).unwrap();
        assert_eq!(pb::NewestLinksResponse::from(there), newest);
        let many = pb::NewestLinksResponse {
            links: vec![link(); LINKS_MAX + 1],
            ..newest
        };
        assert!(NewestLinks::try_from(many).is_err());
    }

    #[test]
    fn every_link_type_comes_back_and_newer_ones_are_unknown() {
        let there_and_back = |kind: LinkType| LinkType::from(pb::LinkType::from(kind));
        let kinds = LinkType::ALL.iter().copied();
        kinds.for_each(|kind| assert_eq!(there_and_back(kind), kind));
        let newer = pb::LinkSample {
            link_type: 99,
            ..link()
        };
        let newer = LinkSample::try_from(newer).unwrap();
        assert_eq!(newer.link_type, LinkType::Unknown);
        let nameless = pb::LinkSample {
            carrier: None,
            ..link()
        };
        assert_eq!(LinkSample::try_from(nameless).unwrap().carrier, None);
    }

    #[test]
    fn a_report_is_bounded() {
        let mut many = report();
        many.sessions[0].players = vec![pb::PlayerSample::default(); PLAYERS_MAX + 1];
        assert!(matches!(
            NodeReport::try_from(many),
            Err(Error::TooLong { .. })
        ));
        let mut linked = report();
        linked.sessions[0].links = vec![link(); LINKS_MAX + 1];
        assert!(matches!(
            NodeReport::try_from(linked.clone()),
            Err(Error::TooLong { .. })
        ));
        linked.sessions[0].links = vec![pb::LinkSample::default()];
        assert!(
            NodeReport::try_from(linked.clone()).is_err(),
            "without an address"
        );
        linked.sessions[0].links = vec![pb::LinkSample {
            carrier: Some("x".repeat(TEXT_LENGTH_MAX + 1)),
            ..link()
        }];
        assert!(NodeReport::try_from(linked).is_err(), "a carrier too long");
        let mut reasons = report();
        reasons.node.as_mut().unwrap().drops = vec![count("x"); REASONS_MAX + 1];
        assert!(NodeReport::try_from(reasons).is_err(), "too many reasons");
        let mut delays = report();
        let delay = &mut delays.node.as_mut().unwrap().forward_delay;
        delay.as_mut().unwrap().counts.pop();
        assert!(NodeReport::try_from(delays).is_err(), "twelve counts");
        let nodeless = pb::NodeReport {
            node: None,
            ..report()
        };
        assert_eq!(NodeReport::try_from(nodeless), Err(Error::Missing("node")));
    }
}
