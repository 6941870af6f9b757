//! Whether a node is heard, trusted and well: observed, with hysteresis.
//!
//! ```text
//!            Hello                well for the probation        6 of the last 12
//!   new ──────────────▶ probation ──────────────────▶ active ─────────────────▶ degraded
//!                         ▲   │                        │  ▲    looks strained     │  │
//!                         │   │ silent                 │  └──────────────────────┘  │
//!        heard, untrusted │   ▼                        ▼    at most 1 of the last 12 │
//!                         └─ offline ◀─────────────────┴─────────────────────────────┘
//!                               └──▶ active or degraded, as it was: heard again, trusted
//! ```
//! A look is one heartbeat, or what came instead of one. Strain is counted before trust and
//! through silence, so that a node which comes and goes is found degraded and not new.
//! What the operator wants is not known here, see [`standing`](crate::standing).

use std::time::Duration;

use model::UnixMillis;
use model::node::NodeHealth;
use serde::{Deserialize, Serialize};

/// Looks that are remembered.
pub const LOOKS: u32 = 12;
/// So many strained ones degrade a node.
pub const STRAINED_MAX: u32 = 6;
/// So many are forgiven when it recovers.
pub const STRAINED_WELL: u32 = 1;
/// One silence is no more looks than this: the control plane's own stall, which every node
/// shares, degrades none.
pub const SILENT_LOOKS_MAX: u32 = 3;
/// The share of a core from which on the data thread is overloaded: what is left carries a
/// burst.
const LOAD_RATIO_MAX: f64 = 0.85;

/// What makes a look strained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strain {
    /// The data thread has next to no time left.
    Overloaded,
    /// Heartbeats did not come when they should.
    HeartbeatsMissed,
    /// It could not follow a directive.
    DirectiveRefused,
    /// Its stream to the control plane broke.
    ConnectionLost,
}

impl Strain {
    /// Its word in reasons.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::HeartbeatsMissed => "heartbeats_missed",
            Self::DirectiveRefused => "directive_refused",
            Self::ConnectionLost => "connection_lost",
        }
    }
}

/// What one heartbeat shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signs {
    /// Share of one core that the data thread uses, 0 to 1.
    pub load_ratio: f64,
    /// Heartbeats that should have come since the last one.
    pub missed: u32,
    /// Whether it refused a directive since the last one.
    pub refused_directive: bool,
}

impl Signs {
    fn strain(&self) -> Option<Strain> {
        // A ratio that is no number is no good sign.
        let is_at_ease = self.load_ratio < LOAD_RATIO_MAX;
        if !is_at_ease {
            Some(Strain::Overloaded)
        } else if self.refused_directive {
            Some(Strain::DirectiveRefused)
        } else {
            None
        }
    }
}

/// What is learnt of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence {
    /// It opened its stream.
    Connected,
    /// It gave a sign of life.
    Heartbeat(Signs),
    /// It was not heard in time.
    Silent,
    /// The operator lets it back in, and it has to earn trust again.
    Distrusted,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Presence {
    #[default]
    Never,
    Here,
    Away,
}

/// What was observed of a node. Plain data: whoever keeps it stores it whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vitals {
    presence: Presence,
    /// Whether its probation is over.
    is_trusted: bool,
    /// Since when it has been on probation and well.
    probation_since: Option<UnixMillis>,
    is_degraded: bool,
    /// The last looks, the newest in the lowest bit: set is strained.
    looks: u16,
    /// What strained it last.
    strain: Option<Strain>,
    /// How often it had to earn trust again.
    doubts: u32,
}

impl Vitals {
    /// A node that needs no probation, such as an installation's own.
    #[must_use]
    pub fn trusted() -> Self {
        Self {
            is_trusted: true,
            ..Self::default()
        }
    }

    /// What is known of a node whose vitals nobody kept: it was trusted.
    #[must_use]
    pub fn of(health: NodeHealth) -> Self {
        let presence = match health {
            NodeHealth::New => return Self::default(),
            NodeHealth::Offline => Presence::Away,
            _ => Presence::Here,
        };
        Self {
            presence,
            ..Self::trusted()
        }
    }

    /// What the node is found to be.
    #[must_use]
    pub const fn health(&self) -> NodeHealth {
        match self.presence {
            Presence::Never => NodeHealth::New,
            Presence::Away => NodeHealth::Offline,
            Presence::Here if !self.is_trusted => NodeHealth::Probation,
            Presence::Here if self.is_degraded => NodeHealth::Degraded,
            Presence::Here => NodeHealth::Active,
        }
    }

    /// Why it is found so.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.health() {
            NodeHealth::New => "never_connected",
            NodeHealth::Offline => "silent",
            NodeHealth::Probation => "not_trusted_yet",
            NodeHealth::Degraded => self.strain.map_or("strained", Strain::as_str),
            NodeHealth::Active => "well",
        }
    }

    /// Strained looks among the last [`LOOKS`].
    #[must_use]
    pub const fn strained(&self) -> u32 {
        self.looks.count_ones()
    }

    /// Takes what was learnt. A node is on probation until it was well for `probation`.
    pub fn take(&mut self, evidence: Evidence, probation: Duration, now: UnixMillis) {
        match evidence {
            Evidence::Connected => self.connected(now),
            Evidence::Heartbeat(signs) => self.heard(&signs, now),
            Evidence::Silent => self.silent(),
            Evidence::Distrusted => self.distrusted(self.doubts.wrapping_add(1), now),
        }
        self.trust(probation, now);
    }

    /// Takes over what others wrote of the node while it was looked at here: that it has to
    /// earn trust again.
    pub const fn heed(&mut self, written: &Self, now: UnixMillis) {
        if written.doubts != self.doubts {
            self.distrusted(written.doubts, now);
        }
    }

    const fn distrusted(&mut self, doubts: u32, now: UnixMillis) {
        self.doubts = doubts;
        self.is_trusted = false;
        self.probation_since = Some(now);
    }

    fn connected(&mut self, now: UnixMillis) {
        match self.presence {
            Presence::Never => self.probation_since = Some(now),
            Presence::Here => self.strained_looks(Strain::ConnectionLost, 1, now),
            Presence::Away => self.returned(now),
        }
        self.presence = Presence::Here;
    }

    fn heard(&mut self, signs: &Signs, now: UnixMillis) {
        if self.presence == Presence::Away {
            self.returned(now);
        }
        self.presence = Presence::Here;
        if signs.missed > 0 {
            self.strained_looks(Strain::HeartbeatsMissed, signs.missed, now);
        }
        match signs.strain() {
            Some(strain) => self.strained_looks(strain, 1, now),
            None => self.look(false),
        }
    }

    /// What is not known of a node is no silence of it.
    fn silent(&mut self) {
        if self.presence == Presence::Here {
            self.presence = Presence::Away;
        }
    }

    fn returned(&mut self, now: UnixMillis) {
        self.strained_looks(Strain::ConnectionLost, SILENT_LOOKS_MAX, now);
    }

    fn strained_looks(&mut self, strain: Strain, looks: u32, now: UnixMillis) {
        self.strain = Some(strain);
        self.probation_since = Some(now);
        for _ in 0..looks.min(SILENT_LOOKS_MAX) {
            self.look(true);
        }
    }

    fn look(&mut self, is_strained: bool) {
        self.looks = (self.looks << 1 | u16::from(is_strained)) & ((1 << LOOKS) - 1);
        self.is_degraded = if self.is_degraded {
            self.strained() > STRAINED_WELL
        } else {
            self.strained() >= STRAINED_MAX
        };
    }

    fn trust(&mut self, probation: Duration, now: UnixMillis) {
        let is_over = self
            .probation_since
            .is_some_and(|since| now.since(since) >= probation);
        if self.presence == Presence::Here && !self.is_trusted && is_over {
            self.is_trusted = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBATION: Duration = Duration::from_secs(60);

    fn beats(vitals: &mut Vitals, signs: Signs, count: u32) -> NodeHealth {
        for _ in 0..count {
            vitals.take(Evidence::Heartbeat(signs), PROBATION, UnixMillis(0));
        }
        vitals.health()
    }

    const WELL: Signs = Signs {
        load_ratio: 0.5,
        missed: 0,
        refused_directive: false,
    };
    const OVERLOADED: Signs = Signs {
        load_ratio: 0.9,
        ..WELL
    };

    #[test]
    fn a_new_node_is_trusted_after_it_was_well_for_its_probation() {
        let mut vitals = Vitals::default();
        let mut at = |evidence, seconds: i64| {
            vitals.take(evidence, PROBATION, UnixMillis(seconds * 1000));
            vitals.health()
        };
        assert_eq!(at(Evidence::Connected, 100), NodeHealth::Probation);
        assert_eq!(at(Evidence::Heartbeat(WELL), 159), NodeHealth::Probation);
        assert_eq!(
            at(Evidence::Heartbeat(OVERLOADED), 160),
            NodeHealth::Probation
        );
        assert_eq!(at(Evidence::Heartbeat(WELL), 219), NodeHealth::Probation);
        assert_eq!(at(Evidence::Heartbeat(WELL), 220), NodeHealth::Active);
        assert_eq!(at(Evidence::Distrusted, 221), NodeHealth::Probation);
        assert_eq!(at(Evidence::Heartbeat(WELL), 281), NodeHealth::Active);
    }

    #[test]
    fn without_a_probation_and_when_trusted_a_node_is_active_at_once() {
        let mut fresh = Vitals::default();
        fresh.take(Evidence::Connected, Duration::ZERO, UnixMillis(5));
        assert_eq!(fresh.health(), NodeHealth::Active);
        let mut own = Vitals::trusted();
        assert_eq!(own.health(), NodeHealth::New);
        own.take(Evidence::Connected, PROBATION, UnixMillis(5));
        assert_eq!(own.health(), NodeHealth::Active);
    }

    #[test]
    fn it_degrades_at_six_of_twelve_and_recovers_at_one() {
        let mut vitals = Vitals::of(NodeHealth::Active);
        assert_eq!(beats(&mut vitals, OVERLOADED, 5), NodeHealth::Active);
        assert_eq!(beats(&mut vitals, WELL, 6), NodeHealth::Active);
        assert_eq!(beats(&mut vitals, OVERLOADED, 1), NodeHealth::Degraded);
        assert_eq!(vitals.reason(), "overloaded");
        assert_eq!(beats(&mut vitals, WELL, 4), NodeHealth::Degraded);
        assert_eq!(beats(&mut vitals, WELL, 1), NodeHealth::Active);
    }

    #[test]
    fn each_sign_strains() {
        let signs = [
            OVERLOADED,
            Signs {
                load_ratio: f64::NAN,
                ..WELL
            },
            Signs {
                refused_directive: true,
                ..WELL
            },
            Signs { missed: 1, ..WELL },
        ];
        for signs in signs {
            let mut vitals = Vitals::of(NodeHealth::Active);
            assert_eq!(
                beats(&mut vitals, signs, 12),
                NodeHealth::Degraded,
                "{signs:?}"
            );
        }
    }

    #[test]
    fn one_silence_degrades_nobody_and_two_close_together_do() {
        let mut vitals = Vitals::of(NodeHealth::Active);
        let stall = Signs {
            missed: 1000,
            ..WELL
        };
        assert_eq!(beats(&mut vitals, stall, 1), NodeHealth::Active);
        assert_eq!(beats(&mut vitals, WELL, 12), NodeHealth::Active);
        let silence = |vitals: &mut Vitals| {
            vitals.take(Evidence::Silent, PROBATION, UnixMillis(0));
            assert_eq!(vitals.health(), NodeHealth::Offline);
            vitals.take(Evidence::Connected, PROBATION, UnixMillis(0));
            vitals.health()
        };
        assert_eq!(silence(&mut vitals), NodeHealth::Active);
        assert_eq!(silence(&mut vitals), NodeHealth::Degraded);
        assert_eq!(vitals.reason(), "connection_lost");
    }

    #[test]
    fn what_others_wrote_meanwhile_is_heeded_once() {
        let mut here = Vitals::of(NodeHealth::Active);
        let mut written = here.clone();
        written.take(Evidence::Distrusted, PROBATION, UnixMillis(0));
        here.heed(&written, UnixMillis(0));
        assert_eq!(here.health(), NodeHealth::Probation);
        let late = UnixMillis(60_000);
        here.take(Evidence::Heartbeat(WELL), PROBATION, late);
        let mut written = here.clone();
        written.take(Evidence::Heartbeat(WELL), PROBATION, late);
        here.heed(&written, late);
        assert_eq!(here.health(), NodeHealth::Active);
    }

    #[test]
    fn a_node_that_never_came_is_not_silent() {
        let mut vitals = Vitals::default();
        vitals.take(Evidence::Silent, PROBATION, UnixMillis(0));
        assert_eq!(vitals.health(), NodeHealth::New);
    }
}
