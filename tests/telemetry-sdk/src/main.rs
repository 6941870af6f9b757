//! The published SDK as a program: tracks three events and syncs them.
//!
//! `streamhaul-telemetry-sdk URL ORG APP TOKEN SECRET`; its buffer lies under `HOME`.

use anyhow::{Context, ensure};
use telemetry_kit::prelude::*;
use telemetry_kit::sync::SyncConfig;

const EVENTS: u64 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, org, app, token, secret] = arguments.as_slice() else {
        anyhow::bail!("usage: streamhaul-telemetry-sdk URL ORG APP TOKEN SECRET");
    };
    let config = SyncConfig::builder()
        .endpoint(url)
        .org_id(org)?
        .app_id(app)?
        .token(token)
        .secret(secret)
        .batch_size(1000)
        .build()?;
    let telemetry = TelemetryKit::builder()
        .service_name("streamhaul-interop")?
        .service_version("1.0.0")
        .auto_sync(false)
        .sync(config)
        .build()?;
    telemetry
        .track_command("init", |event| event.success(true).subcommand("interop"))
        .await?;
    telemetry
        .track_feature("sync", |event| event.success(true).method("hmac-sha256"))
        .await?;
    telemetry
        .track_command("test", |event| event.success(true).duration_ms(150))
        .await?;
    let before = telemetry.stats().await?;
    telemetry.sync().await.context("sync")?;
    let after = telemetry.stats().await?;
    let synced = after.synced_events - before.synced_events;
    ensure!(synced as u64 == EVENTS, "{synced} of {EVENTS} events were synced");
    ensure!(after.unsynced_events == 0, "{} events are left", after.unsynced_events);
    println!("{synced}");
    Ok(())
}
