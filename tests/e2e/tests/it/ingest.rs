//! Events of apps, while the gateway and its database die.

use std::time::Duration;

use streamhaul_e2e::ingest::drill::{self, Plan};
use streamhaul_e2e::ingest::{self, NatsSetup, Setup, hostile};

use crate::turn;

const PLAN: Plan = Plan {
    setup: Setup {
        gateways: 1,
        has_spool: false,
        nats: None,
    },
    gateway_kills: 2,
    replacements: 0,
    database_kills: 1,
    log_kills: 0,
    interval: Duration::from_millis(700),
    clients: 4,
};

#[test]
fn what_was_acknowledged_is_stored_once_when_the_gateway_and_the_database_die() {
    let _turn = turn();
    let finding = drill::run(PLAN).unwrap();
    println!("{finding}");
    assert!(finding.meets_bars(), "{finding}");
}

/// Two gateways, each with a spool, at one database.
#[test]
fn what_two_gateways_acknowledged_is_stored_once_when_any_of_it_dies() {
    let _turn = turn();
    let plan = Plan {
        setup: Setup {
            gateways: 2,
            has_spool: true,
            nats: None,
        },
        ..PLAN
    };
    let finding = drill::run(plan).unwrap();
    println!("{finding}");
    assert!(finding.meets_bars(), "{finding}");
}

/// Two edges put events into JetStream, two writers take them out; each of them is killed, and
/// so are PostgreSQL and, where only the commit counts, the NATS server.
#[test]
fn what_edges_acknowledged_is_stored_once_when_edges_and_writers_die() {
    let _turn = turn();
    for acknowledges_early in [false, true] {
        let plan = Plan {
            setup: Setup {
                gateways: 2,
                has_spool: false,
                nats: Some(NatsSetup {
                    writers: 2,
                    acknowledges_early,
                }),
            },
            gateway_kills: 4,
            log_kills: u32::from(!acknowledges_early),
            ..PLAN
        };
        let finding = drill::run(plan).unwrap();
        println!("{finding}");
        assert!(finding.meets_bars(), "{finding}");
    }
}

#[test]
fn a_log_that_forgot_what_was_read_is_read_from_its_beginning() {
    let _turn = turn();
    ingest::forgotten::check().unwrap();
}

#[test]
fn a_gateway_that_is_replaced_refuses_nothing() {
    let _turn = turn();
    let plan = Plan {
        setup: Setup {
            gateways: 2,
            has_spool: false,
            nats: None,
        },
        gateway_kills: 0,
        database_kills: 0,
        replacements: 2,
        ..PLAN
    };
    let finding = drill::run(plan).unwrap();
    println!("{finding}");
    assert!(finding.meets_bars(), "{finding}");
    assert_eq!(finding.refusals(), 0, "{finding}");
}

#[test]
fn an_outage_of_the_database_costs_latency_and_no_events() {
    let _turn = turn();
    ingest::outage::check().unwrap();
}

#[test]
fn an_outage_of_the_log_costs_latency_and_no_events() {
    let _turn = turn();
    ingest::outage::check_log().unwrap();
}

#[test]
fn a_short_bench_of_the_intake_has_every_figure() {
    let _turn = turn();
    let plan = ingest::Plan {
        length: Duration::from_secs(1),
        turns: 1,
        connections: 4,
        batch: 50,
        peer: None,
    };
    let json = ingest::measure(&plan).unwrap().to_json();
    for name in [
        "events_per_s",
        "floor_events_per_s",
        "vs_floor",
        "ack_p99_ms",
        "resident_peak_mb",
    ] {
        let figure = json[name].as_f64();
        assert!(figure.is_some_and(|it| it > 0.0), "{name}: {json:#}");
    }
    let bytes = json["event_bytes"].as_u64().unwrap();
    assert!((640..=700).contains(&bytes), "{bytes}");
}

#[test]
fn who_means_no_good_harms_nobody_else() {
    let _turn = turn();
    let finding = hostile::run(hostile::Plan {
        length: Duration::from_secs(3),
        forged_per_s: 500,
        dawdlers: 40,
        events_per_s: 200,
    })
    .unwrap();
    println!("{finding}");
    assert!(finding.does_no_harm(), "{finding}");
}
