//! A real libsrt caller understands our answers, and a real libsrt listener our requests.
//!
//! Needs `srt-live-transmit` (Debian: `srt-tools`).

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use streamhaul_srt::caller::{self, Agreement, Failure, Progress, Settings};
use streamhaul_srt::crypto::{Kek, KeyLength, KeyMaterial, ReceiveKeys, Sek, SekPair};
use streamhaul_srt::handshake::{KMREQ, KMRSP, Latency, StreamId};
use streamhaul_srt::listener::{ConnectRequest, Listener, Step};
use streamhaul_srt::packet::{
    Ack, AckDetail, AckRates, Control, ControlHeader, KeyParity, Packet, build,
};
use streamhaul_srt::reject::RejectReason;
use streamhaul_srt::{Seq, SocketId, Timestamp};

const OUR_ID: SocketId = SocketId(0x1234_5678);
const PASSPHRASE: &str = "correct-horse-battery";
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller or listener of the given program options, killed when dropped.
struct Program(Child);

impl Program {
    fn call(port: u16, options: &str) -> Self {
        Self::start(&format!("srt://127.0.0.1:{port}?mode=caller&{options}"))
    }

    fn listen(port: u16, options: &str) -> Self {
        Self::start(&format!("srt://127.0.0.1:{port}?mode=listener&{options}"))
    }

    fn start(uri: &str) -> Self {
        let child = Command::new("srt-live-transmit")
            .args([
                "-chunk:1316",
                "-timeout:30",
                "-loglevel:warning",
                "-logfile:/dev/stdout",
                "file://con",
                uri,
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

impl Drop for Program {
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
    let mut caller = Program::call(
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

/// Whatever its key length, and with keys that change every 40 packets.
#[test]
fn an_encrypting_caller_is_understood_across_its_refreshes() {
    for key_length in [16, 24, 32] {
        let node = Node::bind();
        let options = format!(
            "passphrase={PASSPHRASE}&pbkeylen={key_length}&payloadsize=1316&kmrefreshrate=40&kmpreannounce=15"
        );
        let mut caller = Program::call(node.port(), &options);
        let request = node.answer().unwrap();
        let message = request.key_material.as_ref().unwrap().as_ref().unwrap();
        assert_eq!(message.key_length().bytes(), key_length);
        let kek = Kek::derive(PASSPHRASE.as_bytes(), *message.salt(), message.key_length());
        let mut keys = ReceiveKeys::new(kek.clone(), &kek.unwrap(message).unwrap());
        node.send(
            &request.accept(OUR_ID, Latency::both(300), Timestamp(0)),
            request.from,
        );
        feed(caller.0.stdin.take().unwrap());
        read_across_refreshes(&node, &request, &mut keys);
    }
}

/// Reads packets and confirms keys until the key has changed three times.
fn read_across_refreshes(node: &Node, request: &ConnectRequest, keys: &mut ReceiveKeys) {
    let (mut buffer, mut out) = ([0; 2048], [0; 256]);
    let (mut packets, mut changes, mut last) = (0, 0, KeyParity::Even);
    let mut next = request.isn;
    while changes < 3 {
        assert!(packets < 2000, "{changes} changes of key");
        let header = ControlHeader {
            timestamp: Timestamp(packets),
            destination: request.caller_id,
        };
        match node.receive(&mut buffer).0 {
            // Sent again, as libsrt does when we are slow to acknowledge: its key may be gone.
            Packet::Data { header, .. } if header.seq.is_before(next) => {}
            Packet::Data { header, payload } => {
                next = header.seq.next();
                let mut payload = payload.to_vec();
                keys.decrypt(header.key, header.seq, &mut payload).unwrap();
                assert_eq!(payload, [b'G'; 1316]);
                packets += 1;
                changes += u32::from(header.key != last);
                last = header.key;
            }
            Packet::Control {
                body:
                    Control::User {
                        subtype: KMREQ,
                        body,
                    },
                ..
            } => {
                keys.accept(&KeyMaterial::parse(body).unwrap()).unwrap();
                let length = build::user(&mut out, header, KMRSP, body);
                node.send(&out[..length], request.from);
            }
            Packet::Control { .. } => {}
        }
        let length = build::ack(&mut out, header, &full_ack(next, packets));
        node.send(&out[..length], request.from);
    }
}

/// libsrt 1.5.1 looks after its keys when such an acknowledgement comes.
fn full_ack(next: Seq, number: u32) -> Ack {
    let rates = AckRates {
        packets_per_second: 200,
        capacity_packets_per_second: 1000,
        bytes_per_second: 200 * 1316,
    };
    let detail = AckDetail {
        rtt_us: 20_000,
        rtt_var_us: 1000,
        buffer_available: 8192,
        rates: Some(rates),
    };
    Ack {
        number,
        next,
        detail: Some(detail),
    }
}

#[test]
fn a_caller_is_told_that_its_passphrase_is_wrong_or_unexpected() {
    for (reason, told) in [
        (RejectReason::BAD_SECRET, "Incorrect passphrase"),
        (RejectReason::UNSECURE, "Password required or unexpected"),
    ] {
        let node = Node::bind();
        let mut caller = Program::call(node.port(), &format!("passphrase={PASSPHRASE}"));
        let request = node.answer().unwrap();
        assert!(request.key_material.is_some());
        node.send(&request.reject(reason, Timestamp(0)), request.from);
        caller.log_until(told);
    }
}

#[test]
fn a_caller_is_told_our_own_reason() {
    let node = Node::bind();
    let mut caller = Program::call(node.port(), "streamid=live_nobody");
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
        let _caller = Program::call(node.port(), options);
        assert_eq!(node.answer(), Err(reason), "{options}");
    }
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Calls a listener that may still be starting, and says what came of it.
fn call(port: u16, key: Option<KeyMaterial>) -> Result<Agreement, Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let (start, mut buffer) = (crate::now(), [0; 2048]);
    let settings = Settings {
        to: socket.peer_addr().unwrap(),
        socket_id: SocketId(0x0bad_cafe),
        isn: Seq::new(77),
        stream_id: StreamId::new("live_0123"),
        latency: Latency {
            receive_ms: 0,
            send_ms: 300,
        },
        key,
        patience: PATIENCE,
    };
    let mut attempt = caller::Caller::new(settings, start);
    loop {
        let now = crate::now();
        attempt.handle_timeout(now)?;
        if let Some(request) = attempt.poll_request(now, Timestamp::after_start(now - start)) {
            // The port may be closed still: then the system says so here.
            let _ = socket.send(request);
        }
        let wait = attempt.poll_timeout().unwrap() - now;
        let wait = wait.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).unwrap();
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let Packet::Control {
            header,
            body: Control::Handshake(handshake),
        } = Packet::parse(&buffer[..length]).unwrap()
        else {
            panic!("only handshakes come before the answer")
        };
        match attempt.handle(crate::now(), header, &handshake) {
            Ok(Progress::Connected(agreement)) => return Ok(agreement),
            Ok(Progress::Concluding) | Err(caller::Error::Ignored(_)) => {}
            Err(caller::Error::Failed(failure)) => return Err(failure),
        }
    }
}

#[test]
fn a_listener_agrees_with_us() {
    let port = free_port();
    let _listener = Program::listen(port, "latency=500");
    let agreed = call(port, None).unwrap();
    assert_eq!(agreed.latency.receive_ms, 500);
    assert_eq!((agreed.isn, agreed.payload_max), (Seq::new(77), 1456));
}

#[test]
fn a_listener_refuses_us_without_its_passphrase() {
    let port = free_port();
    let _listener = Program::listen(port, "passphrase=correct-horse-battery");
    let refused = call(port, None).unwrap_err();
    assert_eq!(refused, Failure::Rejected(RejectReason::UNSECURE));
}

#[test]
fn a_listener_refuses_keys_it_cannot_unwrap() {
    let port = free_port();
    let _listener = Program::listen(port, "passphrase=correct-horse-battery");
    let key = |passphrase: &str| {
        let kek = Kek::derive(passphrase.as_bytes(), [3; 16], KeyLength::Bits192);
        let even = Some(Sek::new(KeyLength::Bits192, &[4; 32]));
        Some(kek.wrap(&SekPair { even, odd: None }))
    };
    let refused = call(port, key("another passphrase")).unwrap_err();
    assert_eq!(refused, Failure::Rejected(RejectReason::BAD_SECRET));
    assert_eq!(
        call(port, None),
        Err(Failure::Rejected(RejectReason::UNSECURE))
    );
    call(port, key(PASSPHRASE)).unwrap();
}
