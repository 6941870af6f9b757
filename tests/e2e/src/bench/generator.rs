//! The load: publishers that send at an even pace and players that take it, all
//! driven by one thread that wakes once a tick.
//!
//! It never sleeps on a socket: a relay that had to wake it for every datagram
//! would pay for that, and no network card asks it to. Delays are exact all the
//! same, because the kernel stamps what arrives.

use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::batch::ReceiveBatch;
use super::clock;
use super::payload::PAYLOAD_BYTES;
use super::player::{ACK_INTERVAL, Player};
use super::publisher::{Publisher, TRAIN_MAX};
use super::tally::Delays;
use crate::usage::Usage;

/// How often the generator wakes. What is due in a tick leaves in it.
pub(super) const TICK: Duration = Duration::from_micros(100);
/// What a late tick makes good for; the rest is not offered.
const CATCH_UP_MAX: Duration = Duration::from_millis(10);
/// Datagrams that one receive takes, and their room.
const RECEIVE_PLACES: usize = 32;
const RECEIVE_BYTES: usize = 2048;
const EVENTS_MAX: usize = 512;
/// How long stragglers are waited for: libsrt's latency and as much again.
const PATIENCE: Duration = Duration::from_millis(300);

/// What to send, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Payload bits a second of each stream; 0 sends keepalives only.
    pub(super) rate_bps: u64,
    /// Sent first, to fill caches and queues.
    pub(super) warm_up: Duration,
    /// Sent then, and judged.
    pub(super) judged: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Payloads that players should have got.
    pub(super) expected: u64,
    /// Those that the generator was too late to send.
    pub(super) skipped: u64,
    /// Those that came, each once.
    pub(super) received: u64,
    /// Those that came again.
    pub(super) repeated: u64,
    /// Those that came after a later one.
    pub(super) late: u64,
    /// Payloads sent again because the relay asked.
    pub(super) retransmitted: u64,
    /// Connections that the relay ended.
    pub(super) closed: u64,
    /// Payloads that came while costs were counted.
    pub(super) arrivals: u64,
    /// How long payloads took.
    pub(super) delays: Delays,
    /// What the watched processes used while costs were counted.
    pub(super) usage: Usage,
    /// How long costs were counted.
    pub(super) elapsed: Duration,
    /// What the generator itself used meanwhile.
    pub(super) own: Duration,
}

/// Publishers, players and their pace.
pub(super) struct Generator {
    publishers: Vec<Publisher>,
    players: Vec<Player>,
    /// Players of each stream.
    fan_out: u64,
    epoll: Epoll,
    batch: ReceiveBatch,
    /// Whose timers are served next.
    next_served: usize,
    /// Callers times ticks since the last one was served.
    serves_owed: usize,
    skipped: u64,
}

impl Generator {
    /// Drives `players`, as many for each of `publishers`.
    pub(super) fn new(publishers: Vec<Publisher>, players: Vec<Player>) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let sockets = publishers
            .iter()
            .map(|publisher| publisher.outlet.sockets());
        let sockets = sockets.chain(players.iter().map(|it| std::slice::from_ref(&it.socket)));
        for (place, sockets) in sockets.enumerate() {
            for (link, socket) in sockets.iter().enumerate() {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, Source { place, link }.pack());
                epoll.add(socket.io(), event)?;
            }
        }
        let fan_out = players.len() / publishers.len().max(1);
        Ok(Self {
            publishers,
            players,
            fan_out: fan_out as u64,
            epoll,
            batch: ReceiveBatch::new(RECEIVE_PLACES, RECEIVE_BYTES),
            next_served: 0,
            serves_owed: 0,
            skipped: 0,
        })
    }

    /// Sends `load` and says what came of it and what `watched` processes used.
    pub(super) fn measure(&mut self, load: Load, watched: &[u32]) -> anyhow::Result<Outcome> {
        clock::sleep_precisely()?;
        self.run(load, load.warm_up, false)?;
        let (before, own) = (Usage::of(watched)?, own_cpu()?);
        let arrivals = self.arrivals();
        let started = Instant::now();
        self.skipped = 0;
        self.run(load, load.judged, true)?;
        let elapsed = started.elapsed();
        let mut outcome = Outcome {
            usage: Usage::of(watched)?.since(&before),
            own: own_cpu()?.saturating_sub(own),
            arrivals: self.arrivals() - arrivals,
            elapsed,
            ..Outcome::default()
        };
        let idle = Load {
            rate_bps: 0,
            ..load
        };
        self.run(idle, PATIENCE, false)?;
        self.report(&mut outcome);
        Ok(outcome)
    }

    fn report(&mut self, outcome: &mut Outcome) {
        outcome.skipped = self.skipped * self.fan_out;
        for publisher in &mut self.publishers {
            let sent = std::mem::take(&mut publisher.sent);
            outcome.expected += sent.judged * self.fan_out;
            outcome.retransmitted += sent.retransmitted;
            outcome.closed += u64::from(sent.closed);
        }
        let mut delays = Vec::new();
        for player in &mut self.players {
            let tally = std::mem::take(&mut player.tally);
            outcome.received += tally.received;
            outcome.repeated += tally.repeated;
            outcome.late += tally.late;
            outcome.closed += u64::from(tally.closed);
            delays.push(tally.delays_ns);
        }
        outcome.delays = Delays::of(delays);
    }

    /// Ends every connection politely.
    pub(super) fn shut_down(&mut self) {
        let now = Instant::now();
        for publisher in &mut self.publishers {
            publisher.shut_down(now);
        }
    }

    fn arrivals(&self) -> u64 {
        self.players
            .iter()
            .map(|player| player.tally.arrivals)
            .sum()
    }

    fn run(&mut self, load: Load, span: Duration, judged: bool) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut pace = Pace::new(start, load.rate_bps, self.publishers.len());
        let mut tick = start;
        loop {
            let now = Instant::now();
            if now >= start + span {
                return Ok(());
            }
            self.send(&mut pace, now, judged);
            self.receive()?;
            self.serve(now);
            tick = (tick + TICK).max(now);
            clock::sleep_until(tick);
        }
    }

    /// Sends what is due: packet `k` belongs to stream `k % streams`, so streams
    /// have different phases and packets of one stream leave together only when
    /// the tick is longer than their distance.
    fn send(&mut self, pace: &mut Pace, now: Instant, judged: bool) {
        let streams = self.publishers.len() as u64;
        let due = pace.due(now);
        self.skipped += due.skipped;
        for first in due.first..due.end.min(due.first + streams) {
            let mut left = (due.end - first).div_ceil(streams) as usize;
            let publisher = &mut self.publishers[(first % streams) as usize];
            while left > 0 {
                let count = left.min(TRAIN_MAX);
                publisher.send(now, count, judged);
                left -= count;
            }
        }
    }

    fn receive(&mut self) -> anyhow::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        let ready = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        for event in &events[..ready] {
            self.receive_from(Source::unpack(event.data()))?;
        }
        Ok(())
    }

    fn receive_from(&mut self, source: Source) -> anyhow::Result<()> {
        let Source { place, link } = source;
        let publishers = self.publishers.len();
        loop {
            let socket = match self.publishers.get(place) {
                Some(publisher) => &publisher.outlet.sockets()[link],
                None => &self.players[place - publishers].socket,
            };
            let count = self.batch.receive(socket.io())?;
            let now = Instant::now();
            for index in 0..count {
                let received = self.batch.received(index);
                match self.publishers.get_mut(place) {
                    Some(publisher) => publisher.handle(now, link, received.bytes),
                    None => self.players[place - publishers].handle(
                        now,
                        received.bytes,
                        received.arrived_ns,
                    ),
                }
            }
            if count < self.batch.places() {
                return Ok(());
            }
        }
    }

    /// Serves the timers of as many callers as this tick's share of the interval
    /// between acknowledgements, so that they do not acknowledge all at once.
    fn serve(&mut self, now: Instant) {
        let callers = self.publishers.len() + self.players.len();
        let ticks = (ACK_INTERVAL.as_nanos() / TICK.as_nanos()) as usize;
        self.serves_owed += callers;
        while self.serves_owed >= ticks {
            self.serves_owed -= ticks;
            let place = self.next_served;
            self.next_served = (place + 1) % callers;
            match self.publishers.get_mut(place) {
                Some(publisher) => publisher.handle_timeout(now),
                None => self.players[place - self.publishers.len()].handle_timeout(now),
            }
        }
    }
}

/// Whose socket has something to read: a caller's place, publishers first, and which
/// of its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    place: usize,
    link: usize,
}

impl Source {
    const fn pack(self) -> u64 {
        (self.link as u64) << 32 | self.place as u64
    }

    const fn unpack(packed: u64) -> Self {
        Self {
            place: packed as u32 as usize,
            link: (packed >> 32) as usize,
        }
    }
}

fn own_cpu() -> anyhow::Result<Duration> {
    Ok(Usage::of(&[std::process::id()])?.cpu)
}

/// When packets are due, of all streams together.
struct Pace {
    start: Instant,
    packets_per_second: f64,
    next: u64,
}

/// Packets `first..end`, and how many before them are given up.
struct Due {
    first: u64,
    end: u64,
    skipped: u64,
}

impl Pace {
    fn new(start: Instant, rate_bps: u64, streams: usize) -> Self {
        let per_stream = rate_bps as f64 / (PAYLOAD_BYTES * 8) as f64;
        Self {
            start,
            packets_per_second: per_stream * streams as f64,
            next: 0,
        }
    }

    fn due(&mut self, now: Instant) -> Due {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        let end = (elapsed * self.packets_per_second) as u64;
        let most = (CATCH_UP_MAX.as_secs_f64() * self.packets_per_second).ceil() as u64;
        let first = self.next.max(end.saturating_sub(most.max(1)));
        let due = Due {
            first,
            end: end.max(first),
            skipped: first - self.next,
        };
        self.next = due.end;
        due
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddrV4, UdpSocket};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::outlet::Outlet;
    use super::super::publisher::DATAGRAM_BYTES;
    use super::super::socket::Socket;
    use super::*;

    /// Passes on every datagram but each tenth, until told to stop; returns how
    /// many it passed.
    fn lose_each_tenth(path: &UdpSocket, to: SocketAddrV4, stop: &AtomicBool) -> u64 {
        let (mut datagrams, mut passed) = (0, 0);
        let mut buffer = [0; DATAGRAM_BYTES];
        while !stop.load(Ordering::Relaxed) {
            if path.recv(&mut buffer).is_err() {
                continue;
            }
            datagrams += 1;
            if datagrams % 10 != 0 {
                path.send_to(&buffer, to).unwrap();
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn what_a_path_loses_is_missed() {
        let path = UdpSocket::bind("127.0.0.1:0").unwrap();
        path.set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let (from, to) = (Socket::bind().unwrap(), Socket::bind().unwrap());
        from.connect(super::super::batch::ipv4(path.local_addr().unwrap()).unwrap())
            .unwrap();
        let player = to.address();
        let publishers = vec![Publisher::new(0, Outlet::Plain(from), None)];
        let mut generator = Generator::new(publishers, vec![Player::new(to, None)]).unwrap();
        let stop = AtomicBool::new(false);
        let load = Load {
            rate_bps: 2_000_000,
            warm_up: Duration::ZERO,
            judged: Duration::from_millis(500),
        };
        let (outcome, passed) = std::thread::scope(|scope| {
            let path = scope.spawn(|| lose_each_tenth(&path, player, &stop));
            let outcome = generator.measure(load, &[]).unwrap();
            stop.store(true, Ordering::Relaxed);
            (outcome, path.join().unwrap())
        });
        assert!(outcome.expected > 0);
        assert_eq!(outcome.received, passed);
        assert_eq!(outcome.received, outcome.expected - outcome.expected / 10);
    }

    #[test]
    fn a_pace_is_even_and_gives_up_what_is_too_late() {
        let start = Instant::now();
        // 6 Mbit/s: 570 packets a second, of two streams 1140.
        let mut pace = Pace::new(start, 6_000_000, 2);
        let due = pace.due(start + Duration::from_millis(5));
        assert_eq!((due.first, due.end, due.skipped), (0, 5, 0));
        let due = pace.due(start + Duration::from_millis(5));
        assert_eq!((due.first, due.end), (5, 5));
        let due = pace.due(start + Duration::from_millis(1005));
        assert_eq!(due.end, 1145);
        assert_eq!((due.end - due.first, due.skipped), (12, 1128));
    }
}
