//! The picture that comes out is the picture that went in.

use std::time::{Duration, Instant};

use streamhaul_e2e::house::{House, Session};
use streamhaul_e2e::{clip, media, transport_stream};
use testkit::linksim::Impairment;
use testkit::linksim::udp::UdpPath;

use crate::{bytes_of, clip_path, turn};

/// What a player may miss while it joins, in seconds.
const HEAD: usize = 4;
/// What a closing sender may lose: libsrt does not wait for its last packets.
const TAIL: usize = 1;
const FRAMES_A_SECOND: usize = 30;
const SEED: u64 = 20_261_121;

#[test]
fn ffmpeg_to_ffmpeg() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    carry_with_ffmpeg(&house, &session, &session.publish_url, &session.play_url);
}

#[test]
fn ffmpeg_to_ffmpeg_with_loss_and_delay_on_both_legs() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let (_paths, publish, play) = impair(&house, &session);
    carry_with_ffmpeg(
        &house,
        &session,
        &format!("{publish}&latency=400000"),
        &format!("{play}&latency=400000"),
    );
}

#[test]
fn srt_live_transmit_to_srt_live_transmit() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let received = house.file("received.ts");
    let log = house.file("sender.log");
    let (mut sender, feeder) =
        media::transmit(&clip_path(), clip::LENGTH, &session.publish_url, &log).unwrap();
    house.wait_publishers(1).unwrap();
    let mut player = media::receive(&session.play_url, &received).unwrap();
    feeder.join().unwrap().unwrap();
    house.end_session(&session, &mut player, &received).unwrap();
    sender.kill().unwrap();
    let (sent, received) = (
        std::fs::read(clip_path()).unwrap(),
        std::fs::read(received).unwrap(),
    );
    transport_stream::check_identical(&sent, &received, bytes_of(HEAD), bytes_of(TAIL)).unwrap();
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
    transport_stream::check_identical(&bytes.0, &bytes.1, bytes_of(HEAD), bytes_of(TAIL)).unwrap();
    let pictures = media::picture_hashes_kept(&clip_path()).unwrap();
    let seen = media::picture_hashes(&received).unwrap();
    let tail = TAIL * FRAMES_A_SECOND;
    let judged = media::check_pictures(&pictures, &seen, FRAMES_A_SECOND, tail).unwrap();
    assert!(
        judged >= 19 * FRAMES_A_SECOND,
        "only {judged} pictures were received"
    );
}

/// What ffmpeg says when transport packets are missing.
fn assert_no_complaint(log: &str) {
    for complaint in ["Continuity check failed", "Packet corrupt", "discontinuity"] {
        assert!(!log.contains(complaint), "{log}");
    }
}
