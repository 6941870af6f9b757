//! A call to a node, down to the datagrams: for what a real program cannot
//! measure. It keeps its connection alive and repairs nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use srt::handshake::{self, Features, Handshake, Kind, Latency, flags};
use srt::packet::{Ack, AckDetail, Control, ControlHeader, DataHeader, build};
use srt::{Packet, Seq, SocketId, Timestamp};

const SOCKET_ID: SocketId = SocketId(0x2a);
const ISN: u32 = 1_000;
const VERSION: u32 = 0x0001_0501;
/// What libsrt says in live mode.
const FLAGS: u32 =
    flags::TSBPDSND | flags::TSBPDRCV | flags::TLPKTDROP | flags::NAKREPORT | flags::REXMITFLG;
const PATIENCE: Duration = Duration::from_secs(3);
/// How often libsrt acknowledges.
const ACK_INTERVAL: Duration = Duration::from_millis(10);

/// A connected caller.
#[derive(Debug)]
pub struct Call {
    socket: UdpSocket,
    peer: SocketId,
    next: Seq,
    message: u32,
    acks: u32,
    acked: Instant,
    started: Instant,
    datagram: Vec<u8>,
}

impl Call {
    /// Calls with a stream id.
    ///
    /// # Errors
    /// When the node refuses or does not answer.
    pub fn connect(to: SocketAddr, stream_id: &str, latency_ms: u16) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let started = Instant::now();
        let mut call = Self {
            socket,
            peer: SocketId::LISTENER,
            next: Seq::new(ISN),
            message: 1,
            acks: 0,
            acked: started,
            started,
            datagram: vec![0; 2048],
        };
        call.shake(stream_id, latency_ms)?;
        Ok(call)
    }

    /// Another handle on the call's socket.
    ///
    /// # Errors
    /// When the system has no more.
    pub fn socket(&self) -> std::io::Result<UdpSocket> {
        self.socket.try_clone()
    }

    /// Sends a payload.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send(&mut self, payload: &[u8]) -> std::io::Result<()> {
        let header = DataHeader::live(self.next, self.message, self.timestamp(), self.peer);
        let start = build::data_header(&mut self.datagram, &header);
        self.datagram[start..start + payload.len()].copy_from_slice(payload);
        self.next = self.next.next();
        self.message = self.message % 0x03ff_ffff + 1;
        self.socket.send(&self.datagram[..start + payload.len()])?;
        Ok(())
    }

    /// Takes note of a datagram received, and acknowledges as often as libsrt
    /// does. Gives the payload when it is data.
    ///
    /// # Errors
    /// When the system refuses, or the node has closed the connection.
    pub fn take<'a>(&mut self, datagram: &'a [u8]) -> anyhow::Result<Option<&'a [u8]>> {
        let payload = match Packet::parse(datagram) {
            Ok(Packet::Data { header, payload }) => {
                self.next = header.seq.next();
                Some(payload)
            }
            Ok(Packet::Control {
                body: Control::Shutdown,
                ..
            }) => bail!("the node closed the connection"),
            _ => None,
        };
        if self.acked.elapsed() >= ACK_INTERVAL {
            self.acknowledge()?;
        }
        Ok(payload)
    }

    fn acknowledge(&mut self) -> std::io::Result<()> {
        self.acked = Instant::now();
        self.acks += 1;
        let detail = AckDetail {
            rtt_us: 1000,
            rtt_var_us: 500,
            buffer_available: 8000,
            rates: None,
        };
        let ack = Ack {
            number: self.acks,
            next: self.next,
            detail: Some(detail),
        };
        let header = ControlHeader {
            timestamp: self.timestamp(),
            destination: self.peer,
        };
        let length = build::ack(&mut self.datagram, header, &ack);
        self.socket.send(&self.datagram[..length])?;
        Ok(())
    }

    fn shake(&mut self, stream_id: &str, latency_ms: u16) -> anyhow::Result<()> {
        let cookie = self.ask(&induction())?.cookie;
        let mut blocks = [0; 600];
        let latency = Latency::both(latency_ms);
        let features = Features {
            version: VERSION,
            flags: FLAGS,
            latency,
        };
        let length = handshake::write_features(&mut blocks, handshake::HSREQ, &features);
        let length =
            length + handshake::write_text(&mut blocks[length..], handshake::SID, stream_id);
        let conclusion = Handshake {
            version: handshake::VERSION,
            extension: handshake::EXTENSION_HSREQ | handshake::EXTENSION_CONFIG,
            kind: Kind::Conclusion,
            cookie,
            blocks: handshake::Blocks(&blocks[..length]),
            ..induction()
        };
        self.peer = self.ask(&conclusion)?.peer;
        Ok(())
    }

    fn ask(&mut self, handshake: &Handshake<'_>) -> anyhow::Result<Answer> {
        let header = ControlHeader {
            timestamp: self.timestamp(),
            destination: SocketId::LISTENER,
        };
        let length = handshake.write(&mut self.datagram, header);
        self.socket.send(&self.datagram[..length])?;
        let mut answer = [0; 1500];
        let length = self
            .socket
            .recv(&mut answer)
            .context("no answer to the handshake")?;
        match Packet::parse(&answer[..length])? {
            Packet::Control {
                body: Control::Handshake(answer),
                ..
            } => match answer.kind {
                Kind::Rejection(reason) => bail!("refused: {reason:?}"),
                _ => Ok(Answer {
                    cookie: answer.cookie,
                    peer: answer.socket_id,
                }),
            },
            other => bail!("not a handshake: {other:?}"),
        }
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp(self.started.elapsed().as_micros() as u32)
    }
}

struct Answer {
    cookie: u32,
    peer: SocketId,
}

fn induction() -> Handshake<'static> {
    Handshake {
        version: handshake::VERSION_INDUCTION,
        encryption: 0,
        extension: handshake::EXTENSION_DGRAM,
        isn: Seq::new(ISN),
        mtu: 1500,
        flow_window: 8192,
        kind: Kind::Induction,
        socket_id: SOCKET_ID,
        cookie: 0,
        peer_ip: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        blocks: handshake::Blocks(&[]),
    }
}
