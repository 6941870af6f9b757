//! Whatever comes from outside is counted under its reason and changes nothing.

use std::time::{Duration, SystemTime};

use lease::{Claims, issue};
use model::session::Role;
use model::{NodeId, SessionId, StreamId, TenantId, UnixMillis};
use streamhaul_e2e::drill::REFUSED;
use streamhaul_e2e::flood::Flood;
use streamhaul_e2e::house::{House, Service};
use streamhaul_e2e::{drill, media, wait};

use crate::{clip_path, turn};

/// Metrics are published each second.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn each_wrong_permission_is_refused_under_its_own_reason() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let now = now();
    let hour = Duration::from_secs(3600);
    let good = |expires_at, node: &NodeId| {
        issue(&house.signing_key(), &claims(now, expires_at), node).unwrap()
    };
    let own = house.node_id().clone();
    let whole = good(now.plus(hour), &own);
    let callers = [
        ("unknown_key", format!("live_{:032x}", 7)),
        ("lease_expired", good(now.minus(hour), &own)),
        ("wrong_node", good(now.plus(hour), &NodeId::from_u128(7))),
        ("bad_signature", flip_a_bit(&whole)),
        (
            "wrong_role",
            stream_id(&session.play_url).replace("play_", "live_"),
        ),
    ];
    for (reason, stream_id) in callers {
        let counted = || {
            let metrics = house.metrics(Service::RelayNode).ok()?;
            Some(metrics.labelled(REFUSED, "reason", reason))
        };
        let before = counted().unwrap();
        let url = format!("srt://{}?streamid={stream_id}", house.relay());
        let log = house.file(&format!("{reason}.log"));
        let outcome = media::try_publish(&clip_path(), &url, &log).unwrap();
        assert!(outcome.is_err(), "{reason}: the caller was let in");
        let what = format!("{reason} is counted");
        wait::until(&what, COUNTED_WITHIN, || {
            counted().filter(|&now| now > before)
        })
        .unwrap();
    }
    let url = format!("srt://{}?streamid={whole}", house.relay());
    let outcome = media::try_publish(&clip_path(), &url, &house.file("whole.log")).unwrap();
    assert_eq!(outcome, Ok(()), "a good lease was refused");
}

#[test]
fn garbage_changes_nothing_for_a_running_stream() {
    let _turn = turn();
    let flood = Flood {
        seed: 6,
        random: 1_000_000,
        mutated: 1_000_000,
        rate_pps: 60_000,
    };
    let finding = drill::garbage(flood, &clip_path()).unwrap();
    println!("{}", finding.to_json());
    finding.judge().unwrap();
}

#[test]
fn a_stopped_session_is_cut_and_its_keys_are_unknown() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("cam1").unwrap();
    let mut publisher = media::publish_repeatedly(
        &clip_path(),
        10,
        &session.publish_url,
        &house.file("sent.ts"),
    )
    .unwrap();
    house.wait_publishers(1).unwrap();
    house.stop_session(&session).unwrap();
    wait::until("the publisher is cut", Duration::from_secs(10), || {
        (!publisher.is_running().ok()?).then_some(())
    })
    .unwrap();
    let outcome =
        media::try_publish(&clip_path(), &session.publish_url, &house.file("again.log")).unwrap();
    assert!(outcome.is_err(), "the stopped session's key still works");
    assert!(house.sessions().unwrap().is_empty());
}

fn claims(now: UnixMillis, expires_at: UnixMillis) -> Claims {
    Claims {
        session: SessionId::from_u128(1),
        tenant: TenantId::from_u128(1),
        stream: StreamId::from_u128(1),
        role: Role::Publish,
        not_before: now.minus(Duration::from_secs(7200)),
        expires_at,
        latency_min_ms: None,
        latency_max_ms: None,
        rate_bps_max: None,
        bytes_max: None,
        players_max: None,
        hold_seconds: None,
        resume: None,
        delivery: None,
        start: None,
        encryption: None,
    }
}

/// Another letter within the signature, which lies before the last dot.
fn flip_a_bit(lease: &str) -> String {
    let place = lease.rfind('.').unwrap() - 20;
    let other = if lease.as_bytes()[place] == b'A' {
        "B"
    } else {
        "A"
    };
    format!("{}{other}{}", &lease[..place], &lease[place + 1..])
}

fn stream_id(url: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("streamid="))
        .unwrap()
        .to_owned()
}

fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}
