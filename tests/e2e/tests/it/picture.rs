//! The picture that comes out is the picture that went in.

use std::time::{Duration, Instant};

use streamhaul_e2e::house::{House, Options, Session};
use streamhaul_e2e::{clip, media, transport_stream};
use testkit::linksim::Impairment;
use testkit::linksim::udp::UdpPath;

use crate::{JOINING, bytes_of, clip_path, turn};

/// What a closing sender may lose, in seconds: libsrt does not wait for its last packets.
const TAIL: usize = 1;
const FRAMES_A_SECOND: usize = 30;
/// Of twenty seconds; one may be broken until the first key frame.
const PICTURES_MIN: usize = 19 * FRAMES_A_SECOND;
const SEED: u64 = 20_261_121;

#[test]
fn ffmpeg_to_ffmpeg() {
    let _turn = turn();
    let house = House::start_with(Options::patient()).unwrap();
    let session = house.start_session("cam1").unwrap();
    carry_with_ffmpeg(&house, &session, &session.publish_url, &session.play_url);
}

#[test]
fn ffmpeg_to_ffmpeg_with_loss_and_delay_on_both_legs() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let (_paths, publish, play) = impair(&house, &session);
    let in_400_ms = |url: String| format!("{url}&latency=400000");
    carry_with_ffmpeg(&house, &session, &in_400_ms(publish), &in_400_ms(play));
}

#[test]
fn srt_live_transmit_to_srt_live_transmit() {
    let _turn = turn();
    let house = House::start_with(Options::patient()).unwrap();
    let session = house.start_session("cam1").unwrap();
    let (received, log) = (house.file("received.ts"), house.file("sender.log"));
    let (_sender, mut input) = media::transmit_input(&session.publish_url, &log).unwrap();
    house.wait_publishers(1).unwrap();
    let _player = media::receive(&session.play_url, &received).unwrap();
    house.wait_players(1).unwrap();
    let (sent, tail) = media::padded(&clip_path()).unwrap();
    media::feed(&mut input, &sent, clip::LENGTH).unwrap();
    // The player was there before the first packet, and the sender does not end.
    media::wait_received(sent.len() - tail, &received).unwrap();
    let received = transport_stream::whole_packets(&received).unwrap();
    transport_stream::check_identical(&sent, &received, 0, tail).unwrap();
}

/// Two paths with 2 % loss and 40 ms each way, and the addresses through them.
fn impair(house: &House, session: &Session) -> ([UdpPath; 2], String, String) {
    let way = Impairment::delayed(Duration::from_millis(40)).with_loss(0.02);
    println!("linksim seed {SEED}");
    let path = |seed| UdpPath::start(house.relay(), way.clone(), way.clone(), seed).unwrap();
    let paths = [path(SEED), path(SEED + 1)];
    let publish = media::via(&session.publish_url, paths[0].address()).unwrap();
    let play = media::via(&session.play_url, paths[1].address()).unwrap();
    (paths, publish, play)
}

fn carry_with_ffmpeg(house: &House, session: &Session, publish_url: &str, play_url: &str) {
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let (begun, before_tail) = (
        Instant::now(),
        clip::LENGTH - Duration::from_secs(TAIL as u64),
    );
    let mut publisher = media::publish(&clip_path(), publish_url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    let mut recorder = media::record(play_url, &received).unwrap();
    let mut watcher = media::watch(play_url, &house.file("watch.log")).unwrap();
    // What a closing sender leaves unrepaired is not the relay's; the bytes
    // below leave the same tail out.
    std::thread::sleep(before_tail.saturating_sub(begun.elapsed()));
    assert_no_complaint(&watcher.log());
    let status = publisher.wait(Duration::from_secs(60)).unwrap();
    assert!(status.success(), "{}", publisher.log());
    media::settle(&received).unwrap();
    assert!(
        watcher.is_running().unwrap(),
        "the player left: {}",
        watcher.log()
    );
    house
        .end_session(session, &mut recorder, &received)
        .unwrap();

    let bytes = (
        std::fs::read(&sent).unwrap(),
        std::fs::read(&received).unwrap(),
    );
    let (head, tail) = (bytes_of(JOINING), bytes_of(TAIL));
    let judged = transport_stream::repaired(&bytes.0, &bytes.1, tail);
    transport_stream::check_identical(&bytes.0, judged, head, tail).unwrap();
    let pictures = media::picture_hashes_kept(&clip_path()).unwrap();
    let seen = media::picture_hashes(&received).unwrap();
    let tail = TAIL * FRAMES_A_SECOND;
    let judged = media::check_pictures(&pictures, &seen, FRAMES_A_SECOND, tail).unwrap();
    assert!(
        judged >= PICTURES_MIN,
        "only {judged} pictures were received"
    );
}

/// What ffmpeg says when transport packets are missing.
fn assert_no_complaint(log: &str) {
    for complaint in ["Continuity check failed", "Packet corrupt", "discontinuity"] {
        assert!(!log.contains(complaint), "{log}");
    }
}
