//! A whole fleet that speaks gRPC by TLS only, and a database behind TLS.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use streamhaul_e2e::house::{House, Options, Service};
use streamhaul_e2e::ports::Ports;
use streamhaul_e2e::postgres::Postgres;
use streamhaul_e2e::wait;
use testkit::certificates::Certificates;
use testkit::database::number_in;

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

#[test]
fn a_database_is_reached_by_tls_and_by_the_authority_that_it_is_believed_by() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), readable).unwrap();
    let (ours, strangers) = (
        Certificates::new("127.0.0.1"),
        Certificates::new("127.0.0.1"),
    );
    let port = Ports::free().unwrap().at(0);
    let _server = Postgres::start_with_tls(dir.path(), port, &ours).unwrap();
    let url = |authority: &Certificates| {
        let authority = authority.ca();
        format!(
            "postgres://postgres@127.0.0.1:{port}/streamhaul?sslmode=verify-full&sslrootcert={}",
            authority.display()
        )
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
        assert_eq!(number_in(&url(&ours), encrypted).await, 1);
        let pool = storage::connect("test", &url(&ours), 1).unwrap();
        storage::migrate(&pool).await.unwrap();
        let pool = storage::connect("test", &url(&strangers), 1).unwrap();
        let refused = storage::migrate(&pool).await.unwrap_err().to_string();
        assert!(refused.contains("invalid peer certificate"), "{refused}");
    });
}
