//! A live stream moves from node to node by the control plane's word: two real nodes, real
//! senders and players.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use streamhaul_e2e::house::{ELSEWHERE, House, Options};
use streamhaul_e2e::http::Event;
use streamhaul_e2e::program::Program;
use streamhaul_e2e::{media, transport_stream, wait};

use crate::{Published, bytes_of, clip_path, encrypt, published, turn, wait_cut};

const LIMIT: Duration = Duration::from_secs(30);
/// How much of the stream a player is to have, in seconds of the clip.
const WATCHED: usize = 6;

#[test]
fn a_live_stream_moves_and_keeps_its_picture() {
    let _turn = turn();
    move_live(House::start_with(Options::patient()).unwrap());
}

/// The sender, the nodes between each other and the players all encrypt.
#[test]
fn an_encrypted_stream_moves_and_keeps_its_picture() {
    let _turn = turn();
    let house = House::start_with(Options::patient()).unwrap();
    encrypt(&house, "required");
    move_live(house);
}

fn move_live(mut house: House) {
    let second_node = house.add_node().unwrap();
    let Published {
        session,
        mut publisher,
        sent,
    } = published(&house);
    let stays = house.file("stays.ts");
    let mut stayed = media::record(&session.play_url, &stays).unwrap();
    house.wait_players(1).unwrap();
    let live = format!("/v1/sessions/{}/live", session.id);
    let mut events = house.api().events(&live, None).unwrap();

    // The answer, the event and the API say the same of where to go.
    let body = json!({"connection_id": "cam1", "new_region": ELSEWHERE});
    let moved = house.api().post("/api/v1/relay/migrate", &body).unwrap();
    assert_eq!(moved.status, 202, "{}", moved.text);
    let new = moved.success().unwrap()["session"].clone();
    assert_eq!(new["moving_from"], session.id.as_str());
    let told = state(&mut events, "draining");
    let goes = &told["moved_to"];
    assert_eq!(goes["session_id"], new["session_id"]);
    assert_eq!(goes["node_id"], second_node.as_str());
    let urls = json!({
        "sender_srtla_url": new["sender_url"],
        "sender_srt_url": new["srt_publish_url"],
        "media_source_url": new["media_source_url"],
    });
    assert_eq!(goes["urls"], urls);
    assert_ne!(new["media_source_url"], session.play_url.as_str());
    wait::until("the new node has the session", LIMIT, || {
        let active = active(&house);
        (active["session_id"] == new["session_id"] && active["status"] == "active").then_some(())
    })
    .unwrap();

    // Make: the new node has the picture while the publisher is with the old one.
    let play_url = new["media_source_url"].as_str().unwrap();
    let followed = house.file("followed.ts");
    let mut player = play(play_url, &followed);
    media::wait_received(bytes_of(WATCHED), &followed).unwrap();
    assert!(publisher.is_running().unwrap(), "{}", publisher.log());
    assert!(stayed.is_running().unwrap(), "{}", stayed.log());
    assert_eq!(active(&house)["moving_from"], session.id.as_str());

    // Break: the sender follows, and the old session ends.
    let sent_then = house.file("sent-then.ts");
    let publish_url = new["srt_publish_url"].as_str().unwrap();
    let mut follower =
        media::publish_repeatedly(&clip_path(), 10, publish_url, &sent_then).unwrap();
    let over = state(&mut events, "stopped");
    assert_eq!(
        (&over["stop_reason"], &over["moved_to"]),
        (&json!("superseded"), goes)
    );
    wait_cut([&mut publisher, &mut stayed]);
    assert_eq!(active(&house)["moving_from"], Value::Null);
    let before = std::fs::metadata(&followed).unwrap().len();
    let more = usize::try_from(before).unwrap() + bytes_of(WATCHED);
    media::wait_received(more, &followed).unwrap();
    assert!(follower.is_running().unwrap(), "{}", follower.log());
    assert!(player.is_running().unwrap(), "{}", player.log());
    let stop = json!({"session_id": session.id});
    house
        .api()
        .post("/api/v1/relay/stop", &stop)
        .unwrap()
        .success()
        .unwrap();
    player.wait(LIMIT).unwrap();
    check_joined(&sent, &sent_then, &followed);
}

/// A player that was refused calls again: a pull takes a moment.
fn play(url: &str, received: &Path) -> Program {
    wait::until("the new node has the picture", LIMIT, || {
        let mut player = media::record(url, received).unwrap();
        let has_some = || {
            let length = std::fs::metadata(received).map_or(0, |file| file.len());
            (length > 0 || !player.is_running().unwrap()).then_some(length > 0)
        };
        wait::until("it plays or is refused", LIMIT, has_some)
            .unwrap()
            .then_some(player)
    })
    .unwrap()
}

fn active(house: &House) -> Value {
    let path = "/api/v1/relay/active?connection_id=cam1";
    let answer = house.api().fetch(path).unwrap();
    answer.success().unwrap()["session"].clone()
}

/// The next word of the session that it is in this state.
fn state(events: &mut impl Iterator<Item = Event>, status: &str) -> Value {
    let is_it = |event: &Event| event.name == "state" && event.data["status"] == status;
    events.find(is_it).expect("an event comes").data
}

/// Judges that what was received is an unbroken run of the first sender's bytes and then one
/// of the second's, from its first second on.
fn check_joined(first: &Path, second: &Path, received: &Path) {
    let (first, second) = (
        std::fs::read(first).unwrap(),
        std::fs::read(second).unwrap(),
    );
    let received = transport_stream::whole_packets(received).unwrap();
    let start = transport_stream::offset_in(&first, &received[..bytes_of(1)]).unwrap();
    let pairs = received.iter().zip(&first[start..]);
    let common = pairs.take_while(|(a, b)| a == b).count();
    let joint = common - common % transport_stream::PACKET_BYTES;
    let seconds = |bytes: usize| bytes as f64 / bytes_of(1) as f64;
    println!(
        "{:.1} s of the pulled stream, then {:.1} s of the sender that followed",
        seconds(joint),
        seconds(received.len() - joint)
    );
    assert!(joint >= bytes_of(WATCHED - 1), "a hole after {joint} bytes");
    let then = &received[joint..];
    // The second sender sends the same clip, so a run of it may begin before the joint.
    let begins = transport_stream::offset_in(&second, then).unwrap();
    assert!(
        begins <= bytes_of(1),
        "the first {begins} bytes are missing"
    );
}
