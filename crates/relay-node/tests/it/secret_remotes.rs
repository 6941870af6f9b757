//! Nodes that call with a passphrase: each other, over a wire that is looked at, and
//! listeners of libsrt's own.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use model::session::Role as KeyRole;
use proto::fleet as pb;
use srt::crypto::{KeyLength, RefreshAfter};
use testkit::srt_caller::{Caller, Role, Secret};
use tokio::net::UdpSocket;

use crate::plane::{assignment, encrypted_assignment, passphrase};
use crate::remotes::{
    LATENCY, PATIENCE, PAYLOAD, Relay, connect, live, payload, play, pull_from_libsrt,
    push_to_libsrt, remote,
};

const PASSPHRASE: &str = "correct horse battery";
/// How much longer than its payload a data packet is.
const HEADER: usize = 16;
const PAYLOADS: u32 = 500;

/// Everything that came down a path, as whoever is on it sees it.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

/// A path of one caller to this port; says where it begins.
async fn tap(to: u16) -> (u16, Seen) {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    far.connect((Ipv4Addr::LOCALHOST, to)).await.unwrap();
    let port = near.local_addr().unwrap().port();
    let seen = Seen::default();
    tokio::spawn(carry(near, far, Arc::clone(&seen)));
    (port, seen)
}

async fn carry(near: UdpSocket, far: UdpSocket, seen: Seen) {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let mut caller = None;
    loop {
        tokio::select! {
            Ok((length, from)) = near.recv_from(&mut up) => {
                caller = Some(from);
                // Nobody may be there at the end of a test.
                let _ = far.send(&up[..length]).await;
            }
            Ok(length) = far.recv(&mut down) => {
                seen.lock().unwrap().push(down[..length].to_vec());
                if let Some(caller) = caller {
                    let _ = near.send_to(&down[..length], caller).await;
                }
            }
        }
    }
}

async fn connect_with(port: u16, stream_id: String, role: Role, passphrase: String) -> Caller {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let secret = Secret {
        passphrase,
        key_length: KeyLength::Bits128,
        refresh: RefreshAfter::default(),
    };
    let call = move || Caller::connect_encrypted(to, &stream_id, role, LATENCY, &secret);
    let called = tokio::task::spawn_blocking(call).await;
    called.expect("no panic").expect("admitted")
}

/// What the data packets between two nodes show, of which one pulls: how many there
/// are, and how many of them can be read.
async fn shown_on_the_way(is_encrypted: bool) -> (usize, usize) {
    let (mut first, mut second) = (Relay::start().await, Relay::start().await);
    let (tapped, seen) = tap(first.port()).await;
    let (assigned, secret) = match is_encrypted {
        true => (
            encrypted_assignment as fn(u128) -> _,
            passphrase(KeyRole::Play),
        ),
        false => (assignment as fn(u128) -> _, String::new()),
    };
    first.assign(assigned(1)).await;
    let publisher = match is_encrypted {
        true => {
            let secret = passphrase(KeyRole::Publish);
            connect_with(first.port(), live(1), Role::Publisher, secret).await
        }
        false => connect(first.port(), live(1), Role::Publisher).await,
    };
    second
        .assign(pb::AssignLease {
            pull: Some(pb::Remote {
                passphrase: secret.clone(),
                key_length: 32,
                ..remote(tapped, play(1))
            }),
            ..assigned(2)
        })
        .await;
    second.connected(1, 0).await;
    let player = match is_encrypted {
        true => connect_with(second.port(), play(2), Role::Player, secret).await,
        false => connect(second.port(), play(2), Role::Player).await,
    };
    let passed = tokio::task::spawn_blocking(move || pass(publisher, player));
    passed.await.unwrap();
    first.stop().await;
    second.stop().await;
    let seen = seen.lock().unwrap();
    let data = seen.iter().filter(|it| it.len() == HEADER + PAYLOAD);
    let readable = data.clone().filter(|it| is_payload(&it[HEADER..]));
    (data.count(), readable.count())
}

/// Each payload arrives as it was sent.
fn pass(mut publisher: Caller, mut player: Caller) {
    for number in 0..PAYLOADS {
        publisher.send(&payload(number)).expect("sent");
        let received = player.receive(PATIENCE).expect("a working socket");
        assert_eq!(received.expect("relayed").bytes, payload(number));
    }
}

fn is_payload(bytes: &[u8]) -> bool {
    let number = bytes.first_chunk().map(|chunk| u32::from_be_bytes(*chunk));
    number.is_some_and(|number| payload(number) == bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_pulls_with_a_passphrase_cannot_be_read_on_the_way() {
    let (data, readable) = shown_on_the_way(true).await;
    assert!(data >= PAYLOADS as usize, "{data}");
    assert_eq!(readable, 0);
    let (data, readable) = shown_on_the_way(false).await;
    assert!(data >= PAYLOADS as usize, "{data}");
    assert_eq!(readable, data, "this is how a wire looks that is clear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_libsrt_listener_is_pulled_from_while_it_changes_its_keys() {
    // Two changes; each is announced three quarters of a second before.
    let options = format!("&passphrase={PASSPHRASE}&kmrefreshrate=400&kmpreannounce=150");
    pull_from_libsrt(&options, PASSPHRASE, 24, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_libsrt_listener_is_pushed_to_with_its_passphrase() {
    let options = format!("&passphrase={PASSPHRASE}");
    push_to_libsrt(&options, PASSPHRASE, 32).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_passphrase_is_reported() {
    let mut relay = Relay::start().await;
    relay.assign(encrypted_assignment(1)).await;
    let secret = passphrase(KeyRole::Publish);
    let publisher = connect_with(relay.port(), live(1), Role::Publisher, secret).await;
    let mut pulled = encrypted_assignment(2);
    pulled.pull = Some(pb::Remote {
        passphrase: PASSPHRASE.into(),
        ..remote(relay.port(), play(1))
    });
    relay.assign(pulled).await;
    let reason = relay.event(pb::SessionEventKind::PullFailed).await;
    assert_eq!(reason, "rejected_bad_secret");
    drop(publisher);
    relay.stop().await;
}
