//! What one player got, out of what its publisher sent while figures were taken.

use super::payload::Stamp;

/// How far back a payload is told from a repetition, in payloads.
const MEMORY: u64 = 4096;

/// Counts of one player.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Judged payloads that came, each once.
    pub(super) received: u64,
    /// All payloads that came, judged or not.
    pub(super) arrivals: u64,
    /// Judged payloads that came again.
    pub(super) repeated: u64,
    /// Judged payloads that came after a later one.
    pub(super) late: u64,
    /// Datagrams that are no SRT.
    pub(super) foreign: u64,
    /// Whether the relay ended the connection.
    pub(super) closed: bool,
    /// How long judged payloads took, in nanoseconds.
    pub(super) delays_ns: Vec<u32>,
    seen: Vec<u64>,
    highest: Option<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            received: 0,
            arrivals: 0,
            repeated: 0,
            late: 0,
            foreign: 0,
            closed: false,
            delays_ns: Vec::new(),
            seen: vec![u64::MAX; MEMORY as usize],
            highest: None,
        }
    }
}

impl Tally {
    /// Counts a payload that the kernel took at `arrived_ns`.
    pub(super) fn add(&mut self, stamp: &Stamp, arrived_ns: u64) {
        self.arrivals += 1;
        if !stamp.judged {
            return;
        }
        let place = (stamp.counter % MEMORY) as usize;
        if self.seen[place] == stamp.counter {
            self.repeated += 1;
            return;
        }
        self.seen[place] = stamp.counter;
        self.received += 1;
        if self.highest.is_some_and(|highest| stamp.counter < highest) {
            self.late += 1;
        } else {
            self.highest = Some(stamp.counter);
        }
        let delay = arrived_ns.saturating_sub(stamp.sent_ns);
        self.delays_ns
            .push(u32::try_from(delay).unwrap_or(u32::MAX));
    }
}

/// Delays of all players, sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Delays(Vec<u32>);

impl Delays {
    pub(super) fn of(tallies: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut all: Vec<u32> = tallies.into_iter().flatten().collect();
        all.sort_unstable();
        Self(all)
    }

    /// The delay that this share of payloads did not exceed, in microseconds.
    pub(super) fn quantile_us(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.0.get(place).map_or(0.0, |ns| f64::from(*ns) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payload_counts_once_and_its_disorder_is_seen() {
        let mut tally = Tally::default();
        let stamp = |counter, judged| Stamp {
            sent_ns: 1000,
            counter,
            stream: 0,
            judged,
        };
        tally.add(&stamp(1, false), 2000);
        for counter in [2, 4, 3, 3, 5] {
            tally.add(&stamp(counter, true), 3000 + counter);
        }
        assert_eq!((tally.arrivals, tally.received), (6, 4));
        assert_eq!((tally.repeated, tally.late), (1, 1));
        assert_eq!(tally.delays_ns, [2002, 2004, 2003, 2005]);
    }

    #[test]
    fn quantiles_are_of_all_players() {
        let delays = Delays::of([vec![1000, 5000], vec![3000, 2000, 4000]]);
        assert_eq!(delays.quantile_us(0.5), 3.0);
        assert_eq!(delays.quantile_us(1.0), 5.0);
        assert_eq!(Delays::default().quantile_us(0.5), 0.0);
    }
}
