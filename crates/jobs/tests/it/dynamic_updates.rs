//! Records by RFC 2136, at a server that checks every octet and at a real one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use streamhaul_jobs::dns::{Error, Provider, Record, Rfc2136, Rfc2136Settings, Target};

use crate::name_server::{Habit, KEY_NAME, NameServer, SECRET, ZONE, wire};
use crate::world::until;

const NAME: &str = "0123456789abcdef.live.example.com";

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

fn record(host: &str) -> Record {
    Record {
        name: NAME.to_owned(),
        target: (!host.is_empty()).then(|| Target::parse(host).unwrap()),
        ttl_seconds: 60,
    }
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

/// BIND, until it is dropped.
struct Named {
    process: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Named {
    fn start(binary: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let configuration = write_configuration(directory.path(), address.port());
        let process = Command::new(binary)
            .args(["-g", "-c"])
            .arg(configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            address,
            _directory: directory,
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_configuration(directory: &Path, port: u16) -> std::path::PathBuf {
    let here = directory.display();
    let secret = STANDARD.encode(SECRET);
    let configuration = format!(
        r#"options {{ directory "{here}"; pid-file none; session-keyfile "{here}/session.key";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; }};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{ZONE}" {{ type primary; file "{here}/zone";
    update-policy {{ grant {KEY_NAME} subdomain live.{ZONE}. A AAAA CNAME; }}; }};
"#
    );
    let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n";
    std::fs::write(directory.join("zone"), zone).unwrap();
    let path = directory.join("named.conf");
    std::fs::write(&path, configuration).unwrap();
    path
}

/// The data of a name's only record, or none: asked as a resolver asks.
fn resolved(server: SocketAddr, kind: u16) -> Option<Vec<u8>> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(2)))
        .unwrap();
    let mut question = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.extend(wire(NAME));
    question.extend(kind.to_be_bytes());
    question.extend([0, 1]);
    socket.send_to(&question, server).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).ok()?;
    let records = u16::from_be_bytes([answer[6], answer[7]]);
    if records == 0 {
        return None;
    }
    // A compressed owner, type, class and TTL before the data's length.
    let at = question.len() + 10;
    let data = u16::from_be_bytes([answer[at], answer[at + 1]]);
    let data = &answer[at + 2..at + 2 + usize::from(data)];
    assert!(at + 2 + data.len() <= length);
    Some(data.to_vec())
}

/// `STREAMHAUL_NAMED=/usr/sbin/named cargo test -p streamhaul-jobs bind_ -- --ignored`
#[tokio::test]
#[ignore = "needs BIND: STREAMHAUL_NAMED is its `named`"]
async fn bind_takes_updates_and_resolves_them() {
    let binary = std::env::var("STREAMHAUL_NAMED").unwrap_or_else(|_| "named".to_owned());
    let named = Named::start(&binary);
    let provider = provider(named.address, |_| {});
    until(async || provider.apply(&record("192.0.2.7")).await.ok()).await;
    assert_eq!(resolved(named.address, 1), Some(vec![192, 0, 2, 7]));
    provider.apply(&record("192.0.2.8")).await.unwrap();
    assert_eq!(resolved(named.address, 1), Some(vec![192, 0, 2, 8]));
    provider.apply(&record("2001:db8::7")).await.unwrap();
    assert_eq!(resolved(named.address, 1), None);
    assert_eq!(
        resolved(named.address, 28).unwrap()[..4],
        [0x20, 1, 0x0d, 0xb8]
    );
    provider.apply(&record("relay.example")).await.unwrap();
    assert_eq!(resolved(named.address, 5), Some(wire("relay.example")));
    provider.apply(&record("")).await.unwrap();
    assert_eq!(resolved(named.address, 5), None);

    let elsewhere = Record {
        name: format!("www.{ZONE}"),
        ..record("192.0.2.7")
    };
    let refused = provider.apply(&elsewhere).await.unwrap_err();
    assert!(refused.to_string().contains("update policy"), "{refused}");
    let stranger = self::provider(named.address, |it| {
        it.secret = STANDARD.encode([7; 32]).into();
    });
    let refused = stranger.apply(&record("192.0.2.9")).await.unwrap_err();
    assert!(refused.to_string().contains("BADSIG"), "{refused}");
    assert_eq!(resolved(named.address, 1), None);
}
