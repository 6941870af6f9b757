//! Whether a node can be called from outside: probed, with hysteresis.
//!
//! A node that is heard may still be out of reach: a firewall, a wrong address, a provider that
//! filters UDP. Nobody but a caller finds that out, and one that found nobody proves little.

use model::node::NodeHealth;
use serde::{Deserialize, Serialize};

/// Probes that are remembered.
pub const PROBES: u32 = 5;
/// So many without an answer put a node out of reach.
pub const UNANSWERED_MAX: u32 = 3;
/// So many are forgiven when it is back.
pub const UNANSWERED_WELL: u32 = 1;

/// What the reason is called.
pub const UNREACHABLE: &str = "unreachable";

/// The last probes of a node. Plain data: whoever keeps it stores it whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    /// The newest in the lowest bit: set is unanswered.
    probes: u8,
    is_lost: bool,
}

impl Reach {
    /// Takes what a probe came to. Out of reach is what [`UNANSWERED_MAX`] of the last
    /// [`PROBES`] did not reach, until at most [`UNANSWERED_WELL`] of them did not.
    pub const fn take(&mut self, is_answered: bool) {
        self.probes = (self.probes << 1 | !is_answered as u8) & ((1 << PROBES) - 1);
        self.is_lost = if self.is_lost {
            self.unanswered() > UNANSWERED_WELL
        } else {
            self.unanswered() >= UNANSWERED_MAX
        };
    }

    /// How many of the last [`PROBES`] were not answered.
    #[must_use]
    pub const fn unanswered(&self) -> u32 {
        self.probes.count_ones()
    }

    /// Whether callers find the node. One that nobody probed is believed to be there.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        !self.is_lost
    }
}

/// What a node is found to be by its own word and by callers'.
#[must_use]
pub const fn health(heard: NodeHealth, is_reachable: bool) -> NodeHealth {
    match heard {
        NodeHealth::Active if !is_reachable => NodeHealth::Degraded,
        heard => heard,
    }
}

/// Why: `heard` is the reason of what it says itself.
#[must_use]
pub const fn reason(health: NodeHealth, is_reachable: bool, heard: &'static str) -> &'static str {
    match health {
        NodeHealth::Degraded if !is_reachable => UNREACHABLE,
        _ => heard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(probes: &str) -> Reach {
        let mut reach = Reach::default();
        for probe in probes.chars() {
            reach.take(probe == '+');
        }
        reach
    }

    #[test]
    fn three_of_five_lose_a_node_and_one_of_five_is_forgiven() {
        for (probes, is_reachable) in [
            ("", true),
            ("--", true),
            ("-+-", true),
            ("---", false),
            ("-+-+-", false),
            ("--+++-", true),
            ("---+++", false),
            ("---++++", true),
            ("---+++-", false),
            ("---+++-+", true),
        ] {
            assert_eq!(after(probes).is_reachable(), is_reachable, "{probes:?}");
        }
    }

    #[test]
    fn only_who_would_be_active_is_degraded_by_it() {
        use NodeHealth::{Active, Degraded, New, Offline, Probation};
        for heard in [New, Probation, Degraded, Offline] {
            assert_eq!(health(heard, false), heard);
        }
        assert_eq!(health(Active, true), Active);
        assert_eq!(health(Active, false), Degraded);
        assert_eq!(reason(Degraded, false, "well"), "unreachable");
        assert_eq!(reason(Degraded, true, "overloaded"), "overloaded");
        assert_eq!(
            reason(Probation, false, "not_trusted_yet"),
            "not_trusted_yet"
        );
    }

    #[test]
    fn it_is_kept_as_it_is() {
        let reach = after("+--");
        let text = serde_json::to_string(&reach).unwrap();
        assert_eq!(serde_json::from_str::<Reach>(&text).unwrap(), reach);
        assert_eq!(
            serde_json::from_str::<Reach>("{}").unwrap(),
            Reach::default()
        );
    }
}
