//! Every link of a bonded sender is visible to its user, with its carrier.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use streamhaul_e2e::house::{House, Options, Service, Session};
use streamhaul_e2e::program::Program;
use streamhaul_e2e::{media, wait};
use testkit::asn_database::{Dialect, carriers, write};
use testkit::linksim::Impairment;
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::{clip_path, turn};

const LIMIT: Duration = Duration::from_secs(30);
/// Carrier, kind and address of each link, by name.
const LINKS: [(&str, &str, &str); 3] = [
    ("Cox", "fixed", "127.0.3.1"),
    ("T-Mobile", "cellular", "127.0.1.1"),
    ("Verizon", "cellular", "127.0.2.1"),
];

/// A phone on three modems of the fixture's first three carriers.
struct Phone {
    sender: UdpSender,
    _ffmpeg: Program,
}

impl Phone {
    fn start(house: &House, session: &Session) -> Self {
        let modem = |delay_ms| Impairment::delayed(Duration::from_millis(delay_ms));
        let uplinks = Uplink::numbered([modem(10), modem(25), modem(40)]);
        let sender = UdpSender::start(house.relay(), uplinks, KeepAlives::Extended, 7).unwrap();
        let url = media::via(&session.publish_url, sender.address()).unwrap();
        let sent = house.file("sent.ts");
        let ffmpeg = media::publish_repeatedly(&clip_path(), 10, &url, &sent).unwrap();
        Self {
            sender,
            _ffmpeg: ffmpeg,
        }
    }
}

#[test]
fn every_link_is_seen_with_its_carrier() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let house = house_with_carriers(&dir.path().join("asn.mmdb"));
    let session = house.start_session("phone").unwrap();
    let phone = Phone::start(&house, &session);

    let links = wait::until("three links carry the stream", LIMIT, || {
        let links = active_links(&house);
        let carries =
            |link: &Value| link["bitrate_bps"].as_u64() > Some(0) && link["rtt_ms"].is_u64();
        (links.len() == 3 && links.iter().all(carries)).then_some(links)
    });
    let links = links.unwrap();
    assert_eq!(sorted(&links), LINKS);
    let shares = links.iter().filter_map(|link| link["share_pct"].as_f64());
    let shares: f64 = shares.sum();
    assert!((99.0..=101.0).contains(&shares), "{links:?}");
    assert!(
        links.iter().all(|link| link["rtt_ms"].is_u64()),
        "{links:?}"
    );

    the_live_view_goes_on_where_it_was(&house, &session);
    the_operator_sees_no_address(&house);

    phone.sender.black_out(1);
    wait::until("the link that blacked out is gone", LIMIT, || {
        let links = active_links(&house);
        (sorted(&links) == LINKS[..2]).then_some(())
    })
    .unwrap();
}

fn the_live_view_goes_on_where_it_was(house: &House, session: &Session) {
    let path = format!("/v1/sessions/{}/live", session.id);
    let mut live = house.api().events(&path, None).unwrap();
    let state = live.next().unwrap();
    assert_eq!((state.name.as_str(), state.id), ("state", None));
    assert_eq!(state.data["status"], "active");
    let snapshot = live.next().unwrap();
    assert_eq!(snapshot.name, "snapshot");
    assert!(!snapshot.data.as_array().unwrap().is_empty());
    let sample = live.find(|event| event.name == "sample").unwrap();
    assert_eq!(sorted(sample.data["links"].as_array().unwrap()), LINKS);
    drop(live);

    // Nobody watches for a while. Then exactly what was missed comes.
    let seen = sample.id.unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let events = house.api().events(&path, Some(seen)).unwrap();
    let events = events.filter(|event| event.name != "state").take(4);
    let missed: Vec<_> = events
        .map(|event| (event.name, event.id.unwrap()))
        .collect();
    let mut whole = house.api().events(&path, None).unwrap();
    let snapshot = whole.find(|event| event.name == "snapshot").unwrap();
    let points = snapshot.data.as_array().unwrap().iter();
    let times = points.map(|point| point["observed_at"].as_i64().unwrap());
    let after = times.filter(|time| *time > seen).take(4);
    let expected: Vec<_> = after.map(|time| ("sample".to_owned(), time)).collect();
    assert_eq!(missed, expected);
}

fn the_operator_sees_no_address(house: &House) {
    for path in ["/api/v1/ops/nodes", "/api/v1/relay/sessions"] {
        let shown = house.api().fetch(path).unwrap().text;
        assert!(!shown.contains("127.0.1.1"), "{path}: {shown}");
    }
}

fn house_with_carriers(database: &Path) -> House {
    std::fs::write(database, write(Dialect::GeoLite2Asn, &carriers())).unwrap();
    let path = database.display().to_string();
    House::start_with(Options {
        settings: vec![(Service::RelayNode, "ASN_DATABASE".to_owned(), path)],
        ..Options::default()
    })
    .unwrap()
}

fn active_links(house: &House) -> Vec<Value> {
    let path = "/api/v1/relay/active?connection_id=phone";
    let active = house.api().fetch(path).unwrap().success().unwrap();
    active["per_link"]["connections"]
        .as_array()
        .unwrap()
        .clone()
}

fn sorted(links: &[Value]) -> Vec<(&str, &str, &str)> {
    let mut sorted: Vec<_> = links.iter().map(known).collect();
    sorted.sort_unstable();
    sorted
}

/// A link's carrier, kind and address without its port.
fn known(link: &Value) -> (&str, &str, &str) {
    let text = |field: &str| link[field].as_str().unwrap_or_default();
    let host = text("addr").rsplit_once(':').unwrap_or_default().0;
    (text("asn_org"), text("link_type"), host)
}
