//! Three modems of different quality carry one stream, and lose none of it.

use std::time::Duration;

use testkit::linksim::{Burst, Impairment};
use testkit::srtla_sender::KeepAlives;

use crate::bond::{Bond, modem};
use crate::node::seconds;

const MS: Duration = Duration::from_millis(1);

/// Round trips of 40, 90 and 160 ms.
fn three_modems() -> [Impairment; 3] {
    [
        modem(40 * MS, 5 * MS),
        modem(90 * MS, 10 * MS),
        modem(160 * MS, 20 * MS),
    ]
}

/// All that the publisher sent more than the latency ago has arrived in time.
fn assert_whole(bond: &Bond, seconds_sent: u64) {
    let statistics = bond.node.statistics();
    assert_eq!(statistics.dropped, 0, "{statistics:?}");
    let least = seconds_sent * 425;
    assert!(
        statistics.packets > least,
        "{statistics:?}, at least {least}"
    );
}

#[test]
fn links_of_different_delay_are_no_loss() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Timed, 1);
    bond.run(seconds(30));
    let statistics = bond.node.statistics();
    assert!(
        bond.node.overtaken() > 1000,
        "packets do overtake each other"
    );
    assert_eq!((statistics.lost, statistics.naks), (0, 0));
    assert_eq!(bond.publisher.resent, 0);
    assert_whole(&bond, 29);
}

#[test]
fn every_link_is_measured() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Extended, 2);
    bond.run(seconds(30));
    let samples = bond.node.samples(bond.now);
    let states = bond.sender.links(bond.now);
    let (mut bitrate_bps, mut share) = (0, 0.0);
    for (sample, state) in samples.iter().zip(&states) {
        bitrate_bps += sample.last_ten_seconds.bitrate_bps();
        share += sample.share_last_ten_seconds;
        assert!(sample.silent_for < 50 * MS && sample.uptime > seconds(30));
        assert!(
            sample.total.unique.abs_diff(state.packets) < 100,
            "{sample:?}"
        );
        let sender = sample.sender.unwrap();
        assert!(sender.age <= Duration::from_millis(1200), "{sender:?}");
        assert!(sender.info.window > 0 && sender.info.in_flight >= 0);
        assert!(
            sample.jitter_us > 500 && sample.jitter_us < 20_000,
            "{sample:?}"
        );
    }
    assert!(
        (4_500_000..4_900_000).contains(&bitrate_bps),
        "{bitrate_bps}"
    );
    assert!((share - 1.0).abs() < 1e-9, "{share}");
    let delays_ms: Vec<_> = samples
        .iter()
        .map(|sample| sample.relative_delay_us.unwrap() / 1000)
        .collect();
    // Half of the difference between the round trips, and what waits in the queues.
    assert_eq!(delays_ms[0], 0, "{delays_ms:?}");
    assert!((15..80).contains(&delays_ms[1]), "{delays_ms:?}");
    assert!((45..150).contains(&delays_ms[2]), "{delays_ms:?}");
    let rtts_ms: Vec<_> = samples.iter().filter_map(|s| s.sender?.rtt_ms).collect();
    assert!(rtts_ms[0] >= 40 && rtts_ms[2] >= 160, "{rtts_ms:?}");
}

#[test]
fn losses_are_repaired_and_found_on_the_link_that_has_them() {
    let mut modems = three_modems();
    modems[1].burst = Some(Burst {
        enter: 0.01,
        leave: 0.4,
        loss: 0.8,
    });
    let mut bond = Bond::registered(&modems, KeepAlives::Plain, 3);
    bond.run(seconds(60));
    assert_whole(&bond, 58);
    let statistics = bond.node.statistics();
    assert!(statistics.retransmitted > 100, "{statistics:?}");
    let lost: Vec<u64> = bond
        .node
        .samples(bond.now)
        .iter()
        .map(|sample| sample.total.lost)
        .collect();
    let (total, truly) = (lost.iter().sum::<u64>(), bond.truly_lost());
    assert_eq!((truly[0], truly[2]), (0, 0));
    assert!(total > 100 && total <= truly[1], "{lost:?} {truly:?}");
    assert!(lost[1] * 10 > total * 8, "{lost:?} {truly:?}");
}

#[test]
fn a_link_that_blacks_out_and_returns_costs_nothing() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Timed, 4);
    bond.run(seconds(10));
    bond.black_out(0, seconds(12));
    bond.run(seconds(3));
    let silent = bond.node.samples(bond.now)[0];
    assert!(silent.silent_for > Duration::from_millis(2900));
    assert_eq!(silent.last_second.bitrate_bps(), 0);
    assert_eq!(silent.share_last_second, 0.0);
    bond.run(seconds(8));
    assert_eq!(bond.node.registry.links(), 2, "gone after ten seconds");
    bond.run(seconds(1) + seconds(4));
    let samples = bond.node.samples(bond.now);
    assert_eq!(samples.len(), 3);
    let back = samples
        .iter()
        .find(|s| s.peer == bond.addresses[0])
        .unwrap();
    assert!(back.share_last_second > 0.1, "{back:?}");
    bond.run(seconds(10));
    assert_whole(&bond, 34);
}

#[test]
fn a_tunnel_is_survived_by_the_same_group() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Plain, 5);
    bond.run(seconds(5));
    let group = bond.node.session.as_ref().unwrap().group;
    (0..3).for_each(|link| bond.black_out(link, seconds(20)));
    bond.run(seconds(20));
    assert_eq!(bond.node.registry.links(), 0);
    bond.run(seconds(3));
    assert_eq!(bond.node.registry.links(), 3);
    let link = bond.node.registry.find(bond.addresses[0]).unwrap();
    assert_eq!(link.group, group);
    let statistics = bond.node.statistics();
    bond.run(seconds(5));
    assert!(bond.node.statistics().packets > statistics.packets + 1900);
    assert_eq!(bond.node.registry.counters().groups_opened, 1);
}

#[test]
fn after_a_restart_of_the_node_the_sender_registers_anew() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Plain, 6);
    bond.run(seconds(10));
    bond.node.restart(bond.now);
    let restarted_at = bond.now;
    bond.run(seconds(10));
    let session = bond.node.session.as_ref().unwrap();
    let away = session.began_at - restarted_at;
    // The sender notices after four seconds, and looks once a second.
    assert!(away < Duration::from_millis(5500), "{away:?}");
    assert_eq!(bond.node.registry.links(), 3);
    assert_eq!(bond.node.statistics().dropped, 0);
}

#[test]
fn a_link_whose_nat_port_changes_comes_back_as_a_new_one() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Timed, 7);
    bond.run(seconds(10));
    let old = bond.addresses[2];
    bond.rebind(2);
    bond.run(seconds(7));
    let new = bond.node.registry.find(bond.addresses[2]).unwrap();
    assert_eq!(new.group, bond.node.session.as_ref().unwrap().group);
    bond.run(seconds(10));
    assert_eq!(bond.node.registry.find(old), None);
    assert_eq!(bond.node.registry.links(), 3);
    let share = |bond: &mut Bond| bond.node.samples(bond.now)[2].share_last_ten_seconds;
    assert!(share(&mut bond) > 0.05);
    assert_whole(&bond, 25);
}

#[test]
fn an_encoder_that_starts_again_has_a_new_session_in_the_same_group() {
    let mut bond = Bond::registered(&three_modems(), KeepAlives::Plain, 8);
    bond.run(seconds(5));
    let group = bond.node.session.take().unwrap().group;
    bond.publisher.restart(bond.now);
    // What the old encoder sent is still under way; the new handshake would be behind it.
    bond.run(Duration::from_millis(500));
    bond.node.session = None;
    bond.run(seconds(20));
    assert_eq!(bond.node.session.as_ref().unwrap().group, group);
    assert_whole(&bond, 19);
    let naks = bond.node.statistics().naks;
    assert!(
        naks < 20,
        "the new session's skew is learnt at once: {naks}"
    );
}
