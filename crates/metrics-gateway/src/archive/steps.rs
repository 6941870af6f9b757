//! Seconds of a session, added up in steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::live::Link;
use model::{NodeId, SessionId, UnixMillis};
use storage::telemetry::session_steps::{Figures, Identity, Step, Width};

use super::growth::{self, Growth};
use crate::point::Point;

/// Links of one session in one step; a sender has a few.
const LINKS_MAX: usize = 64;
/// Nobody reports a session for this long: its steps are over.
const SILENT_AFTER: Duration = Duration::from_secs(15);

/// Steps that are complete.
pub(super) type Done = Vec<(Width, Step)>;

/// One session that is reported.
#[derive(Default)]
pub(super) struct Track {
    last: Option<Arc<Point>>,
    /// By our clock.
    heard_at: UnixMillis,
    open: [Option<Open>; Width::ALL.len()],
}

/// A step that is not over.
struct Open {
    at: UnixMillis,
    /// Who began it; a stream that moves goes on in it.
    node_id: NodeId,
    session: Sum,
    links: BTreeMap<u64, (Sum, Identity)>,
}

#[derive(Default)]
struct Sum {
    figures: Figures,
    rtt: Mean,
    jitter: Mean,
}

#[derive(Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Track {
    /// Adds a second; what it ends is `done`.
    pub(super) fn take(
        &mut self,
        session: &SessionId,
        point: Arc<Point>,
        now: UnixMillis,
        done: &mut Done,
    ) {
        let before = self.last.take();
        // A clock that was set back begins anew; see `live`.
        let before = before.filter(|before| before.observed_at < point.observed_at);
        for (place, width) in Width::ALL.into_iter().enumerate() {
            let at = beginning(point.observed_at, width);
            let slot = &mut self.open[place];
            let is_over = |open: &Open| open.at != at;
            if slot.as_ref().is_some_and(is_over) {
                finish(slot, width, session, done);
            }
            let open = slot.get_or_insert_with(|| Open::new(at, point.node_id.clone()));
            open.take(before.as_deref(), &point);
        }
        (self.last, self.heard_at) = (Some(point), now);
    }

    /// Whether nobody reports it any more.
    pub(super) fn is_silent(&self, now: UnixMillis) -> bool {
        now.since(self.heard_at) >= SILENT_AFTER
    }

    /// Ends its steps as they are.
    pub(super) fn end(mut self, session: &SessionId, done: &mut Done) {
        for (place, width) in Width::ALL.into_iter().enumerate() {
            finish(&mut self.open[place], width, session, done);
        }
    }
}

fn beginning(at: UnixMillis, width: Width) -> UnixMillis {
    let width_ms = width.duration().as_millis() as i64;
    UnixMillis(at.0.div_euclid(width_ms) * width_ms)
}

fn finish(slot: &mut Option<Open>, width: Width, session: &SessionId, done: &mut Done) {
    let Some(open) = slot.take() else { return };
    let step = |link, sum: Sum, identity| Step {
        session_id: session.clone(),
        link,
        at: open.at,
        node_id: open.node_id.clone(),
        figures: sum.figures(),
        identity,
    };
    done.push((width, step(None, open.session, None)));
    for (number, (sum, identity)) in open.links {
        done.push((width, step(Some(number), sum, Some(identity))));
    }
}

impl Open {
    fn new(at: UnixMillis, node_id: NodeId) -> Self {
        Self {
            at,
            node_id,
            session: Sum::default(),
            links: BTreeMap::new(),
        }
    }

    fn take(&mut self, before: Option<&Point>, point: &Point) {
        self.session
            .add(&growth::of_session(before, point), point.publishing);
        let players = u32::try_from(point.players_total).unwrap_or(u32::MAX);
        let figures = &mut self.session.figures;
        figures.players_max = figures.players_max.max(players);
        if let Some(publisher) = point.publisher.as_ref().filter(|_| point.publishing) {
            self.session.measure_rtt(publisher.rtt_us);
        }
        for link in &point.links {
            self.take_link(before, link);
        }
    }

    fn take_link(&mut self, before: Option<&Point>, link: &Link) {
        let number = link.identity.number;
        if self.links.len() >= LINKS_MAX && !self.links.contains_key(&number) {
            return;
        }
        let (sum, identity) = self.links.entry(number).or_insert_with(|| {
            let nobody = Identity {
                carrier: None,
                link_type: String::new(),
            };
            (Sum::default(), nobody)
        });
        *identity = Identity {
            carrier: link.identity.asn_org.as_deref().map(ToOwned::to_owned),
            link_type: link.identity.link_type.to_string(),
        };
        let growth = growth::of_link(before, link);
        sum.add(&growth, growth.bytes > 0);
        if let Some(rtt_ms) = link.sender.and_then(|sender| sender.rtt_ms) {
            sum.measure_rtt(rtt_ms.saturating_mul(1000));
        }
        sum.jitter
            .add(link.figures.jitter_tenths_ms.saturating_mul(100));
    }
}

impl Sum {
    fn add(&mut self, growth: &Growth, is_live: bool) {
        let figures = &mut self.figures;
        figures.samples += 1;
        figures.live_samples += u32::from(is_live);
        for (sum, more) in [
            (&mut figures.bytes, growth.bytes),
            (&mut figures.egress_bytes, growth.egress_bytes),
            (&mut figures.packets, growth.packets),
            (&mut figures.lost, growth.lost),
            (&mut figures.dropped, growth.dropped),
            (&mut figures.retransmitted, growth.retransmitted),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn measure_rtt(&mut self, rtt_us: u32) {
        self.rtt.add(rtt_us);
        let most = self.figures.rtt_us_max.unwrap_or(0);
        self.figures.rtt_us_max = Some(most.max(rtt_us));
    }

    fn figures(self) -> Figures {
        Figures {
            rtt_us: self.rtt.get(),
            jitter_us: self.jitter.get(),
            ..self.figures
        }
    }
}

impl Mean {
    const fn add(&mut self, value: u32) {
        self.sum = self.sum.saturating_add(value as u64);
        self.count += 1;
    }

    fn get(&self) -> Option<u32> {
        let mean = self.sum.checked_div(self.count)?;
        u32::try_from(mean).ok()
    }
}

#[cfg(test)]
mod tests {
    use model::telemetry::{LinkSample, LinkTally, LinkType, LinkWindow};

    use super::*;
    use crate::point::tests::{report, sample};

    fn session() -> SessionId {
        SessionId::parse("ses_1").unwrap()
    }

    fn link(number: u64, second: u64) -> LinkSample {
        LinkSample {
            number,
            address: ([127, 0, 0, 1], 9).into(),
            carrier: Some("Example Mobile".to_owned()),
            asn: None,
            link_type: LinkType::Cellular,
            uptime_ms: second * 1000,
            silent_ms: 0,
            total: LinkTally {
                bytes: second * 500,
                packets: second,
                ..LinkTally::default()
            },
            last_second: LinkWindow::default(),
            last_ten_seconds: LinkWindow::default(),
            jitter_us: 2000,
            relative_delay_us: None,
            sender: None,
        }
    }

    /// So many seconds of 1000 bytes each, beginning at `start_s`, over two links.
    fn run(track: &mut Track, start_s: u64, seconds: u64, done: &mut Done) {
        for second in start_s..start_s + seconds {
            let at = UnixMillis((second * 1000) as i64);
            let report = report(at.0, "b");
            let up = second - start_s + 1;
            let mut sample = sample("ses_1", up * 1000, up * 1000);
            sample.links = vec![link(1, up), link(2, up)];
            let point = Point::new(&report, &sample, track.last.as_deref());
            track.take(&session(), Arc::new(point), at, done);
        }
    }

    #[test]
    fn seconds_add_up_in_steps_and_nothing_is_lost_or_doubled() {
        let (mut track, mut done) = (Track::default(), Done::new());
        run(&mut track, 605, 70, &mut done);
        track.end(&session(), &mut done);
        let steps = |width, link| {
            let of = move |step: &&Step| step.link == link;
            let steps = done.iter().filter(move |(it, _)| *it == width);
            steps.map(|(_, step)| step).filter(of).collect::<Vec<_>>()
        };
        for width in Width::ALL {
            let whole = steps(width, None);
            let bytes: u64 = whole.iter().map(|step| step.figures.bytes).sum();
            let samples: u32 = whole.iter().map(|step| step.figures.samples).sum();
            assert_eq!((bytes, samples), (70_000, 70), "{width:?}");
            let link = steps(width, Some(2));
            let bytes: u64 = link.iter().map(|step| step.figures.bytes).sum();
            assert_eq!(bytes, 35_000, "{width:?}");
            assert_eq!(link[0].figures.jitter_us, Some(2000));
            let identity = link[0].identity.as_ref().unwrap();
            assert_eq!(identity.carrier.as_deref(), Some("Example Mobile"));
        }
        let tens = steps(Width::TenSeconds, None);
        assert_eq!(
            (tens[0].at, tens[0].figures.samples),
            (UnixMillis(600_000), 5)
        );
        assert_eq!(
            (tens[1].at, tens[1].figures.samples),
            (UnixMillis(610_000), 10)
        );
        assert_eq!(steps(Width::Minute, None).len(), 2);
    }

    #[test]
    fn links_are_bounded() {
        let (mut track, mut done) = (Track::default(), Done::new());
        for second in 600..605 {
            let at = UnixMillis(second * 1000);
            let mut sample = sample("ses_1", 1, 1);
            let first = second as u64 * 64;
            sample.links = (first..first + 64).map(|number| link(number, 1)).collect();
            let point = Point::new(&report(at.0, "b"), &sample, None);
            track.take(&session(), Arc::new(point), at, &mut done);
        }
        assert!(!track.is_silent(UnixMillis(605_000)));
        assert!(track.is_silent(UnixMillis(604_000).plus(SILENT_AFTER)));
        track.end(&session(), &mut done);
        assert_eq!(done.len(), 2 * (1 + LINKS_MAX));
    }
}
