//! The last minutes of one session: a ring of points, bounded in number and age.

use std::collections::VecDeque;
use std::sync::Arc;

use model::UnixMillis;

use crate::point::Point;

#[derive(Default)]
pub(crate) struct History {
    /// Each with the time it came, by our clock: the node's may be off.
    points: VecDeque<(UnixMillis, Arc<Point>)>,
    bytes: usize,
}

impl History {
    pub(crate) fn push(&mut self, point: Arc<Point>, now: UnixMillis, points_max: usize) {
        self.bytes += point.bytes();
        self.points.push_back((now, point));
        while self.points.len() > points_max {
            self.pop();
        }
    }

    /// Forgets the oldest point.
    pub(crate) fn pop(&mut self) {
        if let Some((_, point)) = self.points.pop_front() {
            self.bytes -= point.bytes();
        }
    }

    /// Forgets what came before `horizon`.
    pub(crate) fn age_out(&mut self, horizon: UnixMillis) {
        while self.points.front().is_some_and(|(came, _)| *came < horizon) {
            self.pop();
        }
    }

    pub(crate) fn last(&self) -> Option<&Arc<Point>> {
        self.points.back().map(|(_, point)| point)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    pub(crate) fn points(&self) -> Vec<Arc<Point>> {
        let points = self.points.iter();
        points.map(|(_, point)| point.clone()).collect()
    }

    /// What came after the point observed at `seen`; `None` when that point is
    /// not in the ring, so that nobody knows what was missed.
    pub(crate) fn after(&self, seen: UnixMillis) -> Option<Vec<Arc<Point>>> {
        let mut points = self.points.iter();
        points.find(|(_, point)| point.observed_at == seen)?;
        Some(points.map(|(_, point)| point.clone()).collect())
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

    fn observed(points: &[Arc<Point>]) -> Vec<i64> {
        points.iter().map(|point| point.observed_at.0).collect()
    }

    #[test]
    fn a_ring_keeps_the_newest_points() {
        let history = history(10, 3);
        assert_eq!(observed(&history.points()), [8000, 9000, 10_000]);
        let one = history.last().unwrap().bytes();
        assert_eq!(history.bytes(), 3 * one);
    }

    #[test]
    fn old_points_go_by_our_clock() {
        let mut history = history(4, 10);
        history.age_out(UnixMillis(3000));
        assert_eq!(observed(&history.points()), [3000, 4000]);
        history.age_out(UnixMillis(9000));
        assert_eq!((history.len(), history.bytes()), (0, 0));
    }

    #[test]
    fn what_was_missed_is_known_only_inside_the_ring() {
        let history = history(5, 3);
        let after = |seen| {
            history
                .after(UnixMillis(seen))
                .map(|points| observed(&points))
        };
        assert_eq!(after(4000), Some(vec![5000]));
        assert_eq!(after(5000), Some(vec![]));
        assert_eq!(after(2000), None, "it fell out of the ring");
        assert_eq!(after(4500), None, "it never was");
    }
}
