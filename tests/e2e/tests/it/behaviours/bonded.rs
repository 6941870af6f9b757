//! The publisher's way is three links, and one of them goes and returns.

use std::time::Duration;

use model::session::Role;
use proto::fleet::SessionEventKind;
use streamhaul_e2e::bonder::{Bonded, Bonder};
use streamhaul_e2e::plane::Behaviour;
use streamhaul_e2e::{media, transport_stream};
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use super::Stage;
use crate::{JOINING, bytes_of, clip_path, turn};

const SEED: u64 = 20_261_121;
const LATENCY: Duration = Duration::from_secs(2);
/// Half of the clip's rate: two links do not quite carry the clip and its headers.
const LINK_BPS: u64 = 3_000_000;
const DELAYS_MS: [u64; 3] = [20, 45, 80];
const JITTER: Duration = Duration::from_millis(10);
/// Which link goes, when, and for how long.
const LOST: usize = 1;
const BEFORE: Duration = Duration::from_secs(7);
const OUTAGE: Duration = Duration::from_secs(6);
/// What a closing sender may lose, in seconds.
const TAIL: usize = 3;

fn modems() -> Vec<Uplink> {
    Uplink::numbered(DELAYS_MS.map(|delay| {
        let way = Impairment::delayed(Duration::from_millis(delay));
        way.with_jitter(JITTER).with_rate(LINK_BPS)
    }))
}

#[test]
fn three_links_of_half_its_rate_carry_a_stream_whole_though_one_goes_and_returns() {
    let _turn = turn();
    let mut stage = Stage::new(Behaviour::default());
    let (at, file) = (stage.at(), stage.file("sender"));
    println!("linksim seed {SEED}");
    let bonded = Bonded::start(&Bonder::Own, at, modems(), SEED, &file).unwrap();
    let url = |role| stage.url(role, LATENCY.as_micros());
    let publish_url = media::via(&url(Role::Publish), bonded.address()).unwrap();
    let play_url = url(Role::Play);
    let (sent, received) = (stage.file("sent.ts"), stage.file("received.ts"));
    let mut publisher = media::publish(&clip_path(), &publish_url, &sent).unwrap();
    stage.wait(SessionEventKind::PublisherConnected);
    let _player = media::record(&play_url, &received).unwrap();

    std::thread::sleep(BEFORE);
    bonded.black_out(LOST);
    std::thread::sleep(OUTAGE);
    let during = bonded.tallies(LOST);
    bonded.restore(LOST);
    let status = publisher.wait(Duration::from_secs(60)).unwrap();
    assert!(status.success(), "{}", publisher.log());
    media::settle(&received).unwrap();

    assert!(during.up.blacked_out > 0, "{during:?}");
    let tallies: Vec<_> = (0..DELAYS_MS.len())
        .map(|link| bonded.tallies(link))
        .collect();
    assert!(
        tallies[LOST].up.delivered > during.up.delivered + 100,
        "{tallies:?}"
    );
    let sent = std::fs::read(&sent).unwrap();
    let received = transport_stream::whole_packets(&received).unwrap();
    let (head, tail) = (bytes_of(JOINING), bytes_of(TAIL));
    let judged = transport_stream::repaired(&sent, &received, tail);
    transport_stream::check_identical(&sent, judged, head, tail).unwrap();
}
