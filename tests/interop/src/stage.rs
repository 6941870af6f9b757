//! What all cells share: a relay node, its sessions, and the stream.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use e2e::bonder::Bonded;
use e2e::clip::{self, Recipe};
use e2e::node;
use e2e::plane::{Plane, Terms, stream_id};
use e2e::ports::Ports;
use e2e::program::{Program as Process, tail};
use model::session::Role;
use proto::fleet::SessionEventKind;
use testkit::linksim::udp::UdpPath;

use crate::bonded::{self, BondedCell, Carried};
use crate::callers::{Call, Player, Publisher, Stream};
use crate::cell::{Cell, Encryption, Loss, Program};
use crate::completeness::Completeness;

/// 3 Mbit/s: long enough to judge five seconds after a slow join.
const CLIP: Recipe = Recipe {
    name: "interop",
    length: Duration::from_secs(9),
    size: "640x360",
    video_kbps: 2700,
};
/// What a publisher stays for over its latency.
const LINGER: Duration = Duration::from_millis(1500);
/// The player leg's seed is the publisher leg's and this.
const NEXT_LEG: u64 = 1000;

/// A node with a session for each cell; dropping it ends the node.
pub struct Stage {
    relay: SocketAddr,
    clip: PathBuf,
    seed: u64,
    node: Process,
    dir: tempfile::TempDir,
    /// Threads share the stage, and ask the control plane in turn.
    plane: Mutex<Plane>,
}

impl Stage {
    /// Starts a node and gives it a session on the terms of each of `cells`, in
    /// their order. The clip is kept in `scratch`.
    ///
    /// # Errors
    /// When a program is missing, or the node does not come up.
    pub fn start(cells: &[Cell], scratch: &Path, seed: u64) -> anyhow::Result<Self> {
        Self::start_on((0..).zip(cells).map(terms).collect(), scratch, seed)
    }

    /// The same with sessions on these terms.
    ///
    /// # Errors
    /// When a program is missing, or the node does not come up.
    pub fn start_on(terms: Vec<Terms>, scratch: &Path, seed: u64) -> anyhow::Result<Self> {
        let clip = clip::make_as(scratch, &CLIP)?;
        let dir = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(scratch)?;
        let plane = Plane::start(terms)?;
        let ports = Ports::free()?;
        let mut command = node::command(&plane, ports, dir.path())?;
        let log = dir.path().join("node.log");
        let node = Process::start("the relay node", &mut command, &log)?;
        plane
            .wait_assigned()
            .with_context(|| tail(&node.log(), 10))?;
        Ok(Self {
            relay: node::address(ports),
            clip,
            seed,
            node,
            dir,
            plane: Mutex::new(plane),
        })
    }

    /// Carries the stream through the node's session with this number.
    ///
    /// # Errors
    /// When a program fails or is not let in.
    pub fn run(&self, session: u32, cell: &Cell) -> anyhow::Result<Completeness> {
        let legs = [
            self.leg(self.relay, cell.loss, 0)?,
            self.leg(self.relay, cell.loss, 1)?,
        ];
        let call = |leg: &UdpPath, role| Call {
            to: leg.address(),
            stream_id: stream_id(session, role),
            latency: cell.latency,
            encryption: cell.encryption,
            passphrase: passphrase(session, role),
        };
        let file = self.dir.path().join(format!("session-{session}"));
        let publish = call(&legs[0], Role::Publish);
        let stream = self.stream(cell.latency);
        let publisher = Publisher::start(cell.publisher, &publish, stream, &file)?;
        let player = Player::join(cell.player, &call(&legs[1], Role::Play), &file)
            .with_context(|| format!("the node says: {}", tail(&self.node.log(), 5)))?;
        judge(publisher, player)
    }

    /// Carries the stream over links to the node's session with this number, and from
    /// there to an srt-live-transmit beside it.
    ///
    /// # Errors
    /// When a program fails or is not let in.
    pub fn run_bonded(&self, session: u32, cell: &BondedCell) -> anyhow::Result<Carried> {
        let file = self.dir.path().join(format!("bonded-{session}"));
        let uplinks = cell.way.uplinks();
        let bonded = Bonded::start(&cell.bonder, self.relay, uplinks, self.seed, &file)?;
        let call = |to, role| Call {
            to,
            stream_id: stream_id(session, role),
            latency: bonded::LATENCY,
            encryption: Encryption::Clear,
            passphrase: String::new(),
        };
        let publish = call(bonded.address(), Role::Publish);
        let stream = self.stream(bonded::LATENCY);
        let publisher = Publisher::start(cell.publisher, &publish, stream, &file)?;
        self.wait_publisher(session)
            .with_context(|| format!("the sender says: {}", bonded.log()))?;
        let play = call(self.relay, Role::Play);
        let player = Player::join(Program::SrtLiveTransmit, &play, &file)
            .with_context(|| format!("the node says: {}", tail(&self.node.log(), 5)))?;
        let before = bonded::disturb(cell.way, &bonded);
        Ok(Carried {
            completeness: judge(publisher, player)?,
            links: bonded::link_uses(&bonded, &before),
        })
    }

    /// Carries the stream straight from one srt-live-transmit to another, through
    /// what are the publisher's and the player's leg otherwise, in a row.
    ///
    /// # Errors
    /// When a program fails.
    pub fn run_straight(&self, loss: Loss, latency: Duration) -> anyhow::Result<Completeness> {
        let port = Ports::free()?.at(0);
        let file = self.dir.path().join(format!("straight-{port}"));
        let listener = SocketAddr::from(([127, 0, 0, 1], port));
        let second = self.leg(listener, loss, 1)?;
        let first = self.leg(second.address(), loss, 0)?;
        let player = Player::listen(listener, latency, &file)?;
        let call = Call {
            to: first.address(),
            stream_id: "straight".into(),
            latency,
            encryption: Encryption::Clear,
            passphrase: String::new(),
        };
        let stream = self.stream(latency);
        let publisher = Publisher::start(Program::SrtLiveTransmit, &call, stream, &file)?;
        judge(publisher, player)
    }

    /// srt-live-transmit may wait for ever when it is refused, so a player calls late.
    fn wait_publisher(&self, session: u32) -> anyhow::Result<()> {
        let mut plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        plane.wait_event(session, SessionEventKind::PublisherConnected)?;
        Ok(())
    }

    fn stream(&self, latency: Duration) -> Stream<'_> {
        Stream {
            clip: &self.clip,
            length: CLIP.length,
            linger: latency + LINGER,
        }
    }

    fn leg(&self, to: SocketAddr, loss: Loss, number: u64) -> anyhow::Result<UdpPath> {
        let way = loss.impairment();
        let seed = self.seed + number * NEXT_LEG;
        Ok(UdpPath::start(to, way.clone(), way, seed)?)
    }
}

fn judge(publisher: Publisher, player: Player) -> anyhow::Result<Completeness> {
    let sent = std::fs::read(publisher.finish()?)?;
    let received = std::fs::read(player.finish()?)?;
    Completeness::judge(&sent, &received, CLIP.length)
}

fn terms((session, cell): (u32, &Cell)) -> Terms {
    match cell.encryption {
        Encryption::Clear => Terms::Clear,
        Encryption::Aes128 | Encryption::Aes256 => Terms::Encrypted {
            publish: passphrase(session, Role::Publish),
            play: passphrase(session, Role::Play),
        },
    }
}

/// Publisher and players encrypt with passphrases of their own.
fn passphrase(session: u32, role: Role) -> String {
    let name = match role {
        Role::Publish => "publisher",
        Role::Play => "players",
    };
    format!("{name}-of-session-{session}")
}
