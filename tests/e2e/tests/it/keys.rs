//! Lease keys change under live streams.

use std::time::Duration;

use serde_json::json;
use streamhaul_e2e::house::House;
use streamhaul_e2e::{drill, media};

use crate::{Published, clip_path, published, turn, wait_cut, wait_let_in};

const KEYS: &str = "/api/v1/ops/keys";
/// How long the stream is watched on the other key.
const AFTERWARDS: Duration = Duration::from_secs(4);

#[test]
fn a_stream_runs_on_through_a_rotation_and_ends_with_its_key() {
    let _turn = turn();
    let house = House::start().unwrap();
    let Published {
        session,
        mut publisher,
        sent,
    } = published(&house);
    let received = house.file("received.ts");
    let mut player = media::record(&session.play_url, &received).unwrap();
    std::thread::sleep(AFTERWARDS);
    let signer = current(&house);
    post(&house, &format!("{KEYS}/rotate"), &json!({}));
    assert_ne!(current(&house), signer);
    std::thread::sleep(AFTERWARDS);
    assert!(publisher.is_running().unwrap(), "{}", publisher.log());

    let revoke = format!("{KEYS}/{signer}/revoke");
    post(&house, &revoke, &json!({"reason": "it leaked"}));
    wait_cut([&mut publisher, &mut player]);
    drill::check_stream(&sent, &received, &clip_path()).unwrap();

    // The same URL is good again, with a lease of the other key.
    wait_let_in(&house, &session);
}

fn current(house: &House) -> String {
    let listed = house.api().fetch(KEYS).unwrap();
    let listed = listed.success().unwrap();
    let mut keys = listed["keys"].as_array().unwrap().iter();
    let current = keys.find(|key| key["state"] == "current").unwrap();
    current["kid"].as_str().unwrap().to_owned()
}

fn post(house: &House, path: &str, body: &serde_json::Value) {
    let answer = house.api().post(path, body).unwrap();
    answer.success().unwrap();
}
