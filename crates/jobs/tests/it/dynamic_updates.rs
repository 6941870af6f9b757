//! Records by RFC 2136, at a server that checks every octet. BIND's is tried by `cargo xtask
//! interop --named`.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use streamhaul_jobs::dns::{Error, Provider, Record, Rfc2136, Rfc2136Settings};

use crate::dns_record::{NAME, record};
use crate::name_server::{Habit, KEY_NAME, NameServer, SECRET, ZONE, wire};

fn provider(server: SocketAddr, change: impl FnOnce(&mut Rfc2136Settings)) -> Rfc2136 {
    let mut settings = Rfc2136Settings {
        server,
        zone: ZONE.to_owned(),
        key_name: KEY_NAME.to_owned(),
        secret: STANDARD.encode(SECRET).into(),
    };
    change(&mut settings);
    Rfc2136::new(&settings).unwrap()
}

#[tokio::test]
async fn a_name_is_what_was_said_last() {
    let server = NameServer::start(Habit::Good).await;
    let provider = provider(server.address, |_| {});
    let v6 = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap();
    for (host, expected) in [
        ("192.0.2.7", (1, 60, vec![192, 0, 2, 7])),
        ("192.0.2.7", (1, 60, vec![192, 0, 2, 7])),
        ("2001:db8::7", (28, 60, v6.octets().to_vec())),
        ("relay.example", (5, 60, wire("relay.example"))),
    ] {
        provider.apply(&record(host)).await.unwrap();
        assert_eq!(server.records(NAME), [expected], "{host}");
    }
    for _ in 0..2 {
        provider.apply(&record("")).await.unwrap();
        assert_eq!(server.records(NAME), []);
    }
    assert_eq!(server.updates(), ["udp"; 6]);
}

#[tokio::test]
async fn what_udp_does_not_bring_tcp_brings() {
    for habit in [Habit::Deaf, Habit::Terse] {
        let server = NameServer::start(habit).await;
        let provider = provider(server.address, |_| {});
        provider.apply(&record("192.0.2.7")).await.unwrap();
        assert_eq!(server.updates(), ["tcp"], "{habit:?}");
    }
    // Longer than a datagram may be.
    let server = NameServer::start(Habit::Good).await;
    let label = "a".repeat(60);
    let long = Record {
        name: format!("{label}.{label}.{label}.{ZONE}"),
        ..record(&format!("{label}.{label}.{label}.example"))
    };
    let provider = provider(server.address, |_| {});
    provider.apply(&long).await.unwrap();
    assert_eq!(server.updates(), ["tcp"]);
}

#[tokio::test]
async fn a_server_that_does_not_let_us_says_what_to_check() {
    let good = NameServer::start(Habit::Good).await;
    let closed = NameServer::start(Habit::Closed).await;
    let refused = async |provider: Rfc2136| provider.apply(&record("192.0.2.7")).await.unwrap_err();
    let cases = [
        (
            provider(good.address, |it| it.key_name = "other".to_owned()),
            "key_name",
        ),
        (
            provider(good.address, |it| {
                it.secret = STANDARD.encode([7; 32]).into();
            }),
            "key_file",
        ),
        (
            provider(good.address, |it| it.zone = "example.org".to_owned()),
            "zone",
        ),
        (provider(closed.address, |_| {}), "update policy"),
    ];
    for (provider, hint) in cases {
        let error = refused(provider).await;
        assert!(matches!(error, Error::Unauthorized(_)), "{error}");
        assert!(error.to_string().contains(hint), "{error}");
    }
    assert!(good.updates().is_empty() && closed.updates().is_empty());
}

#[tokio::test]
async fn only_a_signed_answer_counts() {
    let impostor = NameServer::start(Habit::Impostor).await;
    let error = provider(impostor.address, |_| {})
        .apply(&record("192.0.2.7"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("not signed"), "{error}");

    let address = impostor.address;
    drop(impostor);
    let nobody = provider(address, |_| {}).apply(&record("192.0.2.7")).await;
    assert_eq!(nobody.unwrap_err().reason(), "unavailable");
}
