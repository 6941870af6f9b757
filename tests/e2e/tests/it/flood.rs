//! Floods from addresses that are not there.

use std::path::PathBuf;
use std::time::Duration;

use streamhaul_e2e::flood_drill::{self, Finding, Plan, Speech};

fn flooded_with(speech: Speech) -> Finding {
    let plan = Plan {
        length: Duration::from_secs(3),
        rate_pps: 10_000,
        speech,
    };
    let finding = flood_drill::run(plan, &PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    println!("{finding}");
    assert!(finding.sent.datagrams > 1000, "there was no flood");
    assert!(finding.unproven[1] > 64_000.0, "the node saw no flood");
    assert!(finding.meets_bars(), "{finding}");
    finding
}

#[test]
fn a_bonded_stream_stays_exact_while_srtla_comes_from_everywhere() {
    let _turn = crate::turn();
    let finding = flooded_with(Speech::Srtla);
    let json = finding.to_json();
    assert_eq!(json["bars"]["links_lost"], 0.0);
    for reason in [
        "srtla_malformed",
        "srtla_unknown_link",
        "srtla_not_for_receivers",
    ] {
        assert!(json["dropped"][reason].as_f64() > Some(10.0), "{json}");
    }
}

#[test]
fn a_stream_stays_exact_while_handshakes_come_from_everywhere() {
    let _turn = crate::turn();
    let finding = flooded_with(Speech::Srt);
    let json = finding.to_json();
    assert_eq!(json["bars"]["stream_packets_missing"], 0.0);
    assert_eq!(json["limits"]["unproven_reply_ratio"], 1.0);
    let callers = json["callers_let_in_after_ms"].as_array().unwrap();
    assert_eq!(callers.len(), 10);
}
