//! Who is banned is cut and not let in again, whatever program it is.

use serde_json::json;
use streamhaul_e2e::house::House;
use streamhaul_e2e::media;

use crate::{Published, clip_path, published, turn, wait_cut, wait_let_in};

const BANS: &str = "/api/v1/ops/bans";

#[test]
fn a_banned_prefix_keeps_libsrt_out_until_it_is_lifted() {
    let _turn = turn();
    let house = House::start().unwrap();
    let Published {
        session,
        mut publisher,
        ..
    } = published(&house);
    let received = house.file("received.ts");
    let mut player = media::receive(&session.play_url, &received).unwrap();
    house.wait_players(1).unwrap();

    let ban = json!({"kind": "prefix", "subject": "127.0.0.0/8", "reason": "a flood"});
    let banned = house.api().post(BANS, &ban).unwrap();
    let ban = banned.success().unwrap()["ban_id"]
        .as_str()
        .unwrap()
        .to_owned();
    wait_cut([&mut publisher, &mut player]);
    // Its handshake is answered by nobody.
    let log = house.file("again.log");
    let refused = media::try_publish(&clip_path(), &session.publish_url, &log).unwrap();
    assert!(refused.is_err(), "ffmpeg was let in");

    let lifted = house.api().delete(&format!("{BANS}/{ban}")).unwrap();
    assert_eq!(lifted.status, 204);
    wait_let_in(&house, &session);
}
