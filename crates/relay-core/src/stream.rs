//! One stream: its publisher, its players, and the forwarding between them.
//!
//! Packets have an *index* that counts through the stream's whole life, whoever
//! publishes it, and a timestamp on the stream's own timeline. A player's
//! sequence numbers and timestamps lie at a constant distance from those, so a
//! new publisher simply goes on where the old one was.

use std::time::{Duration, Instant};

use model::settings::{Delivery, Start};
use model::telemetry::PublisherSample;
use model::{SessionId, StreamId};
use srt::Timestamp;
use srt::packet::{DataHeader, HEADER_LEN, PAYLOAD_MAX};
use srt::receiver::Arrival;

use crate::bonding::LinkPath;
use crate::bucket::TokenBucket;
use crate::output::Output;
use crate::player::{NewPlayer, Passing, Player, Source};
use crate::publisher::{NewPublisher, Publisher};
use crate::reason::DropReason;
use crate::release::Release;
use crate::ring::Ring;
use crate::saved::SavedStream;
use crate::settings::StreamSettings;
use crate::start::StartPoints;
use crate::timeline::Timeline;

/// Far enough from zero that nothing before it is ever negative.
const INDEX_START: u64 = 1 << 40;
/// A player's clock when it joins: nothing it gets is from before zero.
const PLAYER_CLOCK_START_US: i64 = 10_000_000;
/// What may be asked for is kept for the player's latency, at least a second,
/// and a little.
const RETENTION_MIN: Duration = Duration::from_millis(1000);
const RETENTION_SLACK: Duration = Duration::from_millis(50);
/// How old a place may be at which a player begins: what lies between is sent
/// at once, and PLAYER_CLOCK_START_US leaves room for it.
const START_AGE_MAX: Duration = Duration::from_secs(5);
/// The longest data packet.
const DATAGRAM_MAX: usize = HEADER_LEN + PAYLOAD_MAX;

/// A pull's packet that is so much too old for any player, or too new, goes in a
/// circle of relays, or its sender's clock was set. Where each round takes less
/// time than the relays' margins add to it, it is from the future.
const STALE_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) players: Vec<Player>,
    pub(crate) timeline: Timeline,
    /// While nobody publishes: until when the players are kept.
    pub(crate) hold_until: Option<Instant>,
    /// Who publishes, or did last.
    pub(crate) last_session: SessionId,
    pub(crate) settings: StreamSettings,
    /// Where delivery is, when it is buffered.
    pub(crate) release: Option<Release>,
    /// Where players may begin, when the stream keeps that.
    start_points: Option<StartPoints>,
    /// The rate that the publisher's lease allows, whoever publishes.
    rate_limit: Option<TokenBucket>,
    pub(crate) rate_bps_max: Option<u64>,
    pub(crate) ring: Ring,
    /// The next packet to come.
    pub(crate) next_index: u64,
    latency: Duration,
    margin: Duration,
    last_sample: PublisherSample,
}

impl Stream {
    /// A stream begins with its first publisher.
    pub(crate) fn new(
        id: StreamId,
        publisher: NewPublisher,
        margin: Duration,
        ring: Ring,
        now: Instant,
    ) -> Self {
        let timeline = Timeline::new(now, publisher.timestamp);
        let mut stream = Self {
            id,
            publisher: None,
            players: Vec::new(),
            timeline,
            hold_until: None,
            last_session: publisher.session.clone(),
            settings: publisher.settings,
            release: None,
            start_points: None,
            rate_limit: None,
            rate_bps_max: None,
            ring,
            next_index: INDEX_START,
            latency: Duration::ZERO,
            margin,
            last_sample: PublisherSample::default(),
        };
        stream.attach(publisher, now);
        stream
    }

    /// Goes on with this publisher: its first packet follows the last one seen.
    pub(crate) fn attach(&mut self, new: NewPublisher, now: Instant) {
        self.timeline.continue_with(now, new.timestamp);
        self.limit_rate(now, new.rate_bps_max);
        self.latency = new.latency;
        self.hold_until = None;
        self.last_session = new.session.clone();
        self.apply(new.settings);
        let raised = self.player_latency();
        let mut longest = Duration::ZERO;
        for player in &mut self.players {
            player.sender.raise_latency_to(raised);
            longest = longest.max(player.sender.latency());
        }
        self.keep_for(longest);
        self.publisher = Some(Publisher::new(new, self.next_index, now));
    }

    /// Goes on where it was `away` ago, with the publisher that it was made with.
    pub(crate) fn resume(&mut self, now: Instant, away: Duration, saved: &SavedStream) {
        self.timeline = Timeline::resume(now, away, saved.timeline);
        self.next_index = saved.next_index;
        self.apply(self.settings);
        if let Some(publisher) = &mut self.publisher {
            publisher.resume(now, away, &saved.publisher);
        }
    }

    /// Behaves so from now on. What an earlier publisher left for its players
    /// still goes to those who stayed, and to nobody else.
    fn apply(&mut self, settings: StreamSettings) {
        self.settings = settings;
        self.start_points = (settings.start == Start::Keyframe).then(StartPoints::default);
        self.release = match (settings.delivery, self.release.take()) {
            (Delivery::PassThrough, _) => None,
            (Delivery::Buffered, Some(mut release)) if !self.players.is_empty() => {
                // Shorter would put new packets in front of old ones.
                release.delay = release.delay.max(self.latency);
                Some(release)
            }
            (Delivery::Buffered, _) => Some(Release::new(self.next_index, self.latency)),
        };
    }

    /// Goes on under a renewed lease.
    pub(crate) fn renew(&mut self, settings: StreamSettings) {
        self.settings = self.settings.renewed(settings);
        self.start_points = match self.settings.start {
            Start::Keyframe => Some(self.start_points.take().unwrap_or_default()),
            Start::Newest => None,
        };
        self.keep_for(Duration::ZERO);
    }

    /// Bounds what the publisher may send from now on. A new bound, or a new
    /// publisher, brings no new burst.
    pub(crate) fn limit_rate(&mut self, now: Instant, rate_bps_max: Option<u64>) {
        self.rate_bps_max = rate_bps_max;
        let bytes_per_second = rate_bps_max.map(|bps| bps / 8);
        let fresh = bytes_per_second
            .map(|bytes| TokenBucket::with_burst_min(now, bytes, DATAGRAM_MAX as u64));
        match (&mut self.rate_limit, fresh) {
            (Some(bucket), Some(fresh)) => bucket.adopt_rate(fresh),
            (rate_limit, fresh) => *rate_limit = fresh,
        }
    }

    /// Takes the publisher out; its missing packets are given up with it.
    pub(crate) fn detach(&mut self, now: Instant) -> Option<Publisher> {
        let publisher = self.publisher.take()?;
        // Nobody begins with what is over.
        self.start_points = self.start_points.take().map(|_| StartPoints::default());
        self.last_sample = PublisherSample {
            bitrate_bps: 0,
            ..self.sample(&publisher, now)
        };
        Some(publisher)
    }

    /// The least latency of a player. Of a buffered stream everything comes on
    /// time: the player's buffer covers its own leg only.
    pub(crate) fn player_latency(&self) -> Duration {
        match self.settings.delivery {
            Delivery::PassThrough => self.latency + self.margin,
            Delivery::Buffered => Duration::ZERO,
        }
    }

    /// What makes the timeline a player's that joins now.
    pub(crate) fn player_offset_us(&self, now: Instant) -> i64 {
        PLAYER_CLOCK_START_US - self.timeline.now_us(now)
    }

    /// The first packet of a player that joins now: the next to go to the
    /// players, or where a decoder can begin, when the stream keeps that and
    /// the player wants it.
    pub(crate) fn first_index(&self, now: Instant, from_start: bool) -> u64 {
        let kept = |index: &u64| self.ring.packet(*index).is_some();
        let start = self.start_points.as_ref().filter(|_| from_start);
        let start = start.and_then(|points| points.last(now, START_AGE_MAX));
        start.filter(kept).unwrap_or(self.live_index())
    }

    /// The next packet to go to the players.
    pub(crate) fn live_index(&self) -> u64 {
        let release = self.release.as_ref();
        release.map_or(self.next_index, |release| release.next_index)
    }

    /// Adds a player; returns its place.
    pub(crate) fn add_player(&mut self, new: NewPlayer, now: Instant) -> u32 {
        let mut player = Player::new(new, self.live_index(), now);
        player.sender.raise_latency_to(self.player_latency());
        self.keep_for(player.sender.latency());
        self.players.push(player);
        (self.players.len() - 1) as u32
    }

    /// Adds a player of before a restart, whose latency was raised to this.
    pub(crate) fn resume_player(&mut self, now: Instant, new: NewPlayer, latency: Duration) -> u32 {
        let mut player = Player::resume(now, new, self.next_index);
        player.sender.raise_latency_to(latency);
        self.keep_for(latency);
        self.players.push(player);
        (self.players.len() - 1) as u32
    }

    /// Keeps what may be asked for: for a player's latency, at least a second,
    /// and as long as somebody may want to begin there.
    fn keep_for(&mut self, latency: Duration) {
        let release = self.release.as_ref();
        let delay = release.map_or(Duration::ZERO, |release| release.delay);
        let start = self.start_points.as_ref();
        let start = start.map_or(Duration::ZERO, |_| START_AGE_MAX);
        let retention = latency.max(RETENTION_MIN).max(start) + delay;
        self.ring.keep_for(retention + RETENTION_SLACK);
    }

    /// Whether a pull brings packets that are of no use to anybody.
    pub(crate) fn is_stale(&self, now: Instant, timestamp: Timestamp) -> bool {
        let is_pulled = self.publisher.as_ref().is_some_and(Publisher::is_pulled);
        let placed = self.timeline.place(timestamp);
        let age_max = (self.latency + self.margin + STALE_AFTER).as_micros();
        let age = self.timeline.age_us(now, placed).unsigned_abs();
        is_pulled && u128::from(age) > age_max
    }

    /// Takes a packet from the publisher and sends it on to every player. `came`
    /// is the link of its group that brought it.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        header: &DataHeader,
        payload: &[u8],
        came: Option<LinkPath>,
        output: &mut Output,
    ) {
        if self.players.is_empty() {
            let placed = self.timeline.place(header.timestamp);
            self.timeline.refine(now, placed);
        }
        let timestamp = self.timeline.place(header.timestamp);
        let arrived = self.arrive(now, header, timestamp, payload.len());
        if let (Some(came), Ok(arrival)) = (came, arrived) {
            output.acknowledge(now, came, header, arrival);
        }
        let placed = arrived.and_then(|arrival| self.place(arrival));
        let allowed = placed.and_then(|index| {
            self.check_limits(now, HEADER_LEN + payload.len())
                .map(|()| index)
        });
        match allowed {
            Ok(index) => self.accept(
                now,
                (index, timestamp),
                header.retransmitted,
                payload,
                output,
            ),
            Err(reason) => output.drop_datagram(reason),
        }
        if let Some(publisher) = &mut self.publisher {
            let is_limited = matches!(allowed, Err(DropReason::RateLimit | DropReason::BytesUsed));
            publisher.counts.limited += u64::from(is_limited);
            publisher.flush(now, output);
        }
    }

    /// Keeps a packet, and sends it on or has it wait for its time.
    fn accept(
        &mut self,
        now: Instant,
        (index, timestamp): (u64, Timestamp),
        retransmitted: bool,
        payload: &[u8],
        output: &mut Output,
    ) {
        self.next_index = self.next_index.max(index + 1);
        let Some(release) = &mut self.release else {
            self.ring.insert(now, index, timestamp, payload);
            self.pass(now, (index, timestamp), retransmitted, payload, output);
            return;
        };
        if index < release.next_index {
            output.drop_datagram(DropReason::Duplicate);
            return;
        }
        let timestamp = release.time_of(timestamp);
        release.wake_by(self.timeline.instant_of(now, timestamp, release.delay));
        self.ring.insert(now, index, timestamp, payload);
    }

    /// What the packet is to its receiver.
    fn arrive(
        &mut self,
        now: Instant,
        header: &DataHeader,
        timestamp: Timestamp,
        payload_length: usize,
    ) -> Result<Arrival, DropReason> {
        let publisher = self.publisher.as_mut().ok_or(DropReason::UnknownSocket)?;
        let release = self.release.as_ref();
        let patience = release.map_or(self.latency + self.margin, |release| release.delay);
        let deadline = self.timeline.due(now, timestamp, patience);
        let (seq, retransmitted) = (header.seq, header.retransmitted);
        let receiver = &mut publisher.receiver;
        let arrival = receiver.handle_data(now, seq, payload_length, retransmitted, deadline);
        if let Arrival::Recovered { index } = arrival
            && !retransmitted
        {
            let behind = (receiver.highest() - index) as u32;
            publisher.counts.reorder_max = publisher.counts.reorder_max.max(behind);
        }
        Ok(arrival)
    }

    /// The packet's index in the stream. A publisher that jumps goes on right
    /// behind what it sent before: no player is taken along.
    fn place(&mut self, arrival: Arrival) -> Result<u64, DropReason> {
        let publisher = self.publisher.as_mut().ok_or(DropReason::UnknownSocket)?;
        if let Arrival::Resync { index } = arrival {
            publisher.index_shift = self.next_index.wrapping_sub(index);
        }
        match arrival {
            Arrival::New { index } | Arrival::Recovered { index } | Arrival::Resync { index } => {
                Ok(index.wrapping_add(publisher.index_shift))
            }
            Arrival::Duplicate => Err(DropReason::Duplicate),
            Arrival::OutOfWindow => Err(DropReason::OutOfWindow),
        }
    }

    /// What the lease does not allow goes no further. It counts as received, so
    /// it is acknowledged and never asked for again: a publisher that is too
    /// fast loses what is too much, and nothing comes twice for it. A player
    /// that asks for it is told that it will not come.
    fn check_limits(&mut self, now: Instant, bytes: usize) -> Result<(), DropReason> {
        if let Some(bucket) = &mut self.rate_limit
            && !bucket.take(now, bytes as u64)
        {
            return Err(DropReason::RateLimit);
        }
        match &self.publisher {
            Some(publisher) if !publisher.spend(bytes) => Err(DropReason::BytesUsed),
            _ => Ok(()),
        }
    }

    /// Sends a packet on to every player; they share its payload.
    fn pass(
        &mut self,
        now: Instant,
        (index, timestamp): (u64, Timestamp),
        retransmitted: bool,
        payload: &[u8],
        output: &mut Output,
    ) {
        if let Some(start_points) = &mut self.start_points {
            start_points.observe(now, index, payload);
        }
        let packet = (index, timestamp, retransmitted);
        pass_to(&mut self.players, now, packet, payload, output);
    }

    /// Sends a waiting packet on to every player, if it is here.
    pub(crate) fn pass_stored(&mut self, now: Instant, index: u64, output: &mut Output) {
        if let Some(stored) = self.ring.packet(index) {
            if let Some(start_points) = &mut self.start_points {
                start_points.observe(now, index, stored.payload);
            }
            let packet = (index, stored.timestamp, false);
            pass_to(&mut self.players, now, packet, stored.payload, output);
        }
    }

    /// Takes the publisher's answer to an acknowledgement.
    pub(crate) fn handle_ackack(&mut self, now: Instant, number: u32, timestamp: Timestamp) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        if let Some(round_trip) = publisher.receiver.handle_ackack(now, number) {
            publisher.counts.ackacks += 1;
            self.timeline.compare(now, timestamp, round_trip);
        }
    }

    /// A player, and what its loss reports are answered from.
    pub(crate) fn player_and_source(&mut self, place: u32) -> Option<(&mut Player, Source<'_>)> {
        let source = Source {
            ring: &self.ring,
            timeline: &self.timeline,
            publisher: self.publisher.as_ref(),
            live_index: self.live_index(),
        };
        Some((self.players.get_mut(place as usize)?, source))
    }

    /// The publisher's leg now, or as it was last.
    pub(crate) fn publisher_sample(&self, now: Instant) -> PublisherSample {
        self.publisher
            .as_ref()
            .map_or(self.last_sample, |publisher| self.sample(publisher, now))
    }

    fn sample(&self, publisher: &Publisher, now: Instant) -> PublisherSample {
        PublisherSample {
            packets_buffered: (self.next_index - self.live_index()) as u32,
            drift_us: self.timeline.drift_us(),
            ..publisher.sample(now)
        }
    }

    /// Whether nobody is here and nobody is waited for.
    pub(crate) fn is_unused(&self) -> bool {
        self.publisher.is_none() && self.players.is_empty() && self.hold_until.is_none()
    }
}

/// The players share the payload.
fn pass_to(
    players: &mut [Player],
    now: Instant,
    (index, timestamp, retransmitted): (u64, Timestamp, bool),
    payload: &[u8],
    output: &mut Output,
) {
    if players.is_empty() {
        return;
    }
    let Some(payload) = output.stage(payload) else {
        return;
    };
    let packet = Passing {
        index,
        timestamp,
        retransmitted,
        payload,
    };
    for player in players {
        player.forward(now, packet, output);
    }
}
