//! The dock as a streamer uses it, and everything that was seen of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::clock::now_ms;
use crate::sight::{Card, Page, Sight};
use crate::timeline::Timeline;
use crate::url::StreamUrl;

/// Between two looks; sights have times of their own.
const STEP: Duration = Duration::from_millis(100);

/// Which URL of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlKind {
    /// For a bonding sender.
    Srtla,
    /// For any other sender.
    Srt,
    /// For OBS.
    Media,
}

impl UrlKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Srtla => "srtla",
            Self::Srt => "srt",
            Self::Media => "media",
        }
    }
}

/// What opening the page came to.
#[derive(Debug, Clone, Deserialize)]
pub struct Visit {
    /// What the address bar says.
    pub url: String,
    /// Whether the list is shown and not the sign-in.
    pub signed_in: bool,
}

/// What the page holds in every place that outlives a moment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Holdings {
    /// As JSON.
    pub local_storage: String,
    /// As JSON.
    pub session_storage: String,
    /// The names of databases, as JSON.
    pub databases: String,
    /// The names of caches, as JSON.
    pub caches: String,
    /// Cookies that scripts can read.
    pub script_cookies: String,
    /// The entry in the browser's history, and the address.
    pub history: String,
    /// The whole page.
    pub html: String,
    /// Cookies that scripts cannot read.
    pub http_only_cookies: usize,
    /// All cookies.
    pub cookies: usize,
}

/// What the server tells the page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Snapshot {
    /// The list of connections.
    pub list: Value,
    /// The beginning of each session's live view: server-sent events.
    pub live: std::collections::BTreeMap<String, String>,
}

/// The dock in its browser.
#[derive(Debug)]
pub struct Dock {
    browser: Browser,
    profile: PathBuf,
    origin: String,
    timeline: Timeline,
}

impl Dock {
    /// Opens the browser, with a profile of its own, and signs in by a link.
    ///
    /// # Errors
    /// When the browser does not start or the link does not let it in.
    pub fn sign_in(mut browser: Browser, profile: &Path, link: &str) -> anyhow::Result<Self> {
        let version: String = browser.run("open", json!({"profile": profile}))?;
        eprintln!("browser {version}");
        let origin = link
            .split_once("/dock")
            .context("not a link to the dock")?
            .0;
        let mut dock = Self {
            browser,
            profile: profile.to_owned(),
            origin: origin.to_owned(),
            timeline: Timeline::default(),
        };
        let visit: Visit = dock.browser.run("visit", json!({"url": link}))?;
        ensure!(visit.signed_in, "the link did not sign the dock in");
        ensure!(
            !visit.url.contains("code"),
            "the link stayed in the address bar"
        );
        Ok(dock)
    }

    /// Ends the browser; its profile stays.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn close(&mut self) -> anyhow::Result<()> {
        self.look()?;
        self.browser.ask("close")
    }

    /// Starts the browser again with the same profile, and opens the dock without a
    /// link.
    ///
    /// # Errors
    /// When it does not start.
    pub fn reopen(&mut self) -> anyhow::Result<Visit> {
        self.timeline.extend([Sight {
            at_ms: now_ms(),
            page: Page::Other,
            cards: Vec::new(),
        }]);
        let _version: String = self.browser.run("open", json!({"profile": self.profile}))?;
        let () = self.browser.ask("begin_trace")?;
        self.browser
            .run("visit", json!({"url": format!("{}/dock", self.origin)}))
    }

    /// Where the browser keeps its files.
    #[must_use]
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Adds a connection and unfolds it.
    ///
    /// # Errors
    /// When it does not appear.
    pub fn add(&mut self, name: &str) -> anyhow::Result<()> {
        let () = self.browser.run("add", json!({"name": name}))?;
        self.expand(name)
    }

    /// Removes a connection, as the second question confirms.
    ///
    /// # Errors
    /// When it does not go.
    pub fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        self.browser.run("remove", json!({"name": name}))
    }

    /// Unfolds a connection.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn expand(&mut self, name: &str) -> anyhow::Result<()> {
        self.browser.run("expand", json!({"name": name}))
    }

    /// Reads a URL after "Show", and hides it again.
    ///
    /// # Errors
    /// When it is not shown or is no URL of a stream.
    pub fn url(&mut self, name: &str, kind: UrlKind) -> anyhow::Result<StreamUrl> {
        let text: String = self
            .browser
            .run("url", json!({"name": name, "kind": kind.word()}))?;
        StreamUrl::parse(&text)
    }

    /// Waits until a connection, or its absence, is shown like this; says since when.
    ///
    /// # Errors
    /// When it is not within `limit`; with what is shown instead.
    pub fn wait(
        &mut self,
        name: &str,
        what: &str,
        limit: Duration,
        is_it: impl Fn(Option<&Card>) -> bool,
    ) -> anyhow::Result<u64> {
        self.wait_from(now_ms(), name, what, limit, is_it)
    }

    /// The same for what may have been shown already since `from_ms`.
    ///
    /// # Errors
    /// When it is not within `limit`; with what is shown instead.
    pub fn wait_from(
        &mut self,
        from_ms: u64,
        name: &str,
        what: &str,
        limit: Duration,
        is_it: impl Fn(Option<&Card>) -> bool,
    ) -> anyhow::Result<u64> {
        let deadline = Instant::now() + limit;
        loop {
            self.look()?;
            if let Some(at_ms) = self.timeline.first(name, from_ms, &is_it) {
                return Ok(at_ms);
            }
            if Instant::now() > deadline {
                bail!(
                    "the dock did not show within {limit:?} that {what}; it shows {:?}",
                    self.timeline.card(name)
                );
            }
            std::thread::sleep(STEP);
        }
    }

    /// Looks on for a while; gives the span, in milliseconds.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn watch(&mut self, length: Duration) -> anyhow::Result<(u64, u64)> {
        let from_ms = now_ms();
        std::thread::sleep(length);
        let to_ms = now_ms();
        self.look()?;
        Ok((from_ms, to_ms))
    }

    /// Everything seen so far.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn look(&mut self) -> anyhow::Result<&Timeline> {
        let sights: Vec<Sight> = self.browser.ask("sights")?;
        self.timeline.extend(sights);
        Ok(&self.timeline)
    }

    /// Writes everything seen so far into `folder`, a line a sight.
    ///
    /// # Errors
    /// When the browser is gone or the folder cannot be written.
    pub fn keep_sights(&mut self, folder: &Path) -> anyhow::Result<()> {
        let lines = self.look()?.lines()?;
        Ok(std::fs::write(folder.join("sights.jsonl"), lines)?)
    }

    /// What the page holds.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn holdings(&mut self) -> anyhow::Result<Holdings> {
        self.browser.ask("holdings")
    }

    /// What the server tells the page.
    ///
    /// # Errors
    /// When it does not.
    pub fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        self.browser.ask("snapshot")
    }

    /// Errors of the page since the last time.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        self.browser.ask("complaints")
    }

    /// Begins what is kept of a case that fails.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn begin_trace(&mut self) -> anyhow::Result<()> {
        self.browser.ask("begin_trace")
    }

    /// Ends it; keeps it, and a picture of the page, when there is a folder for them.
    ///
    /// # Errors
    /// When the browser is gone or the folder cannot be written.
    pub fn end_trace(&mut self, folder: Option<&Path>) -> anyhow::Result<()> {
        self.browser.run("end_trace", json!({"folder": folder}))
    }
}
