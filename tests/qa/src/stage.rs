//! What a case has: an instance, the dock, phones and players, a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use e2e::clip::{self, Recipe};
use e2e::media;
use e2e::program::Program;
use serde_json::json;
use testkit::srtla_sender::Uplink;

use crate::clock::now_ms;
use crate::dock::{Dock, UrlKind};
use crate::instance::Instance;
use crate::phone::{Film, Phone};
use crate::sight::Card;
use crate::url::StreamUrl;

/// How long the dock may take to show what was done, where nothing stricter is asked.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The latency of every phone.
pub const LATENCY: Duration = Duration::from_millis(2000);

/// 1.5 Mbit/s, for cases in which the rate does not matter.
const SMALL: Recipe = Recipe {
    name: "small",
    length: clip::LENGTH,
    size: "640x360",
    video_kbps: 1300,
};
/// Longer than any case.
const TIMES: u32 = 10;

/// What a case has.
#[derive(Debug)]
pub struct Stage {
    /// The instance.
    pub instance: Instance,
    /// The dock.
    pub dock: Dock,
    clips: PathBuf,
    folder: PathBuf,
    prefix: String,
    added: Vec<String>,
}

/// A connection that is ready, and the URLs that the dock shows for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Where a bonding sender sends.
    pub sender: StreamUrl,
    /// What OBS plays.
    pub media: StreamUrl,
}

impl Stage {
    /// A stage that makes its clips in `clips`.
    #[must_use]
    pub fn new(instance: Instance, dock: Dock, clips: &Path) -> Self {
        Self {
            instance,
            dock,
            clips: clips.to_owned(),
            folder: PathBuf::new(),
            prefix: String::new(),
            added: Vec::new(),
        }
    }

    /// Begins a case that keeps its files in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made or the browser is gone.
    pub fn begin(&mut self, id: &str, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        folder.clone_into(&mut self.folder);
        // No name of an earlier run: on an instance that runs on they may be there still.
        self.prefix = format!("{}-{:x}", id.to_lowercase(), now_ms() & 0xfff_ffff);
        let _earlier = self.dock.complaints()?;
        self.dock.begin_trace()
    }

    /// Removes what the case added, as its user may.
    ///
    /// # Errors
    /// When the instance does not answer.
    pub fn clean_up(&mut self) -> anyhow::Result<()> {
        let client = self.instance.client();
        for name in std::mem::take(&mut self.added) {
            // A case may have removed it by itself.
            client.post("/api/v1/relay/stop", &json!({"connection_id": name}))?;
        }
        Ok(())
    }

    /// The case's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A name that no other connection has.
    pub fn name(&mut self, suffix: &str) -> String {
        let name = format!("{}-{suffix}", self.prefix);
        self.added.push(name.clone());
        name
    }

    /// Adds a connection in the dock, waits until it is ready and reads its URLs there.
    ///
    /// # Errors
    /// When the dock does not show it ready in time.
    pub fn connection(&mut self, suffix: &str) -> anyhow::Result<Connection> {
        let name = self.name(suffix);
        self.dock.add(&name)?;
        self.dock
            .wait(&name, "it is ready", PATIENCE, |card| is(card, "ready"))?;
        self.urls(&name)
    }

    /// The URLs of a connection, read in the dock.
    ///
    /// # Errors
    /// When the dock does not show them.
    pub fn urls(&mut self, name: &str) -> anyhow::Result<Connection> {
        Ok(Connection {
            name: name.to_owned(),
            sender: self.dock.url(name, UrlKind::Srtla)?,
            media: self.dock.url(name, UrlKind::Media)?,
        })
    }

    /// A phone that streams 6 Mbit/s over these links.
    ///
    /// # Errors
    /// When it does not come to streaming.
    pub fn large_phone(&self, to: &Connection, uplinks: Vec<Uplink>) -> anyhow::Result<Phone> {
        self.phone(to, uplinks, clip::make(&self.clips)?)
    }

    /// A phone that streams 1.5 Mbit/s over these links.
    ///
    /// # Errors
    /// When it does not come to streaming.
    pub fn small_phone(&self, to: &Connection, uplinks: Vec<Uplink>) -> anyhow::Result<Phone> {
        self.phone(to, uplinks, clip::make_as(&self.clips, &SMALL)?)
    }

    fn phone(&self, to: &Connection, uplinks: Vec<Uplink>, clip: PathBuf) -> anyhow::Result<Phone> {
        let film = Film { clip, times: TIMES };
        Phone::start(&to.sender, uplinks, LATENCY, &film, &self.folder, &to.name)
    }

    /// Waits until the dock shows a connection live with so many bars.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_live(&mut self, name: &str, bars: usize) -> anyhow::Result<u64> {
        let what = format!("it is live over {bars} links");
        self.dock.wait(name, &what, PATIENCE, |card| {
            is(card, "live") && card.is_some_and(|card| card.active().count() == bars)
        })
    }

    /// A player that records a connection's stream as `received.ts`.
    ///
    /// # Errors
    /// When ffmpeg does not start.
    pub fn player(&self, connection: &Connection) -> anyhow::Result<(Program, PathBuf)> {
        let media = &connection.media;
        let received = self.folder.join("received.ts");
        let url = format!("srt://{}?{}", media.authority, media.query);
        Ok((media::record(&url, &received)?, received))
    }

    /// Removes a connection through the API, which ends its player.
    ///
    /// # Errors
    /// When the instance refuses.
    pub fn stop(&self, name: &str) -> anyhow::Result<()> {
        let request = json!({"connection_id": name});
        let stopped = self
            .instance
            .client()
            .post("/api/v1/relay/stop", &request)?;
        stopped.success().context("stop the connection").map(drop)
    }
}

/// Whether a connection is shown in this state.
#[must_use]
pub fn is(card: Option<&Card>, state: &str) -> bool {
    card.is_some_and(|card| card.state == state)
}
