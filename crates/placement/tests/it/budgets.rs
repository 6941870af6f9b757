//! How each kind of offer is used up, over time.

use std::time::Duration;

use model::UnixMillis;
use streamhaul_placement::budget::Horizon;
use streamhaul_placement::counter::Reading;
use streamhaul_placement::policy::{After, Confidence, Counts};
use streamhaul_placement::window::Anchor;
use streamhaul_placement::{
    Account, Allowance, BandwidthPolicy, Budget, Demand, Held, Quota, Rate, Restriction,
};

use crate::fleet::{NOW, TB, budget, monthly};

const HOUR: Duration = Duration::from_secs(3600);
/// 2026-04-01T00:00:00Z
const APRIL: UnixMillis = UnixMillis(1_775_001_600_000);

/// A node that moves `bps` in each direction and is read once a minute.
struct Node {
    account: Account,
    policy: BandwidthPolicy,
    now: UnixMillis,
    reading: Reading,
}

impl Node {
    fn new(policy: BandwidthPolicy, now: UnixMillis) -> Self {
        let policy = BandwidthPolicy {
            overhead_ratio: 1.0,
            ..policy
        };
        let reading = Reading {
            boot_id: "a".into(),
            ingress_bytes: 0,
            egress_bytes: 0,
        };
        let mut account = Account::open(now);
        account.settle(&policy, &reading, now);
        Self {
            account,
            policy,
            now,
            reading,
        }
    }

    fn run(&mut self, bps: u64, time: Duration) {
        for _ in 0..time.as_secs() / 60 {
            self.now = self.now.plus(Duration::from_secs(60));
            self.reading.ingress_bytes += bps / 8 * 60;
            self.reading.egress_bytes += bps / 8 * 60;
            self.account.settle(&self.policy, &self.reading, self.now);
        }
    }

    fn used(&self) -> u64 {
        self.account.used_bytes(&self.policy, self.now)
    }

    fn budget(&self) -> Budget {
        Budget {
            outlook: self.account.outlook(&self.policy, self.now),
            policy: self.policy.clone(),
            held: Held::default(),
        }
    }

    fn ratio(&self) -> f64 {
        self.budget().projected_ratio(Held::default(), self.now)
    }
}

#[test]
fn counting_follows_the_providers_word() {
    let used = |counts| {
        let mut node = Node::new(
            BandwidthPolicy {
                counts,
                ..monthly(TB)
            },
            APRIL,
        );
        node.reading.ingress_bytes = 10;
        node.reading.egress_bytes = 30;
        node.account.settle(&node.policy, &node.reading, APRIL);
        node.used()
    };
    assert_eq!(used(Counts::Ingress), 10);
    assert_eq!(used(Counts::Egress), 30);
    assert_eq!(used(Counts::Sum), 40);
    assert_eq!(used(Counts::Max), 30);
}

#[test]
fn a_month_begins_with_nothing_used() {
    let mut node = Node::new(monthly(TB), UnixMillis(APRIL.0 - 3_600_000));
    node.run(8_000_000, HOUR - Duration::from_secs(60));
    assert_eq!(node.used(), 59 * 60 * 2_000_000);
    node.run(8_000_000, Duration::from_secs(120));
    assert_eq!(node.used(), 2 * 60 * 2_000_000);
}

#[test]
fn at_150_mbps_in_all_kc1_does_not_last_and_at_95_it_does() {
    let ratio = |bps: u64| {
        let mut node = Node::new(monthly(32 * TB), APRIL);
        node.run(bps / 2, HOUR * 24 * 3);
        node.ratio()
    };
    let too_much = ratio(150_000_000);
    assert!((1.55..1.65).contains(&too_much), "{too_much}");
    let enough = ratio(90_000_000);
    assert!((0.9..1.0).contains(&enough), "{enough}");
}

#[test]
fn another_offer_keeps_what_was_counted_and_has_its_own_month() {
    let mut node = Node::new(monthly(TB), APRIL);
    node.run(8_000_000, HOUR);
    let used = node.used();
    node.policy.allowance = Allowance::MonthlyCap {
        limit_bytes: TB,
        anchor: Anchor {
            day: 2,
            ..Anchor::default()
        },
    };
    node.account.adopt(&node.policy, node.now);
    node.run(8_000_000, HOUR);
    assert_eq!(node.used(), 2 * used);
    // Its month ends tomorrow.
    node.run(0, HOUR * 22);
    node.run(8_000_000, HOUR);
    assert!(node.used() <= used + used / 60, "{}", node.used());
}

#[test]
fn a_rolling_cap_forgives_what_is_a_day_old() {
    let policy = BandwidthPolicy {
        allowance: Allowance::RollingCap {
            limit_bytes: 2 * TB,
            hours: 24,
        },
        ..monthly(TB)
    };
    let mut node = Node::new(policy, APRIL);
    node.run(100_000_000, HOUR * 4);
    let four_hours = 4 * 3600 * 25_000_000;
    assert_eq!(node.used(), four_hours);
    node.run(0, HOUR * 19);
    assert_eq!(node.used(), four_hours);
    // The last interval is only forgiven when it is over.
    node.run(0, HOUR * 5 + Duration::from_secs(300));
    assert_eq!(node.used(), 0);
}

#[test]
fn a_fair_share_refills() {
    let policy = BandwidthPolicy {
        allowance: Allowance::FairShare {
            bps_per_gib: 25_000_000,
            gib: 1.0,
            burst_hours: 6.0,
        },
        after: After::SupportTicket {
            floor_bps: 10_000_000,
        },
        ..monthly(TB)
    };
    let mut node = Node::new(policy, APRIL);
    node.run(10_000_000, HOUR);
    assert_eq!(node.used(), 0);
    node.run(40_000_000, HOUR);
    // 80 Mbit/s in all, less the 95 % of 25 that are planned with.
    let deficit = (80_000_000 - 23_750_000) / 8 * 3600;
    assert!(node.used().abs_diff(deficit) < 1000, "{}", node.used());
    let one_more = Demand::default().on(&node.policy);
    let full = node.budget().projected_ratio(one_more, node.now);
    node.run(0, HOUR * 24);
    assert_eq!(node.used(), 0);
    assert!(node.budget().projected_ratio(one_more, node.now) < full);
    // Only a ticket closes it, and only a ticket opens it.
    assert_eq!(node.account.gate().restriction(), Restriction::Open);
}

#[test]
fn a_twentieth_of_the_intervals_may_be_above_the_commitment() {
    let policy = BandwidthPolicy {
        allowance: Allowance::Percentile95 {
            commit_bps: 100_000_000,
            price_per_mbps: 1.5,
            anchor: Anchor::default(),
        },
        ..monthly(TB)
    };
    let mut node = Node::new(policy, APRIL);
    node.run(80_000_000, HOUR);
    let Quota::Bursts { allowed, used, .. } = node.budget().outlook.quota else {
        panic!("not a 95th percentile");
    };
    assert_eq!(allowed, 30 * 24 * 12 / 20);
    assert!((11..=12).contains(&used), "{used}");
    let above = Held {
        bytes: 1,
        counted_bps: 110_000_000,
        port_bps: 1,
    };
    assert_eq!(node.budget().money(above), 0.0);
    node.run(80_000_000, HOUR * 36);
    // 160 Mbit/s are measured already: all of the 110 are above.
    assert_eq!(node.budget().money(above), 165.0);
}

#[test]
fn metered_bytes_cost_once_the_free_ones_are_gone() {
    let policy = BandwidthPolicy {
        allowance: Allowance::Metered {
            free_bytes: TB,
            price_per_tb: 87.0,
            budget_bytes: Some(3 * TB),
            anchor: Anchor::default(),
        },
        ..monthly(TB)
    };
    let mut node = Node::new(policy, APRIL);
    let terabyte = Held {
        bytes: TB,
        counted_bps: 4_000_000_000,
        port_bps: 1,
    };
    assert_eq!(node.budget().money(terabyte), 0.0);
    node.reading.egress_bytes += TB / 2;
    node.account.settle(&node.policy, &node.reading, APRIL);
    assert!((node.budget().money(terabyte) - 43.5).abs() < 0.01);
    assert_eq!(node.policy.limit_bytes(), Some(3 * TB));
}

#[test]
fn a_restart_of_the_node_is_no_gift() {
    let mut node = Node::new(monthly(TB), APRIL);
    node.run(8_000_000, HOUR);
    let before = node.used();
    node.reading = Reading {
        boot_id: "b".into(),
        ingress_bytes: 5,
        egress_bytes: 6,
    };
    node.account.settle(&node.policy, &node.reading, node.now);
    assert_eq!(node.used(), before + 11);
}

#[test]
fn the_providers_reading_replaces_ours_and_says_how_far_we_were_off() {
    let mut node = Node::new(monthly(TB), APRIL);
    node.run(8_000_000, HOUR);
    let theirs = node.used() * 2;
    let off = node.account.reconcile(&node.policy, theirs, node.now);
    assert!((off + 0.5).abs() < 1e-9);
    assert_eq!(node.used(), theirs);
    node.run(8_000_000, HOUR);
    assert_eq!(node.used(), theirs + 3600 * 2_000_000);
}

#[test]
fn a_used_up_allowance_closes_the_gate() {
    let policy = BandwidthPolicy {
        confidence: Confidence::Documented,
        ..monthly(TB)
    };
    let mut node = Node::new(policy, APRIL);
    node.run(400_000_000, HOUR * 3);
    assert_eq!(node.account.gate().restriction(), Restriction::Exhausted);
}

#[test]
fn an_allowance_is_used_up_once_its_bytes_have_moved_or_not_before_it_is_renewed() {
    let after = |quota: Quota, counted_bps: u64| {
        let mut budget = budget(monthly(TB), 0);
        budget.outlook.quota = quota;
        budget.held = Held::default();
        budget.outlook.measured = Rate {
            counted_bps,
            port_bps: counted_bps,
        };
        budget.exhausted_at(NOW).map(|at| at.since(NOW))
    };
    let horizon = |days: u32, used_bytes: u64| Horizon {
        until: NOW.plus(HOUR * 24 * days),
        used_bytes,
        forecast_bytes: 0,
    };
    let bytes = |horizons: Vec<Horizon>| Quota::Bytes {
        limit_bytes: TB,
        horizons,
    };
    // Half a terabyte at 40 Mbit/s.
    let half = Some(Duration::from_secs(100_000));
    assert_eq!(after(bytes(vec![horizon(10, TB / 2)]), 40_000_000), half);
    assert_eq!(after(bytes(vec![horizon(1, TB / 2)]), 40_000_000), None);
    // What rolls off makes room; what is used sooner counts.
    let rolling = vec![horizon(1, TB / 2), horizon(2, TB / 4), horizon(3, TB / 2)];
    assert_eq!(after(bytes(rolling), 40_000_000), half);
    assert_eq!(after(bytes(vec![horizon(10, 0)]), 0), None);
    let spent = bytes(vec![horizon(10, TB)]);
    assert_eq!(after(spent, 0), Some(Duration::ZERO));
    let bucket = || Quota::Bucket {
        refill_bps: 25_000_000,
        depth_bytes: TB,
        deficit_bytes: TB / 2,
    };
    assert_eq!(after(bucket(), 65_000_000), half);
    assert_eq!(after(bucket(), 25_000_000), None);
    assert_eq!(after(Quota::Unlimited, 65_000_000), None);
}
