//! Nobody publishes.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use model::session::Role;
use proto::fleet::SessionEventKind;
use streamhaul_e2e::pictures::{Player, Probed};
use streamhaul_e2e::plane::Behaviour;
use streamhaul_e2e::{media, node, wait};

use super::{PATIENCE, Stage, runs};

/// How libsrt's code `SRT_REJX_NOTFOUND` (1404) travels.
const NOT_FOUND: u32 = 2404;
/// What libsrt says of every code from 1000 on.
const REJECTED: &str = "Application-defined rejection reason";
/// What ffmpeg waits for an answer, in milliseconds: longer than the test waits for
/// its end, which so is the refusal's doing.
const CONNECT_TIMEOUT_MS: u128 = 10 * PATIENCE.as_millis();

#[test]
fn a_player_of_nothing_is_refused_at_once() {
    let mut stage = Stage::new(Behaviour::default());
    let (socket, port) = near();
    let at = node::address(stage.ports);
    let carrier = std::thread::spawn(move || carry_handshake(&socket, at));
    let via = media::via(&stage.transmit_url(Role::Play), port).unwrap();
    let receiver = media::receive(&via, &stage.file("received.ts")).unwrap();
    // What it says is judged and not its end: libsrt 1.5.1 may be refused before
    // srt-live-transmit listens for that, which then waits for nothing.
    let says_so = || receiver.log().contains(REJECTED).then_some(());
    wait::until("libsrt says why", PATIENCE, says_so).unwrap();
    assert_eq!(carrier.join().unwrap().unwrap(), NOT_FOUND);
    assert_eq!(stage.wait(SessionEventKind::Refused), "no_publisher");

    let url = format!(
        "{}&connect_timeout={CONNECT_TIMEOUT_MS}",
        stage.ffmpeg_url(Role::Play)
    );
    let mut player = Player::start(&url, Probed::Kept, stage.dir.path(), "player").unwrap();
    assert!(!player.program.wait(PATIENCE).unwrap().success());
    let log = player.program.log();
    assert!(log.contains(REJECTED), "{log}");
    assert_eq!(stage.wait(SessionEventKind::Refused), "no_publisher");
}

#[test]
fn held_players_are_let_go_when_the_hold_is_over() {
    let behaviour = Behaviour {
        hold_seconds: Some(2),
        ..Behaviour::default()
    };
    let mut stage = Stage::with(behaviour, &[("PUBLISHER_TIMEOUT_SECONDS", "1")]);
    let mut publisher = stage.publish(&runs()[0].clip, "sent.ts");
    let mut player = stage.play(Probed::Kept);
    player.wait_decoded(&runs(), 0, 0).unwrap();
    publisher.kill().unwrap();
    assert_eq!(stage.wait(SessionEventKind::PublisherGone), "timed_out");
    assert_eq!(stage.wait(SessionEventKind::PlayerGone), "hold_expired");
    player.program.wait(PATIENCE).unwrap();

    let url = stage.ffmpeg_url(Role::Play);
    let _late = Player::start(&url, Probed::Kept, stage.dir.path(), "late").unwrap();
    assert_eq!(stage.wait(SessionEventKind::Refused), "no_publisher");
}

fn near() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Carries a caller's handshake to `to` and back, until it is refused; gives the
/// code.
fn carry_handshake(near: &UdpSocket, to: SocketAddr) -> std::io::Result<u32> {
    let far = UdpSocket::bind("127.0.0.1:0")?;
    far.connect(to)?;
    for socket in [near, &far] {
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    }
    let mut datagram = [0; 1500];
    loop {
        let (length, caller) = near.recv_from(&mut datagram)?;
        far.send(&datagram[..length])?;
        let length = far.recv(&mut datagram)?;
        near.send_to(&datagram[..length], caller)?;
        // The handshake's type follows five words of it, behind the header.
        let word = datagram[36..40].try_into().map(u32::from_be_bytes);
        let is_refusal = |kind: &u32| (1000..4000).contains(kind);
        if let Some(code) = word.ok().filter(is_refusal) {
            return Ok(code);
        }
    }
}
