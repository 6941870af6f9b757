//! The fleet: the real one of the operator whose notes this project grew from, in three
//! sizes.

use streamhaul_placement::policy::{After, Confidence};
use streamhaul_placement::window::Anchor;
use streamhaul_placement::{Allowance, BandwidthPolicy};

const GBPS: u64 = 1_000_000_000;
const TB: u64 = 1_000_000_000_000;

/// A node as its operator describes it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    /// Its number in [`crate::trace::REGIONS`].
    pub(crate) region: usize,
    pub(crate) policy: BandwidthPolicy,
    /// What its software takes.
    pub(crate) sessions_max: u32,
    /// What a careful operator without byte budgets would allow it: the sessions that it
    /// could carry all month, and none where nobody knows.
    pub(crate) careful_max: u32,
}

/// Which nodes there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fleet {
    /// All five.
    Whole,
    /// Without the two that the notes call traps.
    Trimmed,
    /// All five, and a cloud that sells bytes.
    WithCloud,
}

pub(crate) fn sites(fleet: Fleet) -> Vec<Site> {
    let mut sites = vec![kc1(), netcup_eu(), blackhost()];
    if fleet != Fleet::Trimmed {
        sites.extend([lv1(), netcup_sg()]);
    }
    if fleet == Fleet::WithCloud {
        sites.push(cloud());
    }
    sites
}

/// Round trip between a streamer's region and a node, without the last mile, ms.
pub(crate) fn distance_ms(region: usize, site: &Site) -> f64 {
    match (region, site.region) {
        (a, b) if a == b => 15.0,
        (0, 1) | (1, 0) => 105.0,
        (1, 2) | (2, 1) => 160.0,
        _ => 190.0,
    }
}

fn kc1() -> Site {
    Site {
        name: "kc1",
        region: 0,
        policy: BandwidthPolicy {
            allowance: month(32 * TB),
            after: After::Floor {
                floor_bps: 1_000_000,
            },
            price_per_month: 8.0,
            co_located: true,
            ..BandwidthPolicy::unmetered(GBPS)
        },
        sessions_max: 100,
        careful_max: 6,
    }
}

fn lv1() -> Site {
    Site {
        name: "lv1",
        region: 0,
        policy: BandwidthPolicy {
            allowance: Allowance::FairShare {
                bps_per_gib: 25_000_000,
                gib: 1.0,
                burst_hours: 6.0,
            },
            after: After::SupportTicket {
                floor_bps: 10_000_000,
            },
            confidence: Confidence::Rumour,
            price_per_month: 3.5,
            ..BandwidthPolicy::unmetered(GBPS)
        },
        sessions_max: 100,
        careful_max: 0,
    }
}

fn netcup_eu() -> Site {
    Site {
        name: "netcup-eu",
        region: 1,
        policy: BandwidthPolicy {
            allowance: Allowance::RollingCap {
                limit_bytes: 2 * TB,
                hours: 24,
            },
            after: After::Floor {
                floor_bps: 200_000_000,
            },
            price_per_month: 5.84,
            ..BandwidthPolicy::unmetered(5 * GBPS / 2)
        },
        sessions_max: 250,
        careful_max: 15,
    }
}

fn netcup_sg() -> Site {
    Site {
        name: "netcup-sg",
        region: 2,
        policy: BandwidthPolicy {
            allowance: month(2 * TB),
            after: After::Floor {
                floor_bps: 5_000_000,
            },
            price_per_month: 5.84,
            ..BandwidthPolicy::unmetered(GBPS)
        },
        sessions_max: 100,
        careful_max: 0,
    }
}

fn blackhost() -> Site {
    Site {
        name: "blackhost-eu",
        region: 1,
        policy: BandwidthPolicy {
            price_per_month: 11.99,
            ..BandwidthPolicy::unmetered(GBPS)
        },
        sessions_max: 100,
        careful_max: 90,
    }
}

fn cloud() -> Site {
    Site {
        name: "cloud-us",
        region: 0,
        policy: BandwidthPolicy {
            allowance: Allowance::Metered {
                free_bytes: 0,
                price_per_tb: 87.0,
                budget_bytes: None,
                anchor: Anchor::default(),
            },
            ..BandwidthPolicy::unmetered(5 * GBPS)
        },
        sessions_max: 400,
        careful_max: 400,
    }
}

fn month(limit_bytes: u64) -> Allowance {
    Allowance::MonthlyCap {
        limit_bytes,
        anchor: Anchor::default(),
    }
}
