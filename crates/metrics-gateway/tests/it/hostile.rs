//! Whoever means no good: the right word for each, and healthy clients do not notice.

use std::io::Write as _;
use std::net::TcpStream;

use streamhaul_metrics_gateway::EventsConfig;

use crate::app::{Answer, App, Gateway, fresh};

async fn gateway() -> (Gateway, App) {
    let gateway = Gateway::with(EventsConfig {
        body_seconds: 1,
        bodies_max: 8,
        ..EventsConfig::default()
    })
    .await;
    let app = gateway.app("acme", "cam").await;
    (gateway, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_is_refused_by_what_it_says_and_by_what_it_is() {
    let (gateway, app) = gateway().await;
    let mut said = TcpStream::connect(gateway.world.http).unwrap();
    said.write_all(&app.signed("").head(300 << 20)).unwrap();
    assert_eq!(Answer::read(said).code(), "body_too_large");

    let head = String::from_utf8(app.signed("").head(0)).unwrap();
    let head = head.replacen("content-length: 0", "transfer-encoding: chunked", 1);
    let mut sent = TcpStream::connect(gateway.world.http).unwrap();
    sent.write_all(head.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let written = (0..4800)
        .take_while(|_| sent.write_all(&chunk).is_ok())
        .count();
    assert!(
        written < 1000,
        "nobody reads 300 MB: {written} of 4800 chunks"
    );
    assert_eq!(gateway.post(&app.signed(fresh(1))).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_defused() {
    let (gateway, app) = gateway().await;
    let bomb = zstd::encode_all(&vec![b' '; 100 << 20][..], 3).unwrap();
    let answer = gateway.post(&app.signed(bomb).with("content-encoding", "zstd"));
    assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
}

/// More dawdlers than there are places, and each is sent away in time.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_come_hold_nothing_for_long() {
    let (gateway, app) = gateway().await;
    let dawdle = || {
        let mut stream = TcpStream::connect(gateway.world.http).unwrap();
        stream.write_all(&app.signed("").head(1000)).unwrap();
        stream.write_all(b"{").unwrap();
        stream
    };
    let dawdlers: Vec<TcpStream> = (0..12).map(|_| dawdle()).collect();
    let codes: Vec<String> = dawdlers
        .into_iter()
        .map(|stream| Answer::read(stream).code().to_owned())
        .collect();
    let late = codes.iter().filter(|code| *code == "body_too_slow").count();
    let full = codes.iter().filter(|code| *code == "overloaded").count();
    assert_eq!((late, full), (8, 4), "{codes:?}");
    assert_eq!(gateway.post(&app.signed(fresh(1))).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_signatures_in_numbers_change_nothing_for_others() {
    let (gateway, app) = gateway().await;
    let mut forger = app.clone();
    forger.secret = "guess".to_owned();
    for _ in 0..300 {
        assert_eq!(
            gateway.post(&forger.signed(fresh(1))).code(),
            "unauthorized"
        );
    }
    assert_eq!(gateway.post(&app.signed(fresh(1))).status, 200);
    gateway
        .world
        .shows("streamhaul_gateway_ingest_refused_total{reason=\"unauthorized\"} 300")
        .await;
}

/// Nothing of PostgreSQL or of us is in an answer, whatever is sent.
#[tokio::test(flavor = "multi_thread")]
async fn answers_tell_nothing_of_what_is_behind() {
    let (gateway, app) = gateway().await;
    for sql in ["DROP TABLE telemetry.rollups", "SELECT 1"] {
        gateway.database.execute(sql).await;
        let answer = gateway.post(&app.signed(fresh(1)));
        let text = answer.body.to_string().to_lowercase();
        for word in ["sql", "telemetry.", "relation", "postgres", "src/"] {
            assert!(!text.contains(word), "{text}");
        }
        assert_eq!(answer.status, 503, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_there_is_no_such_place() {
    let world = crate::world::World::new().await;
    let app = App {
        org: "acme".to_owned(),
        name: "cam".to_owned(),
        token: String::new(),
        secret: String::new(),
    };
    let answer = app.signed(fresh(1)).send(world.http);
    assert_eq!((answer.status, answer.code()), (404, "not_found"));
}
