//! A freshly migrated database per test, on one private PostgreSQL.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use storage::cluster::{Cluster, ClusterConfig};

/// Where `cargo xtask test` says that a cluster for the whole run is.
pub const URL_VARIABLE: &str = "STREAMHAUL_TEST_DATABASE_URL";

/// One test's database.
#[derive(Debug)]
pub struct TestDb {
    url: String,
}

impl TestDb {
    /// Makes a database with every migration applied.
    ///
    /// # Panics
    /// When there is no PostgreSQL; the message has the line that installs it.
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server_url();
        let template = template(&server).await;
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut connection = connect(&server).await;
        execute(
            &mut connection,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        Self {
            url: with_database(&server, &name),
        }
    }

    /// The database's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a statement, as somebody else would who has the database.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, sql: &str) {
        execute_in(&self.url, sql).await;
    }

    /// Asks for one number.
    ///
    /// # Panics
    /// When the query fails, or finds none.
    pub async fn number(&self, query: &str) -> i64 {
        number_in(&self.url, query).await
    }

    /// Opens a transaction that sees the database as it is now, reads with `query`, and stays
    /// open until it is dropped: a backup, or a report that somebody forgot.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn hold(&self, query: &str) -> Held {
        hold(&self.url, query).await
    }
}

/// Makes an empty database beside the one at `url`; its URL.
///
/// # Panics
/// When the server refuses.
pub async fn create(url: &str, name: &str) -> String {
    execute(&mut connect(url).await, format!("CREATE DATABASE {name}")).await;
    with_database(url, name)
}

/// [`TestDb::execute`] in any database.
///
/// # Panics
/// When it fails.
pub async fn execute_in(url: &str, sql: &str) {
    execute(&mut connect(url).await, sql.to_owned()).await;
}

/// [`TestDb::number`] in any database.
///
/// # Panics
/// When the query fails, or finds none.
pub async fn number_in(url: &str, query: &str) -> i64 {
    let mut connection = connect(url).await;
    let asked = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection);
    match asked.await {
        Ok(number) => number,
        Err(error) => panic!("{query}: {error}"),
    }
}

/// [`TestDb::hold`] in any database.
///
/// # Panics
/// When the query fails.
pub async fn hold(url: &str, query: &str) -> Held {
    let mut connection = connect(url).await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ".to_owned();
    execute(&mut connection, begin).await;
    execute(&mut connection, query.to_owned()).await;
    Held { connection }
}

/// A transaction that stays open until this is dropped; then nothing of it is done.
#[derive(Debug)]
pub struct Held {
    connection: PgConnection,
}

impl Held {
    /// Ends it, with all that was done in it.
    ///
    /// # Panics
    /// When the server is away.
    pub async fn commit(mut self) {
        execute(&mut self.connection, "COMMIT".to_owned()).await;
    }
}

/// The run's cluster, or one for this process.
fn server_url() -> String {
    static OWN: OnceLock<(Cluster, String)> = OnceLock::new();
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return url;
    }
    OWN.get_or_init(start_own).1.clone()
}

fn start_own() -> (Cluster, String) {
    let binaries = Cluster::find_binaries().unwrap_or_else(|error| panic!("{error}"));
    let state_dir = std::env::temp_dir().join(format!("sh-test-{}", std::process::id()));
    let config = ClusterConfig::in_state_dir(&state_dir);
    let cluster = Cluster::start(&config, &binaries).unwrap_or_else(|error| panic!("{error}"));
    remove_at_exit(&state_dir);
    let url = cluster.url();
    (cluster, url)
}

/// A static is never dropped, so a shell that waits for this process to end
/// (its input closes then) clears up. The server stops by itself.
fn remove_at_exit(state_dir: &std::path::Path) {
    let shell = Command::new("setsid")
        .args(["sh", "-c", "cat >/dev/null; sleep 2; rm -rf \"$1\"", "sh"])
        .arg(state_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // Its input must stay open until this process ends.
    std::mem::forget(shell);
}

/// The migrated database that others are copied from; one process makes it, the
/// others wait for the lock.
async fn template(server: &str) -> &'static str {
    const TEMPLATE: &str = "streamhaul_test_template";
    static READY: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    READY.get_or_init(|| make_template(server, TEMPLATE)).await;
    TEMPLATE
}

async fn make_template(server: &str, name: &str) {
    let mut connection = connect(server).await;
    execute(&mut connection, "SELECT pg_advisory_lock(7283)".to_owned()).await;
    let known: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_optional(&mut connection)
        .await
        .expect("the test cluster answers");
    if known.is_none() {
        execute(&mut connection, format!("CREATE DATABASE {name}_new")).await;
        let pool = storage::connect("testkit", &with_database(server, &format!("{name}_new")), 1)
            .expect("a made URL is valid");
        storage::migrate(&pool).await.expect("the migrations apply");
        pool.close().await;
        execute(
            &mut connection,
            format!("ALTER DATABASE {name}_new RENAME TO {name}"),
        )
        .await;
    }
    execute(
        &mut connection,
        "SELECT pg_advisory_unlock(7283)".to_owned(),
    )
    .await;
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .expect("the test cluster answers")
}

async fn execute(connection: &mut PgConnection, sql: String) {
    let shown = sql.clone();
    // The text is put together from names of our own only.
    if let Err(error) = connection.execute(AssertSqlSafe(sql)).await {
        panic!("{shown}: {error}");
    }
}

/// The same server, another database: `postgres://user@host/<database>?…`.
fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = base.rsplit_once('/').unwrap_or((base, ""));
    format!("{server}/{database}?{query}")
}
