//! What the providers really do, which no strategy sees.

use std::collections::VecDeque;

use model::UnixMillis;
use streamhaul_placement::policy::After;
use streamhaul_placement::window::Window;
use streamhaul_placement::{Allowance, BandwidthPolicy};

use crate::random::Random;

/// One node's provider.
#[derive(Clone)]
pub(crate) struct Provider {
    limit: Limit,
    port_bps: f64,
    /// Bytes counted for a byte of payload.
    overhead: f64,
    pub(crate) counted_bytes: f64,
}

#[derive(Clone)]
enum Limit {
    Month {
        bytes: f64,
        floor_bps: f64,
        month: Option<Window>,
        used: f64,
        policy: BandwidthPolicy,
    },
    Rolling {
        bytes: f64,
        floor_bps: f64,
        minutes: VecDeque<f64>,
        used: f64,
        span: usize,
    },
    /// What the rumour is about: nobody knows its rate, its patience or how long a ticket takes.
    FairShare {
        bytes_per_minute: f64,
        depth: f64,
        level: f64,
        slow_bps: f64,
        slow_until: u32,
        ticket_minutes: u32,
    },
    None,
}

impl Provider {
    pub(crate) fn new(policy: &BandwidthPolicy, random: &mut Random) -> Self {
        let floor_bps = policy.after.floor_bps() as f64;
        let limit = match &policy.allowance {
            Allowance::MonthlyCap { limit_bytes, .. } => Limit::Month {
                bytes: *limit_bytes as f64,
                floor_bps,
                month: None,
                used: 0.0,
                policy: policy.clone(),
            },
            Allowance::RollingCap { limit_bytes, hours } => Limit::Rolling {
                bytes: *limit_bytes as f64,
                floor_bps,
                minutes: VecDeque::new(),
                used: 0.0,
                span: usize::from(*hours) * 60,
            },
            Allowance::FairShare {
                bps_per_gib, gib, ..
            } => {
                let bps = *bps_per_gib as f64 * gib * random.between(0.8, 1.2);
                let depth = bps / 8.0 * 3600.0 * random.between(3.0, 12.0);
                Limit::FairShare {
                    bytes_per_minute: bps / 8.0 * 60.0,
                    depth,
                    level: depth,
                    slow_bps: floor_bps,
                    slow_until: 0,
                    ticket_minutes: random.between(6.0, 48.0) as u32 * 60,
                }
            }
            _ => Limit::None,
        };
        debug_assert!(!matches!(policy.after, After::Suspend) || matches!(limit, Limit::None));
        Self {
            limit,
            port_bps: policy.port_bps as f64,
            overhead: random.between(1.01, 1.06),
            counted_bytes: 0.0,
        }
    }

    /// What the port lets through in each direction during this minute, bits a second, and
    /// whether that is because of a cap.
    pub(crate) fn speed_bps(&mut self, minute: u32, now: UnixMillis) -> (f64, bool) {
        let slow = match &mut self.limit {
            Limit::Month {
                bytes,
                floor_bps,
                month,
                used,
                policy,
            } => {
                if month.is_none_or(|it| it.end <= now) {
                    *month = policy.allowance.anchor().and_then(|it| it.window(now));
                    *used = 0.0;
                }
                (used >= bytes).then_some(*floor_bps)
            }
            Limit::Rolling {
                bytes,
                floor_bps,
                used,
                ..
            } => (used >= bytes).then_some(*floor_bps),
            Limit::FairShare {
                slow_bps,
                slow_until,
                ..
            } => (minute < *slow_until).then_some(*slow_bps),
            Limit::None => None,
        };
        (
            slow.unwrap_or(self.port_bps).min(self.port_bps),
            slow.is_some(),
        )
    }

    /// Counts a minute's payload, both directions.
    pub(crate) fn count(&mut self, minute: u32, payload_bytes: f64) {
        let bytes = payload_bytes * self.overhead;
        self.counted_bytes += bytes;
        match &mut self.limit {
            Limit::Month { used, .. } => *used += bytes,
            Limit::Rolling {
                minutes,
                used,
                span,
                ..
            } => {
                minutes.push_back(bytes);
                *used += bytes;
                if minutes.len() > *span {
                    *used -= minutes.pop_front().unwrap_or(0.0);
                }
            }
            Limit::FairShare {
                bytes_per_minute,
                depth,
                level,
                slow_until,
                ticket_minutes,
                ..
            } => {
                *level = (*level + *bytes_per_minute - bytes).min(*depth);
                if *level < 0.0 && minute >= *slow_until {
                    *slow_until = minute + *ticket_minutes;
                    *level = *depth;
                }
            }
            Limit::None => {}
        }
    }
}
