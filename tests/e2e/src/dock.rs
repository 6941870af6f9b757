//! The dock in a browser that is not ours, on services that are.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use testkit::asn_database::{self, Dialect};
use testkit::identity_provider::{CLIENT_ID, IdentityProvider};
use testkit::linksim::Impairment;
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::house::{ELSEWHERE, House, Options, Service};

const SEED: u64 = 11;
/// One way, of each of the phone's links.
const DELAYS_MS: [u64; 3] = [20, 35, 60];

/// Runs the page's browser tests in `web` against a house of their own, with a bonded
/// phone that waits for an encoder. Sessions begin on the node that the phone knows, and
/// may move to another.
///
/// # Errors
/// When the house does not start, Node is missing or a test fails.
pub fn check(web: &Path) -> anyhow::Result<()> {
    let carriers = tempfile::Builder::new().suffix(".mmdb").tempfile()?;
    let database = asn_database::write(Dialect::GeoLite2Asn, &asn_database::carriers());
    std::fs::write(carriers.path(), database)?;
    let path = carriers.path().display().to_string();
    let provider = IdentityProvider::start(json!({"id": "1", "username": "someone-there"}))?;
    let options = Options::default().with(Service::RelayNode, "ASN_DATABASE", &path);
    let mut house = House::start_with(with_discord(options, &provider))?;
    house.add_node()?;
    let here = json!({"preferred_region": "local"});
    house
        .api()
        .put("/api/v1/user/preferences", &here)?
        .success()?;
    let ways = DELAYS_MS.map(|delay| Impairment::delayed(Duration::from_millis(delay)));
    let uplinks = Uplink::numbered(ways);
    let phone = UdpSender::start(house.relay(), uplinks, KeepAlives::Extended, SEED)?;
    let mut tests = Command::new("npm");
    tests
        .args(["run", "--silent", "test:browser"])
        .current_dir(web)
        .env("STREAMHAUL_PHONE", phone.address().to_string())
        .env("STREAMHAUL_ELSEWHERE", ELSEWHERE)
        .envs(house.administrator());
    let status = tests.status().context("npm run test:browser")?;
    ensure!(status.success(), "npm run test:browser: {status}");
    Ok(())
}

/// People sign in with Discord, which is `provider`.
fn with_discord(options: Options, provider: &IdentityProvider) -> Options {
    let secret_file = provider.secret_file().display().to_string();
    let settings = [
        ("CLIENT_ID", CLIENT_ID.to_owned()),
        ("CLIENT_SECRET_FILE", secret_file),
        ("AUTHORIZE_URL", provider.url("authorize")),
        ("TOKEN_URL", provider.url("token")),
        ("IDENTITY_URL", provider.url("me")),
    ];
    settings
        .into_iter()
        .fold(options, |options, (name, value)| {
            let name = format!("ACCOUNTS__PROVIDERS__DISCORD__{name}");
            options.with(Service::Api, &name, &value)
        })
}
