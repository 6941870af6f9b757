//! Events of apps, while the gateway and its database die.

use std::time::Duration;

use streamhaul_e2e::ingest;
use streamhaul_e2e::ingest::drill::{self, Plan};

use crate::turn;

#[test]
fn what_was_acknowledged_is_stored_once_when_the_gateway_and_the_database_die() {
    let _turn = turn();
    let plan = Plan {
        gateway_kills: 2,
        database_kills: 1,
        interval: Duration::from_millis(700),
        clients: 4,
    };
    let finding = drill::run(plan).unwrap();
    println!("{finding}");
    assert!(finding.meets_bars(), "{finding}");
}

#[test]
fn a_short_bench_of_the_intake_has_every_figure() {
    let _turn = turn();
    let plan = ingest::Plan {
        length: Duration::from_secs(1),
        connections: 4,
        batch: 50,
        peer: None,
        peer_connections: 1,
    };
    let json = ingest::measure(&plan).unwrap().to_json();
    for name in [
        "events_per_s",
        "floor_events_per_s",
        "vs_floor",
        "ack_p99_ms",
        "resident_mb",
    ] {
        let figure = json[name].as_f64();
        assert!(figure.is_some_and(|it| it > 0.0), "{name}: {json:#}");
    }
    let bytes = json["event_bytes"].as_u64().unwrap();
    assert!((640..=700).contains(&bytes), "{bytes}");
}
