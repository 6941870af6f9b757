//! Lease keys change under live streams.

use std::time::Duration;

use serde_json::json;
use streamhaul_e2e::house::House;
use streamhaul_e2e::{drill, media, wait};

use crate::{clip_path, turn};

const KEYS: &str = "/api/v1/ops/keys";
/// How long the stream is watched on the other key.
const AFTERWARDS: Duration = Duration::from_secs(4);
const CUT_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_stream_runs_on_through_a_rotation_and_ends_with_its_key() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let url = &session.publish_url;
    let mut publisher = media::publish_repeatedly(&clip_path(), 10, url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    let mut player = media::record(&session.play_url, &received).unwrap();
    std::thread::sleep(AFTERWARDS);
    let signer = current(&house);
    post(&house, &format!("{KEYS}/rotate"), &json!({}));
    assert_ne!(current(&house), signer);
    std::thread::sleep(AFTERWARDS);
    assert!(publisher.is_running().unwrap(), "{}", publisher.log());

    let revoke = format!("{KEYS}/{signer}/revoke");
    post(&house, &revoke, &json!({"reason": "it leaked"}));
    for program in [&mut publisher, &mut player] {
        wait::until("it is cut", CUT_WITHIN, || {
            (!program.is_running().unwrap()).then_some(())
        })
        .unwrap();
    }
    drill::check_stream(&sent, &received, &clip_path()).unwrap();

    // The same URL is good again, with a lease of the other key.
    let log = house.file("again.log");
    wait::until("it is let in again", CUT_WITHIN, || {
        let outcome = media::try_publish(&clip_path(), url, &log);
        outcome.unwrap().is_ok().then_some(())
    })
    .unwrap();
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
