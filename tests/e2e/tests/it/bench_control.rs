//! The bench that judges the control plane gives whole figures.

use std::time::Duration;

use streamhaul_e2e::control::{self, Plan};

#[test]
fn a_short_run_has_every_figure_of_nodes_decisions_and_starts() {
    let _turn = crate::turn();
    let plan = Plan {
        nodes: 200,
        length: Duration::from_secs(5),
        start_nodes: 20,
        start_length: Duration::from_secs(2),
        callers: 4,
    };
    let json = control::measure(&plan).unwrap().to_json();
    for name in [
        "nodes10k_cpu_cores",
        "nodes10k_rss_mb",
        "heartbeat_p99_ms",
        "heartbeats_per_s",
        "placement1k_p99_ms",
        "placements_per_s",
        "starts_per_s",
        "start_p99_ms",
    ] {
        let figure = json[name].as_f64();
        assert!(figure.is_some_and(|it| it > 0.0), "{name}: {json:#}");
    }
    assert_eq!(json["nodes"], 200);
    assert_eq!(json["heartbeats_unanswered"], 0.0, "{json:#}");
    assert_eq!(json["streams_lost"], 0.0, "{json:#}");
    assert_eq!(json["limits"]["nodes10k_rss_mb"], 400.0);
}
