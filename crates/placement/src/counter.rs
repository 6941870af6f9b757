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
    boots: Option<Boots>,
}

/// The last readings of the boot that runs, and of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Boots {
    #[serde(flatten)]
    last: Reading,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Reading>,
}

impl Meter {
    /// What went through since the reading before.
    ///
    /// The first reading counts nothing: its bytes are from before anybody counted. One of
    /// a new boot counts whole. One that is lower than another of its boot came late: it
    /// counts nothing and changes nothing. So no order of readings makes bytes negative, nor
    /// counts one twice, as long as nothing is heard of the boot before the last.
    pub fn advance(&mut self, reading: &Reading) -> Traffic {
        let Some(boots) = &mut self.boots else {
            self.boots = Some(Boots {
                last: reading.clone(),
                before: None,
            });
            return Traffic::default();
        };
        if let Some(known) = boots.of(&reading.boot_id) {
            return known.rise_to(reading);
        }
        boots.before = Some(std::mem::replace(&mut boots.last, reading.clone()));
        Traffic {
            ingress_bytes: reading.ingress_bytes,
            egress_bytes: reading.egress_bytes,
        }
    }
}

impl Boots {
    fn of(&mut self, boot_id: &str) -> Option<&mut Reading> {
        let known = std::iter::once(&mut self.last).chain(&mut self.before);
        known.into_iter().find(|known| known.boot_id == boot_id)
    }
}

impl Reading {
    /// Becomes as high as `other`; what that adds.
    fn rise_to(&mut self, other: &Self) -> Traffic {
        let risen = Traffic {
            ingress_bytes: other.ingress_bytes.saturating_sub(self.ingress_bytes),
            egress_bytes: other.egress_bytes.saturating_sub(self.egress_bytes),
        };
        self.ingress_bytes = self.ingress_bytes.max(other.ingress_bytes);
        self.egress_bytes = self.egress_bytes.max(other.egress_bytes);
        risen
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
    #[test]
    fn a_word_of_the_boot_before_counts_only_what_was_not_counted() {
        let mut meter = Meter::default();
        meter.advance(&reading("a", 0, 0));
        meter.advance(&reading("a", 500, 500));
        assert_eq!(meter.advance(&reading("b", 10, 10)), traffic(10, 10));
        assert_eq!(meter.advance(&reading("a", 400, 400)), traffic(0, 0));
        assert_eq!(meter.advance(&reading("a", 520, 500)), traffic(20, 0));
        assert_eq!(meter.advance(&reading("b", 15, 10)), traffic(5, 0));
    }

    #[test]
    fn an_account_of_before_is_read_and_reads_as_one() {
        let before = r#"{"boot_id":"a","ingress_bytes":5,"egress_bytes":6}"#;
        let mut meter: Meter = serde_json::from_str(before).unwrap();
        assert_eq!(serde_json::to_string(&meter).unwrap(), before);
        meter.advance(&reading("b", 1, 1));
        let text = serde_json::to_string(&meter).unwrap();
        let known: Reading = serde_json::from_str(&text).unwrap();
        assert_eq!(known, reading("b", 1, 1));
        assert_eq!(serde_json::from_str::<Meter>(&text).unwrap(), meter);
        assert_eq!(
            serde_json::from_str::<Meter>("null").unwrap(),
            Meter::default()
        );
    }
}
