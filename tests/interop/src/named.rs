//! Names of slots at BIND's `named`: are our dynamic updates what a real server takes, and
//! does a resolver see what they say?

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jobs::dns::{Provider as _, Record, Rfc2136, Rfc2136Settings, Target};
use tempfile::TempDir;

const ZONE: &str = "example.com";
const NAME: &str = "0123456789abcdef.live.example.com";
const KEY_NAME: &str = "streamhaul-key";
const SECRET: &[u8] = b"nobody but this server takes it.";
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
/// For the server to start.
const TRIES: u32 = 40;
const TRY_INTERVAL: Duration = Duration::from_millis(250);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts `binary` with a zone of its own, changes a name in every way there is, and asks as
/// a resolver asks.
///
/// # Errors
/// Says what was not as it should be.
pub async fn check(binary: &Path) -> anyhow::Result<()> {
    let named = Named::start(binary)?;
    let provider = provider(named.address, SECRET)?;
    said(&named, &provider).await?;
    refused(&named, &provider).await
}

async fn said(named: &Named, provider: &Rfc2136) -> anyhow::Result<()> {
    let first = record(NAME, "192.0.2.7")?;
    let mut tries = 0;
    while let Err(error) = provider.apply(&first).await {
        tries += 1;
        ensure!(tries < TRIES, "BIND does not take an update: {error}");
        tokio::time::sleep(TRY_INTERVAL).await;
    }
    named.expect(TYPE_A, Some(&[192, 0, 2, 7]))?;
    provider.apply(&record(NAME, "192.0.2.8")?).await?;
    named.expect(TYPE_A, Some(&[192, 0, 2, 8]))?;
    provider.apply(&record(NAME, "2001:db8::7")?).await?;
    named.expect(TYPE_A, None)?;
    let v6: std::net::Ipv6Addr = "2001:db8::7".parse()?;
    named.expect(TYPE_AAAA, Some(&v6.octets()))?;
    provider.apply(&record(NAME, "relay.example")?).await?;
    named.expect(TYPE_CNAME, Some(&wire("relay.example")))?;
    provider.apply(&record(NAME, "")?).await?;
    named.expect(TYPE_CNAME, None)
}

async fn refused(named: &Named, provider: &Rfc2136) -> anyhow::Result<()> {
    let elsewhere = record(&format!("www.{ZONE}"), "192.0.2.7")?;
    let stranger = self::provider(named.address, &[7; 32])?;
    let cases = [
        (provider.apply(&elsewhere).await, "update policy"),
        (stranger.apply(&record(NAME, "192.0.2.9")?).await, "BADSIG"),
    ];
    for (outcome, hint) in cases {
        let error = outcome.err().with_context(|| format!("taken: {hint}"))?;
        ensure!(error.to_string().contains(hint), "not {hint}: {error}");
    }
    named.expect(TYPE_A, None)
}

fn provider(server: SocketAddr, secret: &[u8]) -> anyhow::Result<Rfc2136> {
    Rfc2136::new(&Rfc2136Settings {
        server,
        zone: ZONE.to_owned(),
        key_name: KEY_NAME.to_owned(),
        secret: STANDARD.encode(secret).into(),
    })
}

/// A name's record; no host: it has none.
fn record(name: &str, host: &str) -> anyhow::Result<Record> {
    let target = match host {
        "" => None,
        host => Some(Target::parse(host).with_context(|| host.to_owned())?),
    };
    Ok(Record {
        name: name.to_owned(),
        target,
        ttl_seconds: 60,
    })
}

/// BIND, until it is dropped.
struct Named {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Named {
    fn start(binary: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = write_configuration(directory.path(), address.port())?;
        let process = Command::new(binary)
            .args(["-g", "-c"])
            .arg(configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {} (Debian: bind9)", binary.display()))?;
        Ok(Self {
            process,
            address,
            _directory: directory,
        })
    }

    fn expect(&self, kind: u16, data: Option<&[u8]>) -> anyhow::Result<()> {
        let found = resolved(self.address, kind)?;
        ensure!(
            found.as_deref() == data,
            "type {kind}: {found:?}, not {data:?}"
        );
        Ok(())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_configuration(directory: &Path, port: u16) -> anyhow::Result<PathBuf> {
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
    std::fs::write(directory.join("zone"), zone)?;
    let path = directory.join("named.conf");
    std::fs::write(&path, configuration)?;
    Ok(path)
}

/// The data of the name's only record of a type, or none: asked as a resolver asks.
fn resolved(server: SocketAddr, kind: u16) -> anyhow::Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut question = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.extend(wire(NAME));
    question.extend(kind.to_be_bytes());
    question.extend([0, 1]);
    socket.send_to(&question, server)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).context("BIND does not answer")?;
    if u16::from_be_bytes([answer[6], answer[7]]) == 0 {
        return Ok(None);
    }
    // A compressed owner, type, class and TTL before the data's length.
    let at = question.len() + 10;
    let data = usize::from(u16::from_be_bytes([answer[at], answer[at + 1]]));
    ensure!(at + 2 + data <= length, "an answer that was cut off");
    Ok(Some(answer[at + 2..at + 2 + data].to_vec()))
}

/// A name as messages have it (RFC 1035, section 3.1).
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
        std::iter::once(length).chain(label.bytes())
    });
    labels.chain([0]).collect()
}
