//! The leg from the node to one player.

use std::time::{Duration, Instant};

use model::SessionId;
use model::telemetry::PlayerSample;
use srt::crypto::KeyMaterial;
use srt::handshake::KMREQ;
use srt::packet::{Ack, DataHeader, HEADER_LEN, Nak, build};
use srt::rate::Rate;
use srt::sender::{Sender, Settings};
use srt::{SeqRange, Timestamp};

use crate::Ingress;
use crate::bucket::TokenBucket;
use crate::catch_up::CatchUp;
use crate::output::Output;
use crate::publisher::{KEEPALIVE_INTERVAL, Publisher};
use crate::quota::Meter;
use crate::reason::{DropReason, GoneReason};
use crate::ring::Ring;
use crate::saved::{SavedConnection, SavedPlayer};
use crate::sealer::Sealer;
use crate::timeline::Timeline;
use crate::transmit::Staged;

/// Packets looked at for one loss report; the rest is reported again anyway.
const NAK_PACKETS_MAX: u64 = 4096;
/// Reported packets looked at in a second: many times what a player that lost
/// everything reports, and a three-hundredth of a core when it is used up.
const LOOK_UPS_PER_SECOND_MAX: u64 = 65_536;
/// Drop requests sent for one loss report, and in a second.
const DROP_REQUESTS_MAX: usize = 32;
const DROP_REQUESTS_PER_SECOND_MAX: u64 = 500;

#[derive(Debug)]
pub(crate) struct Player {
    /// It, and nobody else, since the relay's start.
    id: u64,
    /// Its number in the table of connections.
    pub(crate) connection: u32,
    pub(crate) session: SessionId,
    pub(crate) sender: Sender,
    /// How far it is, when it began in the past.
    pub(crate) catch_up: Option<CatchUp>,
    /// What its payloads are encrypted with; `None` when they are clear.
    sealer: Option<Box<Sealer>>,
    meter: Option<Meter>,
    path: Ingress,
    payload_max: usize,
    look_ups: TokenBucket,
    drop_requests: TokenBucket,
    rate: Rate,
    drop_requests_sent: u64,
    started_at: Instant,
    heard_at: Instant,
    sent_at: Instant,
}

/// What a player is made with.
#[derive(Debug)]
pub(crate) struct NewPlayer {
    pub(crate) id: u64,
    pub(crate) connection: u32,
    pub(crate) session: SessionId,
    pub(crate) path: Ingress,
    pub(crate) payload_max: usize,
    pub(crate) settings: Settings,
    pub(crate) meter: Option<Meter>,
    pub(crate) sealer: Option<Box<Sealer>>,
}

/// A packet on its way through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    pub(crate) index: u64,
    /// On the stream's timeline.
    pub(crate) timestamp: Timestamp,
    pub(crate) retransmitted: bool,
    pub(crate) payload: Staged,
}

/// What a player's loss report is answered from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) ring: &'a Ring,
    pub(crate) timeline: &'a Timeline,
    pub(crate) publisher: Option<&'a Publisher>,
    /// The next packet to go to all players.
    pub(crate) live_index: u64,
}

impl Player {
    /// `live_index` is the next packet that goes to all players.
    pub(crate) fn new(new: NewPlayer, live_index: u64, now: Instant) -> Self {
        let next_index = new.settings.first_index;
        let catch_up = CatchUp {
            next_index,
            at: now,
        };
        Self {
            id: new.id,
            connection: new.connection,
            session: new.session,
            sender: Sender::new(new.settings, now),
            catch_up: (next_index < live_index).then_some(catch_up),
            sealer: new.sealer,
            meter: new.meter,
            path: new.path,
            payload_max: new.payload_max,
            look_ups: TokenBucket::new(now, LOOK_UPS_PER_SECOND_MAX),
            drop_requests: TokenBucket::new(now, DROP_REQUESTS_PER_SECOND_MAX),
            rate: Rate::new(now),
            drop_requests_sent: 0,
            started_at: now,
            heard_at: now,
            sent_at: now,
        }
    }

    /// Goes on with a player of before a restart; `next_index` is the next packet
    /// for it.
    pub(crate) fn resume(now: Instant, new: NewPlayer, next_index: u64) -> Self {
        let settings = new.settings;
        Self {
            sender: Sender::resume(settings, next_index, now),
            catch_up: None,
            ..Self::new(new, next_index, now)
        }
    }

    /// What to write down of it; nothing when it encrypts.
    pub(crate) fn save(&self, connection: SavedConnection) -> Option<SavedPlayer> {
        let settings = self.sender.settings();
        self.sealer.is_none().then(|| SavedPlayer {
            connection: SavedConnection {
                meter: self.meter.as_ref().map(Meter::save),
                ..connection
            },
            path: self.path.into(),
            id: self.id,
            payload_max: self.payload_max,
            isn: settings.isn.value(),
            first_index: settings.first_index,
            timeline_offset_us: settings.timeline_offset_us,
            latency_agreed: settings.latency,
            latency: self.sender.latency(),
            window_packets: settings.window_packets,
        })
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Sends a packet on, unless it is from before this player joined.
    pub(crate) fn forward(&mut self, now: Instant, packet: Passing, output: &mut Output) {
        let Passing {
            index,
            timestamp,
            retransmitted,
            payload,
        } = packet;
        let length = payload.length();
        if index < self.sender.first_index() || self.is_ahead(index) {
            return;
        }
        if length > self.payload_max {
            self.sender.count_dropped(index, index);
            return;
        }
        if !self.spend(HEADER_LEN + length) {
            return;
        }
        if let Some(header) = self.sender.label(index, timestamp, retransmitted, length)
            && let Some((header, payload)) = self.seal(header, payload, output)
        {
            self.sent_at = now;
            self.rate.add(now, length);
            output.send_staged(self.path, &header.to_bytes(), payload);
        }
    }

    /// Whether the packet's turn comes when this player has caught up.
    fn is_ahead(&self, index: u64) -> bool {
        self.catch_up
            .is_some_and(|catch_up| index >= catch_up.next_index)
    }

    /// The packet as this player is sent it: when it encrypts, a copy of its own.
    fn seal(
        &mut self,
        mut header: DataHeader,
        payload: Staged,
        output: &mut Output,
    ) -> Option<(DataHeader, Staged)> {
        let Some(sealer) = &mut self.sealer else {
            return Some((header, payload));
        };
        let payload = output.stage_changed(payload, |payload| {
            header.key = sealer.seal(header.seq, payload);
        })?;
        Some((header, payload))
    }

    /// Counts bytes sent; false when they are more than the lease allows.
    fn spend(&self, bytes: usize) -> bool {
        self.meter.as_ref().is_none_or(|meter| meter.spend(bytes))
    }

    /// Confirms an acknowledgement.
    pub(crate) fn handle_ack(
        &mut self,
        now: Instant,
        timeline: &Timeline,
        ack: &Ack,
        output: &mut Output,
    ) {
        if let Some(number) = self.sender.handle_ack(ack) {
            let mut buffer = [0; build::CONTROL_MAX];
            let header = self.sender.control_header(timeline.now(now));
            let length = build::ackack(&mut buffer, header, number);
            self.sent_at = now;
            output.send(self.path, &buffer[..length]);
        }
        self.send_keys(now, timeline, output);
    }

    /// Takes the player's answer to new keys.
    pub(crate) fn handle_key_answer(&mut self, answer: &[u8]) -> Result<(), DropReason> {
        let sealer = self.sealer.as_mut();
        let is_taken = sealer.is_some_and(|sealer| sealer.handle_answer(answer));
        if is_taken {
            Ok(())
        } else {
            Err(DropReason::UnexpectedControl)
        }
    }

    /// Announces the next key when it is time, until the player confirms it. A
    /// player that acknowledges has it looked after a hundred times a second.
    fn send_keys(&mut self, now: Instant, timeline: &Timeline, output: &mut Output) {
        let header = self.sender.control_header(timeline.now(now));
        let round_trip = self.sender.rtt().smoothed();
        let Some(sealer) = &mut self.sealer else {
            return;
        };
        if let Some(message) = sealer.poll_announcement(now, round_trip) {
            let mut buffer = [0; HEADER_LEN + KeyMaterial::LENGTH_MAX];
            let length = build::user(&mut buffer, header, KMREQ, message.as_bytes());
            self.sent_at = now;
            output.send(self.path, &buffer[..length]);
        }
    }

    /// Sends again what is still here and in time, says so of what will never
    /// come, and keeps silent about what may come yet: it is sent on arrival.
    pub(crate) fn handle_nak(
        &mut self,
        now: Instant,
        source: Source<'_>,
        nak: &Nak<'_>,
        output: &mut Output,
    ) {
        self.sender.handle_nak();
        let mut packets_left = NAK_PACKETS_MAX;
        let mut gone = Gone::default();
        for range in nak.ranges() {
            let Some((first, last)) = self.sender.indexes(range) else {
                continue;
            };
            let oldest = (last + 1)
                .saturating_sub(source.ring.span().max(1))
                .max(first);
            if first < oldest {
                gone.add(first, oldest - 1);
            }
            for index in oldest..=last {
                if packets_left == 0 || !self.look_ups.take(now, 1) {
                    break;
                }
                packets_left -= 1;
                self.answer(now, source, index, &mut gone, output);
            }
        }
        self.send_drop_requests(now, source.timeline, &gone, output);
    }

    fn answer(
        &mut self,
        now: Instant,
        source: Source<'_>,
        index: u64,
        gone: &mut Gone,
        output: &mut Output,
    ) {
        let Some(stored) = source.ring.packet(index) else {
            if !source
                .publisher
                .is_some_and(|publisher| publisher.is_missing(index))
            {
                gone.add(index, index);
            }
            return;
        };
        let age_us = source.timeline.age_us(now, stored.timestamp);
        if !self.sender.is_worth_sending(age_us) {
            gone.add(index, index);
            return;
        }
        let rate = source
            .publisher
            .map_or(0, |p| p.receiver.rate().packets_per_second(now));
        // Buffered packets were sent when they were due, not on arrival.
        let age = Duration::from_micros(age_us.max(0).unsigned_abs());
        let due_at = now.checked_sub(age).unwrap_or(stored.arrived_at);
        let sent_at = stored.arrived_at.max(due_at);
        if output.has_spare()
            && self.sender.may_retransmit(now, index, sent_at, rate)
            && let Some(payload) = output.stage(stored.payload)
        {
            let passing = Passing {
                index,
                timestamp: stored.timestamp,
                retransmitted: true,
                payload,
            };
            self.forward(now, passing, output);
        }
    }

    fn send_drop_requests(
        &mut self,
        now: Instant,
        timeline: &Timeline,
        gone: &Gone,
        output: &mut Output,
    ) {
        let header = self.sender.control_header(timeline.now(now));
        for (first, last) in gone.runs[..gone.length].iter().copied() {
            if !self.drop_requests.take(now, 1) {
                break;
            }
            self.sender.count_dropped(first, last);
            if let Some(range) = self.sender.range(first, last) {
                self.send_drop_request(now, header, range, output);
            }
        }
    }

    fn send_drop_request(
        &mut self,
        now: Instant,
        header: srt::packet::ControlHeader,
        range: SeqRange,
        output: &mut Output,
    ) {
        let mut buffer = [0; build::CONTROL_MAX];
        let length = build::dropreq(&mut buffer, header, 0, range);
        self.drop_requests_sent += 1;
        self.sent_at = now;
        output.send(self.path, &buffer[..length]);
    }

    /// Does what is due; when to do so next, or why the connection ends.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        idle_max: Duration,
        source: Source<'_>,
        output: &mut Output,
    ) -> Result<Instant, GoneReason> {
        if now >= self.heard_at + idle_max {
            return Err(GoneReason::TimedOut);
        }
        if self.meter.as_ref().is_some_and(Meter::is_used_up) {
            return Err(GoneReason::BytesUsed);
        }
        self.catch_up(now, source, output);
        if now >= self.sent_at + KEEPALIVE_INTERVAL {
            let mut buffer = [0; build::CONTROL_MAX];
            let header = self.sender.control_header(source.timeline.now(now));
            let length = build::keepalive(&mut buffer, header);
            self.sent_at = now;
            output.send(self.path, &buffer[..length]);
        }
        self.send_keys(now, source.timeline, output);
        Ok(self.poll_timeout(idle_max))
    }

    fn poll_timeout(&self, idle_max: Duration) -> Instant {
        let idle_at = (self.sent_at + KEEPALIVE_INTERVAL).min(self.heard_at + idle_max);
        self.catch_up
            .map_or(idle_at, |catch_up| catch_up.at.min(idle_at))
    }

    pub(crate) fn send_shutdown(&self, now: Instant, timeline: &Timeline, output: &mut Output) {
        let mut buffer = [0; build::CONTROL_MAX];
        let header = self.sender.control_header(timeline.now(now));
        let length = build::shutdown(&mut buffer, header);
        output.send(self.path, &buffer[..length]);
    }

    /// Payload bytes sent, retransmissions included.
    pub(crate) fn bytes(&self) -> u64 {
        self.sender.statistics().bytes
    }

    pub(crate) fn sample(&self, now: Instant) -> PlayerSample {
        let statistics = self.sender.statistics();
        PlayerSample {
            bytes_total: statistics.bytes,
            packets_total: statistics.packets,
            packets_retransmitted_total: statistics.retransmitted,
            packets_dropped_total: statistics.dropped,
            bitrate_bps: self.rate.bytes_per_second(now) * 8,
            rtt_us: self.sender.rtt().smoothed().as_micros() as u32,
            latency_ms: self.sender.latency().as_millis() as u32,
            uptime_ms: now.saturating_duration_since(self.started_at).as_millis() as u64,
            naks_received_total: statistics.naks,
            player_id: self.id,
            packets_in_flight: self.sender.in_flight() as u32,
            window_packets: self.sender.window_packets(),
            acks_received_total: statistics.acks,
            drop_requests_sent_total: self.drop_requests_sent,
            jumps_total: statistics.restarts,
            rtt_var_us: self.sender.rtt().variance().as_micros() as u32,
            receive_rate_bps: u64::from(self.sender.receiver_rates().bytes_per_second) * 8,
        }
    }
}

/// Runs of packets that will never come, in the order they were asked for.
#[derive(Debug, Default)]
struct Gone {
    runs: [(u64, u64); DROP_REQUESTS_MAX],
    length: usize,
}

impl Gone {
    fn add(&mut self, first: u64, last: u64) {
        if let Some(run) = self.runs[..self.length]
            .last_mut()
            .filter(|run| run.1 + 1 == first)
        {
            run.1 = last;
        } else if let Some(run) = self.runs.get_mut(self.length) {
            *run = (first, last);
            self.length += 1;
        }
    }
}
