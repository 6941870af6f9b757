//! Senders that bond links: testkit's own, and programs that people use.
//!
//! ```text
//! SRT caller ─▶ sender ─▶ 127.0.1.1 ─▶ impaired path ─▶ ┐
//!                      ─▶ 127.0.2.1 ─▶ impaired path ─▶ ├ node
//!                      ─▶ 127.0.3.1 ─▶ impaired path ─▶ ┘
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::linksim::Impairment;
use testkit::linksim::udp::{Tallies, UdpPath};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::ports::Ports;
use crate::program::{Program, tail};
use crate::wait;

/// How long all links may take to register.
const PATIENCE: Duration = Duration::from_secs(20);
/// A link has heard twice when it is registered: that its group is unknown, or its
/// group's id, and that it is one of the group's links.
const HEARD_WHEN_REGISTERED: u64 = 2;

/// Which sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bonder {
    /// testkit's, which does what BELABOX's `srtla_send` does.
    Own,
    /// A program that is run as BELABOX's and irlserver's `srtla_send` are, with a
    /// local port, the receiver's host and port, and a file of source addresses.
    Program(PathBuf),
}

impl Bonder {
    /// Our own and these programs.
    #[must_use]
    pub fn with(programs: &[PathBuf]) -> Vec<Self> {
        let programs = programs.iter().cloned().map(Self::Program);
        std::iter::once(Self::Own).chain(programs).collect()
    }
}

/// `own`, or a program by its path.
impl fmt::Display for Bonder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(f, "own"),
            Self::Program(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A sender at work; dropping it ends it.
#[derive(Debug)]
pub struct Bonded {
    address: SocketAddr,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Own(UdpSender),
    Program {
        program: Program,
        path: UdpPath,
        uplinks: Vec<Uplink>,
    },
}

impl Bonded {
    /// Starts a sender and waits until its links have registered at `receiver`; its
    /// files begin with `file`.
    ///
    /// # Errors
    /// When it cannot be started, or a link does not register.
    pub fn start(
        bonder: &Bonder,
        receiver: SocketAddr,
        uplinks: Vec<Uplink>,
        seed: u64,
        file: &Path,
    ) -> anyhow::Result<Self> {
        let links = uplinks.len();
        let bonded = match bonder {
            Bonder::Own => Self::start_own(receiver, uplinks, seed)?,
            Bonder::Program(program) => {
                Self::start_program(program, receiver, uplinks, seed, file)?
            }
        };
        bonded.wait_registered(links)?;
        Ok(bonded)
    }

    fn start_own(receiver: SocketAddr, uplinks: Vec<Uplink>, seed: u64) -> anyhow::Result<Self> {
        let sender = UdpSender::start(receiver, uplinks, KeepAlives::Timed, seed)?;
        Ok(Self {
            address: sender.address(),
            sender: Sender::Own(sender),
        })
    }

    fn start_program(
        program: &Path,
        receiver: SocketAddr,
        uplinks: Vec<Uplink>,
        seed: u64,
        file: &Path,
    ) -> anyhow::Result<Self> {
        let path = UdpPath::start(receiver, Impairment::default(), Impairment::default(), seed)?;
        for uplink in &uplinks {
            path.set_impairment_of(uplink.source, uplink.up.clone(), uplink.down.clone());
        }
        let sources: Vec<String> = uplinks.iter().map(|it| it.source.to_string()).collect();
        let list = file.with_extension("sources");
        std::fs::write(&list, sources.join("\n") + "\n")?;
        let address = SocketAddr::from(([127, 0, 0, 1], Ports::free()?.at(0)));
        let mut command = Command::new(program);
        command.arg(address.port().to_string());
        command.args([
            path.address().ip().to_string(),
            path.address().port().to_string(),
        ]);
        command.arg(list);
        let log = file.with_extension("srtla.log");
        Ok(Self {
            address,
            sender: Sender::Program {
                program: Program::start("the SRTLA sender", &mut command, &log)?,
                path,
                uplinks,
            },
        })
    }

    fn wait_registered(&self, links: usize) -> anyhow::Result<()> {
        let is_registered = |link| self.tallies(link).down.delivered >= HEARD_WHEN_REGISTERED;
        let are_registered = || (0..links).all(is_registered).then_some(());
        let waited = wait::until("every link is registered", PATIENCE, are_registered);
        waited.map_err(|error| error.context(self.log()))
    }

    /// Where the SRT caller calls.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What became of a link's packets. Panics when there is no such link.
    #[must_use]
    pub fn tallies(&self, link: usize) -> Tallies {
        match &self.sender {
            Sender::Own(sender) => sender.tallies(link),
            Sender::Program { path, uplinks, .. } => path.tallies_of(uplinks[link].source),
        }
    }

    /// Lets nothing pass over a link until it is [restored](Self::restore). Panics when
    /// there is no such link.
    pub fn black_out(&self, link: usize) {
        match &self.sender {
            Sender::Own(sender) => sender.black_out(link),
            Sender::Program { path, uplinks, .. } => {
                let Uplink {
                    source, up, down, ..
                } = uplinks[link].clone();
                path.set_impairment_of(source, up.blacked_out(), down.blacked_out());
            }
        }
    }

    /// Ends a link's blackout. Panics when there is no such link.
    pub fn restore(&self, link: usize) {
        match &self.sender {
            Sender::Own(sender) => sender.restore(link),
            Sender::Program { path, uplinks, .. } => {
                let Uplink {
                    source, up, down, ..
                } = uplinks[link].clone();
                path.set_impairment_of(source, up, down);
            }
        }
    }

    /// The end of what the sender said.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.sender {
            Sender::Own(sender) => format!("{:?}", sender.links()),
            Sender::Program { program, .. } => tail(&program.log(), 10),
        }
    }
}
