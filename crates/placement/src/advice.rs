//! When a region's bytes run out, and what to add.
//!
//! ```text
//! bytes of each day ─▶ demand: the last week's mean, growing as the last weeks did
//! offers, outlooks  ─▶ supply: what flows each day, and stocks that last until windows end
//!                      day after day: flows first, then the stock that is lost soonest
//! ```
//! The unit is a byte of UDP payload in or out, as sessions are counted; an offer that counts
//! one direction only carries twice its number, as a stream with one player does.

use model::{NodeId, Region, UnixMillis};
use serde::Serialize;

use crate::budget::{Outlook, Quota};
use crate::policy::{Allowance, BandwidthPolicy, Counts};

/// How far is looked ahead, days.
pub const AHEAD_DAYS: u32 = 90;
/// The days that growth is taken from, at most and at least.
pub const TREND_DAYS: std::ops::RangeInclusive<usize> = 14..=28;

const LEVEL_DAYS: usize = 7;
const DAY_MS: i64 = 86_400_000;
const MONTH_DAYS: f64 = 365.25 / 12.0;
/// The busiest hour carries so many times the mean: a port must carry that, too.
const PEAK_RATIO: f64 = 2.0;
/// What a day may want beyond its supply before that counts: rounding, not need.
const SLACK_RATIO: f64 = 0.001;

/// A node that is there.
#[derive(Debug, Clone, Copy)]
pub struct Supplier<'a> {
    /// Which.
    pub node_id: &'a NodeId,
    /// Where.
    pub region: &'a Region,
    /// Its offer.
    pub policy: &'a BandwidthPolicy,
    /// Its prospects.
    pub outlook: &'a Outlook,
}

/// What is to come of a region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// Which.
    pub region: Region,
    /// What its streams are expected to move on the next day, bytes in and out.
    pub demand_bytes_per_day: u64,
    /// By how much that grows each day.
    pub growth_bytes_per_day: u64,
    /// What its nodes can move each day for ever.
    pub supply_bytes_per_day: u64,
    /// When something is missing first; none within [`AHEAD_DAYS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_out_at: Option<UnixMillis>,
    /// How much, on the mean of the days on which something is.
    pub missing_bytes_per_day: u64,
    /// What would mend it, of the offers that the fleet has, at the least price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Addition>,
}

/// Nodes to add.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Addition {
    /// The same offer as this node has.
    pub like_node_id: NodeId,
    /// So many.
    pub nodes: u32,
    /// What they cost a month together, in the operator's currency.
    pub price_per_month: f64,
}

/// Advises about one region of a fleet; `days` is what its sessions moved on each of the last
/// days, the oldest first and none left out.
#[must_use]
pub fn advise(region: &Region, fleet: &[Supplier<'_>], days: &[u64], now: UnixMillis) -> Advice {
    let its: Vec<_> = fleet.iter().filter(|it| it.region == region).collect();
    let demand = Demand::of(days);
    let mut stocks: Vec<Stock> = its.iter().filter_map(|it| Stock::of(it)).collect();
    let flow = its.iter().filter(|it| !has_stock(it.outlook));
    let flow: f64 = flow.map(|it| sustained(it.policy)).sum();
    let shortage = shortage(&demand, flow, &mut stocks, now);
    let missing = shortage.map_or(0.0, |it| it.bytes_per_day);
    Advice {
        region: region.clone(),
        demand_bytes_per_day: demand.on(0) as u64,
        growth_bytes_per_day: demand.growth as u64,
        supply_bytes_per_day: its.iter().map(|it| sustained(it.policy)).sum::<f64>() as u64,
        runs_out_at: shortage.map(|it| UnixMillis(now.0 + i64::from(it.day) * DAY_MS)),
        missing_bytes_per_day: missing.ceil() as u64,
        add: shortage.and_then(|_| addition(region, fleet, missing)),
    }
}

/// Bytes a day that an offer carries for ever.
#[must_use]
pub fn sustained(policy: &BandwidthPolicy) -> f64 {
    let of_port = 2.0 * a_day(policy.port_usable_bps()) / PEAK_RATIO;
    let usable = |counted: f64| moved(policy, counted * policy.usable_ratio());
    let of_allowance = match &policy.allowance {
        Allowance::MonthlyCap { .. } | Allowance::Metered { .. } => policy
            .limit_bytes()
            .map(|limit| usable(limit as f64) / MONTH_DAYS),
        Allowance::RollingCap { hours, .. } => policy.limit_bytes().map(|limit| {
            let floor = moved(policy, a_day(policy.floor_usable_bps()));
            floor.max(usable(limit as f64) * 24.0 / f64::from(*hours))
        }),
        Allowance::FairShare {
            bps_per_gib, gib, ..
        } => Some(usable(a_day(*bps_per_gib as f64 * gib))),
        Allowance::Percentile95 { commit_bps, .. } => Some(usable(a_day(*commit_bps as f64))),
        Allowance::Unmetered {} => None,
    };
    of_allowance.map_or(of_port, |it| it.min(of_port))
}

fn a_day(bps: f64) -> f64 {
    bps / 8.0 * 86_400.0
}

/// Payload in and out behind what a provider counts.
fn moved(policy: &BandwidthPolicy, counted: f64) -> f64 {
    let directions = match policy.counts {
        Counts::Sum => 1.0,
        Counts::Egress | Counts::Ingress | Counts::Max => 2.0,
    };
    counted * directions / policy.overhead_ratio
}

/// Bytes a day, growing by so many each day.
#[derive(Debug, Clone, Copy)]
struct Demand {
    level: f64,
    growth: f64,
}

impl Demand {
    fn of(days: &[u64]) -> Self {
        let week = &days[days.len().saturating_sub(LEVEL_DAYS)..];
        let level = week.iter().map(|it| *it as f64).sum::<f64>() / week.len().max(1) as f64;
        let trend = &days[days.len().saturating_sub(*TREND_DAYS.end())..];
        let is_enough = trend.len() >= *TREND_DAYS.start();
        Self {
            level,
            growth: if is_enough {
                slope(trend).max(0.0)
            } else {
                0.0
            },
        }
    }

    /// The mean of the last week was half a week ago.
    fn on(&self, day: u32) -> f64 {
        self.level + self.growth * (f64::from(day) + (LEVEL_DAYS as f64 + 1.0) / 2.0)
    }
}

/// Least squares.
fn slope(days: &[u64]) -> f64 {
    let count = days.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = days.iter().map(|it| *it as f64).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (index, bytes) in days.iter().enumerate() {
        let x = index as f64 - middle;
        above += x * (*bytes as f64 - mean);
        below += x * x;
    }
    above / below
}

/// What a month's allowance has left, until it is given anew.
#[derive(Debug, Clone, Copy)]
struct Stock {
    bytes: f64,
    whole: f64,
    until: UnixMillis,
    /// What the port carries in a day.
    a_day: f64,
}

fn has_stock(outlook: &Outlook) -> bool {
    matches!(&outlook.quota, Quota::Bytes { horizons, .. } if horizons.len() == 1)
}

impl Stock {
    fn of(supplier: &Supplier<'_>) -> Option<Self> {
        let Quota::Bytes {
            limit_bytes,
            horizons,
        } = &supplier.outlook.quota
        else {
            return None;
        };
        let [month] = horizons.as_slice() else {
            return None;
        };
        let policy = supplier.policy;
        let left = limit_bytes.saturating_sub(month.used_bytes);
        Some(Self {
            bytes: moved(policy, left as f64),
            whole: moved(policy, *limit_bytes as f64),
            until: month.until,
            a_day: 2.0 * a_day(policy.port_usable_bps()) / PEAK_RATIO,
        })
    }

    fn turn(&mut self, now: UnixMillis) {
        while self.until <= now {
            self.bytes = self.whole;
            self.until = UnixMillis(self.until.0 + (MONTH_DAYS * DAY_MS as f64) as i64);
        }
    }

    fn take(&mut self, wanted: f64) -> f64 {
        let taken = wanted.min(self.bytes).min(self.a_day);
        self.bytes -= taken;
        taken
    }
}

#[derive(Debug, Clone, Copy)]
struct Shortage {
    /// The first day.
    day: u32,
    bytes_per_day: f64,
}

fn shortage(demand: &Demand, flow: f64, stocks: &mut [Stock], now: UnixMillis) -> Option<Shortage> {
    let (mut first, mut days, mut missing) = (None, 0_u32, 0.0);
    for day in 0..AHEAD_DAYS {
        let at = UnixMillis(now.0 + i64::from(day) * DAY_MS);
        stocks.iter_mut().for_each(|it| it.turn(at));
        stocks.sort_by_key(|it| it.until);
        let wanted = demand.on(day);
        let mut short = wanted - flow;
        for stock in stocks.iter_mut() {
            short -= stock.take(short.max(0.0));
        }
        if short > wanted * SLACK_RATIO {
            first.get_or_insert(day);
            days += 1;
            missing += short;
        }
    }
    first.map(|day| Shortage {
        day,
        bytes_per_day: missing / f64::from(days),
    })
}

/// The cheapest of the offers that the region has, or else of all; priced ones only.
fn addition(region: &Region, fleet: &[Supplier<'_>], missing: f64) -> Option<Addition> {
    let priced =
        |it: &&Supplier<'_>| it.policy.price_per_month > 0.0 && sustained(it.policy) >= 1.0;
    let of = |is_near: bool| {
        let offers = fleet.iter().filter(priced);
        let offers = offers.filter(|it| (it.region == region) == is_near);
        let additions = offers.map(|it| {
            let nodes = (missing / sustained(it.policy)).ceil().max(1.0);
            Addition {
                like_node_id: it.node_id.clone(),
                nodes: nodes as u32,
                price_per_month: nodes * it.policy.price_per_month,
            }
        });
        additions.min_by(|a, b| {
            let by_price = a.price_per_month.total_cmp(&b.price_per_month);
            by_price.then(a.nodes.cmp(&b.nodes))
        })
    };
    of(true).or_else(|| of(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;

    const NOW: UnixMillis = UnixMillis(1_763_700_000_000);
    const TB: u64 = 1_000_000_000_000;

    struct Fleet(Vec<(NodeId, Region, BandwidthPolicy, Outlook)>);

    impl Fleet {
        fn with(mut self, region: &str, policy: &BandwidthPolicy, used_bytes: u64) -> Self {
            let mut account = Account::open(NOW);
            account.adopt(policy, NOW);
            account.reconcile(policy, used_bytes, NOW);
            let id = NodeId::from_u128(self.0.len() as u128 + 1);
            let outlook = account.outlook(policy, NOW);
            self.0
                .push((id, region.parse().unwrap(), policy.clone(), outlook));
            self
        }

        fn advise(&self, region: &str, days: &[u64]) -> Advice {
            let suppliers: Vec<_> = self
                .0
                .iter()
                .map(|(node_id, region, policy, outlook)| Supplier {
                    node_id,
                    region,
                    policy,
                    outlook,
                })
                .collect();
            advise(&region.parse().unwrap(), &suppliers, days, NOW)
        }
    }

    fn unmetered(port_bps: u64, price: f64) -> BandwidthPolicy {
        BandwidthPolicy {
            price_per_month: price,
            overhead_ratio: 1.0,
            ..BandwidthPolicy::unmetered(port_bps)
        }
    }

    /// 30.4 TB a month and counted both ways: 0.95 TB a day for ever.
    fn monthly(price: f64) -> BandwidthPolicy {
        BandwidthPolicy {
            allowance: Allowance::MonthlyCap {
                limit_bytes: (MONTH_DAYS * TB as f64) as u64,
                anchor: crate::window::Anchor::default(),
            },
            ..unmetered(1_000_000_000, price)
        }
    }

    fn day_of(advice: &Advice) -> Option<i64> {
        advice.runs_out_at.map(|at| (at.0 - NOW.0) / DAY_MS)
    }

    #[test]
    fn a_fleet_that_lasts_needs_nothing() {
        let fleet = Fleet(Vec::new()).with("eu", &monthly(8.0), 0);
        let advice = fleet.advise("eu", &[TB / 2; 28]);
        assert_eq!(advice.runs_out_at, None, "{advice:?}");
        assert_eq!((advice.missing_bytes_per_day, advice.add), (0, None));
        assert!(advice.supply_bytes_per_day.abs_diff(TB * 95 / 100) < TB / 1000);
        let idle = Fleet(Vec::new()).advise("eu", &[]);
        assert_eq!((idle.demand_bytes_per_day, idle.runs_out_at), (0, None));
    }

    #[test]
    fn growth_meets_the_supply_on_a_day_that_can_be_named() {
        // 1.512 TB a day, for ever.
        let fleet = Fleet(Vec::new()).with("eu", &unmetered(200_000_000, 12.0), 0);
        // 1 TB on the last day and 10 GB more each day: 52 days later it is not enough.
        let days: Vec<u64> = (0..28)
            .map(|day| TB - 10_000_000_000 * (27 - day))
            .collect();
        let advice = fleet.advise("eu", &days);
        assert_eq!(advice.growth_bytes_per_day, 10_000_000_000);
        assert_eq!(day_of(&advice), Some(51), "{advice:?}");
        let add = advice.add.unwrap();
        assert_eq!((add.nodes, add.like_node_id), (1, NodeId::from_u128(1)));
        let grown = fleet.with("eu", &unmetered(200_000_000, 12.0), 0);
        assert_eq!(grown.advise("eu", &days).runs_out_at, None);
    }

    #[test]
    fn a_month_that_is_nearly_used_runs_out_before_the_next_begins() {
        let whole = monthly(8.0).limit_bytes().unwrap();
        let fleet = Fleet(Vec::new()).with("eu", &monthly(8.0), whole * 9 / 10);
        let advice = fleet.advise("eu", &[TB / 2; 28]);
        // 0.05 of it are left of what is planned with: three days, and the month has nine more.
        assert_eq!(day_of(&advice), Some(3), "{advice:?}");
        let lasting = Fleet(Vec::new()).with("eu", &monthly(8.0), whole / 2);
        assert_eq!(lasting.advise("eu", &[TB / 2; 28]).runs_out_at, None);
    }

    #[test]
    fn the_cheapest_offer_of_the_region_is_advised_and_only_then_one_of_another() {
        let fleet = Fleet(Vec::new())
            .with("eu", &unmetered(100_000_000, 30.0), 0)
            .with("eu", &monthly(8.0), 0)
            .with("us", &unmetered(1_000_000_000, 1.0), 0);
        let add = fleet.advise("eu", &[5 * TB; 28]).add.unwrap();
        assert_eq!(add.like_node_id, NodeId::from_u128(2), "{add:?}");
        assert!((add.price_per_month - 8.0 * f64::from(add.nodes)).abs() < 0.01);
        let add = fleet.advise("asia", &[TB; 28]).add.unwrap();
        assert_eq!(add.like_node_id, NodeId::from_u128(3));
        let unpriced = Fleet(Vec::new()).with("eu", &unmetered(1_000_000, 0.0), 0);
        let advice = unpriced.advise("eu", &[TB; 28]);
        assert_eq!((day_of(&advice), advice.add), (Some(0), None));
    }

    #[test]
    fn what_an_offer_carries_for_ever_follows_its_words() {
        let carries = |policy: &BandwidthPolicy| sustained(policy) / TB as f64;
        let near = |a: f64, b: f64| (a - b).abs() < 0.001;
        assert!(near(carries(&unmetered(1_000_000_000, 0.0)), 7.56));
        assert!(near(carries(&monthly(0.0)), 0.95));
        let egress = BandwidthPolicy {
            counts: Counts::Egress,
            ..monthly(0.0)
        };
        assert!(near(carries(&egress), 1.9));
        let rolling = BandwidthPolicy {
            allowance: Allowance::RollingCap {
                limit_bytes: 2 * TB,
                hours: 24,
            },
            ..unmetered(2_500_000_000, 0.0)
        };
        assert!(near(carries(&rolling), 1.9));
    }
}
