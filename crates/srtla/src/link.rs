//! One link of a group: what came over it, and what its sender says about it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use srt::Seq;
use srt::packet::DataHeader;
use srt::receiver::Arrival;

use crate::Path;
use crate::packet::{self, ACK_LEN, ACK_PACKETS, ConnectionInfo};
use crate::transit::{Progress, Transit};
use crate::window::{Counts, ONE_SECOND, TEN_SECONDS, Tally, Window};

/// No round trip is longer; a larger claim is the sender's fault.
const RTT_MAX_MS: u32 = 10_000;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) path: Path,
    pub(crate) registered_at: Instant,
    /// When anything came over it.
    pub(crate) heard_at: Instant,
    pub(crate) counts: Counts,
    /// Lost packets that are not whole yet.
    lost_part: f64,
    /// The newest data packet delivered.
    newest: Option<Seq>,
    /// When the last one was, or the session or the link began.
    data_at: Instant,
    transit: Transit,
    info: Option<(Instant, ConnectionInfo)>,
    ack: AckLog,
}

/// The packets that the next SRTLA acknowledgement names.
#[derive(Debug, Default)]
struct AckLog {
    seqs: [Seq; ACK_PACKETS],
    len: usize,
}

impl AckLog {
    fn push(&mut self, seq: Seq) -> Option<[u8; ACK_LEN]> {
        self.seqs[self.len] = seq;
        self.len = (self.len + 1) % ACK_PACKETS;
        (self.len == 0).then(|| packet::ack(&self.seqs))
    }
}

impl Link {
    pub(crate) fn new(number: u64, path: Path, now: Instant) -> Self {
        Self {
            number,
            path,
            registered_at: now,
            heard_at: now,
            counts: Counts::new(now),
            lost_part: 0.0,
            newest: None,
            data_at: now,
            transit: Transit::default(),
            info: None,
            ack: AckLog::default(),
        }
    }

    /// Something came: answers go where it came from.
    pub(crate) fn heard(&mut self, now: Instant, path: Path) {
        self.heard_at = now;
        self.path = path;
    }

    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard_at)
    }

    pub(crate) const fn handle_info(&mut self, now: Instant, info: ConnectionInfo) {
        self.info = Some((now, info));
    }

    /// Notes a data packet; every tenth one is answered, whatever became of the packet.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        header: &DataHeader,
        arrival: Arrival,
        was_seen: bool,
    ) -> Option<[u8; ACK_LEN]> {
        self.count(now, header, arrival, was_seen);
        if arrival != Arrival::OutOfWindow {
            self.advance(now, header);
        }
        self.ack.push(header.seq)
    }

    fn count(&mut self, now: Instant, header: &DataHeader, arrival: Arrival, was_seen: bool) {
        let tally = self.counts.at(now);
        tally.retransmitted += u64::from(header.retransmitted);
        match arrival {
            Arrival::New { .. } | Arrival::Recovered { .. } | Arrival::Resync { .. } => {
                tally.unique += 1;
            }
            Arrival::Duplicate if was_seen => tally.duplicate += 1,
            Arrival::Duplicate => tally.late += 1,
            Arrival::OutOfWindow => {}
        }
    }

    fn advance(&mut self, now: Instant, header: &DataHeader) {
        self.data_at = now;
        if self.newest.is_none_or(|newest| header.seq.is_after(newest)) {
            self.newest = Some(header.seq);
        }
    }

    /// The travel time of a packet that was sent for the first time.
    pub(crate) fn handle_transit(&mut self, transit_us: i64) {
        self.transit.sample(transit_us);
    }

    /// Forgets what belongs to an SRT session; the next one has other numbers and another clock.
    pub(crate) fn restart(&mut self, now: Instant) {
        (self.newest, self.data_at) = (None, now);
        self.transit = Transit::default();
        self.ack = AckLog::default();
    }

    /// So many packets were likely lost here; a part of one waits for the rest.
    pub(crate) fn lost(&mut self, now: Instant, packets: f64) {
        self.lost_part += packets;
        self.counts.at(now).lost += self.lost_part as u64;
        self.lost_part = self.lost_part.fract();
    }

    pub(crate) const fn progress(&self) -> Progress {
        Progress {
            newest: self.newest,
            data_at: self.data_at,
            transit_us: self.transit.mean_us(),
            jitter_us: self.transit.jitter_us(),
        }
    }

    /// Shares and the relative delay are the group's to fill in.
    pub(crate) fn sample(&mut self, now: Instant) -> LinkSample {
        let sender = self.info.map(|(at, info)| SenderSample {
            age: now.saturating_duration_since(at),
            rtt_ms: (info.rtt_ms > 0).then_some(info.rtt_ms.min(RTT_MAX_MS)),
            info,
        });
        LinkSample {
            number: self.number,
            peer: self.path.peer,
            uptime: now.saturating_duration_since(self.registered_at),
            silent_for: self.silent_for(now),
            total: self.counts.total(),
            last_second: self.counts.window(now, ONE_SECOND),
            last_ten_seconds: self.counts.window(now, TEN_SECONDS),
            share_last_second: 0.0,
            share_last_ten_seconds: 0.0,
            jitter_us: self.transit.jitter_us(),
            relative_delay_us: None,
            sender,
        }
    }

    pub(crate) fn transit_us(&self) -> Option<i64> {
        self.transit.mean_us()
    }
}

/// A link as it is now: plain numbers, for telemetry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSample {
    /// The link's number on this shard: what a display keys on. Never used twice.
    pub number: u64,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Since its registration.
    pub uptime: Duration,
    /// Since anything last came.
    pub silent_for: Duration,
    /// Everything since its registration.
    pub total: Tally,
    /// The last second.
    pub last_second: Window,
    /// The last ten seconds.
    pub last_ten_seconds: Window,
    /// Its share of the group's bytes in the last second, 0 to 1.
    pub share_last_second: f64,
    /// The same for ten seconds.
    pub share_last_ten_seconds: f64,
    /// Interarrival jitter (RFC 3550), microseconds.
    pub jitter_us: u32,
    /// How much longer packets travel on it than on the group's fastest link, microseconds.
    pub relative_delay_us: Option<u32>,
    /// What the sender says about it, when it sends extended keepalives.
    pub sender: Option<SenderSample>,
}

/// What a sender claims about its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderSample {
    /// How old the claim is.
    pub age: Duration,
    /// Its smoothed round trip, at most ten seconds; `None` until it has one.
    pub rtt_ms: Option<u32>,
    /// The claim as it came.
    pub info: ConnectionInfo,
}

#[cfg(test)]
mod tests {
    use srt::{SocketId, Timestamp};

    use super::*;
    use crate::testing::{ms, start};

    fn link() -> Link {
        let path = Path {
            peer: SocketAddr::from(([192, 0, 2, 1], 7)),
            local_ip: None,
            socket: 0,
        };
        Link::new(1, path, start())
    }

    fn data(seq: u32) -> DataHeader {
        DataHeader::live(Seq::new(seq), 1, Timestamp(0), SocketId(1))
    }

    const NEW: Arrival = Arrival::New { index: 0 };

    #[test]
    fn every_tenth_data_packet_is_acknowledged_with_all_ten() {
        let mut link = link();
        // The stream's numbers wrap, and copies count: the sender sent them.
        let seqs = (0..20).map(|n| Seq::new(0x7fff_fff8).add(n / 2));
        let mut acks = Vec::new();
        for seq in seqs.clone() {
            let header = data(seq.value());
            acks.extend(link.handle_data(start(), &header, Arrival::Duplicate, true));
        }
        let named: Vec<Seq> = acks
            .iter()
            .flat_map(|ack| match packet::Packet::parse(ack) {
                Ok(packet::Packet::Ack(list)) => list.seqs().collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(acks.len(), 2);
        assert_eq!(named, seqs.collect::<Vec<_>>());
    }

    #[test]
    fn what_became_of_a_packet_is_counted_once() {
        let mut link = link();
        let cases = [
            (NEW, false),
            (Arrival::Recovered { index: 0 }, false),
            (Arrival::Duplicate, true),
            (Arrival::Duplicate, false),
            (Arrival::OutOfWindow, false),
        ];
        for (arrival, was_seen) in cases {
            link.handle_data(start(), &data(5), arrival, was_seen);
        }
        let tally = link.counts.total();
        assert_eq!((tally.unique, tally.duplicate, tally.late), (2, 1, 1));
    }

    #[test]
    fn claims_are_clamped_and_aged() {
        let mut link = link();
        let info = ConnectionInfo {
            rtt_ms: u32::MAX,
            ..ConnectionInfo::default()
        };
        link.handle_info(start(), info);
        let sender = link.sample(start() + ms(1500)).sender.unwrap();
        assert_eq!((sender.rtt_ms, sender.age), (Some(10_000), ms(1500)));
        link.handle_info(start(), ConnectionInfo::default());
        assert_eq!(link.sample(start()).sender.unwrap().rtt_ms, None);
    }
}
