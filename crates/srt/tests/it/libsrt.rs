//! A real libsrt caller understands our answers.
//!
//! Needs `srt-live-transmit` (Debian: `srt-tools`).

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use streamhaul_srt::handshake::Latency;
use streamhaul_srt::listener::{ConnectRequest, Listener, Step};
use streamhaul_srt::packet::{Control, ControlHeader, Packet, build};
use streamhaul_srt::reject::RejectReason;
use streamhaul_srt::{SocketId, Timestamp};

const OUR_ID: SocketId = SocketId(0x1234_5678);
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller of the given program options, killed when dropped.
struct Caller(Child);

impl Caller {
    fn call(port: u16, options: &str) -> Self {
        let uri = format!("srt://127.0.0.1:{port}?mode=caller&{options}");
        let child = Command::new("srt-live-transmit")
            .args([
                "-chunk:1316",
                "-timeout:30",
                "-loglevel:warning",
                "-logfile:/dev/stdout",
                "file://con",
                &uri,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("srt-live-transmit must be installed (Debian: srt-tools)");
        Self(child)
    }

    /// Reads the log until it mentions `text`.
    fn log_until(&mut self, text: &str) -> String {
        let mut log = Vec::new();
        let mut buffer = [0; 1024];
        let output = self.0.stdout.as_mut().unwrap();
        while !String::from_utf8_lossy(&log).contains(text) {
            let length = output.read(&mut buffer).unwrap();
            assert!(
                length > 0,
                "the caller ended: {}",
                String::from_utf8_lossy(&log)
            );
            log.extend(&buffer[..length]);
        }
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.kill().expect("a child can be killed");
        self.0.wait().expect("a child can be waited for");
    }
}

struct Node {
    socket: UdpSocket,
    listener: Listener,
}

impl Node {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            listener: Listener::new([5; 16]),
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    fn receive<'a>(&self, buffer: &'a mut [u8]) -> (Packet<'a>, SocketAddr) {
        let (length, from) = self
            .socket
            .recv_from(buffer)
            .expect("the caller sends something");
        (Packet::parse(&buffer[..length]).unwrap(), from)
    }

    /// Answers handshakes until one is a proven request or is refused by the listener itself.
    fn answer(&self) -> Result<ConnectRequest, RejectReason> {
        let mut buffer = [0; 2048];
        loop {
            let (packet, from) = self.receive(&mut buffer);
            let Packet::Control {
                header,
                body: Control::Handshake(handshake),
            } = packet
            else {
                continue;
            };
            match self.listener.handle(1, from, &handshake, header.timestamp) {
                Step::Reply(reply) => self.send(&reply, from),
                Step::Request(request) => return Ok(request),
                Step::Reject(reason, reply) => {
                    self.send(&reply, from);
                    return Err(reason);
                }
                Step::Drop(reason) => panic!("dropped: {reason:?}"),
            }
        }
    }

    fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).unwrap();
    }
}

/// Writes payloads for as long as the caller lives: it throws away what it reads while it connects.
fn feed(mut input: ChildStdin) {
    std::thread::spawn(move || {
        while input.write_all(&[b'G'; 1316]).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn a_caller_is_accepted_and_sends_what_it_has() {
    let node = Node::bind();
    let mut caller = Caller::call(
        node.port(),
        "streamid=live_0123&latency=300&payloadsize=1316",
    );
    let request = node.answer().unwrap();
    assert_eq!(request.stream_id.as_ref().unwrap().as_str(), "live_0123");
    assert_eq!(request.latency, Latency::both(300));
    let reply = request.accept(
        OUR_ID,
        request.latency.answer(Latency::both(500)),
        Timestamp(0),
    );
    node.send(&reply, request.from);
    feed(caller.0.stdin.take().unwrap());
    let mut buffer = [0; 2048];
    loop {
        match node.receive(&mut buffer).0 {
            Packet::Data { header, payload } => {
                assert_eq!((header.destination, header.seq), (OUR_ID, request.isn));
                assert_eq!(payload, [b'G'; 1316]);
                break;
            }
            // It may repeat its conclusion until it has read our answer.
            Packet::Control { .. } => {}
        }
    }
    let header = ControlHeader {
        timestamp: Timestamp(1000),
        destination: request.caller_id,
    };
    let length = build::shutdown(&mut buffer, header);
    node.send(&buffer[..length], request.from);
}

#[test]
fn a_caller_is_told_that_no_passphrase_is_expected() {
    let node = Node::bind();
    let mut caller = Caller::call(node.port(), "passphrase=correct-horse-battery");
    assert_eq!(node.answer(), Err(RejectReason::UNSECURE));
    caller.log_until("Password required or unexpected");
}

#[test]
fn a_caller_is_told_our_own_reason() {
    let node = Node::bind();
    let mut caller = Caller::call(node.port(), "streamid=live_nobody");
    let request = node.answer().unwrap();
    node.send(
        &request.reject(RejectReason::NOT_FOUND, Timestamp(0)),
        request.from,
    );
    caller.log_until("Application-defined");
}

#[test]
fn callers_are_refused_what_is_not_spoken() {
    for (options, reason) in [
        ("packetfilter=fec,cols:10,rows:5", RejectReason::FILTER),
        ("messageapi=0", RejectReason::MESSAGE_API),
    ] {
        let node = Node::bind();
        let _caller = Caller::call(node.port(), options);
        assert_eq!(node.answer(), Err(reason), "{options}");
    }
}
