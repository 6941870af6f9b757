//! One session: its history, its node, its viewers.

use std::sync::Arc;
use std::time::Duration;

use model::live::NewestLinks;
use model::telemetry::{LinkSample, NodeReport, SessionSample};
use model::{NodeId, SessionId, UnixMillis};
use tokio::sync::broadcast;

use super::watch::{Event, Watch};
use super::{Limits, Live};
use crate::history::History;
use crate::metrics::SampleRefusal;
use crate::point::Point;

/// Events that a viewer's task may be behind.
const EVENTS_BEHIND_MAX: usize = 32;
/// A node silent for this long may be replaced by another.
const OWNER_SILENT_AFTER: Duration = Duration::from_secs(3);
/// A clock that goes back further was set; less is a report out of order.
const CLOCK_SET_BACK: Duration = Duration::from_secs(5);

pub(super) struct Session {
    pub(super) history: History,
    pub(super) viewers: usize,
    /// No report for a while, or none ever.
    pub(super) stale: bool,
    owner: Option<Owner>,
    /// As they were last reported, in full.
    links: Vec<LinkSample>,
    events: broadcast::Sender<Event>,
}

struct Owner {
    node_id: NodeId,
    boot_id: String,
    /// When it last reported, by our clock.
    heard_at: UnixMillis,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            history: History::default(),
            viewers: 0,
            stale: true,
            owner: None,
            links: Vec::new(),
            events: broadcast::Sender::new(EVENTS_BEHIND_MAX),
        }
    }
}

impl Session {
    pub(super) fn accept(
        &mut self,
        report: &NodeReport,
        sample: &SessionSample,
        now: UnixMillis,
        limits: &Limits,
    ) -> Result<(), SampleRefusal> {
        let same_boot = self.check_owner(report, now)?;
        let restarted = self.check_order(report)?;
        let before = self.history.last().filter(|_| same_boot && !restarted);
        let point = Arc::new(Point::new(report, sample, before.map(AsRef::as_ref)));
        if restarted {
            // Ids must grow: what came before cannot be told apart any more.
            self.history = History::default();
        }
        self.history.push(point.clone(), now, limits.points_max);
        self.links.clone_from(&sample.links);
        self.owner = Some(Owner {
            node_id: report.node_id.clone(),
            boot_id: report.boot_id.clone(),
            heard_at: now,
        });
        self.stale = false;
        self.tell(|| {
            if restarted {
                Event::snapshot(&point)
            } else {
                Event::sample(&point)
            }
        });
        Ok(())
    }

    /// Whether the report continues the last one's boot.
    fn check_owner(&self, report: &NodeReport, now: UnixMillis) -> Result<bool, SampleRefusal> {
        let Some(owner) = &self.owner else {
            return Ok(false);
        };
        if owner.node_id == report.node_id {
            return Ok(owner.boot_id == report.boot_id);
        }
        if now.since(owner.heard_at) < OWNER_SILENT_AFTER {
            return Err(SampleRefusal::OtherNode);
        }
        Ok(false)
    }

    /// Whether the node's clock was set back.
    fn check_order(&self, report: &NodeReport) -> Result<bool, SampleRefusal> {
        let Some(last) = self.history.last() else {
            return Ok(false);
        };
        if report.observed_at > last.observed_at {
            return Ok(false);
        }
        if last.observed_at.since(report.observed_at) > CLOCK_SET_BACK {
            return Ok(true);
        }
        Err(SampleRefusal::OutOfOrder)
    }

    pub(super) fn note_silence(&mut self, now: UnixMillis, stale_after: Duration) {
        let heard_at = self.owner.as_ref().map(|owner| owner.heard_at);
        let silent = heard_at.is_none_or(|at| now.since(at) >= stale_after);
        if silent && !self.stale {
            self.stale = true;
            self.tell(|| Event::stale(self.last()));
        }
    }

    /// What it takes of the memory that sessions share.
    pub(super) fn bytes(&self) -> usize {
        self.history.bytes() + size_of_val(&*self.links)
    }

    /// The links as they were last reported.
    pub(super) fn newest_links(&self, now: UnixMillis) -> NewestLinks {
        let heard_at = self.owner.as_ref().map(|owner| owner.heard_at);
        NewestLinks {
            observed_at: self.last(),
            age: heard_at.map(|at| now.since(at)).unwrap_or_default(),
            links: self.links.clone(),
        }
    }

    pub(super) fn watch(&self, id: &SessionId, seen: Option<UnixMillis>, live: Arc<Live>) -> Watch {
        Watch {
            seen,
            recording: self.history.recording(),
            stale: self.stale,
            last: self.last(),
            events: self.events.subscribe(),
            session: id.clone(),
            live,
        }
    }

    fn last(&self) -> Option<UnixMillis> {
        self.history.last().map(|point| point.observed_at)
    }

    /// Makes the event only when somebody listens.
    fn tell(&self, event: impl FnOnce() -> Event) {
        if self.events.receiver_count() > 0 {
            // Without receivers left there is nobody to tell.
            let _ = self.events.send(event());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::tests::{report, sample};

    const LIMITS: Limits = Limits {
        points_max: 3,
        history: Duration::from_secs(600),
        bytes_max: 1 << 20,
        sessions_max: 1,
        stale_after: Duration::from_secs(5),
        viewers_max: 1,
        viewers_per_session_max: 1,
    };

    struct Fixture {
        session: Session,
        events: broadcast::Receiver<Event>,
    }

    impl Fixture {
        fn new() -> Self {
            let session = Session::default();
            let events = session.events.subscribe();
            Self { session, events }
        }

        fn report(
            &mut self,
            node: &str,
            boot: &str,
            at_ms: i64,
            now_ms: i64,
        ) -> Result<(), SampleRefusal> {
            let mut report = report(at_ms, boot);
            report.node_id = NodeId::parse(node).unwrap();
            let bytes = u64::try_from(at_ms).unwrap();
            let sample = sample("ses_1", bytes, bytes);
            self.session
                .accept(&report, &sample, UnixMillis(now_ms), &LIMITS)
        }

        /// The next event's name, its id, and all of it.
        fn event(&mut self) -> Option<(String, Option<i64>, String)> {
            let Event(bytes) = self.events.try_recv().ok()?;
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
            let name = field("event: ").unwrap().to_owned();
            let id = field("id: ").map(|id| id.parse().unwrap());
            Some((name, id, text))
        }

        fn last_rate(&self) -> Option<u64> {
            self.session.history.last().unwrap().ingress_bitrate_bps
        }
    }

    #[test]
    fn each_report_is_a_sample_with_a_rate() {
        let mut it = Fixture::new();
        it.report("nod_1", "b", 1000, 1000).unwrap();
        it.report("nod_1", "b", 2000, 2000).unwrap();
        assert_eq!(it.last_rate(), Some(8000));
        let (name, id, _) = it.event().unwrap();
        assert_eq!((name.as_str(), id), ("sample", Some(1000)));
        assert_eq!(it.event().unwrap().1, Some(2000));
    }

    #[test]
    fn a_new_boot_gives_no_rate_at_first() {
        let mut it = Fixture::new();
        it.report("nod_1", "b", 1000, 1000).unwrap();
        it.report("nod_1", "c", 2000, 2000).unwrap();
        assert_eq!(it.last_rate(), None);
    }

    #[test]
    fn a_repeated_or_late_report_is_refused() {
        let mut it = Fixture::new();
        it.report("nod_1", "b", 9000, 9000).unwrap();
        assert_eq!(
            it.report("nod_1", "b", 9000, 9100),
            Err(SampleRefusal::OutOfOrder)
        );
        assert_eq!(
            it.report("nod_1", "b", 8000, 9200),
            Err(SampleRefusal::OutOfOrder)
        );
    }

    #[test]
    fn a_clock_set_back_begins_a_new_history() {
        let mut it = Fixture::new();
        it.report("nod_1", "b", 90_000, 90_000).unwrap();
        it.event().unwrap();
        it.report("nod_1", "b", 10_000, 91_000).unwrap();
        assert_eq!(it.session.history.len(), 1);
        let (name, id, text) = it.event().unwrap();
        assert_eq!((name.as_str(), id), ("snapshot", Some(10_000)));
        assert!(text.contains("data: [{\"observed_at\":10000,"), "{text}");
    }

    #[test]
    fn another_node_takes_over_only_from_a_silent_one() {
        let mut it = Fixture::new();
        it.report("nod_1", "b", 1000, 1000).unwrap();
        assert_eq!(
            it.report("nod_2", "c", 2000, 2000),
            Err(SampleRefusal::OtherNode)
        );
        it.report("nod_2", "c", 5000, 5000).unwrap();
        assert_eq!(
            it.report("nod_1", "b", 5500, 5500),
            Err(SampleRefusal::OtherNode)
        );
    }

    #[test]
    fn silence_is_told_once() {
        let mut it = Fixture::new();
        it.report("nod_1", "b", 1000, 1000).unwrap();
        it.event().unwrap();
        it.session
            .note_silence(UnixMillis(5000), LIMITS.stale_after);
        assert!(it.event().is_none());
        it.session
            .note_silence(UnixMillis(6000), LIMITS.stale_after);
        let (_, _, text) = it.event().unwrap();
        assert_eq!(text, "event: stale\ndata: {\"observed_at\":1000}\n\n");
        it.session
            .note_silence(UnixMillis(7000), LIMITS.stale_after);
        assert!(it.event().is_none());
        it.report("nod_1", "b", 8000, 8000).unwrap();
        assert_eq!(it.event().unwrap().0, "sample");
    }
}
