//! Every service tells its own story on its own listener.

use std::path::Path;

use streamhaul_e2e::house::{House, Service};
use streamhaul_e2e::metrics::Metrics;

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
        assert_documented(&metrics);
        let health = house.admin(service).fetch("/healthz").unwrap();
        assert_eq!(health.status, 200, "{label}");
    }
}

/// What is shown is written down.
fn assert_documented(metrics: &Metrics) {
    let documented = pages();
    for name in metrics
        .names()
        .filter(|name| name.starts_with("streamhaul_"))
    {
        let parts = ["_bucket", "_sum", "_count"];
        let whole = parts
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
        let found = [name, whole]
            .iter()
            .any(|name| documented.contains(&format!("`{name}")));
        assert!(found, "no page of docs/metrics names {name}");
    }
}

/// Every page about metrics.
fn pages() -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics");
    let pages = std::fs::read_dir(directory).unwrap();
    let texts = pages.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap());
    texts.collect()
}
