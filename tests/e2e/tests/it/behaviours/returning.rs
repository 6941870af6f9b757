//! The publisher goes or is replaced while players are connected.

use std::time::Duration;

use model::session::Role;
use model::settings::Resume;
use proto::fleet::SessionEventKind;
use streamhaul_e2e::media;
use streamhaul_e2e::pictures::{self, Decoded, Probed, RATE};
use streamhaul_e2e::plane::Behaviour;

use super::{PATIENCE, Stage, runs};

/// How long the encoder is away: longer than the latency many times over.
const AWAY: Duration = Duration::from_secs(3);
/// A player has seen something of the first run.
const SEEN: usize = 2 * RATE;
/// What a sender that ends may lose: libsrt does not wait for its last packets.
const TAIL: usize = RATE;

fn second_to_its_end() -> usize {
    runs()[1].pictures() - TAIL
}

/// Judges what a player decoded since its first picture: the one that was cut off
/// where the runs meet may be broken, and nothing else.
fn judge_both_runs(decoded: &[Decoded]) {
    pictures::check_order(decoded).unwrap();
    let second = pictures::of_run(decoded, 1);
    assert_eq!(second.first(), Some(&0), "{decoded:?}");
    assert!(second.last() >= Some(&second_to_its_end()), "{decoded:?}");
    let begun = decoded.iter().position(Decoded::is_some).unwrap();
    let ended = decoded.iter().rposition(Decoded::is_some).unwrap();
    let broken = decoded[begun..ended].iter().filter(|one| one.is_none());
    assert!(broken.count() <= 1, "{decoded:?}");
}

#[test]
fn held_players_go_on_when_a_killed_encoder_is_back() {
    let mut stage = Stage::new(Behaviour::default());
    let mut first = stage.publish(&runs()[0].clip, "first.ts");
    let mut player = stage.play(Probed::Dropped);
    let received = stage.file("received.ts");
    let mut receiver = media::receive(&stage.transmit_url(Role::Play), &received).unwrap();
    stage.wait(SessionEventKind::PlayerConnected);
    player.wait_decoded(&runs(), 0, SEEN).unwrap();
    first.kill().unwrap();
    std::thread::sleep(AWAY);
    let mut second = stage.publish(&runs()[1].clip, "second.ts");
    player
        .wait_decoded(&runs(), 1, second_to_its_end())
        .unwrap();
    assert!(second.wait(PATIENCE).unwrap().success());
    judge_both_runs(&player.decoded(&runs()));
    assert!(player.program.is_running().unwrap());
    media::settle(&received).unwrap();
    judge_both_runs(&pictures::decode(&received, &runs()).unwrap());
    assert!(receiver.is_running().unwrap());
}

#[test]
fn a_player_goes_on_with_a_second_publisher_and_the_first_is_shut_down() {
    let mut stage = Stage::new(Behaviour::default());
    let mut first = stage.publish(&runs()[0].clip, "first.ts");
    let mut player = stage.play(Probed::Kept);
    player.wait_decoded(&runs(), 0, SEEN).unwrap();
    assert!(first.is_running().unwrap());
    let mut second = stage.publish(&runs()[1].clip, "second.ts");
    assert!(!first.wait(PATIENCE).unwrap().success());
    player
        .wait_decoded(&runs(), 1, second_to_its_end())
        .unwrap();
    assert!(second.wait(PATIENCE).unwrap().success());
    judge_both_runs(&player.decoded(&runs()));
    assert!(player.program.is_running().unwrap());
}

#[test]
fn players_are_cut_when_the_encoder_is_back_and_not_before() {
    let behaviour = Behaviour {
        resume: Some(Resume::Cut),
        ..Behaviour::default()
    };
    let mut stage = Stage::with(behaviour, &[("PUBLISHER_TIMEOUT_SECONDS", "1")]);
    let mut first = stage.publish(&runs()[0].clip, "first.ts");
    let mut player = stage.play(Probed::Kept);
    let received = stage.file("received.ts");
    let mut receiver = media::receive_again(&stage.transmit_url(Role::Play), &received).unwrap();
    stage.wait(SessionEventKind::PlayerConnected);
    player.wait_decoded(&runs(), 0, SEEN).unwrap();
    first.kill().unwrap();
    assert_eq!(stage.wait(SessionEventKind::PublisherGone), "timed_out");
    assert!(player.program.is_running().unwrap());

    let mut second = stage.publish(&runs()[1].clip, "second.ts");
    for _ in 0..2 {
        assert_eq!(stage.wait(SessionEventKind::PlayerGone), "taken_over");
    }
    player.program.wait(PATIENCE).unwrap();
    assert!(pictures::of_run(&player.decoded(&runs()), 1).is_empty());

    stage.wait(SessionEventKind::PlayerConnected);
    assert!(second.wait(PATIENCE).unwrap().success());
    media::settle(&received).unwrap();
    assert!(receiver.is_running().unwrap());
    let decoded = pictures::decode(&received, &runs()).unwrap();
    pictures::check_order(&decoded).unwrap();
    let again = pictures::of_run(&decoded, 1);
    // It calls again when the second run has begun, and so may miss its first key
    // frame.
    assert!(again[0] <= pictures::GROUP, "{again:?}");
    assert!(again.last() >= Some(&second_to_its_end()), "{again:?}");
}
