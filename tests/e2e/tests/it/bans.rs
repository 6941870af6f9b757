//! Who is banned is cut and not let in again, whatever program it is.

use std::time::Duration;

use serde_json::json;
use streamhaul_e2e::house::House;
use streamhaul_e2e::{media, wait};

use crate::{clip_path, turn};

const BANS: &str = "/api/v1/ops/bans";
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_banned_prefix_keeps_libsrt_out_until_it_is_lifted() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let url = &session.publish_url;
    let mut publisher = media::publish_repeatedly(&clip_path(), 10, url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    let mut player = media::receive(&session.play_url, &received).unwrap();
    house.wait_players(1).unwrap();

    let ban = json!({"kind": "prefix", "subject": "127.0.0.0/8", "reason": "a flood"});
    let banned = house.api().post(BANS, &ban).unwrap();
    let ban = banned.success().unwrap()["ban_id"]
        .as_str()
        .unwrap()
        .to_owned();
    for program in [&mut publisher, &mut player] {
        wait::until("it is cut", LIMIT, || {
            (!program.is_running().unwrap()).then_some(())
        })
        .unwrap();
    }
    // Its handshake is answered by nobody.
    let log = house.file("again.log");
    let refused = media::try_publish(&clip_path(), url, &log).unwrap();
    assert!(refused.is_err(), "ffmpeg was let in");

    let lifted = house.api().delete(&format!("{BANS}/{ban}")).unwrap();
    assert_eq!(lifted.status, 204);
    wait::until("it is let in again", LIMIT, || {
        let outcome = media::try_publish(&clip_path(), url, &log);
        outcome.unwrap().is_ok().then_some(())
    })
    .unwrap();
}
