//! The ways from a publisher to a player: nothing between them, the floor, a
//! relay node, and somebody else's relay.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use model::session::Role as KeyRole;
use testkit::srt_caller::{self, Role};

use super::cores::Cores;
use super::floor;
use super::generator::Generator;
use super::outlet::{Bond, Outlet};
use super::peer::Peer;
use super::player::{Connection, Player};
use super::profile::Shape;
use super::publisher::Publisher;
use super::socket::Socket;
use crate::node;
use crate::plane::{self, Plane, Terms};
use crate::ports::Ports;
use crate::program::{self, Program, tail};
use crate::usage;

/// What every caller asks for: libsrt's default.
const LATENCY: Duration = Duration::from_millis(120);
/// How long a caller that is refused tries again: a relay may still be starting,
/// and refuses a player until it knows the publisher.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_AGAIN: Duration = Duration::from_millis(50);

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// From socket to socket: what the generator and the kernel take themselves.
    Direct,
    /// Through the bare forwarder.
    Floor,
    /// Through the relay node.
    Relay,
    /// Through the relay node, from senders with several links.
    Bonded,
    /// Through somebody else's relay.
    Peer,
    /// Through somebody else's relay, from senders with several links.
    BondedPeer,
}

impl Way {
    /// The name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::Relay => "relay",
            Self::Bonded => "bonded",
            Self::Peer => "peer",
            Self::BondedPeer => "bonded-peer",
        }
    }
}

/// Over how many links publishers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// One, in plain SRT.
    One,
    /// [`LINKS`](super::outlet::LINKS), in SRTLA.
    Several,
}

/// What ways are made of.
pub(super) struct Ground {
    pub(super) cores: Cores,
    /// Settings of the relay node, such as `LATENCY_MARGIN_MS=0`.
    pub(super) node_settings: Vec<(String, String)>,
    pub(super) peer: Option<Peer>,
    /// Where processes keep their files.
    pub(super) dir: PathBuf,
}

/// A way that stands: callers connected, processes running until it is dropped.
pub(super) struct Standing {
    pub(super) generator: Generator,
    /// The processes between publishers and players.
    pub(super) watched: Vec<u32>,
    program: Option<Program>,
    _plane: Option<Plane>,
}

impl Standing {
    /// The end of what the process between said.
    pub(super) fn log(&self) -> String {
        let log = self.program.as_ref().map(Program::log);
        tail(&log.unwrap_or_default(), 10)
    }
}

impl Ground {
    /// Starts what is on the way and connects a run's callers to it.
    pub(super) fn stand(&self, way: Way, shape: Shape) -> anyhow::Result<Standing> {
        match way {
            Way::Direct => stand_direct(shape),
            Way::Floor => self.stand_floor(shape),
            Way::Relay => self.stand_relay(shape, Links::One),
            Way::Bonded => self.stand_relay(shape, Links::Several),
            Way::Peer => self.stand_peer(shape, Links::One),
            Way::BondedPeer => self.stand_peer(shape, Links::Several),
        }
        .with_context(|| format!("the way `{}`", way.name()))
    }

    fn stand_floor(&self, shape: Shape) -> anyhow::Result<Standing> {
        let socket = floor::bind()?;
        let address = super::batch::ipv4(socket.local_addr()?)?;
        let (publishers, players) = bind_all(shape)?;
        for socket in publishers.iter().chain(&players) {
            socket.connect(address)?;
        }
        let port = |socket: &Socket| socket.address().port();
        let fan_out = shape.players as usize;
        let routes: Vec<_> = publishers
            .iter()
            .enumerate()
            .map(|(stream, publisher)| {
                let players = players[stream * fan_out..][..fan_out].iter().map(port);
                (port(publisher), players.collect())
            })
            .collect();
        let mut command = Command::new(program::built("streamhaul-measure")?);
        command.args(["relay-floor", &floor::describe(&routes)]);
        self.cores.pin_measured(&mut command);
        let stdin = Stdio::from(std::os::fd::OwnedFd::from(socket));
        let log = self.dir.join("floor.log");
        let program = Program::start_with("the floor", &mut command, &log, stdin, None)?;
        Ok(Standing {
            generator: unspoken(publishers, players)?,
            watched: vec![program.id()],
            program: Some(program),
            _plane: None,
        })
    }

    fn stand_relay(&self, shape: Shape, links: Links) -> anyhow::Result<Standing> {
        let plane = Plane::start(vec![Terms::Clear; shape.streams as usize])?;
        let ports = Ports::free()?;
        let program = self.start_node(&plane, ports)?;
        let told = |error: anyhow::Error| error.context(tail(&program.log(), 10));
        plane.wait_assigned().map_err(told)?;
        let at = node::address(ports);
        let target = |stream, role: Role| {
            let key_role = match role {
                Role::Publisher => KeyRole::Publish,
                Role::Player => KeyRole::Play,
            };
            Ok((at, plane::stream_id(stream, key_role)))
        };
        Ok(Standing {
            generator: call_all(shape, links, target).map_err(told)?,
            watched: vec![program.id()],
            program: Some(program),
            _plane: Some(plane),
        })
    }

    fn start_node(&self, plane: &Plane, ports: Ports) -> anyhow::Result<Program> {
        let mut command = node::command(plane, ports, &self.dir)?;
        // All links come from one host here, and at once.
        node::set(&mut command, "LIMITS__INDUCTIONS_PER_SOURCE_MAX", "1000000");
        for (name, value) in &self.node_settings {
            node::set(&mut command, name, value);
        }
        self.cores.pin_measured(&mut command);
        Program::start("the relay node", &mut command, &self.dir.join("node.log"))
    }

    fn stand_peer(&self, shape: Shape, links: Links) -> anyhow::Result<Standing> {
        let peer = self.peer.as_ref().context("no peer was given")?;
        let program = peer.start(shape, &self.cores, &self.dir.join("peer.log"))?;
        let told = |error: anyhow::Error| error.context(tail(&program.log(), 10));
        let target = |stream, role: Role| peer.target(stream, role, links);
        let generator = call_all(shape, links, target).map_err(told)?;
        Ok(Standing {
            generator,
            watched: usage::tree(program.id()),
            program: Some(program),
            _plane: None,
        })
    }
}

fn stand_direct(shape: Shape) -> anyhow::Result<Standing> {
    // One player each: a publisher has nobody who copies for it.
    let shape = Shape {
        players: shape.players.min(1),
        ..shape
    };
    let (publishers, players) = bind_all(shape)?;
    for (publisher, player) in publishers.iter().zip(&players) {
        publisher.connect(player.address())?;
        player.connect(publisher.address())?;
    }
    Ok(Standing {
        generator: unspoken(publishers, players)?,
        watched: Vec::new(),
        program: None,
        _plane: None,
    })
}

fn bind_all(shape: Shape) -> anyhow::Result<(Vec<Socket>, Vec<Socket>)> {
    let bind = |count| (0..count).map(|_| Socket::bind()).collect();
    let publishers: std::io::Result<Vec<Socket>> = bind(shape.streams);
    let players: std::io::Result<Vec<Socket>> = bind(shape.streams * shape.players);
    Ok((publishers?, players?))
}

/// Callers of a way that does not speak SRT.
fn unspoken(publishers: Vec<Socket>, players: Vec<Socket>) -> anyhow::Result<Generator> {
    let publishers = (0..)
        .zip(publishers)
        .map(|(stream, socket)| Publisher::new(stream, Outlet::Plain(socket), None));
    let players = players.into_iter().map(|socket| Player::new(socket, None));
    Generator::new(publishers.collect(), players.collect())
}

/// Connects every publisher, then every player; who waits for the others keeps
/// its connection alive.
fn call_all(
    shape: Shape,
    links: Links,
    target: impl Fn(u32, Role) -> anyhow::Result<(SocketAddr, String)>,
) -> anyhow::Result<Generator> {
    let connect = |stream, role| {
        let (address, stream_id) = target(stream, role)?;
        call(address, &stream_id, role)
    };
    let mut publishers = Vec::new();
    let mut players = Vec::new();
    for stream in 0..shape.streams {
        let (outlet, connection) = match links {
            Links::One => {
                let (socket, connection) = connect(stream, Role::Publisher)?;
                (Outlet::Plain(socket), connection)
            }
            Links::Several => {
                let (address, stream_id) = target(stream, Role::Publisher)?;
                call_bonded(address, &stream_id, stream)?
            }
        };
        publishers.push(Publisher::new(stream, outlet, Some(connection)));
        keep_alive(&mut publishers, &mut players);
    }
    for stream in 0..shape.streams {
        for _ in 0..shape.players {
            let (socket, connection) = connect(stream, Role::Player)?;
            players.push(Player::new(socket, Some(connection)));
        }
        keep_alive(&mut publishers, &mut players);
    }
    Generator::new(publishers, players)
}

fn keep_alive(publishers: &mut [Publisher], players: &mut [Player]) {
    let now = Instant::now();
    for publisher in publishers {
        publisher.receive_waiting(now);
        publisher.handle_timeout(now);
    }
    for player in players {
        player.handle_timeout(now);
    }
}

fn call(address: SocketAddr, stream_id: &str, role: Role) -> anyhow::Result<(Socket, Connection)> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    loop {
        match srt_caller::Connection::make(address, stream_id, role, LATENCY) {
            Ok(made) => {
                let connection = Connection::of(&made, role);
                return Ok((Socket::adopt(made.socket)?, connection));
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("{role:?} `{stream_id}` at {address}"));
            }
            Err(_) => std::thread::sleep(CONNECT_AGAIN),
        }
    }
}

/// Registers links and calls over them.
fn call_bonded(
    receiver: SocketAddr,
    stream_id: &str,
    number: u32,
) -> anyhow::Result<(Outlet, Connection)> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    let bond = Bond::register(receiver, number)?;
    let role = Role::Publisher;
    loop {
        let socket = bond.link().io().try_clone()?;
        match srt_caller::Connection::make_over(socket, stream_id, role, LATENCY) {
            Ok(made) => {
                let connection = Connection::of(&made, role);
                return Ok((Outlet::Bonded(Box::new(bond)), connection));
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("`{stream_id}` over links"));
            }
            Err(_) => std::thread::sleep(CONNECT_AGAIN),
        }
    }
}

/// Makes room for the sockets of the largest profile.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn allow_many_sockets() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// A directory beside the binaries for a run's files.
pub(super) fn scratch(dir: &Path) -> anyhow::Result<tempfile::TempDir> {
    std::fs::create_dir_all(dir)?;
    Ok(tempfile::Builder::new().prefix("relay-").tempdir_in(dir)?)
}
