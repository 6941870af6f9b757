//! Callers that encrypt, over real sockets: their keys are derived beside the
//! data threads.

use std::net::SocketAddr;
use std::time::Duration;

use model::session::Role as KeyRole;
use proto::fleet::control_message::Directive;
use srt::RejectReason;
use srt::crypto::{KeyLength, RefreshAfter};
use streamhaul_relay_node::Config;
use testkit::srt_caller::{Caller, Error, Role, Secret};

use crate::node::{config, start, stop};
use crate::plane::{Plane, encrypted_assignment, passphrase, stream_key};

const PATIENCE: Duration = Duration::from_secs(5);
const LATENCY: Duration = Duration::from_millis(120);
const PAYLOADS: u32 = 1000;
/// Both legs change their keys a few times.
const REFRESH: RefreshAfter = RefreshAfter {
    packets: 200,
    announced_before: 100,
};

fn call(to: SocketAddr, role: Role, passphrase: String) -> Result<Caller, Error> {
    let (key_role, prefix, key_length) = match role {
        Role::Publisher => (KeyRole::Publish, "live", KeyLength::Bits256),
        Role::Player => (KeyRole::Play, "play", KeyLength::Bits128),
    };
    let stream_id = format!("{prefix}_{}", stream_key(1, key_role).expose());
    let secret = Secret {
        passphrase,
        key_length,
        refresh: REFRESH,
    };
    Caller::connect_encrypted(to, &stream_id, role, LATENCY, &secret)
}

/// The code that a caller is refused with.
fn refusal(called: Result<Caller, Error>) -> u32 {
    match called {
        Err(Error::Rejected { code }) => code,
        other => panic!("{other:?}"),
    }
}

fn stream(to: SocketAddr) {
    let mut publisher = call(to, Role::Publisher, passphrase(KeyRole::Publish)).expect("let in");
    let mut player = call(to, Role::Player, passphrase(KeyRole::Play)).expect("let in");
    for number in 0..PAYLOADS {
        let payload = number.to_be_bytes().repeat(329);
        publisher.send(&payload).expect("sent");
        let received = player.receive(PATIENCE).expect("a working socket");
        assert_eq!(received.expect("forwarded").bytes, payload);
    }
}

fn is_refused(to: SocketAddr) {
    let crossed = call(to, Role::Publisher, passphrase(KeyRole::Play));
    assert_eq!(refusal(crossed), RejectReason::BAD_SECRET.wire());
    let stream_id = format!("live_{}", stream_key(1, KeyRole::Publish).expose());
    let clear = Caller::connect(to, &stream_id, Role::Publisher, LATENCY);
    assert_eq!(refusal(clear), RejectReason::UNSECURE.wire());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_encrypt_with_passphrases_of_their_own() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(Config {
        key_refresh_packets: REFRESH.packets,
        key_announce_packets: REFRESH.announced_before,
        ..config(&plane, home.path())
    });
    let mut line = plane.welcomed().await;
    let assigned = line
        .direct(Directive::Assign(encrypted_assignment(1)))
        .await;
    assert_eq!(assigned, "");
    let to = SocketAddr::from(([127, 0, 0, 1], line.hello.udp_port as u16));
    let streamed = tokio::task::spawn_blocking(move || {
        is_refused(to);
        stream(to);
    });
    streamed.await.unwrap();
    stop(node).await.unwrap();
}
