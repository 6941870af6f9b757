//! A player comes.

use std::path::Path;
use std::time::Duration;

use model::session::Role;
use model::settings::Start;
use proto::fleet::SessionEventKind;
use streamhaul_e2e::pictures::{self, GROUP, Player, Probed};
use streamhaul_e2e::plane::Behaviour;
use streamhaul_e2e::{media, transport_stream, wait};

use super::{PATIENCE, Stage, runs};

/// The key frame that a player should begin with.
const KEY_FRAME: usize = 2 * GROUP;
/// The encoder pauses before this picture, in the middle of a group; players
/// come while it does, so that they all come at the same place of the stream.
const PAUSE: usize = KEY_FRAME + GROUP / 2;
/// The encoder ends before this picture.
const END: usize = 5 * GROUP;
/// How fast pictures are sent, before and after the pause; quicker than they are
/// shown, which is nothing to SRT.
const PARTS_TAKE: Duration = Duration::from_millis(1500);

/// What ffmpeg says when it is given a picture without those before it.
const COMPLAINTS: [&str; 4] = [
    "non-existing PPS",
    "decode_slice_header error",
    "no frame!",
    "reference picture missing",
];

/// Starts an encoder, has a player join while it pauses, and ends it; `meanwhile`
/// is done in the pause.
fn join_in_the_pause(start: Start, meanwhile: impl FnOnce(&mut Stage)) -> (Stage, Player) {
    let mut stage = Stage::new(Behaviour {
        start: Some(start),
        ..Behaviour::default()
    });
    let url = stage.transmit_url(Role::Publish);
    let log = stage.file("sender.log");
    let (_sender, mut input) = media::transmit_input(&url, &log).unwrap();
    stage.wait(SessionEventKind::PublisherConnected);
    let run = runs()[0];
    let (before, all) = (run.bytes_before(PAUSE), run.bytes_before(END));
    let (before, all) = (before.unwrap(), all.unwrap());
    media::feed(&mut input, &before, PARTS_TAKE).unwrap();
    let player = stage.play(Probed::Kept);
    meanwhile(&mut stage);
    media::feed(&mut input, &all[before.len()..], PARTS_TAKE).unwrap();
    player.wait_decoded(&runs(), 0, END - GROUP).unwrap();
    (stage, player)
}

fn first_decoded(player: &Player) -> usize {
    let decoded = player.decoded(&runs());
    pictures::check_order(&decoded).unwrap();
    pictures::of_run(&decoded, 0)[0]
}

#[test]
fn a_player_begins_with_the_last_key_frame() {
    let (_stage, player) = join_in_the_pause(Start::Keyframe, |stage| {
        let received = stage.file("received.ts");
        let url = stage.transmit_url(Role::Play);
        let _receiver = media::receive(&url, &received).unwrap();
        receives_since_the_key_frame(&received);
    });
    assert_eq!(first_decoded(&player), KEY_FRAME);
    let log = player.program.log();
    assert!(!COMPLAINTS.iter().any(|said| log.contains(said)), "{log}");
}

/// All that was sent since the key frame comes though nothing new is sent.
fn receives_since_the_key_frame(received: &Path) {
    let run = runs()[0];
    let (sent, before) = (run.bytes_before(PAUSE), run.bytes_before(KEY_FRAME));
    let (sent, before) = (sent.unwrap(), before.unwrap());
    let bytes = || transport_stream::whole_packets(received).unwrap();
    let (head, tail) = (before.len(), media::RECEIVE_BUFFER_BYTES);
    let has_all = || (head + bytes().len() + tail >= sent.len()).then_some(());
    wait::until("what was sent is received", PATIENCE, has_all).unwrap();
    transport_stream::check_identical(&sent, &bytes(), head, tail).unwrap();
    let decoded = pictures::decode(received, &runs()).unwrap();
    assert_eq!(decoded.first(), Some(&Some((0, KEY_FRAME))));
}

#[test]
fn a_player_begins_with_the_newest_packet_and_waits_for_the_next_key_frame() {
    let (_stage, player) = join_in_the_pause(Start::Newest, |_| {});
    assert_eq!(first_decoded(&player), KEY_FRAME + GROUP);
    let log = player.program.log();
    assert!(COMPLAINTS.iter().any(|said| log.contains(said)), "{log}");
}
