//! A node goes down in the middle of a bonded stream and is started again: how long
//! until a player shows pictures that were sent after it went?
//!
//! Nobody else is told. The SRTLA sender runs on; an encoder or a player whose
//! connection ends is started [`again`], as those who run them do. A picture counts
//! when it was sent after the node went, so the time has the stream's latency in it.

mod again;
mod finding;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use model::session::Role;
use nix::sys::signal::Signal;
use proto::fleet::SessionEventKind;
use tempfile::TempDir;
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use crate::bonder::{Bonded, Bonder};
use crate::pictures::{Decoded, Player, Probed, RATE, Run};
use crate::plane::{Plane, Terms};
use crate::ports::Ports;
use crate::program::{Program, tail};
use crate::{media, node, plane, wait};

use again::Again;
pub use finding::{Finding, Return};

/// How a node goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// Without a last word: SIGKILL.
    Killed,
    /// As for an upgrade: SIGTERM.
    Stopped,
}

impl Fall {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Killed, Self::Stopped];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
        }
    }
}

/// What to try.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who bonds.
    pub bonder: Bonder,
    /// What encoder and player ask for.
    pub latency: Duration,
}

const DELAYS_MS: [u64; 3] = [20, 45, 80];
const SEED: u64 = 20_261_121;
/// Longer than a try takes.
const RUN_SECONDS: usize = 90;
/// How long an encoder and a player wait before they are started again: belaUI's
/// half second, and the least that OBS's media source can be set to.
const ENCODER_AGAIN: Duration = Duration::from_millis(500);
const PLAYER_AGAIN: Duration = Duration::from_secs(1);
/// How long the stream runs before the node goes.
const SETTLE: Duration = Duration::from_secs(4);
/// How long a node may take to end, and the picture to be back.
const PATIENCE: Duration = Duration::from_secs(40);
/// Pictures that follow the first one: it was no straggler.
const FOLLOWING: usize = RATE;

/// Lets a node fall in both ways; files go below `dir`.
///
/// # Errors
/// When something does not come up, or the picture does not come back.
pub fn run(plan: &Plan, dir: &Path) -> anyhow::Result<Finding> {
    let runs = [
        Run::make(dir, "restart-first", "null", RUN_SECONDS)?,
        Run::make(dir, "restart-again", "negate", RUN_SECONDS)?,
    ];
    let returns = Fall::ALL.map(|fall| {
        let stage = Stage::start(plan, &runs, dir)?;
        let back = stage.fall(fall, &runs);
        back.with_context(|| format!("a node that is {}", fall.name()))
    });
    let [killed, stopped] = returns;
    Ok(Finding {
        bonder: plan.bonder.to_string(),
        latency: plan.latency,
        returns: [killed?, stopped?],
    })
}

/// A stream that runs.
struct Stage {
    encoder: Again<Program>,
    player: Again<Player>,
    bonded: Bonded,
    node: Program,
    plane: Plane,
    ports: Ports,
    begun: Instant,
    dir: TempDir,
}

impl Stage {
    fn start(plan: &Plan, runs: &[Run; 2], dir: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("restart-")
            .tempdir_in(dir)?;
        let mut plane = Plane::start(vec![Terms::Clear])?;
        let ports = Ports::free()?;
        let node = start_node(&plane, ports, dir.path())?;
        let (at, file) = (node::address(ports), dir.path().join("sender"));
        let bonded = Bonded::start(&plan.bonder, at, uplinks(), SEED, &file)?;
        let latency = plan.latency.as_micros();
        let url = |role| {
            let stream_id = plane::stream_id(0, role);
            format!("srt://{at}?mode=caller&streamid={stream_id}&latency={latency}")
        };
        let encoder = encoder(
            media::via(&url(Role::Publish), bonded.address())?,
            runs,
            dir.path(),
        );
        plane.wait_event(0, SessionEventKind::PublisherConnected)?;
        let begun = Instant::now();
        let player = player(url(Role::Play), dir.path());
        Ok(Self {
            encoder,
            player,
            bonded,
            node,
            plane,
            ports,
            begun,
            dir,
        })
    }

    fn fall(mut self, fall: Fall, runs: &[Run; 2]) -> anyhow::Result<Return> {
        let runs = [&runs[0], &runs[1]];
        let shown = || {
            self.decoded(&runs)
                .iter()
                .any(Option::is_some)
                .then_some(())
        };
        wait::until("the player shows something", PATIENCE, shown)?;
        std::thread::sleep(SETTLE);
        // Each picture at its time, from the encoder's first one on.
        let newest = (self.begun.elapsed().as_secs_f64() * RATE as f64).ceil() as usize;
        let fell = Instant::now();
        match fall {
            Fall::Killed => self.node.kill()?,
            Fall::Stopped => {
                self.node.signal(Signal::SIGTERM);
                self.node.wait(PATIENCE)?;
            }
        }
        let away = fell.elapsed();
        self.node = start_node(&self.plane, self.ports, self.dir.path())?;
        let to_node = fell.elapsed();
        let is_new = |decoded: &Decoded| decoded.is_some_and(|at| at > (0, newest));
        let new = || self.decoded(&runs).into_iter().filter(is_new).count();
        let said = |error: anyhow::Error| error.context(self.said());
        wait::until("a new picture", PATIENCE, || (new() > 0).then_some(())).map_err(said)?;
        let to_picture = fell.elapsed();
        let goes_on = || (new() > FOLLOWING).then_some(());
        wait::until("the picture goes on", PATIENCE, goes_on).map_err(said)?;
        Ok(Return {
            fall,
            away,
            to_node,
            to_picture,
            encoder_starts: self.encoder.starts(),
            player_starts: self.player.starts(),
        })
    }

    /// What all players decoded, one after the other.
    fn decoded(&self, runs: &[&Run]) -> Vec<Decoded> {
        self.player.each(|player| player.decoded(runs)).concat()
    }

    fn said(&self) -> String {
        let encoders = self.encoder.each(|encoder| tail(&encoder.log(), 4));
        let players = self.player.each(|player| tail(&player.program.log(), 4));
        format!(
            "sender: {}\nencoders: {}\nplayers: {}\nnode: {}",
            self.bonded.log(),
            encoders.join("\n"),
            players.join("\n"),
            tail(&self.node.log(), 10)
        )
    }
}

fn uplinks() -> Vec<Uplink> {
    Uplink::numbered(DELAYS_MS.map(|delay| Impairment::delayed(Duration::from_millis(delay))))
}

/// A node that holds its session.
fn start_node(plane: &Plane, ports: Ports, dir: &Path) -> anyhow::Result<Program> {
    let log = dir.join("node.log");
    let node = Program::start(
        "the relay node",
        &mut node::command(plane, ports, dir)?,
        &log,
    )?;
    plane
        .wait_assigned()
        .with_context(|| tail(&node.log(), 10))?;
    Ok(node)
}

/// The first of them sends the first run, later ones the second from its beginning.
fn encoder(url: String, runs: &[Run; 2], dir: &Path) -> Again<Program> {
    let clips = [runs[0].clip.clone(), runs[1].clip.clone()];
    let dir = PathBuf::from(dir);
    Again::start(ENCODER_AGAIN, move |number| {
        let clip = &clips[number.min(1)];
        media::publish(clip, &url, &dir.join(format!("encoder-{number}.ts")))
    })
}

fn player(url: String, dir: &Path) -> Again<Player> {
    let dir = PathBuf::from(dir);
    Again::start(PLAYER_AGAIN, move |number| {
        Player::start(&url, Probed::Kept, &dir, &format!("player-{number}"))
    })
}
