//! A phone that bonds its links: ffmpeg behind an SRTLA sender, each link a path of
//! its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::program::{Program, tail};
use e2e::{media, wait};
use nix::sys::signal::Signal;
use testkit::linksim::Tally;
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::clock::now_ms;
use crate::url::StreamUrl;

/// How long links may take to register.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long what was sent last, the goodbye among it, may be under way on the links: they
/// go with their sender.
const LAST_WORDS: Duration = Duration::from_secs(1);
const SEED: u64 = 20_261_121;

/// What a phone streams.
#[derive(Debug, Clone)]
pub struct Film {
    /// MPEG-TS at a constant rate.
    pub clip: PathBuf,
    /// How often it is sent.
    pub times: u32,
}

/// A streaming phone; dropping it is a phone that fell into the water.
#[derive(Debug)]
pub struct Phone {
    sender: UdpSender,
    ffmpeg: Program,
    sent: PathBuf,
}

/// What its links have carried so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets given to the links.
    pub packets: u64,
    /// Packets that the links lost.
    pub lost: u64,
    /// Packets that the node reported missing, lost or not.
    pub reported: u64,
    /// Bytes of the transport stream sent.
    pub bytes: u64,
}

impl Carried {
    /// What was carried since an earlier look.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            lost: self.lost - earlier.lost,
            reported: self.reported - earlier.reported,
            bytes: self.bytes - earlier.bytes,
        }
    }

    /// A number of packets, percent of all.
    #[must_use]
    pub fn percent(self, packets: u64) -> f64 {
        packets as f64 / self.packets.max(1) as f64 * 100.0
    }
}

impl Phone {
    /// Registers the links and streams `film` to `url` with this latency; keeps the
    /// very bytes that are sent as `<name>-sent.ts` in `folder`.
    ///
    /// # Errors
    /// When the node does not register the links or ffmpeg does not start.
    pub fn start(
        url: &StreamUrl,
        uplinks: Vec<Uplink>,
        latency: Duration,
        film: &Film,
        folder: &Path,
        name: &str,
    ) -> anyhow::Result<Self> {
        let links = uplinks.len();
        let sender = UdpSender::start(url.address()?, uplinks, KeepAlives::Extended, SEED)?;
        wait::until("all links are registered", REGISTRATION_TIMEOUT, || {
            let live = sender.links().iter().filter(|link| link.is_live).count();
            (live == links).then_some(())
        })?;
        let to = format!(
            "srt://{}?{}&mode=caller&latency={}",
            sender.address(),
            url.query,
            latency.as_micros()
        );
        let sent = folder.join(format!("{name}-sent.ts"));
        let ffmpeg = media::publish_repeatedly(&film.clip, film.times, &to, &sent)?;
        Ok(Self {
            sender,
            ffmpeg,
            sent,
        })
    }

    /// Lets nothing pass over a link; says when.
    #[must_use]
    pub fn black_out(&self, link: usize) -> u64 {
        self.sender.black_out(link);
        now_ms()
    }

    /// Lets a link work again; says when.
    #[must_use]
    pub fn restore(&self, link: usize) -> u64 {
        let at_ms = now_ms();
        self.sender.restore(link);
        at_ms
    }

    /// What the links have carried so far.
    ///
    /// # Errors
    /// When the file of what was sent cannot be read.
    pub fn carried(&self) -> anyhow::Result<Carried> {
        let links = self.sender.links();
        let up: Vec<Tally> = (0..links.len())
            .map(|link| self.sender.tallies(link).up)
            .collect();
        Ok(Carried {
            packets: up.iter().map(|tally| tally.sent).sum(),
            lost: up
                .iter()
                .map(|tally| tally.lost + tally.overflowed + tally.blacked_out)
                .sum(),
            reported: self.sender.reported_missing(),
            bytes: std::fs::metadata(&self.sent)?.len(),
        })
    }

    /// The file of what was sent.
    #[must_use]
    pub fn sent(&self) -> &Path {
        &self.sent
    }

    /// Waits until the film is over.
    ///
    /// # Errors
    /// When ffmpeg fails or does not end in time.
    pub fn wait_end(&mut self, limit: Duration) -> anyhow::Result<()> {
        let status = self.ffmpeg.wait(limit)?;
        ensure!(
            status.success(),
            "the phone's ffmpeg: {}",
            tail(&self.ffmpeg.log(), 10)
        );
        Ok(())
    }

    /// Whether it streams.
    ///
    /// # Errors
    /// When ffmpeg cannot be asked.
    pub fn is_streaming(&mut self) -> anyhow::Result<bool> {
        self.ffmpeg.is_running()
    }

    /// Stops streaming as an app does when its user says so; says when.
    ///
    /// # Errors
    /// When ffmpeg does not end.
    pub fn hang_up(mut self) -> anyhow::Result<u64> {
        let at_ms = now_ms();
        self.ffmpeg.signal(Signal::SIGINT);
        let ended = self.ffmpeg.wait(Duration::from_secs(10));
        ended.context("the phone's ffmpeg does not end")?;
        std::thread::sleep(LAST_WORDS);
        Ok(at_ms)
    }
}
