//! What the caller sends arrives at libsrt byte for byte, and what libsrt sends arrives at the caller.

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use streamhaul_testkit::srt_caller::{Caller, Error, Habits, Role};

/// Long enough for a busy machine: what comes later libsrt drops.
const LATENCY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
const BLOCK: usize = 1316;

/// A listening `srt-live-transmit`, killed when dropped.
struct Listener {
    child: Child,
    address: SocketAddr,
}

impl Listener {
    /// Listens on a free port; a player is fed from its standard input.
    fn start(feeds: bool) -> Self {
        let address = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let uri = format!("srt://{address}?mode=listener&latency=200");
        let ends = if feeds {
            ["file://con", &uri]
        } else {
            [&uri, "file://con"]
        };
        let child = Command::new("srt-live-transmit")
            .args(["-chunk:1316", "-loglevel:fatal", "-quiet"])
            .args(ends)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("srt-live-transmit must be installed (Debian: srt-tools)");
        Self { child, address }
    }

    /// Calls until the program listens.
    fn call(&self, role: Role, habits: Habits) -> Caller {
        let give_up_at = Instant::now() + PATIENCE;
        let stream_id = "live_0123456789abcdef";
        loop {
            match Caller::connect_as(self.address, stream_id, role, LATENCY, habits) {
                Err(Error::TimedOut) if Instant::now() < give_up_at => {}
                result => return result.unwrap(),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }
}

fn block(number: u32) -> Vec<u8> {
    let mut block = vec![number as u8; BLOCK];
    block[..4].copy_from_slice(&number.to_be_bytes());
    block
}

/// Publishes `count` blocks, every `lose`-th of them lost at first, and checks what libsrt wrote.
fn publish(habits: Habits, count: u32, lose: u32) -> Caller {
    let mut listener = Listener::start(false);
    let mut caller = listener.call(Role::Publisher, habits);
    let mut output = listener.child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; BLOCK * count as usize];
        output.read_exact(&mut received).unwrap();
        received
    });
    for number in 0..count {
        if number % lose == lose - 1 {
            caller.send_lost(&block(number)).unwrap();
        } else {
            caller.send(&block(number)).unwrap();
        }
        assert!(caller.receive(Duration::from_millis(1)).unwrap().is_none());
    }
    // The program writes whole buffers: what pushes the last block out need not arrive.
    let mut filler = (count..).map(block);
    let give_up_at = Instant::now() + PATIENCE;
    while !reader.is_finished() && Instant::now() < give_up_at {
        caller.send(&filler.next().expect("endless")).unwrap();
        caller.receive(Duration::from_millis(5)).unwrap();
    }
    assert!(reader.is_finished(), "{:?}", caller.sent());
    let received = reader.join().unwrap();
    for (received, number) in received.chunks(BLOCK).zip(0..) {
        assert!(received == block(number), "block {number}");
    }
    caller
}

#[test]
fn libsrt_receives_what_a_publisher_sends() {
    let mut caller = publish(Habits::Libsrt, 500, u32::MAX);
    assert!(caller.sent().payloads >= 500);
    caller.shutdown().unwrap();
    assert!(caller.is_closed());
}

#[test]
fn a_publisher_sends_again_what_libsrt_misses() {
    let caller = publish(Habits::Libsrt, 500, 10);
    assert!(caller.sent().retransmitted >= 50, "{:?}", caller.sent());
    assert!(caller.sent().naks > 0);
    assert_eq!(caller.agreed_latency().receive_ms, 1000);
    assert_eq!(caller.agreed_latency().send_ms, 200, "the listener's own");
}

#[test]
fn libsrt_receives_what_a_publisher_with_the_habits_of_moblin_sends() {
    let caller = publish(Habits::Moblin, 500, 10);
    assert!(caller.sent().retransmitted >= 50, "{:?}", caller.sent());
    assert_eq!(caller.agreed_latency().receive_ms, 1000);
    assert_eq!(caller.agreed_latency().send_ms, 1000, "it asks for both");
}

/// Writes numbered blocks for as long as the listener lives.
fn feed(mut input: ChildStdin) {
    std::thread::spawn(move || {
        for number in 0.. {
            if input.write_all(&block(number)).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    });
}

#[test]
fn a_player_receives_what_libsrt_sends() {
    let mut listener = Listener::start(true);
    let mut caller = listener.call(Role::Player, Habits::Libsrt);
    assert_eq!(caller.agreed_latency().send_ms, 1000);
    feed(listener.child.stdin.take().unwrap());
    let first = caller.receive(PATIENCE).unwrap().expect("a first payload");
    let first_number = u32::from_be_bytes(first.bytes[..4].try_into().unwrap());
    for step in 1..1000 {
        let payload = caller.receive(PATIENCE).unwrap().expect("a payload");
        assert_eq!(payload.seq, first.seq.add(step));
        assert!(
            payload.bytes == block(first_number + step),
            "payload {step}"
        );
        assert!(!payload.is_duplicate && !payload.is_retransmitted);
    }
    assert_eq!(caller.received().packets, 1000);
    drop(listener);
}
