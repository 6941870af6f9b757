//! A whole fleet that speaks gRPC by TLS only.

use std::time::Duration;

use streamhaul_e2e::house::{House, Options, Service};
use streamhaul_e2e::wait;
use testkit::certificates::Certificates;

use crate::turn;

const SEEN_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_fleet_speaks_tls_by_an_authority_of_its_own_and_a_node_names_one_that_it_does_not_believe() {
    let _turn = turn();
    let strangers = Certificates::new("127.0.0.1");
    let other_authority = strangers.ca().display().to_string();
    let options = Options::default().by_tls().with(
        Service::SecondRelayNode,
        "KIT__GRPC__CA_FILE",
        &other_authority,
    );
    // Ready: the node was welcomed by api, jobs and the gateway were answered by it.
    let mut house = House::start_with(options).unwrap();
    assert!(house.api_grpc().starts_with("https://"));
    wait::until("the node reports to the gateway", SEEN_WITHIN, || {
        let metrics = house.metrics(Service::MetricsGateway).ok()?;
        (metrics.sum("streamhaul_gateway_reports_accepted_total") > 0.0).then_some(())
    })
    .unwrap();

    house.send_node().unwrap();
    let said = house.log(Service::SecondRelayNode);
    let named = wait::until("the wrong authority is named", SEEN_WITHIN, || {
        let said = std::fs::read_to_string(&said).ok()?;
        let mut lines = said.lines();
        Some(
            lines
                .find(|line| line.contains("cannot enrol yet"))?
                .to_owned(),
        )
    });
    let named = named.unwrap();
    assert!(named.contains("invalid peer certificate"), "{named}");
    assert!(named.contains("kit.grpc.ca_file"), "{named}");
}
