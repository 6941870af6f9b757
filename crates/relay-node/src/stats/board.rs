//! What is published on this node, second by second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::telemetry::{LinkSample, PublisherSample, SessionSample};
use model::{SessionId, UnixMillis};
use tokio::sync::watch;

use super::keys::PlayKeys;
use crate::sampler::Sampled;

/// A publisher that is connected and has brought nothing for so long shows nobody
/// a picture: it is told as offline, before the node gives it up.
const QUIET_MAX: Duration = Duration::from_secs(3);
/// A board this old shows a frozen picture.
const AGE_MAX: Duration = Duration::from_secs(5);

/// All streams with a publisher, as of one second.
#[derive(Debug)]
pub(super) struct Board {
    streams: BTreeMap<SessionId, Arc<Stream>>,
    /// When it was made.
    at: Instant,
    /// The same by the node's clock.
    pub(super) observed_at: UnixMillis,
}

/// One stream with a publisher, as of one second.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stream {
    pub(super) publisher: PublisherSample,
    /// A link each, of a publisher that bonds.
    pub(super) links: Vec<LinkSample>,
    /// Of the packets of the last second those that were lost.
    pub(super) lost_ratio: f64,
    /// Since when nothing has come.
    quiet_since: Option<Instant>,
    /// For how long, then.
    quiet_for: Duration,
}

/// What a scene switcher wants to know first. Every dialect has its own way to say
/// each of the three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Feed<'a> {
    /// No publisher, or one that has brought nothing for [`QUIET_MAX`].
    Offline,
    /// A publisher that has just connected, or has brought nothing for less: keep
    /// the scene.
    Pause(&'a Stream),
    /// A stream with figures.
    Live(&'a Stream),
}

impl Board {
    /// Before the first sample.
    pub(super) fn empty(now: Instant, observed_at: UnixMillis) -> Self {
        Self {
            streams: BTreeMap::new(),
            at: now,
            observed_at,
        }
    }

    /// The board after this one.
    pub(super) fn next(&self, sampled: &Sampled, now: Instant) -> Self {
        let samples = sampled.snapshot.samples.iter();
        let stream = |sample: &SessionSample| {
            let publisher = sample.publisher.filter(|_| sample.publishing)?;
            let before = self.streams.get(&sample.session_id).map(Arc::as_ref);
            let stream = Stream::after(before, publisher, &sample.links, now);
            Some((sample.session_id.clone(), Arc::new(stream)))
        };
        Self {
            streams: samples.filter_map(stream).collect(),
            at: now,
            observed_at: sampled.observed_at,
        }
    }

    /// Whether it is too old to be shown.
    pub(super) fn is_frozen(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) > AGE_MAX
    }

    /// A session's stream, when it has a publisher.
    pub(super) fn stream(&self, session: &SessionId) -> Option<Arc<Stream>> {
        self.streams.get(session).cloned()
    }
}

impl Stream {
    /// A session's stream, a second after `before`.
    pub(super) fn after(
        before: Option<&Self>,
        publisher: PublisherSample,
        links: &[LinkSample],
        now: Instant,
    ) -> Self {
        let none = PublisherSample::default();
        let counted = before.map_or(&none, |before| &before.publisher);
        let came = publisher.packets_total.wrapping_sub(counted.packets_total);
        // One that comes again counts from zero: that is news, too.
        let quiet_since = (came == 0).then(|| before.and_then(|b| b.quiet_since).unwrap_or(now));
        Self {
            publisher,
            links: links.to_vec(),
            lost_ratio: lost_ratio(counted, &publisher),
            quiet_since,
            quiet_for: quiet_since.map_or(Duration::ZERO, |since| now - since),
        }
    }

    /// What a scene switcher is told of it.
    pub(super) fn feed(stream: Option<&Self>) -> Feed<'_> {
        match stream {
            None => Feed::Offline,
            Some(stream) if stream.quiet_for >= QUIET_MAX => Feed::Offline,
            Some(stream) if stream.publisher.bitrate_bps == 0 => Feed::Pause(stream),
            Some(stream) => Feed::Live(stream),
        }
    }

    /// Packets that the path lost: those that came only because they were sent again,
    /// and those that never came. What overtakes on another link is not among them.
    pub(super) const fn lost_packets(&self) -> u64 {
        lost_packets(&self.publisher)
    }

    /// What so many packets of it weigh, bytes of payload on average.
    pub(super) fn payload_bytes(&self, packets: u64) -> u64 {
        let received = self.publisher.packets_total.max(1);
        let bytes = u128::from(packets) * u128::from(self.publisher.bytes_total);
        u64::try_from(bytes / u128::from(received)).unwrap_or(u64::MAX)
    }

    /// How much time the packets span that wait in the node: none when it forwards
    /// them at once.
    pub(super) fn buffered_ms(&self) -> u32 {
        let buffered = u64::from(self.publisher.packets_buffered);
        let bits = self.payload_bytes(buffered).saturating_mul(8);
        let ms = match self.publisher.bitrate_bps {
            0 => 0,
            bitrate => bits.saturating_mul(1000) / bitrate,
        };
        u32::try_from(ms).unwrap_or(u32::MAX)
    }
}

const fn lost_packets(publisher: &PublisherSample) -> u64 {
    let repaired = publisher.packets_retransmitted_total;
    repaired.saturating_add(publisher.packets_dropped_total)
}

/// Lost of those that should have come between two samples; 0 when the counters
/// began anew.
fn lost_ratio(before: &PublisherSample, now: &PublisherSample) -> f64 {
    let grown = |of: fn(&PublisherSample) -> u64| of(now).saturating_sub(of(before));
    let came = grown(|publisher| publisher.packets_total);
    let dropped = grown(|publisher| publisher.packets_dropped_total);
    match came.saturating_add(dropped) {
        0 => 0.0,
        expected => (grown(lost_packets) as f64 / expected as f64).min(1.0),
    }
}

/// Follows the sampler until it ends.
pub(super) async fn follow(
    mut samples: watch::Receiver<Sampled>,
    keys: PlayKeys,
    boards: watch::Sender<Arc<Board>>,
) {
    while samples.changed().await.is_ok() {
        let sampled = samples.borrow_and_update().clone();
        keys.keep_held(&sampled.snapshot.held);
        let next = boards.borrow().next(&sampled, Instant::now());
        boards.send_replace(Arc::new(next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;

    const SECOND: Duration = Duration::from_secs(1);

    fn id() -> SessionId {
        SessionId::from_u128(1)
    }

    fn sampled(publisher: Option<PublisherSample>) -> Sampled {
        let sample = SessionSample {
            session_id: id(),
            publishing: publisher.is_some(),
            // The figures of the one before stay.
            publisher: Some(publisher.unwrap_or_default()),
            players: Vec::new(),
            links: Vec::new(),
        };
        Sampled {
            snapshot: Arc::new(Snapshot {
                samples: vec![sample],
                ..Snapshot::default()
            }),
            load_ratio: 0.0,
            observed_at: UnixMillis(7),
        }
    }

    fn publisher(packets_total: u64, bitrate_bps: u64) -> PublisherSample {
        PublisherSample {
            packets_total,
            bitrate_bps,
            ..PublisherSample::default()
        }
    }

    /// How the feed is told after each of the samples, a second apart.
    fn told(samples: &[Option<PublisherSample>]) -> Vec<&'static str> {
        let mut now = Instant::now();
        let mut board = Board::empty(now, UnixMillis(0));
        let mut told = Vec::new();
        for sample in samples {
            now += SECOND;
            board = board.next(&sampled(*sample), now);
            told.push(match Stream::feed(board.stream(&id()).as_deref()) {
                Feed::Offline => "offline",
                Feed::Pause(_) => "pause",
                Feed::Live(_) => "live",
            });
        }
        told
    }

    #[test]
    fn a_short_silence_is_a_pause_and_a_long_one_is_offline() {
        let live = |packets| Some(publisher(packets, 6_000_000));
        let silent = |packets| Some(publisher(packets, 0));
        assert_eq!(
            told(&[
                None,
                silent(0),
                live(100),
                silent(100),
                silent(100),
                silent(100),
                silent(100),
                live(101),
                None
            ]),
            [
                "offline", "pause", "live", "pause", "pause", "pause", "offline", "live", "offline"
            ]
        );
    }

    #[test]
    fn a_publisher_that_counts_anew_is_not_quiet() {
        let trickle = |packets| Some(publisher(packets, 0));
        assert_eq!(told(&[trickle(9), trickle(3), trickle(5)]), ["pause"; 3]);
    }

    #[test]
    fn loss_is_of_the_last_second() {
        let counted = |came, repaired, dropped| PublisherSample {
            packets_total: came,
            // Most of them were overtaken on another link.
            packets_lost_total: came / 2,
            packets_retransmitted_total: repaired,
            packets_dropped_total: dropped,
            ..PublisherSample::default()
        };
        let ratio = lost_ratio(&counted(1000, 10, 10), &counted(1095, 15, 15));
        assert!((ratio - 0.1).abs() < 1e-9, "{ratio}");
        let anew = lost_ratio(&counted(1000, 10, 10), &counted(0, 0, 0));
        assert!(anew.abs() < 1e-9, "{anew}");
    }

    #[test]
    fn packets_that_wait_span_time() {
        let stream = Stream::after(
            None,
            PublisherSample {
                packets_total: 1000,
                bytes_total: 1_316_000,
                packets_buffered: 100,
                bitrate_bps: 1_052_800,
                ..PublisherSample::default()
            },
            &[],
            Instant::now(),
        );
        assert_eq!(stream.payload_bytes(2), 2632);
        assert_eq!(stream.buffered_ms(), 1000);
    }

    #[test]
    fn an_old_board_is_frozen() {
        let now = Instant::now();
        let board = Board::empty(now, UnixMillis(0));
        assert!(!board.is_frozen(now + AGE_MAX));
        assert!(board.is_frozen(now + AGE_MAX + SECOND));
    }
}
