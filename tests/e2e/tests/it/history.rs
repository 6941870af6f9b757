//! What a stream did is known also for the time when nobody was told of it.

use std::time::Duration;

use nix::sys::signal::Signal;
use streamhaul_e2e::house::{House, Service};
use streamhaul_e2e::{media, wait};
use testkit::database::number_in;
use tokio::runtime::Runtime;

use crate::{clip_path, turn};

const AWAY: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(90);
const NEWEST: &str = "SELECT coalesce(max(at), 0) FROM telemetry.session_10s";
/// Steps between the first and the last of which less than half was seen.
const HOLES: &str = "
    WITH seen AS (SELECT at, sum(samples) AS samples FROM telemetry.session_10s
                  WHERE link = -1 GROUP BY at)
    SELECT count(*) FROM generate_series((SELECT min(at) + 10000 FROM seen),
                                         (SELECT max(at) - 10000 FROM seen), 10000) AS step (at)
    LEFT JOIN seen USING (at) WHERE coalesce(samples, 0) < 5";

#[test]
fn the_history_of_a_stream_has_no_hole_where_the_gateway_was_away() {
    let _turn = turn();
    let mut house = House::start().unwrap();
    let session = house.start_session("away").unwrap();
    let sent = house.file("sent.ts");
    let _ffmpeg = media::publish_repeatedly(&clip_path(), 20, &session.publish_url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    let (runtime, url) = (Runtime::new().unwrap(), house.postgres().url());
    let ask = |query: &str| runtime.block_on(number_in(&url, query));
    wait::until("a step is kept", LIMIT, || (ask(NEWEST) > 0).then_some(())).unwrap();

    let gateway = house.service(Service::MetricsGateway).unwrap();
    gateway.signal(Signal::SIGTERM);
    std::thread::sleep(AWAY);
    house.kill(Service::MetricsGateway).unwrap();
    let before = ask(NEWEST);
    house.launch(Service::MetricsGateway).unwrap();
    let after = before + i64::try_from(AWAY.as_millis()).unwrap() + 30_000;
    wait::until("the history goes on", LIMIT, || {
        (ask(NEWEST) >= after).then_some(())
    })
    .unwrap();
    assert_eq!(ask(HOLES), 0);
}
