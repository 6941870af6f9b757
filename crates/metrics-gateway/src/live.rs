//! Every session's last minutes, and who watches them.
//!
//! ```text
//! report ─▶ owner? in order? ─▶ ring ─▶ sample ─▶ viewers (each a bounded queue)
//! sweep, each second: silent for 5 s ─▶ stale;  10 minutes ─▶ forgotten
//! ```
//!
//! All of it is in memory and bounded: sessions, points, bytes, viewers. A session
//! belongs to the node that reports it; another takes over once that one is silent.

mod session;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::live::NewestLinks;
use model::telemetry::NodeReport;
use model::{SessionId, UnixMillis};

use crate::archive::Tap;
use crate::metrics::{self, SampleRefusal, ViewerRefusal};
use session::Session;
pub(crate) use watch::{Event, Watch, seen};

/// What bounds it all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) points_max: usize,
    pub(crate) history: Duration,
    pub(crate) bytes_max: usize,
    pub(crate) sessions_max: usize,
    pub(crate) stale_after: Duration,
    pub(crate) viewers_max: usize,
    pub(crate) viewers_per_session_max: usize,
}

pub(crate) struct Live {
    limits: Limits,
    tap: Tap,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Session>,
    /// Of all histories together.
    bytes: usize,
    viewers: usize,
}

impl Live {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tap: Tap::default(),
            state: Mutex::default(),
        }
    }

    /// Everything that is taken goes to `tap` as well.
    pub(crate) fn with_tap(self, tap: Tap) -> Self {
        Self { tap, ..self }
    }

    /// Takes a report's samples; each that is refused is counted under its reason.
    pub(crate) fn accept(&self, report: &NodeReport, now: UnixMillis) {
        for sample in &report.sessions {
            let mut state = self.lock();
            let full = state.sessions.len() >= self.limits.sessions_max;
            if full && !state.sessions.contains_key(&sample.session_id) {
                metrics::sample_refused(SampleRefusal::SessionsFull);
                continue;
            }
            let state = &mut *state;
            let session = state.sessions.entry(sample.session_id.clone()).or_default();
            let before = session.bytes();
            match session.accept(report, sample, now, &self.limits) {
                Ok(()) => {
                    if let Some(point) = session.history.last() {
                        self.tap.leave(&sample.session_id, point, now);
                    }
                }
                Err(refusal) => metrics::sample_refused(refusal),
            }
            state.bytes = state.bytes - before + session.bytes();
            let share = self.limits.bytes_max / state.sessions.len().max(1);
            state.trim(&sample.session_id, self.limits.bytes_max, share);
        }
    }

    /// Begins to watch a session: what to send first, and what follows.
    pub(crate) fn watch(
        self: &Arc<Self>,
        id: &SessionId,
        seen: Option<UnixMillis>,
    ) -> Result<Watch, ViewerRefusal> {
        let mut state = self.lock();
        if state.viewers >= self.limits.viewers_max {
            return Err(ViewerRefusal::ViewersFull);
        }
        let full = state.sessions.len() >= self.limits.sessions_max;
        if full && !state.sessions.contains_key(id) {
            return Err(ViewerRefusal::SessionsFull);
        }
        let session = state.sessions.entry(id.clone()).or_default();
        if session.viewers >= self.limits.viewers_per_session_max {
            return Err(ViewerRefusal::SessionViewersFull);
        }
        session.viewers += 1;
        let watch = session.watch(id, seen, self.clone());
        state.viewers += 1;
        metrics::viewers(state.viewers);
        Ok(watch)
    }

    /// A session's links as they were last reported; none when nobody reports it.
    pub(crate) fn newest_links(&self, id: &SessionId, now: UnixMillis) -> NewestLinks {
        let state = self.lock();
        let session = state.sessions.get(id);
        session.map_or_else(NewestLinks::default, |session| session.newest_links(now))
    }

    /// Tells viewers what became stale, and forgets what is old.
    pub(crate) fn sweep(&self, now: UnixMillis) {
        let mut state = self.lock();
        let horizon = now.minus(self.limits.history);
        let mut bytes = 0;
        state.sessions.retain(|_, session| {
            session.history.age_out(horizon);
            session.note_silence(now, self.limits.stale_after);
            bytes += session.bytes();
            session.history.len() > 0 || session.viewers > 0
        });
        state.bytes = bytes;
        let reporting = state.sessions.values().filter(|session| !session.stale);
        metrics::sessions(reporting.count(), bytes);
    }

    fn unwatch(&self, id: &SessionId) {
        let mut state = self.lock();
        state.viewers = state.viewers.saturating_sub(1);
        metrics::viewers(state.viewers);
        if let Some(session) = state.sessions.get_mut(id) {
            session.viewers = session.viewers.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Shortens a history that is longer than its share while memory is short.
    /// Whoever is over the share pays at its next report, so the excess is at
    /// most one report.
    fn trim(&mut self, id: &SessionId, bytes_max: usize, share: usize) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        while self.bytes > bytes_max && session.bytes() > share && session.history.len() > 1 {
            let before = session.bytes();
            session.history.pop();
            self.bytes -= before - session.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use model::telemetry::{
        LinkSample, LinkTally, LinkType, LinkWindow, PlayerSample, SessionSample,
    };
    use testkit::random::Random;

    use super::*;
    use crate::point::tests::{report, sample};

    const START: UnixMillis = UnixMillis(1_763_700_000_000);
    const LIMITS: Limits = Limits {
        points_max: 600,
        history: Duration::from_secs(600),
        bytes_max: 1 << 20,
        sessions_max: 2,
        stale_after: Duration::from_secs(5),
        viewers_max: 3,
        viewers_per_session_max: 2,
    };

    fn id(text: &str) -> SessionId {
        SessionId::parse(text).unwrap()
    }

    fn reported(live: &Live, session: &str, at_ms: i64) {
        let mut report = report(at_ms, "b");
        report.sessions.push(sample(session, 1, 1));
        live.accept(&report, UnixMillis(at_ms));
    }

    fn link_sample(number: u64) -> LinkSample {
        LinkSample {
            number,
            address: ([127, 0, 0, 1], 9).into(),
            carrier: Some("Example Mobile".to_owned()),
            asn: Some(64_500),
            link_type: LinkType::Cellular,
            uptime_ms: 0,
            silent_ms: 0,
            total: LinkTally::default(),
            last_second: LinkWindow::default(),
            last_ten_seconds: LinkWindow::default(),
            jitter_us: 0,
            relative_delay_us: None,
            sender: None,
        }
    }

    fn points(live: &Live, session: &str) -> usize {
        let state = live.lock();
        state
            .sessions
            .get(&id(session))
            .map_or(0, |session| session.history.len())
    }

    #[test]
    fn sessions_are_bounded_and_make_room_when_they_age_out() {
        let live = Live::new(LIMITS);
        for session in ["ses_1", "ses_2", "ses_3"] {
            reported(&live, session, 1000);
        }
        assert_eq!((points(&live, "ses_2"), points(&live, "ses_3")), (1, 0));
        live.sweep(UnixMillis(700_000));
        reported(&live, "ses_3", 700_000);
        assert_eq!((points(&live, "ses_2"), points(&live, "ses_3")), (0, 1));
    }

    #[test]
    fn histories_share_the_memory() {
        let live = Live::new(Limits {
            bytes_max: 10_000,
            ..LIMITS
        });
        for second in 1..=600 {
            reported(&live, "ses_1", second * 1000);
        }
        let alone = points(&live, "ses_1");
        for second in 1..=600 {
            reported(&live, "ses_2", second * 1000);
            reported(&live, "ses_1", (600 + second) * 1000);
            assert!(live.lock().bytes <= 11_000, "memory is bounded");
        }
        let shared = (points(&live, "ses_1"), points(&live, "ses_2"));
        assert!(alone > 10 && alone < 600, "{alone}");
        assert!(shared.0.abs_diff(shared.1) <= 1, "{shared:?}");
    }

    /// A second of a phone's bonded stream, with the noise that real ones have.
    fn bonded(second: u64, totals: &mut SessionSample, random: &mut Random) -> NodeReport {
        let publisher = totals.publisher.as_mut().unwrap();
        let packets = 560 + random.below(40);
        publisher.packets_total += packets;
        publisher.bytes_total += packets * 1316;
        publisher.packets_lost_total += random.below(6);
        publisher.packets_recovered_total += random.below(6);
        publisher.packets_retransmitted_total += random.below(6);
        publisher.naks_sent_total += random.below(4);
        publisher.acks_sent_total += 98 + random.below(4);
        publisher.ackacks_received_total += 98 + random.below(4);
        publisher.uptime_ms = second * 1000 + random.below(4);
        publisher.bitrate_bps = packets * 1316 * 8;
        publisher.rtt_us = 40_000 + random.below(20_000) as u32;
        publisher.rtt_var_us = random.below(9_000) as u32;
        publisher.drift_us = random.below(2_000) as i64;
        publisher.packets_missing = random.below(4) as u32;
        for (number, link) in totals.links.iter_mut().enumerate() {
            bonded_link(number as u64, second, link, random);
        }
        let now = START.plus(Duration::from_millis(second * 1000 + random.below(3)));
        let mut report = report(now.0, "b");
        report.sessions.push(totals.clone());
        report
    }

    fn bonded_link(number: u64, second: u64, link: &mut LinkSample, random: &mut Random) {
        let packets = 170 + random.below(40);
        link.number = number;
        link.address = ([127, 0, number as u8, 1], 40_000).into();
        link.uptime_ms = second * 1000 + random.below(4);
        link.silent_ms = random.below(30);
        link.total.packets += packets;
        link.total.bytes += packets * 1316;
        link.total.unique += packets;
        link.total.lost += random.below(3);
        link.total.retransmitted += random.below(3);
        link.last_second.bitrate_bps = packets * 1316 * 8;
        link.last_second.share_permille = 300 + random.below(80) as u32;
        link.last_ten_seconds.bitrate_bps = (190 + random.below(10)) * 1316 * 8;
        link.last_ten_seconds.share_permille = 325 + random.below(15) as u32;
        link.last_ten_seconds.tally.unique = 1900;
        link.last_ten_seconds.tally.lost = random.below(12);
        link.jitter_us = 2_000 + random.below(4_000) as u32;
        link.relative_delay_us = Some(random.below(30_000) as u32);
        let sender = link.sender.get_or_insert_default();
        sender.rtt_ms = Some(45 + random.below(20) as u32);
        sender.window = 20_000 + random.below(3_000) as i32;
        sender.in_flight = random.below(20) as i32;
        sender.naks_total += random.below(2) as u32;
        sender.bytes_per_second = (packets * 1316) as u32;
    }

    #[test]
    fn five_hundred_bonded_sessions_have_an_hour_each() {
        let config = crate::Config::default();
        let live = Arc::new(Live::new(config.limits()));
        let mut random = Random::new(1);
        let mut totals = sample("ses_1", 0, 0);
        totals.links = vec![link_sample(0); 3];
        totals.players = vec![PlayerSample::default(); 2];
        for second in 1..=3600 {
            let report = bonded(second, &mut totals, &mut random);
            live.accept(&report, report.observed_at);
        }
        let bytes = live.lock().bytes;
        assert!(500 * bytes <= config.history_bytes_max, "{bytes} for each");

        let mut watch = live.watch(&id("ses_1"), None).unwrap();
        let snapshot: Vec<u8> = watch.opening().flatten().collect();
        let snapshot = String::from_utf8(snapshot).unwrap();
        let data = snapshot
            .lines()
            .find_map(|line| line.strip_prefix("data: "));
        let shown: Vec<serde_json::Value> = serde_json::from_str(data.unwrap()).unwrap();
        assert!(shown.len() >= 3600);
        let time = |point: &serde_json::Value| point["observed_at"].as_i64().unwrap();
        assert!(shown.is_sorted_by(|one, next| time(one) < time(next)));
        assert!(shown.iter().all(|point| point["links"][2]["lost"].is_u64()));
    }

    #[test]
    fn viewers_are_bounded_and_counted_back() {
        let live = Arc::new(Live::new(LIMITS));
        let watch = |session| live.watch(&id(session), None);
        let first = watch("ses_1").unwrap();
        let _second = watch("ses_1").unwrap();
        assert_eq!(
            watch("ses_1").err(),
            Some(ViewerRefusal::SessionViewersFull)
        );
        let _third = watch("ses_2").unwrap();
        assert_eq!(watch("ses_2").err(), Some(ViewerRefusal::ViewersFull));
        drop(first);
        assert_eq!(watch("ses_3").err(), Some(ViewerRefusal::SessionsFull));
        assert!(watch("ses_1").is_ok());
    }

    #[test]
    fn a_watched_session_is_not_forgotten() {
        let live = Arc::new(Live::new(LIMITS));
        let watch = live.watch(&id("ses_1"), None).unwrap();
        live.sweep(UnixMillis(10_000_000));
        assert_eq!(live.lock().sessions.len(), 1);
        drop(watch);
        live.sweep(UnixMillis(10_000_000));
        assert!(live.lock().sessions.is_empty());
    }
}
