//! A node that is told which addresses to answer no longer.

use std::net::SocketAddr;
use std::time::Duration;

use model::session::Role as KeyRole;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use testkit::srt_caller::{Caller, Role};

use crate::node::{config, get, ready, start, stop};
use crate::plane::{Plane, assignment, stream_key};

const LATENCY: Duration = Duration::from_millis(120);

fn banned(version: u64, prefixes: &[&str]) -> pb::BannedAddresses {
    pb::BannedAddresses {
        version,
        prefixes: prefixes.iter().map(ToString::to_string).collect(),
    }
}

fn publisher(to: SocketAddr) -> Result<Caller, String> {
    let key = stream_key(1, KeyRole::Publish);
    let stream_id = format!("live_{}", key.expose());
    Caller::connect(to, &stream_id, Role::Publisher, LATENCY).map_err(|error| error.to_string())
}

async fn dropped(admin: SocketAddr) -> u64 {
    let metrics = get(admin, "/metrics").await.1;
    let mut lines = metrics.lines();
    let line = lines.find(|line| {
        line.starts_with("streamhaul_relay_dropped_datagrams_total")
            && line.contains("reason=\"banned\"")
    });
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.unwrap_or("0").parse().expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_address_is_cut_refused_and_let_in_again_and_the_set_comes_with_the_welcome() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    let node = ready(node).await;
    let admin = node.admin_addr();
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let to = SocketAddr::from(([127, 0, 0, 1], line.hello.udp_port as u16));
    let mut live = tokio::task::spawn_blocking(move || publisher(to).expect("admitted"))
        .await
        .unwrap();

    let loopback = ["127.0.0.0/8", "2001:db8::/32"];
    let told = line.direct(Directive::Banned(banned(7, &loopback))).await;
    assert_eq!(told, "");
    let live = tokio::task::spawn_blocking(move || {
        let _ = live.receive(Duration::from_secs(5));
        live
    });
    assert!(live.await.unwrap().is_closed(), "a banned caller is cut");
    let refused = tokio::task::spawn_blocking(move || publisher(to).err());
    assert!(refused.await.unwrap().is_some(), "and not let in again");
    assert!(dropped(admin).await > 0);

    // What cannot be read changes nothing.
    let told = line.direct(Directive::Banned(banned(8, &["x"]))).await;
    assert_eq!(told, "malformed_prefix");
    let many: Vec<String> = (0..4097)
        .map(|it| format!("10.0.{}.{}", it / 256, it % 256))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let told = line.direct(Directive::Banned(banned(9, &many))).await;
    assert_eq!(told, "too_many_prefixes");
    let refused = tokio::task::spawn_blocking(move || publisher(to).err());
    assert!(refused.await.unwrap().is_some());

    // A new stream brings the set there is now: nobody.
    drop(line);
    let mut line = plane.line().await;
    line.welcome_banning(banned(0, &[])).await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let admitted = tokio::task::spawn_blocking(move || publisher(to).is_ok());
    assert!(admitted.await.unwrap());
    stop(node).await.unwrap();
}
