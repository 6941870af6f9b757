//! Garbage at a node: random datagrams and mutated handshakes.
//!
//! Every socket sends datagrams of one length, so that a reply that is larger
//! than its request shows, whichever request it answers.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use testkit::random::Random;

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Decides every byte.
    pub seed: u64,
    /// Random datagrams.
    pub random: u64,
    /// Handshakes of a caller, with some bytes changed.
    pub mutated: u64,
    /// Datagrams a second, so that the kernel need not drop them.
    pub rate_pps: u64,
}

/// What was seen at the sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Datagrams sent.
    pub sent: u64,
    /// Replies that came back.
    pub replies: u64,
    /// Replies larger than what was sent.
    pub amplified: u64,
    /// How long it took.
    pub elapsed: Duration,
}

const RANDOM_LENGTHS: [usize; 8] = [1, 4, 15, 16, 33, 64, 200, 1400];
/// Datagrams between two looks at the clock.
const BURST: u64 = 32;

impl Flood {
    /// Sends everything.
    ///
    /// # Errors
    /// When a socket fails.
    pub fn run(&self, target: SocketAddr) -> io::Result<Outcome> {
        let mut random = Random::new(self.seed);
        let mut sources = sources(target)?;
        let started = Instant::now();
        let total = self.random + self.mutated;
        let mut outcome = Outcome::default();
        while outcome.sent < total {
            // Both kinds are spread over the whole time.
            let is_random = random.below(total) < self.random;
            sources.send(is_random, &mut random)?;
            outcome.sent += 1;
            if outcome.sent.is_multiple_of(BURST) {
                sources.collect(&mut outcome)?;
                self.pace(started, outcome.sent);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        sources.collect(&mut outcome)?;
        outcome.elapsed = started.elapsed();
        Ok(outcome)
    }

    fn pace(&self, started: Instant, sent: u64) {
        let due = started + Duration::from_secs_f64(sent as f64 / self.rate_pps as f64);
        let early = due.saturating_duration_since(Instant::now());
        if early > Duration::from_micros(500) {
            std::thread::sleep(early);
        }
    }
}

struct Sources {
    random: Vec<Source>,
    mutated: Vec<Source>,
    buffer: Vec<u8>,
}

/// A socket that sends one length only.
struct Source {
    socket: UdpSocket,
    template: Vec<u8>,
}

fn sources(target: SocketAddr) -> io::Result<Sources> {
    let random = RANDOM_LENGTHS.map(|length| vec![0; length]);
    let [induction, conclusion] = [induction(), conclusion()];
    let cut = |whole: &[u8], by: usize| whole[..whole.len() - by].to_vec();
    let mutated = [
        induction.clone(),
        conclusion.clone(),
        cut(&induction, 9),
        cut(&conclusion, 6),
        cut(&conclusion, 24),
    ];
    Ok(Sources {
        random: random
            .into_iter()
            .map(|template| Source::new(target, template))
            .collect::<io::Result<_>>()?,
        mutated: mutated
            .into_iter()
            .map(|template| Source::new(target, template))
            .collect::<io::Result<_>>()?,
        buffer: vec![0; 2048],
    })
}

impl Sources {
    fn send(&mut self, is_random: bool, random: &mut Random) -> io::Result<()> {
        let kind = if is_random {
            &self.random
        } else {
            &self.mutated
        };
        let source = &kind[pick(random, kind.len())];
        let datagram = &mut self.buffer[..source.template.len()];
        if is_random {
            random.fill(datagram);
        } else {
            datagram.copy_from_slice(&source.template);
            mutate(datagram, random);
        }
        // A full send buffer on loopback means that the node is behind: wait.
        while let Err(error) = source.socket.send(datagram) {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn collect(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        for source in self.random.iter().chain(&self.mutated) {
            while let Some(length) = source.receive(&mut self.buffer)? {
                outcome.replies += 1;
                outcome.amplified += u64::from(length > source.template.len());
            }
        }
        Ok(())
    }
}

impl Source {
    fn new(target: SocketAddr, template: Vec<u8>) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(target)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, template })
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.socket.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn pick(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64)).unwrap_or(0)
}

fn mutate(datagram: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(8) {
        let place = pick(random, datagram.len());
        datagram[place] = random.bits().to_le_bytes()[0];
    }
}

const SOCKET_ID: u32 = 0x1234_5678;
const REQUEST_INDUCTION: u32 = 1;
const REQUEST_CONCLUSION: u32 = 0xffff_ffff;

/// A caller's first handshake, as libsrt sends it.
pub(crate) fn induction() -> Vec<u8> {
    handshake(4, 2, REQUEST_INDUCTION, 0)
}

/// A caller's second handshake with a cookie that nobody gave it.
pub(crate) fn conclusion() -> Vec<u8> {
    let mut packet = handshake(5, 0x0005, REQUEST_CONCLUSION, 0xdead_beef);
    // HSREQ: version 1.5.1, the usual flags, latency 120 ms each way.
    packet.extend(words(&[0x0001_0003, 0x0001_0501, 0x0000_00bf, 0x0078_0078]));
    // The stream id "live_abc", each word turned round.
    packet.extend(words(&[0x0005_0002]));
    packet.extend(*b"evilcba_");
    packet
}

/// Where a handshake's cookie is: the last word before the peer's address.
const COOKIE: std::ops::Range<usize> = 44..48;

/// Changes the cookie of a [`conclusion`].
pub(crate) fn set_cookie(conclusion: &mut [u8], cookie: u32) {
    conclusion[COOKIE].copy_from_slice(&cookie.to_be_bytes());
}

fn handshake(version: u32, extension: u32, request: u32, cookie: u32) -> Vec<u8> {
    let header = [0x8000_0000, 0, 1000, 0];
    let body = [
        version,
        extension,
        0x0102_0304,
        1500,
        8192,
        request,
        SOCKET_ID,
        cookie,
    ];
    let peer = [0x0100_007f, 0, 0, 0];
    words(&[&header[..], &body, &peer].concat())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
