//! Whether a provider lets a node's traffic through: open, throttled or exhausted.
//!
//! ```text
//!          used ≥ limit, three looks                floor carries a stream?
//!   open ───────────────────────────▶ throttled (yes) or exhausted (no)
//!     ▲                                        │
//!     └── room again, three looks ◀────────────┘   (after `support_ticket`: a human says so)
//! ```

use serde::{Deserialize, Serialize};

use crate::policy::{After, BandwidthPolicy, Confidence};
use crate::window::Window;

/// Looks in a row that must agree before the state changes.
const LOOKS: u8 = 3;
/// A restriction ends when so much of the limit is used at most.
const REOPEN_RATIO: f64 = 0.95;
/// The least a floor must carry to be of use: one stream in and out, bits a second.
const FLOOR_USEFUL_BPS: f64 = 8_000_000.0;

/// What a provider does to a node that used up its allowance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restriction {
    /// Nothing.
    #[default]
    Open,
    /// The port is slow, but fast enough for streams.
    Throttled,
    /// The port carries no stream.
    Exhausted,
}

impl Restriction {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Throttled => "throttled",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A node's restriction, with its hysteresis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    restriction: Restriction,
    /// Looks in a row that spoke for a change.
    looks: u8,
    /// The month in which it closed.
    month: Option<Window>,
}

impl Gate {
    /// An open gate.
    pub const OPEN: Self = Self {
        restriction: Restriction::Open,
        looks: 0,
        month: None,
    };

    /// A gate that somebody says is restricted: `throttled` or `exhausted` follows from the
    /// offer's floor.
    #[must_use]
    pub fn restricted(policy: &BandwidthPolicy, month: Option<Window>) -> Self {
        Self {
            restriction: when_used_up(policy),
            looks: 0,
            month,
        }
    }

    /// The restriction.
    #[must_use]
    pub const fn restriction(&self) -> Restriction {
        self.restriction
    }

    /// Looks at what was used. `month` is the current one, if the allowance has months.
    pub fn look(&mut self, policy: &BandwidthPolicy, used_bytes: u64, month: Option<Window>) {
        let speaks_for_change = match self.restriction {
            Restriction::Open => closes(policy, used_bytes),
            _ => self.reopens(policy, used_bytes, month),
        };
        if !speaks_for_change {
            self.looks = 0;
            return;
        }
        self.looks += 1;
        if self.looks >= LOOKS {
            *self = match self.restriction {
                Restriction::Open => Self::restricted(policy, month),
                _ => Self::OPEN,
            };
        }
    }

    fn reopens(&self, policy: &BandwidthPolicy, used_bytes: u64, month: Option<Window>) -> bool {
        if matches!(policy.after, After::SupportTicket { .. }) {
            return false;
        }
        let Some(limit) = policy.limit_bytes() else {
            return true;
        };
        let is_new_month = month.is_some() && month != self.month;
        is_new_month || (used_bytes as f64) < limit as f64 * REOPEN_RATIO
    }
}

/// Hearsay closes no gate.
fn closes(policy: &BandwidthPolicy, used_bytes: u64) -> bool {
    let is_known = policy.confidence != Confidence::Rumour;
    is_known
        && policy
            .limit_bytes()
            .is_some_and(|limit| used_bytes >= limit)
}

fn when_used_up(policy: &BandwidthPolicy) -> Restriction {
    if policy.floor_usable_bps() >= FLOOR_USEFUL_BPS {
        Restriction::Throttled
    } else {
        Restriction::Exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Allowance;
    use crate::window::Anchor;

    fn capped(after: After) -> BandwidthPolicy {
        BandwidthPolicy {
            allowance: Allowance::MonthlyCap {
                limit_bytes: 1000,
                anchor: Anchor::default(),
            },
            after,
            ..BandwidthPolicy::unmetered(1_000_000_000)
        }
    }

    const fn month(number: i64) -> Option<Window> {
        Some(Window {
            start: model::UnixMillis(number * 100),
            end: model::UnixMillis(number * 100 + 100),
        })
    }

    fn looks(gate: &mut Gate, policy: &BandwidthPolicy, used: &[u64], at: i64) -> Restriction {
        for used in used {
            gate.look(policy, *used, month(at));
        }
        gate.restriction()
    }

    #[test]
    fn it_closes_and_opens_on_the_third_look_that_agrees() {
        let policy = capped(After::Floor {
            floor_bps: 200_000_000,
        });
        let mut gate = Gate::OPEN;
        assert_eq!(
            looks(&mut gate, &policy, &[1000, 1000, 900, 1000, 1000], 0),
            Restriction::Open
        );
        assert_eq!(
            looks(&mut gate, &policy, &[1000], 0),
            Restriction::Throttled
        );
        assert_eq!(
            looks(&mut gate, &policy, &[960, 960, 960, 940, 940], 0),
            Restriction::Throttled
        );
        assert_eq!(looks(&mut gate, &policy, &[940], 0), Restriction::Open);
    }

    #[test]
    fn a_floor_that_carries_no_stream_is_exhaustion_until_the_next_month() {
        let policy = capped(After::Floor {
            floor_bps: 5_000_000,
        });
        let mut gate = Gate::OPEN;
        assert_eq!(
            looks(&mut gate, &policy, &[1000; 3], 0),
            Restriction::Exhausted
        );
        assert_eq!(
            looks(&mut gate, &policy, &[1000; 9], 0),
            Restriction::Exhausted
        );
        assert_eq!(looks(&mut gate, &policy, &[1000; 3], 1), Restriction::Open);
    }

    #[test]
    fn what_a_ticket_lifts_no_count_lifts() {
        let policy = capped(After::SupportTicket {
            floor_bps: 20_000_000,
        });
        let mut gate = Gate::restricted(&policy, month(0));
        assert_eq!(
            looks(&mut gate, &policy, &[0; 9], 1),
            Restriction::Throttled
        );
    }

    #[test]
    fn hearsay_closes_nothing() {
        let policy = BandwidthPolicy {
            confidence: Confidence::Rumour,
            ..capped(After::Suspend)
        };
        assert_eq!(
            looks(&mut Gate::OPEN.clone(), &policy, &[9999; 9], 0),
            Restriction::Open
        );
    }
}
