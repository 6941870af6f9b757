//! Each encoder against its golden file. What readers make of the same files is
//! tested in `tests/it/noalbs.rs`.

use std::time::{Duration, Instant};

use model::telemetry::{LinkClaim, LinkSample, LinkTally, LinkType, LinkWindow};
use serde_json::{Value, json};

use super::*;

const OBSERVED_AT: UnixMillis = UnixMillis(1_764_000_000_123);

/// Two hours and three minutes of 6 Mbit/s.
const fn publisher() -> PublisherSample {
    PublisherSample {
        bytes_total: 5_527_200_000,
        packets_total: 4_200_000,
        packets_lost_total: 2_000_000,
        packets_recovered_total: 1_999_990,
        packets_dropped_total: 10,
        packets_duplicate_total: 0,
        bitrate_bps: 6_012_400,
        rtt_us: 48_250,
        latency_ms: 2000,
        uptime_ms: 7_384_900,
        naks_sent_total: 0,
        packets_retransmitted_total: 41_990,
        packets_limited_total: 0,
        packets_missing: 0,
        packets_buffered: 57,
        reorder_packets_max: 0,
        acks_sent_total: 0,
        ackacks_received_total: 0,
        rtt_var_us: 0,
        drift_us: 0,
    }
}

fn link(number: u64, bitrate_bps: u64, share_permille: u32, rtt_ms: Option<u32>) -> LinkSample {
    let tally = LinkTally {
        packets: 1_400_000 * number,
        bytes: 1_842_400_000 * number,
        unique: 90,
        duplicate: 10,
        ..LinkTally::default()
    };
    LinkSample {
        number,
        address: format!("192.0.2.{number}:40000").parse().unwrap(),
        carrier: rtt_ms.map(|_| "Example Mobile".into()),
        asn: rtt_ms.map(|_| 64_500),
        link_type: rtt_ms.map_or(LinkType::Unknown, |_| LinkType::Cellular),
        uptime_ms: 60_500 * number,
        silent_ms: 7,
        total: tally,
        last_second: LinkWindow {
            tally,
            time_ms: 1000,
            bitrate_bps,
            share_permille,
        },
        last_ten_seconds: LinkWindow::default(),
        jitter_us: 12_069,
        relative_delay_us: None,
        sender: rtt_ms.map(|rtt_ms| LinkClaim {
            rtt_ms: Some(rtt_ms),
            ..LinkClaim::default()
        }),
    }
}

fn stream(publisher: PublisherSample, links: &[LinkSample]) -> Stream {
    Stream::after(None, publisher, links, Instant::now())
}

/// The same stream four seconds later, when nothing came since.
fn silent() -> Stream {
    let now = Instant::now();
    let nothing = PublisherSample {
        bitrate_bps: 0,
        ..publisher()
    };
    let before = Stream::after(None, nothing, &[], now);
    let quiet = Stream::after(Some(&before), nothing, &[], now);
    Stream::after(Some(&quiet), nothing, &[], now + Duration::from_secs(4))
}

/// A stream whose counters readers cannot hold, and which trickles.
fn extreme() -> Stream {
    let extreme = PublisherSample {
        bytes_total: u64::MAX,
        packets_total: u64::MAX,
        packets_retransmitted_total: u64::MAX,
        packets_dropped_total: u64::MAX,
        packets_buffered: u32::MAX,
        bitrate_bps: 1,
        rtt_us: u32::MAX,
        latency_ms: u32::MAX,
        uptime_ms: u64::MAX,
        ..PublisherSample::default()
    };
    stream(extreme, &[])
}

/// What there is to tell.
fn cases() -> Vec<(&'static str, Option<Stream>)> {
    let paused = PublisherSample {
        bitrate_bps: 0,
        uptime_ms: 400,
        ..publisher()
    };
    let links = [
        link(1, 4_200_000, 700, Some(40)),
        link(2, 1_800_000, 300, Some(80)),
    ];
    let mut silent_links = [link(1, 6_000_000, 1000, None), link(2, 0, 0, None)];
    silent_links[1].silent_ms = 4_200;
    // Said too long ago.
    silent_links[0].sender = Some(LinkClaim {
        age_ms: 10_001,
        rtt_ms: Some(40),
        ..LinkClaim::default()
    });
    vec![
        ("offline", None),
        ("silent", Some(silent())),
        ("paused", Some(stream(paused, &[]))),
        ("plain", Some(stream(publisher(), &[]))),
        ("bonded", Some(stream(publisher(), &links))),
        (
            "bonded_without_round_trips",
            Some(stream(publisher(), &silent_links)),
        ),
        ("extreme", Some(extreme())),
    ]
}

fn golden(dialect: Dialect, text: &str) {
    let golden: Value = serde_json::from_str(text).unwrap();
    let mut told = json!({});
    for (name, stream) in cases() {
        let body = dialect.encode(stream.as_ref(), OBSERVED_AT);
        told[name] = match dialect {
            Dialect::Line => body.into(),
            _ => serde_json::from_str(&body).unwrap(),
        };
    }
    let shown = serde_json::to_string_pretty(&told).unwrap();
    assert!(told == golden, "{} is now\n{shown}", dialect.as_str());
}

macro_rules! golden {
    ($($name:ident: $dialect:ident,)*) => {$(
        #[test]
        fn $name() {
            golden(
                Dialect::$dialect,
                include_str!(concat!("../../../tests/fixtures/stats/", stringify!($name), ".json")),
            );
        }
    )*};
}

golden! {
    open_irl: OpenIrl,
    sls_legacy: SlsLegacy,
    belabox: Belabox,
    irlhosting: Irlhosting,
    links: Links,
    line: Line,
    web_socket: WebSocket,
}

#[test]
fn every_name_is_there_once() {
    let mut names: Vec<_> = Dialect::ALL.map(Dialect::as_str).into();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Dialect::ALL.len());
}

/// Whoever announces a network chooses its name, and makes no fields with it.
#[test]
fn a_carriers_name_is_one_string_whatever_is_in_it() {
    let name = "\"},\\\u{1}\n<script>\u{2028}\", \"addr\": \"";
    let mut link = link(1, 1, 1, None);
    link.carrier = Some(name.to_owned());
    let stream = stream(publisher(), &[link]);
    let text = serde_json::to_string(&links::encode(Some(&stream))).unwrap();
    assert!(!text.contains(char::is_control), "{text}");
    let read: Value = serde_json::from_str(&text).unwrap();
    let connection = &read["groups"][0]["connections"][0];
    assert_eq!(connection["asn_org"], name);
    assert_eq!(connection["addr"], "192.0.2.1:40000");
}
