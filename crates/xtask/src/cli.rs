//! The commands and their options.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    bench, codegen, drill, fuzz, interop, lint, openapi, qa, screenshots, sqlx, suite, up, web,
    workspace,
};

/// Builds, runs, tests and measures Streamhaul.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What there is to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build and run everything on this machine; Ctrl-C stops it.
    Up(Up),
    /// Run every test: unit, integration, end-to-end with real ffmpeg.
    Test(Test),
    /// Measure release builds: `bench delay [--seconds N] [--mbps N] [--json]`,
    /// `bench relay [--seconds N] [--profile NAME]... [--json]`,
    /// `bench control [--nodes N] [--seconds N] [--json]`,
    /// `bench jobs [--jobs N] [--held-seconds N] [--peer-river PATH] [--json]`.
    Bench(Rest),
    /// Break things on purpose: `drill garbage|flood|srtla|jobs|ingest|hostile|backup|replica|restart [--json] …`.
    Drill(Rest),
    /// Search for bytes that break a promise; what is found joins the corpus.
    Fuzz(Fuzz),
    /// Common programs through a relay node, over bad paths, beside libsrt alone:
    /// `interop [--json] [--seed N] [--at-once N] [--srtla-send PATH]... [FILTER]`, `interop --telemetry-sdk`;
    /// or names at BIND, `--named PATH`, or jobs behind a proxy, `--pgbouncer PATH`.
    Interop(Any),
    /// The checklist of a release: a bonded phone, and the dock in a headless browser:
    /// `qa [--case ID]... [--json] [--keep DIR] [--debug]
    /// [--instance URL --token TOKEN [--stats URL] [--restart COMMAND]]`; needs Node.
    Qa(Any),
    /// Build the dock's page, or test it in a browser; needs Node.
    #[command(subcommand)]
    Web(Web),
    /// Take the pictures of the dock that the documents show; needs Node.
    Screenshots(Screenshots),
    /// Check formatting, Clippy and the dependency rules.
    Lint,
    /// Regenerate the gRPC code from proto/.
    Gen,
    /// Regenerate the offline query data in .sqlx/.
    Sqlx,
    /// Regenerate docs/openapi.json from the API's route table.
    Openapi,
}

/// Options of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Publish a moving test picture over a bonded phone with three modems on made-up
    /// carriers, play it back, print live figures and the link to the dock.
    #[arg(long)]
    pub(crate) demo: bool,
    /// End the demo by itself after this many seconds of figures; fails when no
    /// picture came through.
    #[arg(long, value_name = "N", requires = "demo")]
    pub(crate) seconds: Option<u64>,
    /// Print the demo's figures as JSON: a line each second, the summary last.
    #[arg(long, requires = "demo")]
    pub(crate) json: bool,
    /// Build without optimisation: sooner there, and more work for the processor.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Options of `streamhaul up`, such as `--port-base 12000`.
    #[arg(last = true, value_name = "STREAMHAUL ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

/// What the named program takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Rest {
    /// What to run, and its options.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// What to do with the dock's page.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Web {
    /// Build the page; the next build of api puts it into the binary.
    Build,
    /// Build it, check it, and use it in a headless browser on the real services.
    Test,
}

/// Options of `screenshots`.
#[derive(Debug, clap::Args)]
pub(crate) struct Screenshots {
    /// How long the phone streams before the pictures are taken: what graphs show.
    #[arg(long, value_name = "N", default_value_t = 310)]
    pub(crate) seconds: u64,
}

/// The same, or nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Any {
    /// Its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// Only tests whose name contains this.
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Only this package; may be repeated.
    #[arg(short, long, value_name = "PACKAGE")]
    pub(crate) package: Vec<String>,
}

/// Options of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Fuzz {
    /// Only this target.
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// How long each target is searched.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// Add to the corpus what reached new code, too.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Up(options) => up::run(&options),
            Self::Test(options) => suite::run(&options),
            Self::Bench(rest) => bench::run(&rest.arguments).map(up::exit_code),
            Self::Drill(rest) => drill::run(&rest.arguments),
            Self::Fuzz(options) => fuzz::run(&options),
            Self::Interop(any) => interop::run(&any.arguments).map(up::exit_code),
            Self::Qa(any) => qa::run(&any.arguments).map(up::exit_code),
            Self::Web(what) => web::run(what).map(succeeded),
            Self::Screenshots(options) => screenshots::run(&options).map(succeeded),
            Self::Lint => lint::run_all().map(succeeded),
            Self::Gen => generate().map(succeeded),
            Self::Sqlx => sqlx::run().map(succeeded),
            Self::Openapi => openapi::run().map(succeeded),
        }
    }
}

fn succeeded((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn generate() -> anyhow::Result<()> {
    let root = workspace::root();
    codegen::generate(&root.join("proto"), &root.join("crates/proto/src/gen"))
}
