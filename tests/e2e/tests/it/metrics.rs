//! Every service tells its own story on its own listener.

use streamhaul_e2e::house::{House, Service};

use crate::turn;

#[test]
fn each_service_has_its_own_live_metrics() {
    let _turn = turn();
    let house = House::start().unwrap();
    for service in Service::ALL {
        let metrics = house.metrics(service).unwrap();
        let label = service.binary().trim_start_matches("streamhaul-");
        let built = metrics.labelled("streamhaul_build_info", "service", label);
        assert!(
            (built - 1.0).abs() < f64::EPSILON,
            "{label} does not say what it is"
        );
        let health = house.admin(service).fetch("/healthz").unwrap();
        assert_eq!(health.status, 200, "{label}");
    }
}
