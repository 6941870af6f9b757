//! A crash in the control plane does not stop the picture.

use std::time::Duration;

use streamhaul_e2e::house::{House, Options, READY_LIMIT, Service};
use streamhaul_e2e::{drill, media};

use crate::{clip_path, turn};

/// How long a crashed part stays away.
const AWAY: Duration = Duration::from_secs(6);

#[test]
fn killed_api_jobs_and_postgres_return_and_the_picture_goes_on() {
    let _turn = turn();
    let mut house = House::start_with(Options::patient()).unwrap();
    let session = house.start_session("cam1").unwrap();
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let mut publisher =
        media::publish_repeatedly(&clip_path(), 10, &session.publish_url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    let mut player = media::record(&session.play_url, &received).unwrap();

    for service in [Service::Api, Service::Jobs] {
        house.kill(service).unwrap();
        std::thread::sleep(AWAY);
        house.launch(service).unwrap();
        assert_whole(&house, &session.id);
    }
    house.postgres().kill().unwrap();
    std::thread::sleep(AWAY);
    house.postgres().restart().unwrap();
    assert_whole(&house, &session.id);

    assert!(publisher.is_running().unwrap(), "{}", publisher.log());
    publisher.kill().unwrap();
    house.end_session(&session, &mut player, &received).unwrap();
    drill::check_stream(&sent, &received, &clip_path()).unwrap();
}

fn assert_whole(house: &House, session: &str) {
    house.wait_ready(READY_LIMIT).unwrap();
    let sessions = house.sessions().unwrap();
    let ids: Vec<_> = sessions
        .iter()
        .map(|listed| listed["session_id"].as_str())
        .collect();
    assert_eq!(ids, [Some(session)]);
    assert_eq!(sessions[0]["status"], "active");
}
