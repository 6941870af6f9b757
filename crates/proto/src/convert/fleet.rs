//! Hello, Heartbeat and SessionEvent, and nodes as other services are told of them.

use std::time::Duration;

use model::UnixMillis;
use model::node::{
    BudgetFacts, Heartbeat, HeldLease, Hello, NodeAddress, NodeFacts, SessionEvent,
    SessionEventKind, SessionTraffic,
};

use super::{Error, REASON_LENGTH_MAX, SESSIONS_MAX, TEXT_LENGTH_MAX};
use super::{invalid, list, parse, port, text, word};
use crate::fleet as pb;

/// What SRT itself takes for a round trip at most, microseconds.
const RTT_US_MAX: u32 = 60_000_000;

impl TryFrom<pb::Hello> for Hello {
    type Error = Error;

    fn try_from(hello: pb::Hello) -> Result<Self, Error> {
        Ok(Self {
            node_id: parse("node_id", &hello.node_id)?,
            region: parse("region", &hello.region)?,
            address: NodeAddress {
                public_host: host(hello.public_host)?,
                udp_port: port("udp_port", hello.udp_port)?,
                publish_port: port("publish_port", hello.publish_port)?,
                play_port: port("play_port", hello.play_port)?,
            },
            version: text("version", hello.version, TEXT_LENGTH_MAX)?,
            sessions_max: hello.sessions_max,
            boot_id: word("boot_id", hello.boot_id, TEXT_LENGTH_MAX)?,
            held: list("held", hello.held, SESSIONS_MAX, TryInto::try_into)?,
            encrypts_remotes: hello.encrypts_remotes,
        })
    }
}

impl From<Hello> for pb::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            node_id: hello.node_id.to_string(),
            version: hello.version,
            region: hello.region.to_string(),
            public_host: hello.address.public_host,
            udp_port: hello.address.udp_port.into(),
            publish_port: hello.address.publish_port.into(),
            play_port: hello.address.play_port.into(),
            sessions_max: hello.sessions_max,
            boot_id: hello.boot_id,
            held: hello.held.into_iter().map(Into::into).collect(),
            encrypts_remotes: hello.encrypts_remotes,
        }
    }
}

impl TryFrom<pb::FleetNode> for NodeFacts {
    type Error = Error;

    fn try_from(node: pb::FleetNode) -> Result<Self, Error> {
        Ok(Self {
            node_id: parse("node_id", &node.node_id)?,
            name: text("name", node.name, TEXT_LENGTH_MAX)?,
            region: parse("region", &node.region)?,
            version: text("version", node.version, TEXT_LENGTH_MAX)?,
            state: parse("state", &node.state)?,
            sessions: node.sessions,
            sessions_max: node.sessions_max,
            heartbeat_age: node.heartbeat_age_ms.map(Duration::from_millis),
            budget: node.budget.map(Into::into),
        })
    }
}

impl From<NodeFacts> for pb::FleetNode {
    fn from(node: NodeFacts) -> Self {
        let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self {
            node_id: node.node_id.to_string(),
            name: node.name,
            region: node.region.to_string(),
            version: node.version,
            state: node.state.to_string(),
            sessions: node.sessions,
            sessions_max: node.sessions_max,
            heartbeat_age_ms: node.heartbeat_age.map(age_ms),
            budget: node.budget.map(Into::into),
        }
    }
}

impl From<pb::FleetNodeBudget> for BudgetFacts {
    fn from(budget: pb::FleetNodeBudget) -> Self {
        Self {
            limit_bytes: budget.limit_bytes,
            used_bytes: budget.used_bytes,
            projected_ratio: budget.projected_ratio,
            exhausted_at: budget.exhausted_at_unix_ms.map(UnixMillis),
        }
    }
}

impl From<BudgetFacts> for pb::FleetNodeBudget {
    fn from(budget: BudgetFacts) -> Self {
        Self {
            limit_bytes: budget.limit_bytes,
            used_bytes: budget.used_bytes,
            projected_ratio: budget.projected_ratio,
            exhausted_at_unix_ms: budget.exhausted_at.map(|at| at.0),
        }
    }
}

impl TryFrom<pb::HeldLease> for HeldLease {
    type Error = Error;

    fn try_from(held: pb::HeldLease) -> Result<Self, Error> {
        Ok(Self {
            session_id: parse("held.session_id", &held.session_id)?,
            publishing: held.publishing,
            players: held.players,
            pulled: held.pulled,
            ingress_bytes: held.ingress_bytes,
            egress_bytes: held.egress_bytes,
            publisher_rtt_us: None,
        })
    }
}

impl From<HeldLease> for pb::HeldLease {
    fn from(held: HeldLease) -> Self {
        Self {
            session_id: held.session_id.to_string(),
            publishing: held.publishing,
            players: held.players,
            pulled: held.pulled,
            ingress_bytes: held.ingress_bytes,
            egress_bytes: held.egress_bytes,
        }
    }
}

impl TryFrom<pb::SessionTraffic> for SessionTraffic {
    type Error = Error;

    fn try_from(traffic: pb::SessionTraffic) -> Result<Self, Error> {
        Ok(Self {
            session_id: parse("traffic.session_id", &traffic.session_id)?,
            ingress_bytes: traffic.ingress_bytes,
            egress_bytes: traffic.egress_bytes,
            pulled: traffic.pulled,
            publisher_rtt_us: (1..=RTT_US_MAX)
                .contains(&traffic.publisher_rtt_us)
                .then_some(traffic.publisher_rtt_us),
        })
    }
}

impl From<SessionTraffic> for pb::SessionTraffic {
    fn from(traffic: SessionTraffic) -> Self {
        Self {
            session_id: traffic.session_id.to_string(),
            ingress_bytes: traffic.ingress_bytes,
            egress_bytes: traffic.egress_bytes,
            pulled: traffic.pulled,
            publisher_rtt_us: traffic.publisher_rtt_us.unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::Heartbeat> for Heartbeat {
    type Error = Error;

    fn try_from(beat: pb::Heartbeat) -> Result<Self, Error> {
        let sessions =
            |field, ids: Vec<String>| list(field, ids, SESSIONS_MAX, |id| parse(field, &id));
        if !beat.data_thread_load_ratio.is_finite() || beat.data_thread_load_ratio < 0.0 {
            return Err(invalid("data_thread_load_ratio", "not a ratio"));
        }
        Ok(Self {
            boot_id: word("boot_id", beat.boot_id, TEXT_LENGTH_MAX)?,
            sessions: beat.sessions,
            publishers: beat.publishers,
            players: beat.players,
            ingress_bytes_total: beat.ingress_bytes_total,
            egress_bytes_total: beat.egress_bytes_total,
            data_thread_load_ratio: beat.data_thread_load_ratio,
            publishing: sessions("publishing_session_ids", beat.publishing_session_ids)?,
            held: sessions("held_session_ids", beat.held_session_ids)?,
            traffic: list("traffic", beat.traffic, SESSIONS_MAX, TryInto::try_into)?,
            draining: beat.draining,
            observed_at: UnixMillis(beat.observed_at_unix_ms),
        })
    }
}

impl From<Heartbeat> for pb::Heartbeat {
    fn from(beat: Heartbeat) -> Self {
        let texts = |ids: Vec<model::SessionId>| ids.iter().map(ToString::to_string).collect();
        Self {
            boot_id: beat.boot_id,
            sessions: beat.sessions,
            publishers: beat.publishers,
            players: beat.players,
            ingress_bytes_total: beat.ingress_bytes_total,
            egress_bytes_total: beat.egress_bytes_total,
            data_thread_load_ratio: beat.data_thread_load_ratio,
            publishing_session_ids: texts(beat.publishing),
            draining: beat.draining,
            // Its sender's stream counts.
            sequence: 0,
            observed_at_unix_ms: beat.observed_at.0,
            held_session_ids: texts(beat.held),
            traffic: beat.traffic.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::SessionEvent> for SessionEvent {
    type Error = Error;

    fn try_from(event: pb::SessionEvent) -> Result<Self, Error> {
        let kind = pb::SessionEventKind::try_from(event.kind)
            .map_err(|_| invalid("kind", "unknown kind of event"))?;
        Ok(Self {
            session_id: parse("session_id", &event.session_id)?,
            kind: kind.try_into()?,
            reason: text("reason", event.reason, REASON_LENGTH_MAX)?,
            pulled: event.pulled,
            observed_at: UnixMillis(event.observed_at_unix_ms),
        })
    }
}

impl From<SessionEvent> for pb::SessionEvent {
    fn from(event: SessionEvent) -> Self {
        Self {
            session_id: event.session_id.to_string(),
            kind: pb::SessionEventKind::from(event.kind).into(),
            reason: event.reason,
            pulled: event.pulled,
            observed_at_unix_ms: event.observed_at.0,
        }
    }
}

impl TryFrom<pb::SessionEventKind> for SessionEventKind {
    type Error = Error;

    fn try_from(kind: pb::SessionEventKind) -> Result<Self, Error> {
        match kind {
            pb::SessionEventKind::Unspecified => Err(Error::Missing("kind")),
            pb::SessionEventKind::PublisherConnected => Ok(Self::PublisherConnected),
            pb::SessionEventKind::PublisherGone => Ok(Self::PublisherGone),
            pb::SessionEventKind::PlayerConnected => Ok(Self::PlayerConnected),
            pb::SessionEventKind::PlayerGone => Ok(Self::PlayerGone),
            pb::SessionEventKind::Refused => Ok(Self::Refused),
            pb::SessionEventKind::PullFailed => Ok(Self::PullFailed),
            pb::SessionEventKind::PushFailed => Ok(Self::PushFailed),
        }
    }
}

impl From<SessionEventKind> for pb::SessionEventKind {
    fn from(kind: SessionEventKind) -> Self {
        match kind {
            SessionEventKind::PublisherConnected => Self::PublisherConnected,
            SessionEventKind::PublisherGone => Self::PublisherGone,
            SessionEventKind::PlayerConnected => Self::PlayerConnected,
            SessionEventKind::PlayerGone => Self::PlayerGone,
            SessionEventKind::Refused => Self::Refused,
            SessionEventKind::PullFailed => Self::PullFailed,
            SessionEventKind::PushFailed => Self::PushFailed,
        }
    }
}

/// A host name or address: it becomes part of URLs that people paste.
fn host(host: String) -> Result<String, Error> {
    let host = word("public_host", host, TEXT_LENGTH_MAX)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.bytes().all(allowed) {
        Ok(host)
    } else {
        Err(invalid("public_host", "not a host name or address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> pb::Hello {
        pb::Hello {
            node_id: "nod_1".into(),
            version: "0.1.0".into(),
            region: "local".into(),
            public_host: "::1".into(),
            udp_port: 5000,
            publish_port: 4001,
            play_port: 4000,
            sessions_max: 10,
            boot_id: "b".into(),
            held: vec![pb::HeldLease {
                session_id: "ses_1".into(),
                publishing: true,
                players: 2,
                pulled: true,
                ingress_bytes: 3,
                egress_bytes: 4,
            }],
            encrypts_remotes: true,
        }
    }

    #[test]
    fn hello_comes_back_as_it_went() {
        let there = Hello::try_from(hello()).unwrap();
        assert_eq!(pb::Hello::from(there), hello());
    }

    #[test]
    fn hello_is_bounded() {
        let changed = |change: fn(&mut pb::Hello)| {
            let mut hello = hello();
            change(&mut hello);
            Hello::try_from(hello).unwrap_err()
        };
        assert_eq!(changed(|h| h.node_id.clear()), Error::Missing("node_id"));
        assert!(matches!(
            changed(|h| h.udp_port = 70_000),
            Error::Invalid {
                field: "udp_port",
                ..
            }
        ));
        assert!(matches!(
            changed(|h| h.public_host = "a/b".into()),
            Error::Invalid { .. }
        ));
        assert!(matches!(
            changed(|h| h.version = "v".repeat(256)),
            Error::TooLong { .. }
        ));
        assert!(matches!(
            changed(|h| h.held = vec![pb::HeldLease::default(); SESSIONS_MAX + 1]),
            Error::TooLong { field: "held", .. }
        ));
    }

    #[test]
    fn heartbeat_comes_back_as_it_went_and_refuses_nonsense() {
        let beat = pb::Heartbeat {
            boot_id: "b".into(),
            publishing_session_ids: vec!["ses_1".into()],
            held_session_ids: vec!["ses_1".into(), "ses_2".into()],
            data_thread_load_ratio: 0.5,
            traffic: vec![pb::SessionTraffic {
                session_id: "ses_1".into(),
                ingress_bytes: 1,
                egress_bytes: 2,
                pulled: true,
                publisher_rtt_us: 40_000,
            }],
            ..Default::default()
        };
        assert_eq!(
            pb::Heartbeat::from(Heartbeat::try_from(beat.clone()).unwrap()),
            beat
        );
        let nonsense = pb::Heartbeat {
            data_thread_load_ratio: f64::NAN,
            ..beat
        };
        assert!(Heartbeat::try_from(nonsense).is_err());
    }

    #[test]
    fn every_kind_of_event_comes_back_as_it_went() {
        for kind in SessionEventKind::ALL {
            assert_eq!(
                SessionEventKind::try_from(pb::SessionEventKind::from(*kind)),
                Ok(*kind)
            );
        }
    }
}
