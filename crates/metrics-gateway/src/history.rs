//! The last minutes of one session, bounded in number, age and bytes.
//!
//! ```text
//! oldest ─▶ blocks of 60 points, encoded ─▶ 15 to 74 points as they came ─▶ newest
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use model::UnixMillis;

use crate::block::Block;
use crate::point::Point;

/// Points encoded together.
const BLOCK_LEN: usize = 60;
/// Points that are always there in full: rates come from the last one.
const IN_FULL_MIN: usize = 15;

#[derive(Default)]
pub(crate) struct History {
    blocks: VecDeque<Arc<Block>>,
    /// Each with the time it came, by our clock: the node's may be off.
    newest: VecDeque<(UnixMillis, Arc<Point>)>,
    len: usize,
    bytes: usize,
}

/// A history at one moment, to be read in peace.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recording {
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) newest: Vec<Arc<Point>>,
}

impl History {
    pub(crate) fn push(&mut self, point: Arc<Point>, now: UnixMillis, points_max: usize) {
        self.bytes += point.bytes();
        self.len += 1;
        self.newest.push_back((now, point));
        if self.newest.len() >= IN_FULL_MIN + BLOCK_LEN {
            self.encode();
        }
        // A block goes when all of it is too much.
        while self.len >= points_max + self.oldest_len() {
            self.pop();
        }
    }

    /// Encodes the oldest of the points that are there in full.
    fn encode(&mut self) {
        let came = self.newest[BLOCK_LEN - 1].0;
        let points = self.newest.drain(..BLOCK_LEN).map(|(_, point)| point);
        let points: Vec<_> = points.collect();
        let before: usize = points.iter().map(|point| point.bytes()).sum();
        let block = Block::new(&points, came).expect("there are points");
        self.bytes = self.bytes - before + block.bytes();
        self.blocks.push_back(Arc::new(block));
    }

    /// How many points the next [`pop`](Self::pop) takes away.
    fn oldest_len(&self) -> usize {
        self.blocks.front().map_or(1, |block| block.len)
    }

    /// Forgets the oldest point, or the oldest block of them.
    pub(crate) fn pop(&mut self) {
        let (len, bytes) = match self.blocks.pop_front() {
            Some(block) => (block.len, block.bytes()),
            None => match self.newest.pop_front() {
                Some((_, point)) => (1, point.bytes()),
                None => return,
            },
        };
        self.len -= len;
        self.bytes -= bytes;
    }

    /// Forgets what came before `horizon`.
    pub(crate) fn age_out(&mut self, horizon: UnixMillis) {
        while self.oldest_came().is_some_and(|came| came < horizon) {
            self.pop();
        }
    }

    /// When the last of what the next [`pop`](Self::pop) takes away came.
    fn oldest_came(&self) -> Option<UnixMillis> {
        let newest = self.newest.front().map(|(came, _)| *came);
        self.blocks.front().map(|block| block.came).or(newest)
    }

    pub(crate) fn last(&self) -> Option<&Arc<Point>> {
        self.newest.back().map(|(_, point)| point)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn recording(&self) -> Recording {
        Recording {
            blocks: self.blocks.iter().cloned().collect(),
            newest: self.newest.iter().map(|(_, point)| point.clone()).collect(),
        }
    }
}

impl Recording {
    /// What came after the point observed at `seen`; `None` when that point is not in
    /// it, so that nobody knows what was missed. Decodes one block.
    pub(crate) fn after(&self, seen: UnixMillis) -> Option<(Vec<Arc<Point>>, Self)> {
        let is_seen = |point: &Arc<Point>| point.observed_at == seen;
        if let Some(place) = self.newest.iter().position(is_seen) {
            return Some((self.newest[place + 1..].to_vec(), Self::default()));
        }
        let number = self.blocks.partition_point(|block| block.last < seen);
        let mut points = self.blocks.get(number)?.points();
        let place = points.iter().position(|point| point.observed_at == seen)?;
        let rest = points.drain(place + 1..).map(Arc::new).collect();
        let later = Self {
            blocks: self.blocks[number + 1..].to_vec(),
            newest: self.newest.clone(),
        };
        Some((rest, later))
    }

    /// Its points, a block at a time.
    pub(crate) fn chunks(self) -> impl Iterator<Item = Vec<Arc<Point>>> {
        let decoded = |block: Arc<Block>| block.points().into_iter().map(Arc::new).collect();
        let newest = std::iter::once(self.newest);
        self.blocks.into_iter().map(decoded).chain(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::tests::{report, sample};

    fn history(points: i64, points_max: usize) -> History {
        let mut history = History::default();
        for number in 1..=points {
            let at = number * 1000;
            let point = Point::new(&report(at, "b"), &sample("ses_1", 0, 0), None);
            history.push(Arc::new(point), UnixMillis(at + 50), points_max);
        }
        history
    }

    fn observed(points: impl IntoIterator<Item = Arc<Point>>) -> Vec<i64> {
        let points = points.into_iter();
        points.map(|point| point.observed_at.0).collect()
    }

    fn all(history: &History) -> Vec<i64> {
        observed(history.recording().chunks().flatten())
    }

    fn seconds(range: std::ops::RangeInclusive<i64>) -> Vec<i64> {
        range.map(|second| second * 1000).collect()
    }

    #[test]
    fn a_ring_keeps_the_newest_points() {
        let history = history(10, 3);
        assert_eq!(all(&history), [8000, 9000, 10_000]);
        let one = history.last().unwrap().bytes();
        assert_eq!(history.bytes(), 3 * one);
    }

    #[test]
    fn a_long_ring_goes_by_blocks() {
        let history = history(1000, 300);
        assert_eq!(history.len(), 340, "five blocks, and what is there in full");
        assert_eq!(all(&history), seconds(661..=1000));
        let full = history.last().unwrap().bytes();
        let newest = history.newest.len() * full;
        let blocks: usize = history.blocks.iter().map(|block| block.bytes()).sum();
        assert_eq!(history.bytes(), newest + blocks);
    }

    #[test]
    fn old_points_go_by_our_clock() {
        let mut few = history(4, 10);
        few.age_out(UnixMillis(3000));
        assert_eq!(all(&few), [3000, 4000]);
        few.age_out(UnixMillis(9000));
        assert_eq!((few.len(), few.bytes()), (0, 0));
        let mut many = history(200, 1000);
        many.age_out(UnixMillis(60_050));
        assert_eq!(
            all(&many),
            seconds(1..=200),
            "the block's last came just then"
        );
        many.age_out(UnixMillis(60_051));
        assert_eq!(all(&many), seconds(61..=200));
        many.age_out(UnixMillis(i64::MAX));
        assert_eq!((many.len(), many.bytes()), (0, 0));
    }

    #[test]
    fn what_was_missed_is_known_only_inside_the_ring() {
        let short = history(5, 3);
        let long = history(200, 1000);
        let after = |history: &History, seen| {
            let (first, later) = history.recording().after(UnixMillis(seen))?;
            Some(observed(first.into_iter().chain(later.chunks().flatten())))
        };
        assert_eq!(after(&short, 4000), Some(vec![5000]));
        assert_eq!(after(&short, 5000), Some(vec![]));
        assert_eq!(after(&short, 2000), None, "it fell out of the ring");
        assert_eq!(after(&short, 4500), None, "it never was");
        for seen in [1, 59, 60, 61, 119, 120, 121, 180, 199, 200] {
            let missed = after(&long, seen * 1000);
            assert_eq!(missed, Some(seconds(seen + 1..=200)), "after {seen}");
        }
        for never in [0, 500, 60_500, 300_000] {
            assert_eq!(after(&long, never), None, "{never}");
        }
    }
}
