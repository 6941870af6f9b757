//! Bytes from counters that restart.

use serde::{Deserialize, Serialize};

/// What a node's counters show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Random at process start; the counters restart with it.
    pub boot_id: String,
    /// UDP payload bytes received since then.
    pub ingress_bytes: u64,
    /// UDP payload bytes sent since then.
    pub egress_bytes: u64,
}

/// Bytes that went through a node in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Towards the node.
    pub ingress_bytes: u64,
    /// Away from it.
    pub egress_bytes: u64,
}

/// Turns readings into traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Meter {
    last: Option<Reading>,
}

impl Meter {
    /// What went through since the reading before.
    ///
    /// The first reading counts nothing: its bytes are from before anybody counted. One of
    /// another boot counts whole. One of the same boot that is lower came late: it counts
    /// nothing and changes nothing, so no order of readings makes bytes negative or
    /// counts one twice.
    pub fn advance(&mut self, reading: &Reading) -> Traffic {
        let Some(last) = &mut self.last else {
            self.last = Some(reading.clone());
            return Traffic::default();
        };
        if last.boot_id != reading.boot_id {
            *last = reading.clone();
            return Traffic {
                ingress_bytes: reading.ingress_bytes,
                egress_bytes: reading.egress_bytes,
            };
        }
        let traffic = Traffic {
            ingress_bytes: reading.ingress_bytes.saturating_sub(last.ingress_bytes),
            egress_bytes: reading.egress_bytes.saturating_sub(last.egress_bytes),
        };
        last.ingress_bytes = last.ingress_bytes.max(reading.ingress_bytes);
        last.egress_bytes = last.egress_bytes.max(reading.egress_bytes);
        traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(boot_id: &str, ingress_bytes: u64, egress_bytes: u64) -> Reading {
        Reading {
            boot_id: boot_id.to_owned(),
            ingress_bytes,
            egress_bytes,
        }
    }

    fn traffic(ingress_bytes: u64, egress_bytes: u64) -> Traffic {
        Traffic {
            ingress_bytes,
            egress_bytes,
        }
    }

    #[test]
    fn a_restart_loses_and_invents_nothing() {
        let mut meter = Meter::default();
        assert_eq!(meter.advance(&reading("a", 100, 200)), traffic(0, 0));
        assert_eq!(meter.advance(&reading("a", 150, 260)), traffic(50, 60));
        assert_eq!(meter.advance(&reading("b", 7, 9)), traffic(7, 9));
        assert_eq!(meter.advance(&reading("b", 7, 9)), traffic(0, 0));
    }

    #[test]
    fn a_reading_that_comes_late_changes_nothing() {
        let mut meter = Meter::default();
        meter.advance(&reading("a", 0, 0));
        meter.advance(&reading("a", 500, 500));
        assert_eq!(meter.advance(&reading("a", 300, 400)), traffic(0, 0));
        assert_eq!(meter.advance(&reading("a", 510, 500)), traffic(10, 0));
    }
}
