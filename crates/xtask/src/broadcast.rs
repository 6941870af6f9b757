//! A picture on its way: ffmpeg, the phone, the node, and another ffmpeg that plays it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::program::{Program, tail};
use serde_json::Value;
use tempfile::TempDir;

use crate::instance::Instance;
use crate::live::LiveView;
use crate::phone::Phone;
use crate::picture::{self, Player};
use crate::stop::Stop;

/// How long the picture may take from ffmpeg's start to the first figures, and from
/// there to the first frame that is decoded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);
/// What a phone on mobile networks asks for.
const LATENCY: Duration = Duration::from_secs(2);

/// Everything that runs for one stream; dropping it ends it.
pub(crate) struct Broadcast {
    pub(crate) session_id: String,
    pub(crate) phone: Phone,
    pub(crate) player: Player,
    pub(crate) live: LiveView,
    publisher: Program,
    _logs: TempDir,
}

impl Broadcast {
    /// Starts a session of that name, sends a picture over the phone and plays it.
    /// Returns once it is played, or when an end is wanted.
    pub(crate) fn start(
        instance: &Instance,
        told: &Value,
        name: &str,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let logs = tempfile::Builder::new()
            .prefix("streamhaul-broadcast-")
            .tempdir()?;
        let session = instance.ask(&["relay", "start", "--name", name])?;
        let session_id = text(&session, "/session_id")?;
        let live = LiveView::follow(
            &text(told, "/gateway_http")?,
            &session_id,
            &text(told, "/admin_token")?,
        )?;
        let phone = Phone::start(relay(told)?)?;
        let url = phone.url(&stream_id(&text(&session, "/srt_publish_url")?)?, LATENCY);
        let mut publisher = picture::publish(&url, &logs.path().join("publish.log"))?;
        wait_published(&live, &mut publisher, stop)?;
        let url = text(&session, "/media_source_url")?;
        let mut player = picture::play(&url, &logs.path().join("play.log"))?;
        wait_played(&mut player, stop)?;
        Ok(Self {
            session_id,
            phone,
            player,
            live,
            publisher,
            _logs: logs,
        })
    }

    /// Both ffmpegs must still run.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for (what, program) in [
            ("publishing", &mut self.publisher),
            ("playing", &mut self.player.program),
        ] {
            if !program.is_running()? {
                bail!("the {what} ffmpeg ended:\n{}", tail(&program.log(), 10));
            }
        }
        Ok(())
    }
}

/// The node's address for publishers and players.
pub(crate) fn relay(told: &Value) -> anyhow::Result<SocketAddr> {
    text(told, "/relay_udp")?.parse().context("relay_udp")
}

/// A player is refused until somebody publishes.
fn wait_published(live: &LiveView, publisher: &mut Program, stop: Stop) -> anyhow::Result<()> {
    let is_published = || {
        live.take()
            .is_some_and(|sample| sample["publishing"] == true)
    };
    wait(publisher, "nothing is published", is_published, stop)
}

fn wait_played(player: &mut Player, stop: Stop) -> anyhow::Result<()> {
    let frames = player.frames.clone();
    let is_played = || frames.load(std::sync::atomic::Ordering::Relaxed) > 0;
    wait(&mut player.program, "nothing is played", is_played, stop)
}

fn wait(
    program: &mut Program,
    otherwise: &str,
    is_so: impl Fn() -> bool,
    stop: Stop,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !stop.is_wanted() && !is_so() {
        if !program.is_running()? || Instant::now() > deadline {
            bail!("{otherwise}:\n{}", tail(&program.log(), 10));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// A text in an answer.
pub(crate) fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    let found = found.with_context(|| format!("no text at {pointer}"))?;
    Ok(found.to_owned())
}

/// The stream id in `srt://host:port?streamid=…&…`.
pub(crate) fn stream_id(url: &str) -> anyhow::Result<String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let found = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("streamid="));
    Ok(found.context("a URL without a stream id")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_is_found_in_its_url() {
        let url = "srt://127.0.0.1:5000?mode=caller&streamid=live_0af&transtype=live";
        assert_eq!(stream_id(url).unwrap(), "live_0af");
        assert!(stream_id("srt://127.0.0.1:5000").is_err());
    }
}
