//! What players see when a publisher goes, returns or is replaced, and when they
//! join: with programs people use, at a node by itself.

mod bonded;
mod impaired;
mod joining;
mod returning;
mod waiting;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use model::session::Role;
use proto::fleet::SessionEventKind;
use streamhaul_e2e::pictures::{Player, Probed, Run};
use streamhaul_e2e::plane::{Behaviour, Plane, Terms};
use streamhaul_e2e::ports::Ports;
use streamhaul_e2e::program::Program;
use streamhaul_e2e::{media, node, plane};
use tempfile::TempDir;

/// What both callers ask for; in microseconds for ffmpeg, in milliseconds for
/// srt-live-transmit.
const LATENCY: Duration = Duration::from_millis(200);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two runs of one stream, as two encoders would send them.
static RUNS: LazyLock<[Run; 2]> = LazyLock::new(|| {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let run = |name, filter, seconds| Run::make(&dir, name, filter, seconds).unwrap();
    // The first does not end by itself before a test ends it.
    [run("first-run", "null", 30), run("second-run", "negate", 6)]
});

fn runs() -> [&'static Run; 2] {
    RUNS.each_ref()
}

/// A node that holds one session.
struct Stage {
    plane: Plane,
    ports: Ports,
    _node: Program,
    dir: TempDir,
}

impl Stage {
    fn new(behaviour: Behaviour) -> Self {
        Self::with(behaviour, &[])
    }

    fn with(behaviour: Behaviour, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plane = Plane::start(vec![Terms::Behaving(behaviour)]).unwrap();
        let ports = Ports::free().unwrap();
        let mut command = node::command(&plane, ports, dir.path()).unwrap();
        for (name, value) in settings {
            node::set(&mut command, name, value);
        }
        let node = Program::start("the relay node", &mut command, &dir.path().join("node.log"));
        plane.wait_assigned().unwrap();
        Self {
            plane,
            ports,
            _node: node.unwrap(),
            dir,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn at(&self) -> SocketAddr {
        node::address(self.ports)
    }

    fn url(&self, role: Role, latency: u128) -> String {
        let (at, stream_id) = (self.at(), plane::stream_id(0, role));
        format!("srt://{at}?mode=caller&streamid={stream_id}&latency={latency}")
    }

    fn ffmpeg_url(&self, role: Role) -> String {
        self.url(role, LATENCY.as_micros())
    }

    fn transmit_url(&self, role: Role) -> String {
        self.url(role, LATENCY.as_millis())
    }

    /// ffmpeg publishes a clip, and is let in.
    fn publish(&mut self, clip: &Path, name: &str) -> Program {
        let url = self.ffmpeg_url(Role::Publish);
        let publisher = media::publish(clip, &url, &self.file(name)).unwrap();
        self.wait(SessionEventKind::PublisherConnected);
        publisher
    }

    /// ffmpeg plays, and is let in.
    fn play(&mut self, probed: Probed) -> Player {
        let url = self.ffmpeg_url(Role::Play);
        let player = Player::start(&url, probed, self.dir.path(), "player").unwrap();
        self.wait(SessionEventKind::PlayerConnected);
        player
    }

    /// Waits for what the node says next of this kind; gives the reason.
    fn wait(&mut self, kind: SessionEventKind) -> String {
        self.plane.wait_event(0, kind).unwrap()
    }
}
