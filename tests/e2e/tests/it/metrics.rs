//! Every service tells its own story on its own listener.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use streamhaul_e2e::house::{House, Options, Service};
use streamhaul_e2e::metrics::Metrics;
use streamhaul_e2e::wait;

use crate::turn;

const SHOWN_WITHIN: Duration = Duration::from_secs(40);

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

#[test]
fn a_nodes_byte_budget_is_shown_until_it_is_taken_away() {
    let _turn = turn();
    let house = House::control_plane(Options::default()).unwrap();
    let node = json!({"name": "budgeted", "region": "local"});
    let made = house.api().post("/api/v1/ops/nodes", &node).unwrap();
    let made = made.success().unwrap();
    let node = made["node_id"].as_str().unwrap();
    let path = format!("/api/v1/ops/nodes/{node}/budget");
    let set = |policy: Value| {
        let answer = house.api().post(&path, &json!({"policy": policy}));
        answer.unwrap().success().unwrap();
    };
    set(json!({
        "port_bps": 1_000_000_000_u64,
        "overhead_ratio": 1.0,
        "confidence": "documented",
        "allowance": {"kind": "monthly_cap", "limit_bytes": 1_000_000_000_000_u64},
    }));
    let reading = json!({"used_bytes": 50_000_000_000_u64});
    let reconcile = format!("{path}/reconcile");
    let reconciled = house.api().post(&reconcile, &reading).unwrap();
    reconciled.success().unwrap();

    let shown = |name: &str| {
        let metrics = house.metrics(Service::Api).unwrap();
        assert_documented(&metrics);
        metrics.labelled(&format!("streamhaul_api_budget_{name}"), "node", node)
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        wait::until(what, SHOWN_WITHIN, || is_so().then_some(())).unwrap();
    };
    // 95 % of what is documented is planned with; nothing had been counted.
    until("what is left is shown", &|| {
        [
            ("limit_bytes", 950e9),
            ("used_bytes", 50e9),
            ("exhaustion_timestamp_seconds", f64::INFINITY),
            ("reconcile_error_ratio", -1.0),
        ]
        .iter()
        .all(|(name, expected)| shown(name).total_cmp(expected).is_eq())
    });
    assert!(shown("projected_ratio") > 0.05);
    set(Value::Null);
    until("it is gone", &|| shown("limit_bytes").is_nan());
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
