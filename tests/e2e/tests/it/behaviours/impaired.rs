//! The way from the publisher loses and reorders.

use std::path::Path;
use std::time::Duration;

use model::session::Role;
use model::settings::Delivery;
use proto::fleet::SessionEventKind;
use streamhaul_e2e::plane::Behaviour;
use streamhaul_e2e::{media, node, transport_stream};
use testkit::linksim::udp::UdpPath;
use testkit::linksim::{Impairment, Reorder};

use super::{Stage, runs};

const SEED: u64 = 20_261_121;
/// What the publisher asks for: time for many attempts to repair.
const LATENCY_MS: u128 = 1000;
/// How long sending the clip takes.
const LENGTH: Duration = Duration::from_secs(4);

/// 2 % loss, and of what comes each tenth is overtaken, all at 40 ms of jitter.
fn bad_way() -> Impairment {
    Impairment {
        jitter: Duration::from_millis(40),
        reorder: Some(Reorder {
            probability: 0.1,
            delay: Duration::from_millis(40),
        }),
        ..Impairment::delayed(Duration::from_millis(20)).with_loss(0.02)
    }
}

/// Sends a clip the bad way, and judges that a player has all of it; gives how
/// many packets the player thought lost.
fn gaps_seen(delivery: Delivery) -> u64 {
    let mut stage = Stage::new(Behaviour {
        delivery: Some(delivery),
        ..Behaviour::default()
    });
    println!("linksim seed {SEED}");
    let (up, down) = (bad_way(), Impairment::default());
    let path = UdpPath::start(node::address(stage.ports), up, down, SEED).unwrap();
    let url = media::via(&stage.url(Role::Publish, LATENCY_MS), path.address()).unwrap();
    let (received, log) = (stage.file("received.ts"), stage.file("sender.log"));
    let (_sender, mut input) = media::transmit_input(&url, &log).unwrap();
    stage.wait(SessionEventKind::PublisherConnected);
    let statistics = stage.file("statistics.csv");
    let options = statistics_to(&statistics);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let play_url = stage.transmit_url(Role::Play);
    let _receiver = media::receive_with(&options, &play_url, &received).unwrap();
    stage.wait(SessionEventKind::PlayerConnected);
    let (sent, tail) = media::padded(&runs()[1].clip).unwrap();
    media::feed(&mut input, &sent, LENGTH).unwrap();
    // The player was there before the first packet, and the sender does not end.
    media::wait_received(sent.len() - tail, &received).unwrap();
    let bytes = transport_stream::whole_packets(&received).unwrap();
    transport_stream::check_identical(&sent, &bytes, 0, tail).unwrap();
    assert!(path.tallies().up.lost > 0);
    sum_of("pktRcvLoss", &statistics)
}

/// The options of srt-live-transmit that have it write statistics with each packet.
fn statistics_to(file: &Path) -> [String; 3] {
    let file = format!("-statsout:{}", file.display());
    ["-s:1".into(), "-pf:csv".into(), file]
}

/// The sum of one column of the statistics, each row of which begins anew.
fn sum_of(column: &str, statistics: &Path) -> u64 {
    let text = std::fs::read_to_string(statistics).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let place = header.split(',').position(|name| name == column).unwrap();
    let values = rows.lines().filter_map(|row| row.split(',').nth(place));
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

#[test]
fn buffered_delivery_gives_a_player_all_in_order() {
    assert_eq!(gaps_seen(Delivery::Buffered), 0);
}

#[test]
fn pass_through_delivery_gives_a_player_all_and_its_libsrt_the_order() {
    assert!(gaps_seen(Delivery::PassThrough) > 10);
}
