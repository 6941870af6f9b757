//! Publishers and players that encrypt, with programs people use.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use streamhaul_e2e::house::{House, Options, Service, Session};
use streamhaul_e2e::key_tap::KeyTap;
use streamhaul_e2e::{clip, media, transport_stream, wait};

use crate::{JOINING, bytes_of, clip_path, encrypt, turn};

/// What a closing sender may lose, in seconds.
const TAIL: usize = 1;
/// Packets after which keys change: the clip has nine times as many. They take longer
/// than a busy machine needs to announce the next key or to repair what was sent with
/// the last one: a receiver of SRT knows two keys, and what comes under a third one it
/// decrypts to noise.
const REFRESH: u32 = 1500;
const DROPS: &str = "streamhaul_relay_dropped_datagrams_total";
const REFUSALS: &str = "streamhaul_relay_refusals_total";

/// A house whose node changes its players' keys every `REFRESH` packets, and a
/// session of a stream that encrypts as `encryption` says.
fn house(encryption: &str) -> (House, Session) {
    let announce = (REFRESH / 3).to_string();
    let options = Options::patient()
        .with(
            Service::RelayNode,
            "KEY_REFRESH_PACKETS",
            &REFRESH.to_string(),
        )
        .with(Service::RelayNode, "KEY_ANNOUNCE_PACKETS", &announce);
    let house = House::start_with(options).unwrap();
    encrypt(&house, encryption);
    let session = house.start_session("cam1").unwrap();
    assert!(session.publish_url.contains("&passphrase="));
    assert_ne!(
        passphrase(&session.publish_url),
        passphrase(&session.play_url)
    );
    (house, session)
}

fn passphrase(url: &str) -> &str {
    let rest = url.split_once("passphrase=").unwrap().1;
    rest.split('&').next().unwrap()
}

fn with_key_length(url: &str, bytes: u32) -> String {
    url.replace("pbkeylen=16", &format!("pbkeylen={bytes}"))
}

fn refreshing(url: &str) -> String {
    format!(
        "{url}&kmrefreshrate={REFRESH}&kmpreannounce={}",
        REFRESH / 3
    )
}

fn counted(house: &House, name: &str, reason: &str) -> f64 {
    let metrics = house.metrics(Service::RelayNode).unwrap();
    metrics.labelled(name, "reason", reason)
}

/// AES-256 to the node, AES-128 from it, other passphrases, and every `REFRESH`
/// packets other keys on both legs.
#[test]
fn srt_live_transmit_through_many_changes_of_keys() {
    let _turn = turn();
    let (house, session) = house("required");
    let received = house.file("received.ts");
    let taps = [(); 2].map(|()| KeyTap::start(house.relay()).unwrap());
    let publish_url = refreshing(&with_key_length(&session.publish_url, 32));
    let publish_url = media::via(&publish_url, taps[0].address()).unwrap();
    let play_url = media::via(&session.play_url, taps[1].address()).unwrap();
    let log = house.file("sender.log");
    let (_sender, mut input) = media::transmit_input(&publish_url, &log).unwrap();
    house.wait_publishers(1).unwrap();
    let _player = media::receive(&play_url, &received).unwrap();
    house.wait_players(1).unwrap();
    let (sent, tail) = media::padded(&clip_path()).unwrap();
    media::feed(&mut input, &sent, clip::LENGTH).unwrap();
    media::wait_received(sent.len() - tail, &received).unwrap();
    let received = transport_stream::whole_packets(&received).unwrap();
    transport_stream::check_identical(&sent, &received, 0, tail).unwrap();
    for tap in &taps {
        assert!(tap.changes() >= 6, "{tap:?}");
        assert_eq!(tap.clear(), 0);
    }
    for reason in ["no_key", "unencrypted", "bad_key_material"] {
        assert_eq!(counted(&house, DROPS, reason), 0.0, "{reason}");
    }
}

#[test]
fn ffmpeg_publishes_and_plays_encrypted() {
    let _turn = turn();
    let (house, session) = house("required");
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let mut publisher = media::publish(&clip_path(), &session.publish_url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    let play_url = with_key_length(&session.play_url, 32);
    let mut recorder = media::record(&play_url, &received).unwrap();
    let status = publisher.wait(Duration::from_secs(60)).unwrap();
    assert!(status.success(), "{}", publisher.log());
    house
        .end_session(&session, &mut recorder, &received)
        .unwrap();
    let bytes = |path: &Path| std::fs::read(path).unwrap();
    let (head, tail) = (bytes_of(JOINING), bytes_of(TAIL));
    transport_stream::check_identical(&bytes(&sent), &bytes(&received), head, tail).unwrap();
    assert_eq!(counted(&house, DROPS, "no_key"), 0.0);
}

/// What libsrt is told by the node is what a libsrt listener tells it.
#[test]
fn refusals_are_those_of_libsrt() {
    let _turn = turn();
    let (house, session) = house("required");
    let right = passphrase(&session.publish_url);
    let address = free_address();
    let _listener = media::listen(address, right, &house.file("listener.log")).unwrap();
    let wrong = session.publish_url.replace(right, "another-passphrase");
    let (bare, _) = session.publish_url.split_once("&passphrase=").unwrap();
    for (url, reason) in [
        (wrong.as_str(), "bad_secret"),
        (bare, "encryption_required"),
    ] {
        let by_node = refusal(&house, url);
        let by_libsrt = refusal(&house, &media::via(url, address).unwrap());
        assert_eq!(by_node, by_libsrt, "{reason}");
        wait::until("the refusal is counted", Duration::from_secs(5), || {
            (counted(&house, REFUSALS, reason) > 0.0).then_some(())
        })
        .unwrap();
    }
}

fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// The reason that libsrt logs when it is refused.
fn refusal(house: &House, url: &str) -> String {
    const REASON: &str = "REJECT reported from HS processing: ";
    let log = house.file("caller.log");
    // The log is appended to.
    let _absent = std::fs::remove_file(&log);
    let caller = media::call(url, &log).unwrap();
    wait::until("libsrt is refused", Duration::from_secs(20), || {
        let log = caller.log();
        let (_, rest) = log.split_once(REASON)?;
        Some(rest.split_once(" - ")?.0.to_owned())
    })
    .unwrap()
}
