//! Connections that have ended: their handshakes are not believed again.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use srt::Seq;

use crate::connections::Caller;

/// How many are remembered, and how long: a cookie is good for two minutes.
const ENDED_MAX: usize = 4096;
const ENDED_KEPT: Duration = Duration::from_secs(130);

/// A caller, and the first sequence number of its connection.
type Request = (Caller, u32);

/// The requests in the order in which their connections ended. Every caller with
/// a proven address is looked up here, so they are in a set, too.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    order: VecDeque<(Instant, Request)>,
    requests: BTreeSet<Request>,
}

impl Ended {
    pub(crate) fn contains(&self, caller: Caller, isn: Seq) -> bool {
        self.requests.contains(&(caller, isn.value()))
    }

    /// Remembers a request, and forgets what is old or too much.
    pub(crate) fn insert(&mut self, now: Instant, caller: Caller, isn: Seq) {
        while self.order.len() >= ENDED_MAX || self.is_first_old(now) {
            if let Some((_, request)) = self.order.pop_front() {
                self.requests.remove(&request);
            }
        }
        let request = (caller, isn.value());
        if self.requests.insert(request) {
            self.order.push_back((now, request));
        }
    }

    fn is_first_old(&self, now: Instant) -> bool {
        let is_old = |at: Instant| now.saturating_duration_since(at) > ENDED_KEPT;
        self.order.front().is_some_and(|(at, _)| is_old(*at))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use srt::SocketId;

    use super::*;

    fn caller(id: usize) -> Caller {
        let address = SocketAddr::from(([203, 0, 113, 9], 5000));
        (address, SocketId(id as u32))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_request_is_known_by_its_caller_and_its_first_number() {
        let mut ended = Ended::default();
        ended.insert(start(), caller(1), Seq::new(7));
        assert!(ended.contains(caller(1), Seq::new(7)));
        assert!(!ended.contains(caller(1), Seq::new(8)));
        assert!(!ended.contains(caller(2), Seq::new(7)));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let (mut ended, now) = (Ended::default(), start());
        for id in 0..ENDED_MAX + 10 {
            ended.insert(now, caller(id), Seq::new(7));
        }
        let known = |id| ended.contains(caller(id), Seq::new(7));
        assert!((0..10).all(|id| !known(id)));
        assert!((10..ENDED_MAX + 10).all(known));
        assert_eq!(ended.order.len(), ENDED_MAX);
        assert_eq!(ended.requests.len(), ENDED_MAX);
    }

    #[test]
    fn what_no_cookie_can_bring_back_is_forgotten() {
        let (mut ended, start) = (Ended::default(), start());
        ended.insert(start, caller(1), Seq::new(7));
        ended.insert(start + ENDED_KEPT, caller(2), Seq::new(7));
        assert!(ended.contains(caller(1), Seq::new(7)));
        let later = start + ENDED_KEPT + Duration::from_millis(1);
        ended.insert(later, caller(3), Seq::new(7));
        assert!(!ended.contains(caller(1), Seq::new(7)));
        assert!(ended.contains(caller(2), Seq::new(7)));
        assert_eq!(ended.requests.len(), ended.order.len());
    }
}
