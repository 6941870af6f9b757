//! What a provider offers for a node's traffic: how much, counted how, and what happens
//! when it is used up.
//!
//! The offer belongs to a plan at a location, not to a provider: the same company sells
//! 2 TB a day with a floor of 200 Mbit/s in one city and 2 TB a month with a floor of
//! 5 Mbit/s in another.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::counter::Traffic;
use crate::window::{Anchor, time_zone};

/// A terabyte as providers sell it, bytes.
pub const TERABYTE: f64 = 1e12;

/// The rate that a port is filled to at most, of its speed: what is above is for bursts
/// and retransmissions.
const PORT_FILL_MAX: f64 = 0.7;
/// Likewise of a throttled port's floor, which is enforced sharply.
const FLOOR_FILL_MAX: f64 = 0.75;
/// Beyond this of a floor, sessions move away.
const FLOOR_SHED: f64 = 0.85;
/// Speeds, bits a second: up to 10 Tbit/s.
const BPS_MAX: u64 = 10_000_000_000_000;
/// Amounts, bytes: up to an exabyte.
const BYTES_MAX: u64 = 1_000_000_000_000_000_000;
const PRICE_MAX: f64 = 1e9;
const ROLLING_HOURS_MAX: u16 = 24 * 31;

/// A node's traffic offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandwidthPolicy {
    /// How much there is.
    pub allowance: Allowance,
    /// Which bytes the provider counts.
    #[serde(default)]
    pub counts: Counts,
    /// What happens when the allowance is used up.
    #[serde(default)]
    pub after: After,
    /// How well all this is known.
    #[serde(default)]
    pub confidence: Confidence,
    /// The port's speed in each direction, bits a second.
    pub port_bps: u64,
    /// What the node costs a month whether used or not, in the operator's currency.
    #[serde(default)]
    pub price_per_month: f64,
    /// Bytes that the provider counts for each byte of UDP payload: headers, and what
    /// else the machine sends.
    #[serde(default = "default_overhead_ratio")]
    pub overhead_ratio: f64,
    /// Whether something shares the node that must not go down with its allowance, such as
    /// the control plane. Doubles what is kept back.
    #[serde(default)]
    pub co_located: bool,
}

/// How much traffic there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Allowance {
    /// So many bytes each calendar month, counted from the anchor.
    MonthlyCap {
        /// Bytes a month.
        limit_bytes: u64,
        /// When the month begins.
        #[serde(default)]
        anchor: Anchor,
    },
    /// So many bytes in any span of so many hours.
    RollingCap {
        /// Bytes in the span.
        limit_bytes: u64,
        /// The span.
        hours: u16,
    },
    /// No stated limit, but a rate beyond which the provider takes notice.
    FairShare {
        /// That rate for each GiB of the node's memory, bits a second.
        bps_per_gib: u64,
        /// The node's memory, GiB.
        gib: f64,
        /// For how long twice that rate goes unnoticed: the depth of the bucket.
        #[serde(default = "default_burst_hours")]
        burst_hours: f64,
    },
    /// No limit.
    Unmetered {},
    /// Every byte beyond the free ones costs.
    Metered {
        /// Free bytes a month.
        #[serde(default)]
        free_bytes: u64,
        /// Price of a terabyte (10^12 bytes) beyond them, in the operator's currency.
        price_per_tb: f64,
        /// Bytes a month beyond which the operator will not pay; none: no limit.
        #[serde(default)]
        budget_bytes: Option<u64>,
        /// When the month begins.
        #[serde(default)]
        anchor: Anchor,
    },
    /// Billed by the rate that 95 of 100 five-minute intervals of the month stay below.
    Percentile95 {
        /// The rate that is paid for anyway, bits a second.
        commit_bps: u64,
        /// Price of each Mbit/s above it for the month, in the operator's currency.
        price_per_mbps: f64,
        /// When the month begins.
        #[serde(default)]
        anchor: Anchor,
    },
}

/// Which bytes the provider counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// What the node sends.
    Egress,
    /// What the node receives.
    Ingress,
    /// Both; the careful assumption when nothing is said.
    #[default]
    Sum,
    /// The larger of both.
    Max,
}

/// What happens when the allowance is used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum After {
    /// The port runs at this speed until the window ends or enough has rolled off.
    Floor {
        /// Bits a second in each direction.
        floor_bps: u64,
    },
    /// The node is cut off; the careful assumption when nothing is said.
    #[default]
    Suspend,
    /// Each further terabyte (10^12 bytes) is billed.
    Bill {
        /// In the operator's currency.
        price_per_tb: f64,
    },
    /// The port is slow until a human has asked the provider to lift it.
    SupportTicket {
        /// Bits a second in each direction until then.
        #[serde(default)]
        floor_bps: u64,
    },
}

/// How well an offer is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The provider says so in writing.
    #[default]
    Documented,
    /// Somebody tried it.
    Measured,
    /// Hearsay. Makes a node dear early, and closes no gate by itself.
    Rumour,
}

/// Why an offer is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidPolicy {
    /// Where.
    pub field: &'static str,
    /// What is expected there.
    pub problem: &'static str,
}

impl Counts {
    /// The counted bytes of what went through. `Max` is taken step by step, so over a
    /// window in which both directions lead in turn it counts more than the provider.
    #[must_use]
    pub fn of(self, traffic: Traffic) -> u64 {
        let Traffic {
            ingress_bytes: ingress,
            egress_bytes: egress,
        } = traffic;
        match self {
            Self::Egress => egress,
            Self::Ingress => ingress,
            Self::Sum => ingress.saturating_add(egress),
            Self::Max => ingress.max(egress),
        }
    }
}

impl Confidence {
    /// The share of an allowance that is planned with.
    #[must_use]
    pub const fn trusted_ratio(self) -> f64 {
        match self {
            Self::Documented => 0.95,
            Self::Measured => 0.9,
            Self::Rumour => 0.6,
        }
    }
}

impl After {
    /// What the port still carries when the allowance is used up, bits a second.
    #[must_use]
    pub const fn floor_bps(self) -> u64 {
        match self {
            Self::Floor { floor_bps } | Self::SupportTicket { floor_bps } => floor_bps,
            Self::Suspend | Self::Bill { .. } => 0,
        }
    }
}

impl BandwidthPolicy {
    /// An offer without a limit.
    #[must_use]
    pub fn unmetered(port_bps: u64) -> Self {
        Self {
            allowance: Allowance::Unmetered {},
            counts: Counts::default(),
            after: After::default(),
            confidence: Confidence::default(),
            port_bps,
            price_per_month: 0.0,
            overhead_ratio: default_overhead_ratio(),
            co_located: false,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        check_bps("port_bps", self.port_bps)?;
        check_price("price_per_month", self.price_per_month)?;
        let overhead = (1.0..=2.0).contains(&self.overhead_ratio);
        expect(overhead, "overhead_ratio", "expected 1 to 2")?;
        match self.after {
            After::Bill { price_per_tb } => check_price("after.price_per_tb", price_per_tb)?,
            After::Floor { floor_bps } => check_bps("after.floor_bps", floor_bps)?,
            After::Suspend | After::SupportTicket { .. } => {}
        }
        self.allowance.check()
    }

    /// The share of the allowance that is planned with: what is kept back covers what the
    /// provider counts and we do not.
    #[must_use]
    pub fn usable_ratio(&self) -> f64 {
        let kept_back = 1.0 - self.confidence.trusted_ratio();
        1.0 - kept_back * if self.co_located { 2.0 } else { 1.0 }
    }

    /// The most that may be placed on the port, bits a second in its busier direction.
    #[must_use]
    pub fn port_usable_bps(&self) -> f64 {
        self.port_bps as f64 * PORT_FILL_MAX
    }

    /// Likewise when the allowance is used up.
    #[must_use]
    pub fn floor_usable_bps(&self) -> f64 {
        self.after.floor_bps().min(self.port_bps) as f64 * FLOOR_FILL_MAX
    }

    /// Beyond this, sessions leave a throttled port, bits a second.
    #[must_use]
    pub fn floor_shed_bps(&self) -> f64 {
        self.after.floor_bps().min(self.port_bps) as f64 * FLOOR_SHED
    }

    /// The bytes that nobody should go beyond, if there are such.
    #[must_use]
    pub const fn limit_bytes(&self) -> Option<u64> {
        match (&self.allowance, self.after) {
            (Allowance::MonthlyCap { .. } | Allowance::RollingCap { .. }, After::Bill { .. }) => {
                None
            }
            (
                Allowance::MonthlyCap { limit_bytes, .. }
                | Allowance::RollingCap { limit_bytes, .. },
                _,
            ) => Some(*limit_bytes),
            (Allowance::Metered { budget_bytes, .. }, _) => *budget_bytes,
            _ => None,
        }
    }

    /// What bytes cost: so many are free, each terabyte beyond has this price.
    #[must_use]
    pub const fn tariff(&self) -> Option<Tariff> {
        match (&self.allowance, self.after) {
            (
                Allowance::Metered {
                    free_bytes,
                    price_per_tb,
                    ..
                },
                _,
            ) => Some(Tariff {
                free_bytes: *free_bytes,
                price_per_tb: *price_per_tb,
            }),
            (
                Allowance::MonthlyCap { limit_bytes, .. }
                | Allowance::RollingCap { limit_bytes, .. },
                After::Bill { price_per_tb },
            ) => Some(Tariff {
                free_bytes: *limit_bytes,
                price_per_tb,
            }),
            _ => None,
        }
    }
}

/// What bytes cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tariff {
    /// So many cost nothing.
    pub free_bytes: u64,
    /// Each terabyte beyond them, in the operator's currency.
    pub price_per_tb: f64,
}

impl Allowance {
    fn check(&self) -> Result<(), InvalidPolicy> {
        match self {
            Self::MonthlyCap { limit_bytes, .. } => check_bytes(*limit_bytes)?,
            Self::RollingCap { limit_bytes, hours } => {
                check_bytes(*limit_bytes)?;
                let fits = (1..=ROLLING_HOURS_MAX).contains(hours);
                expect(fits, "allowance.hours", "expected 1 to 744")?;
            }
            Self::FairShare {
                bps_per_gib,
                gib,
                burst_hours,
            } => {
                check_bps("allowance.bps_per_gib", *bps_per_gib)?;
                let fits = (0.1..=10_000.0).contains(gib);
                expect(fits, "allowance.gib", "expected 0.1 to 10000")?;
                let fits = (0.1..=744.0).contains(burst_hours);
                expect(fits, "allowance.burst_hours", "expected 0.1 to 744")?;
            }
            Self::Unmetered {} => {}
            Self::Metered {
                price_per_tb,
                budget_bytes,
                ..
            } => {
                check_price("allowance.price_per_tb", *price_per_tb)?;
                budget_bytes.map_or(Ok(()), check_bytes)?;
            }
            Self::Percentile95 {
                commit_bps,
                price_per_mbps,
                ..
            } => {
                check_bps("allowance.commit_bps", *commit_bps)?;
                check_price("allowance.price_per_mbps", *price_per_mbps)?;
            }
        }
        self.anchor().map_or(Ok(()), check_anchor)
    }

    /// Where a month begins, if the allowance has months.
    #[must_use]
    pub const fn anchor(&self) -> Option<&Anchor> {
        match self {
            Self::MonthlyCap { anchor, .. }
            | Self::Metered { anchor, .. }
            | Self::Percentile95 { anchor, .. } => Some(anchor),
            Self::RollingCap { .. } | Self::FairShare { .. } | Self::Unmetered {} => None,
        }
    }
}

fn check_anchor(anchor: &Anchor) -> Result<(), InvalidPolicy> {
    expect(
        (1..=31).contains(&anchor.day),
        "allowance.anchor.day",
        "expected 1 to 31",
    )?;
    let known: Option<TimeZone> = time_zone(&anchor.time_zone);
    expect(
        known.is_some(),
        "allowance.anchor.time_zone",
        "expected an IANA name such as UTC or Europe/Berlin",
    )
}

fn check_bps(field: &'static str, bps: u64) -> Result<(), InvalidPolicy> {
    expect(
        (1..=BPS_MAX).contains(&bps),
        field,
        "expected 1 to 10^13 bits a second",
    )
}

fn check_bytes(bytes: u64) -> Result<(), InvalidPolicy> {
    expect(
        (1..=BYTES_MAX).contains(&bytes),
        "allowance.limit_bytes",
        "expected 1 to 10^18 bytes",
    )
}

fn check_price(field: &'static str, price: f64) -> Result<(), InvalidPolicy> {
    expect(
        (0.0..=PRICE_MAX).contains(&price),
        field,
        "expected 0 to 10^9",
    )
}

fn expect(holds: bool, field: &'static str, problem: &'static str) -> Result<(), InvalidPolicy> {
    if holds {
        Ok(())
    } else {
        Err(InvalidPolicy { field, problem })
    }
}

/// 28 bytes of UDP and IPv4 headers on a packet of 1332, and ACKs.
const fn default_overhead_ratio() -> f64 {
    1.03
}

const fn default_burst_hours() -> f64 {
    6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_file_reads_as_it_is_documented() {
        let text = r#"
            port_bps = 1_000_000_000
            counts = "egress"
            price_per_month = 8.0
            co_located = true
            [allowance]
            kind = "monthly_cap"
            limit_bytes = 32_000_000_000_000
            anchor = { day = 20, time_zone = "America/Chicago" }
            [after]
            kind = "floor"
            floor_bps = 1_000_000
        "#;
        let policy: BandwidthPolicy = toml::from_str(text).unwrap();
        assert_eq!(policy.check(), Ok(()));
        assert_eq!(policy.limit_bytes(), Some(32_000_000_000_000));
        assert_eq!(policy.allowance.anchor().unwrap().day, 20);
        assert!((policy.usable_ratio() - 0.9).abs() < 1e-9);
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(
            serde_json::from_str::<BandwidthPolicy>(&json).unwrap(),
            policy
        );
    }

    #[test]
    fn a_misspelt_field_is_an_error_wherever_it_is() {
        let wrong = [
            r#"{"port_bps":1,"allowance":{"kind":"unmetered"},"ports":2}"#,
            r#"{"port_bps":1,"allowance":{"kind":"monthly_cap","limit":2}}"#,
            r#"{"port_bps":1,"allowance":{"kind":"unmetered"},"after":{"kind":"floor","bps":2}}"#,
            r#"{"port_bps":1,"allowance":{"kind":"endless"}}"#,
        ];
        for text in wrong {
            assert!(
                serde_json::from_str::<BandwidthPolicy>(text).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_named() {
        let base = BandwidthPolicy::unmetered(1_000_000_000);
        let monthly = |limit_bytes, day, zone: &str| BandwidthPolicy {
            allowance: Allowance::MonthlyCap {
                limit_bytes,
                anchor: Anchor {
                    day,
                    time_zone: zone.into(),
                },
            },
            ..base.clone()
        };
        let cases = [
            (
                BandwidthPolicy {
                    port_bps: 0,
                    ..base.clone()
                },
                "port_bps",
            ),
            (
                BandwidthPolicy {
                    price_per_month: f64::NAN,
                    ..base.clone()
                },
                "price_per_month",
            ),
            (
                BandwidthPolicy {
                    overhead_ratio: 0.5,
                    ..base.clone()
                },
                "overhead_ratio",
            ),
            (monthly(0, 1, "UTC"), "allowance.limit_bytes"),
            (monthly(1, 32, "UTC"), "allowance.anchor.day"),
            (monthly(1, 1, "Mars/Crater"), "allowance.anchor.time_zone"),
        ];
        for (policy, field) in cases {
            assert_eq!(policy.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn a_billed_cap_is_a_tariff_and_no_limit() {
        let policy = BandwidthPolicy {
            allowance: Allowance::MonthlyCap {
                limit_bytes: 7,
                anchor: Anchor::default(),
            },
            after: After::Bill { price_per_tb: 2.0 },
            ..BandwidthPolicy::unmetered(1)
        };
        assert_eq!(policy.limit_bytes(), None);
        assert_eq!(policy.tariff().unwrap().free_bytes, 7);
    }
}
