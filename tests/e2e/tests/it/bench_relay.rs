//! The bench that judges the relay gives whole figures.

use std::path::PathBuf;
use std::time::Duration;

use streamhaul_e2e::bench::{Bench, Options, Profile, Report, Shape};

const SHAPE: Shape = Shape {
    streams: 3,
    players: 2,
    rate_bps: 500_000,
};

/// One turn of each way of a profile.
fn measure(profile: Profile) -> serde_json::Value {
    let options = Options {
        length: Duration::from_secs(2),
        profiles: vec![profile],
        rounds: Some(1),
        peer: None,
        node_settings: Vec::new(),
        pinned: false,
    };
    let bench = Bench::new(options, &PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let mut report = Report::new(serde_json::Value::Null);
    bench.take_turns(profile, SHAPE, &mut report).unwrap();
    report.to_json()
}

#[test]
fn a_short_run_over_links_has_what_they_cost() {
    let _turn = crate::turn();
    let json = measure(Profile::Bonded);
    for way in ["relay", "bonded"] {
        let figures = &json["profiles"]["bonded"][way];
        assert!(figures["us_per_packet"].as_f64().unwrap() > 0.0, "{json:#}");
        assert!(figures["loss_ratio"].as_f64().unwrap() < 1.0, "{json:#}");
        assert_eq!(figures["closed"], 0.0, "{json:#}");
    }
    assert!(json["bars"]["bonded_cpu_vs_plain"].as_f64().unwrap() > 0.0);
    assert_eq!(json["limits"]["bonded_cpu_vs_plain"], 1.25);
}

#[test]
fn a_short_run_has_every_figure_of_floor_and_relay() {
    let _turn = crate::turn();
    let json = measure(Profile::Fifty);
    for way in ["floor", "relay"] {
        let figures = &json["profiles"]["fifty"][way];
        let figure = |name: &str| {
            figures[name]
                .as_f64()
                .unwrap_or_else(|| panic!("no {name} of {way}: {json:#}"))
        };
        for name in [
            "packets_per_second",
            "cpu_seconds_per_gb",
            "us_per_packet",
            "packets_per_core_second",
            "switches_per_packet",
            "rss_mb",
            "delay_p50_us",
            "delay_p999_us",
        ] {
            assert!(figure(name) > 0.0, "{name} of {way}: {json:#}");
        }
        assert!(figure("added_p99_us") >= 0.0);
        assert!(figure("loss_ratio") < 1.0, "{json:#}");
        assert_eq!(figure("closed"), 0.0, "{json:#}");
    }
    assert!(json["bars"]["cpu_vs_floor"].as_f64().unwrap() > 0.0);
    assert_eq!(json["limits"]["cpu_vs_floor"], 1.6);
}
