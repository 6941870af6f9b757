//! What can be measured and broken, and how.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use streamhaul_e2e::bench::Profile;

#[derive(Parser)]
#[command(about = "Measures a relay node from outside.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Subcommand)]
pub(crate) enum What {
    /// The delay that a node adds, over that of a bare forwarder.
    Delay {
        /// How long it takes, about.
        #[arg(long, default_value_t = 50)]
        seconds: u64,
        /// Payload megabits a second.
        #[arg(long, default_value_t = 50)]
        mbps: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Random datagrams and mutated handshakes at a node with a stream.
    Garbage {
        /// Random datagrams.
        #[arg(long, default_value_t = 1_000_000)]
        random: u64,
        /// Mutated handshakes.
        #[arg(long, default_value_t = 1_000_000)]
        mutated: u64,
        /// Datagrams a second.
        #[arg(long, default_value_t = 60_000)]
        rate: u64,
        /// Decides every byte.
        #[arg(long, default_value_t = 6)]
        seed: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Handshakes from spoofed sources at a node with a stream.
    Flood {
        /// How long, at least.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Handshakes a second.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
        rate: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// SRTLA from spoofed sources at a node with a bonded stream.
    Srtla {
        /// How long, at least.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Datagrams a second.
        #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
        rate: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// How long a bonded stream's picture is gone when its node is restarted.
    Restart {
        /// A program to bond with, run as BELABOX's `srtla_send` is; else our own.
        #[arg(long, value_name = "PATH")]
        srtla_send: Option<PathBuf>,
        /// The latency that encoder and player ask for, in milliseconds.
        #[arg(long, default_value_t = 2000)]
        latency: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What the control plane costs: nodes on their streams, decisions, starts.
    Control {
        /// Nodes on their streams.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        nodes: u32,
        /// How long they are watched.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Nodes that sessions are started on, and decisions are made against.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        start_nodes: u32,
        /// How long sessions are started.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        start_seconds: u64,
        /// Callers that start sessions at the same time.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
        callers: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Kills one of two replicas of the control plane in the middle of everything.
    Replica {
        /// Simulated nodes beside the real one.
        #[arg(long, default_value_t = 200)]
        nodes: u32,
        /// Callers that start and stop sessions all the time.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
        callers: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What the job engine does in a second, also beside a transaction that stays open.
    Jobs {
        /// Jobs of one turn.
        #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..))]
        jobs: u32,
        /// Turns; their medians count.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        turns: u32,
        /// Jobs that are timed one by one.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
        singles: u32,
        /// How long the open transaction has been open before it is measured.
        #[arg(long, default_value_t = 600)]
        held_seconds: u64,
        /// Jobs a second that are done meanwhile.
        #[arg(long, default_value_t = 1000)]
        held_rate: u32,
        /// Run the bench of River's command at this path too, on the same cluster.
        #[arg(long, value_name = "PATH")]
        peer_river: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Events of apps that the gateway takes in a second, and how soon it acknowledges them.
    Ingest(Box<Ingest>),
    /// The published SDK of telemetry-kit syncs to the gateway.
    TelemetrySdk {
        /// The program that does.
        program: PathBuf,
    },
    /// Everything that means no good comes to the intake of events, beside clients that mean well.
    IngestHostile {
        /// How long, after as long a calm.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Requests of a wrong signature, a second.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
        forged: u32,
        /// Connections that never send a whole request.
        #[arg(long, default_value_t = 200)]
        dawdlers: u32,
        /// Events of those who mean well, a second.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
        events: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Kills the gateway and PostgreSQL under a load of events.
    IngestDrill {
        /// Kills of the gateway.
        #[arg(long, default_value_t = 20)]
        gateway_kills: u32,
        /// Kills of PostgreSQL.
        #[arg(long, default_value_t = 20)]
        database_kills: u32,
        /// Between two kills, in milliseconds.
        #[arg(long, default_value_t = 1500)]
        interval: u64,
        /// Clients that send at the same time.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
        clients: u32,
        /// Gateways, each of which is killed in its turn.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3))]
        gateways: u16,
        /// Gateways that are told to end, and replaced.
        #[arg(long, default_value_t = 0)]
        replacements: u32,
        /// Each gateway has a log on disk in front of PostgreSQL.
        #[arg(long)]
        spool: bool,
        /// The gateways put events into the log of a NATS server, and so many more write them.
        #[arg(long = "nats", value_name = "WRITERS", value_parser = clap::value_parser!(u16).range(1..=3))]
        nats_writers: Option<u16>,
        /// Events are acknowledged when the log has them, not after the commit.
        #[arg(long, requires = "nats_writers")]
        acknowledge_early: bool,
        /// Kills of the NATS server.
        #[arg(long, default_value_t = 0)]
        log_kills: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Kills workers of the job engine, and their database, in the middle of jobs.
    JobsDrill {
        /// Jobs in all.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
        jobs: u32,
        /// Worker processes.
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
        workers: u32,
        /// Between two kills, about, in milliseconds.
        #[arg(long, default_value_t = 700)]
        kill_every: u64,
        /// How often PostgreSQL is killed and started again.
        #[arg(long, default_value_t = 2)]
        restarts: u32,
        /// Decides who dies when.
        #[arg(long, default_value_t = 6)]
        seed: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// One worker of that drill.
    #[command(hide = true)]
    JobsWorker {
        /// The drill's database.
        #[arg(long)]
        database_url: String,
    },
    /// What a node costs, beside a bare forwarder and another relay.
    Relay(Box<Relay>),
    /// The bare forwarder that `relay` measures against.
    #[command(hide = true)]
    RelayFloor {
        /// Which port goes to which.
        routes: String,
    },
    /// The dock in a headless browser, on the real services.
    Dock {
        /// Where the page's sources are.
        web: PathBuf,
    },
    /// The bare forwarder itself.
    #[command(hide = true)]
    Forward {
        /// Where it listens.
        listen: SocketAddr,
        /// Where everything goes.
        to: SocketAddr,
    },
}

/// Options of `ingest`.
#[derive(clap::Args)]
pub(crate) struct Ingest {
    /// How long each part of a turn takes.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Turns of floor, gateway and peer; their medians count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) turns: u32,
    /// Clients at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Events of a request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) batch: u32,
    /// Measure this gateway too, such as telemetry-kit's server: http://HOST:PORT.
    #[arg(
        long,
        requires = "peer_org",
        requires = "peer_app",
        requires = "peer_secret"
    )]
    pub(crate) peer_url: Option<String>,
    /// Start the peer by this command for `sh -c`; `$DATABASE_URL` is an empty database in the
    /// same PostgreSQL.
    #[arg(long, requires = "peer_url")]
    pub(crate) peer: Option<String>,
    /// The organisation that the peer knows.
    #[arg(long, requires = "peer_url")]
    pub(crate) peer_org: Option<String>,
    /// The app that the peer knows.
    #[arg(long, requires = "peer_url")]
    pub(crate) peer_app: Option<String>,
    /// The app's token at the peer.
    #[arg(long, requires = "peer_url")]
    pub(crate) peer_token: Option<String>,
    /// The app's secret at the peer.
    #[arg(long, requires = "peer_url")]
    pub(crate) peer_secret: Option<String>,
    /// Clients of the peer at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) peer_connections: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `relay`.
#[derive(clap::Args)]
pub(crate) struct Relay {
    /// How long it takes, about.
    #[arg(long, default_value_t = 110)]
    pub(crate) seconds: u64,
    /// Only this profile; may be repeated.
    #[arg(long, value_enum)]
    pub(crate) profile: Vec<Profile>,
    /// How many turns each way has, instead of the profile's own number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Measure this relay too: a command for `sh -c`. `{streams}` and
    /// `{players}` stand for the profile's numbers.
    #[arg(long, requires = "peer_publish", requires = "peer_play")]
    pub(crate) peer: Option<String>,
    /// Where the peer's stream `{n}` is published: srt://HOST:PORT?streamid=TEXT;
    /// `{n:03}` is the number in three digits.
    #[arg(long, requires = "peer")]
    pub(crate) peer_publish: Option<String>,
    /// Where it is published over several links, if the peer takes SRTLA.
    #[arg(long, requires = "peer")]
    pub(crate) peer_srtla: Option<String>,
    /// Where it is played.
    #[arg(long, requires = "peer")]
    pub(crate) peer_play: Option<String>,
    /// Hold the peer on one core, as the node is.
    #[arg(long, requires = "peer")]
    pub(crate) pin_peer: bool,
    /// A setting of the node, such as `LATENCY_MARGIN_MS=0`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) node_arg: Vec<(String, String)>,
    /// Let the kernel choose who runs where.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
