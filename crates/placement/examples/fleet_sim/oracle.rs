//! In which minutes the fleet could have carried everything.
//!
//! A fluid that may be spread anew each minute, placed by somebody who knows what the
//! providers really do: first what costs no allowance, then what refills soonest. If
//! this carries a minute, then so could a perfect strategy, and a stream below its rate
//! in that minute is the strategy's fault.

use model::UnixMillis;
use streamhaul_placement::Allowance;

use crate::fleet::Site;
use crate::provider::Provider;

/// What is placed on a port at most, of its speed.
const FILL_MAX: f64 = 0.7;

/// Demand of one minute, bits a second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fluid {
    pub(crate) ingress_bps: f64,
    pub(crate) egress_bps: f64,
}

/// Whether each minute was feasible.
pub(crate) fn feasible(
    sites: &[Site],
    providers: &[Provider],
    demand: &[Fluid],
    start: UnixMillis,
) -> Vec<bool> {
    let mut providers = providers.to_vec();
    let mut order: Vec<usize> = (0..sites.len()).collect();
    order.sort_by_key(|index| patience(&sites[*index].policy.allowance));
    let mut minutes = Vec::with_capacity(demand.len());
    for (minute, fluid) in (0_u32..).zip(demand) {
        let now = UnixMillis(start.0 + i64::from(minute) * 60_000);
        let mut left = 1.0;
        let mut taken = vec![0.0; sites.len()];
        // First what every node carries without using anything up, then the rest.
        for with_allowance in [false, true] {
            for index in &order {
                let (speed, is_capped) = providers[*index].speed_bps(minute, now);
                let policy = &sites[*index].policy;
                let is_free = matches!(policy.allowance, Allowance::Unmetered {});
                let usable = if with_allowance || is_free {
                    if is_capped {
                        policy.floor_usable_bps()
                    } else {
                        speed * FILL_MAX
                    }
                } else {
                    speed.min(policy.floor_usable_bps())
                };
                let busier = fluid.egress_bps.max(fluid.ingress_bps).max(1.0);
                let share = (usable / busier - taken[*index]).clamp(0.0, left);
                taken[*index] += share;
                left -= share;
            }
        }
        for (index, share) in taken.iter().enumerate() {
            let bps = (fluid.ingress_bps + fluid.egress_bps) * share;
            providers[index].count(minute, bps / 8.0 * 60.0);
        }
        minutes.push(left < 1e-9);
    }
    minutes
}

/// What refills soonest is used first.
const fn patience(allowance: &Allowance) -> u8 {
    match allowance {
        Allowance::Unmetered {} => 0,
        Allowance::RollingCap { .. } => 1,
        Allowance::MonthlyCap { .. } => 2,
        Allowance::FairShare { .. } => 3,
        Allowance::Percentile95 { .. } | Allowance::Metered { .. } => 4,
    }
}
