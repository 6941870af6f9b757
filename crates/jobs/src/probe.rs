//! Calls a node as a phone would, and hangs up.
//!
//! ```text
//! induction ─▶ cookie ─▶ conclusion for the stream id of probes ─▶ refused: the node is there
//! ```
//! Whatever answers the conclusion is an SRT listener that can be reached both ways; what it
//! says does not matter, since it refuses probes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use srt::caller::{self, Caller, PATIENCE, Progress, Settings};
use srt::handshake::{Handshake, Latency, StreamId};
use srt::packet::{Control, ControlHeader};
use srt::{Packet, Seq, SocketId, Timestamp};
use tokio::net::UdpSocket;

/// What a probe asks for: nodes refuse it as such.
const STREAM_ID: &str = model::probe::STREAM_ID;
/// The longest datagram that is an answer.
const DATAGRAM_MAX: usize = 1500;
/// How long a name may take to be found.
const RESOLVING_MAX: Duration = Duration::from_secs(3);

/// Why a node was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its name leads nowhere.
    #[error("its name is not found: {0}")]
    Name(String),
    /// Nothing came back in time.
    #[error("no answer in {} s", PATIENCE.as_secs())]
    NoAnswer,
    /// Nothing could be sent: there is no route, or the port is closed.
    #[error("{0}")]
    Socket(#[from] std::io::Error),
}

impl Error {
    /// Every word of [`Error::as_str`].
    pub(crate) const WORDS: [&str; 3] = ["name_not_found", "no_answer", "socket"];

    /// One word for metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Name(_) => "name_not_found",
            Self::NoAnswer => "no_answer",
            Self::Socket(_) => "socket",
        }
    }
}

/// Calls a node. Returns how long its first answer took.
///
/// # Errors
/// When it is not reached.
pub(crate) async fn call(host: &str, port: u16) -> Result<Duration, Error> {
    let to = resolve(host, port).await?;
    let socket = socket(to).await?;
    let start = Instant::now();
    let mut caller = Caller::new(settings(to)?, start);
    let mut rtt = None;
    loop {
        let now = Instant::now();
        let timestamp = Timestamp::after_start(now.saturating_duration_since(start));
        if let Some(request) = caller.poll_request(now, timestamp) {
            socket.send(request).await?;
        }
        let sent_at = now;
        caller.handle_timeout(now).map_err(|_| Error::NoAnswer)?;
        let Some(wake_at) = caller.poll_timeout() else {
            return Err(Error::NoAnswer);
        };
        match answer(&socket, &mut caller, wake_at).await? {
            Answer::None => {}
            Answer::Cookie => {
                rtt.get_or_insert(sent_at.elapsed());
            }
            Answer::Refused | Answer::Accepted => {
                return Ok(rtt.unwrap_or_else(|| sent_at.elapsed()));
            }
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Error> {
    let looking = tokio::net::lookup_host((host, port));
    let found = tokio::time::timeout(RESOLVING_MAX, looking).await;
    let found = found.map_err(|_| Error::Name("no answer in time".to_owned()))?;
    let mut found = found.map_err(|error| Error::Name(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| Error::Name("it has no address".to_owned()))
}

async fn socket(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}

fn settings(to: SocketAddr) -> std::io::Result<Settings> {
    let no_source = |_| std::io::Error::other("the system has no source of randomness");
    let random = getrandom::u64().map_err(no_source)?;
    Ok(Settings {
        to,
        // Thirty bits, not zero: bit 30 marks socket groups.
        socket_id: SocketId((random >> 32) as u32 & 0x3fff_ffff | 1),
        isn: Seq::new(random as u32),
        stream_id: StreamId::new(STREAM_ID),
        latency: Latency {
            receive_ms: 120,
            send_ms: 120,
        },
        key: None,
        patience: PATIENCE,
    })
}

/// What came until it was time to go on.
enum Answer {
    None,
    /// The listener knows us.
    Cookie,
    /// It will not have us: it is there.
    Refused,
    /// It would have us; we never say another word.
    Accepted,
}

async fn answer(
    socket: &UdpSocket,
    caller: &mut Caller,
    until: Instant,
) -> std::io::Result<Answer> {
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let until = tokio::time::Instant::from_std(until);
        let Ok(received) = tokio::time::timeout_at(until, socket.recv(&mut buffer)).await else {
            return Ok(Answer::None);
        };
        let Some((header, handshake)) = handshake(&buffer[..received?]) else {
            continue;
        };
        return match caller.handle(Instant::now(), header, &handshake) {
            Ok(Progress::Concluding) => Ok(Answer::Cookie),
            Ok(Progress::Connected(_)) => Ok(Answer::Accepted),
            Err(caller::Error::Failed(_)) => Ok(Answer::Refused),
            Err(caller::Error::Ignored(_)) => continue,
        };
    }
}

fn handshake(datagram: &[u8]) -> Option<(ControlHeader, Handshake<'_>)> {
    match Packet::parse(datagram) {
        Ok(Packet::Control {
            header,
            body: Control::Handshake(handshake),
        }) => Some((header, handshake)),
        _ => None,
    }
}
