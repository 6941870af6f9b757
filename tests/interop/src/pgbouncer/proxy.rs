//! A pgbouncer before a house's database.

use std::fmt::{self, Display, Formatter};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use e2e::house::House;
use e2e::program::Program;
use e2e::{postgres, wait};

/// Connections to PostgreSQL: far fewer than the replicas open to the proxy.
pub(super) const CONNECTIONS: u32 = 3;
/// Prepared statements that the proxy follows on each.
pub(super) const STATEMENTS: u32 = 200;
/// What jobs would set itself, were there no proxy; as the documents advise.
const CONNECT_QUERY: &str = "SET plan_cache_mode = force_custom_plan; \
                             SET statement_timeout = 30000; \
                             SET idle_in_transaction_session_timeout = 30000";
/// In the socket's name; nothing listens on TCP.
const PORT: u16 = 6432;
const START_LIMIT: Duration = Duration::from_secs(20);

/// Of pgbouncer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Whether it can follow prepared statements from one connection to another.
    pub(super) fn follows_statements(self) -> bool {
        let first = Self {
            major: 1,
            minor: 21,
        };
        self >= first
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers = text.lines().next()?.strip_prefix("PgBouncer ")?;
        let mut numbers = numbers.split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { major, minor })
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "pgbouncer {}.{}", self.major, self.minor)
    }
}

pub(super) fn version(binary: &Path) -> anyhow::Result<Version> {
    let said = Command::new(binary)
        .arg("--version")
        .output()
        .with_context(|| format!("start {} (Debian: pgbouncer)", binary.display()))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Version::parse(&said).with_context(|| format!("no pgbouncer says: {said}"))
}

/// The proxy, until it is dropped.
pub(super) struct Proxy {
    _program: Program,
    directory: PathBuf,
}

impl Proxy {
    /// Starts one that lends [`CONNECTIONS`] by the transaction; `statements` is its
    /// `max_prepared_statements`, if it knows the word.
    pub(super) fn start(
        binary: &Path,
        house: &mut House,
        statements: Option<u32>,
    ) -> anyhow::Result<Self> {
        let directory = house.file(&format!("proxy-{}", statements.unwrap_or(0)));
        std::fs::create_dir_all(&directory)?;
        // The proxy refuses root, and runs as PostgreSQL does.
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777))?;
        let file = directory.join("pgbouncer.ini");
        let database = house.postgres().socket_dir();
        std::fs::write(&file, configuration(&directory, database, statements))?;
        let mut command = Command::new(binary);
        command.arg(&file);
        if let Some(owner) = postgres::unprivileged()? {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        let log = directory.with_extension("log");
        let program = Program::start("pgbouncer", &mut command, &log)?;
        let socket = directory.join(format!(".s.PGSQL.{PORT}"));
        let started = wait::until("pgbouncer starts", START_LIMIT, || {
            socket.exists().then_some(())
        });
        started.with_context(|| program.log())?;
        Ok(Self {
            _program: program,
            directory,
        })
    }

    pub(super) fn url(&self) -> String {
        let directory = self.directory.display();
        format!("postgres://postgres@localhost:{PORT}/streamhaul?host={directory}")
    }
}

fn configuration(directory: &Path, database: &Path, statements: Option<u32>) -> String {
    let statements = statements.map_or(String::new(), |statements| {
        format!("max_prepared_statements = {statements}\n")
    });
    format!(
        "[databases]\n\
         streamhaul = host={} user=postgres connect_query='{CONNECT_QUERY}'\n\
         [pgbouncer]\n\
         unix_socket_dir = {}\n\
         listen_port = {PORT}\n\
         auth_type = any\n\
         pool_mode = transaction\n\
         default_pool_size = {CONNECTIONS}\n\
         {statements}",
        database.display(),
        directory.display(),
    )
}
