//! What an owner sets for a stream is what its node does.

use std::time::Duration;

use serde_json::{Value, json};
use streamhaul_e2e::drill::REFUSED;
use streamhaul_e2e::house::{House, Service};
use streamhaul_e2e::{media, wait};

use crate::{clip_path, turn};

/// A change is pushed; an attempt of ffmpeg takes a second or two.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_latency_bound_holds_for_the_next_caller_of_a_live_session() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let url = format!("{}&latency=400000", session.publish_url);
    let log = house.file("publisher.log");
    let is_let_in = || {
        let outcome = media::try_publish(&clip_path(), &url, &log);
        outcome.unwrap().is_ok()
    };
    assert!(is_let_in(), "400 ms are refused though nothing is set");

    set(&house, &json!({"latency_max_ms": 200}));
    let refused = || (!is_let_in()).then_some(());
    wait::until("400 ms are refused", IN_FORCE_WITHIN, refused).unwrap();
    wait::until("the refusal is counted", Duration::from_secs(5), || {
        let metrics = house.metrics(Service::RelayNode).ok()?;
        (metrics.labelled(REFUSED, "reason", "latency_too_high") > 0.0).then_some(())
    })
    .unwrap();

    set(&house, &json!({"latency_max_ms": null}));
    let let_in = || is_let_in().then_some(());
    wait::until("400 ms are let in again", IN_FORCE_WITHIN, let_in).unwrap();
}

/// Changes the settings of the only stream there is.
fn set(house: &House, settings: &Value) {
    let listed = house.api().fetch("/api/v1/streams").unwrap();
    let listed = listed.success().unwrap();
    let stream = listed["streams"][0]["stream_id"].as_str().unwrap();
    let path = format!("/api/v1/streams/{stream}/settings");
    let changed = house.api().patch(&path, settings).unwrap();
    changed.success().unwrap();
}
