//! `cargo xtask drill backup`: a live instance with data is backed up, the backup is proven and
//! restored, and so is an instant between two writes.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde_json::{Value, json};

use crate::instance::Instance;
use crate::packages::{self, Program};
use crate::stop::Stop;
use crate::workspace::{build, run as succeed, target_dir};

const PORT_BASE: &str = "28400";
const STORED_TIMEOUT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// What the drill takes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask drill backup")]
struct Options {
    /// How many rows of about 100 bytes the instance has besides its own.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Build without optimisation.
    #[arg(long)]
    debug: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

struct Drill {
    dir: tempfile::TempDir,
    instance: Instance,
    database_url: String,
}

/// Runs the drill; it fails when something did not come back.
///
/// # Errors
/// When a step fails.
pub(super) fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let options = Options::parse_from(arguments);
    packages::ensure(&[Program::Postgres])?;
    let mut drill = Drill::start(&options)?;
    let finding = drill.go(options.rows);
    let ended = drill.instance.stop();
    let finding = finding?;
    ended?;
    let holds = [
        "rows_equal",
        "first_there",
        "second_absent",
        "latest_has_both",
    ]
    .iter()
    .all(|name| finding[name] == true);
    if options.json {
        println!("{finding:#}");
    } else {
        for (name, value) in finding.as_object().into_iter().flatten() {
            println!("{name:18} {value}");
        }
    }
    Ok(holds)
}

impl Drill {
    fn start(options: &Options) -> anyhow::Result<Self> {
        let mut command = build(&["streamhaul"]);
        command.arg("--quiet");
        if !options.debug {
            command.arg("--release");
        }
        succeed(&mut command)?;
        let profile = if options.debug { "debug" } else { "release" };
        let binary = target_dir().join(profile).join("streamhaul");
        let dir = tempfile::Builder::new()
            .prefix("streamhaul-drill-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let backups_file = configure(&binary, dir.path())?;
        let arguments: Vec<OsString> = vec![
            "--state-dir".into(),
            dir.path().join("state").into(),
            "--port-base".into(),
            PORT_BASE.into(),
            "--backups-file".into(),
            backups_file.into(),
        ];
        let mut instance = Instance::start(&binary, &arguments)?;
        let told = instance.wait_ready(Stop::on_signals()?)?;
        let told = told.context("called off")?;
        let database_url = told["database_url"].as_str().context("no database")?;
        Ok(Self {
            database_url: database_url.to_owned(),
            dir,
            instance,
        })
    }

    fn go(&mut self, rows: u32) -> anyhow::Result<Value> {
        for name in ["cam1", "cam2", "cam3"] {
            self.instance.ask(&["relay", "start", "--name", name])?;
        }
        self.fill(rows)?;
        let mut ticking = self.tick()?;
        let begun = self.timed(&["backup"]);
        let proven = begun.and_then(|made| Ok((made, self.timed(&["verify-backup"])?)));
        let back = proven.and_then(|both| Ok((both, self.restore("mark", None)?)));
        ticking.kill()?;
        ticking.wait()?;
        let (((made, backup_ms), (verified, verify_ms)), (restored, restore_ms)) = back?;
        self.sql("INSERT INTO public.drill_first VALUES (1)")?;
        let between = self.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")?;
        self.sql("INSERT INTO public.drill_second VALUES (1)")?;
        self.store_log()?;
        let (then, _) = self.restore("between", Some(between.trim()))?;
        let (latest, latest_ms) = self.restore("latest", Some("latest"))?;
        let made = &made["backup"];
        let equal = [&verified, &restored]
            .iter()
            .all(|it| it["equal"] == true && it["rows"] == made["rows"]);
        Ok(json!({
            "tables": made["tables"],
            "rows": made["rows"],
            "server_bytes": made["plain_bytes"],
            "backup_bytes": made["bytes"],
            "backup_ms": backup_ms,
            "verify_ms": verify_ms,
            "restore_ms": restore_ms,
            "restore_latest_ms": latest_ms,
            "rows_equal": equal,
            "first_there": rows_of(&then, "public.drill_first") == Some(1),
            "second_absent": rows_of(&then, "public.drill_second") == Some(0),
            "latest_has_both": rows_of(&latest, "public.drill_first") == Some(1)
                && rows_of(&latest, "public.drill_second") == Some(1),
        }))
    }

    fn fill(&self, rows: u32) -> anyhow::Result<()> {
        self.sql("CREATE TABLE public.drill_first (n int); CREATE TABLE public.drill_second (n int); CREATE TABLE public.drill_ticks (at timestamptz DEFAULT now())")?;
        self.sql(&format!(
            "CREATE TABLE public.drill_bulk AS SELECT n, md5(n::text) || md5((n + 1)::text) AS text \
             FROM generate_series(1, {rows}) n"
        ))
        .map(drop)
    }

    /// Somebody who writes all the time.
    fn tick(&self) -> anyhow::Result<Child> {
        let mut child = self.psql().stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("psql has no input")?;
        let text = "INSERT INTO public.drill_ticks DEFAULT VALUES \\watch 0.02\n";
        std::io::Write::write_all(&mut stdin, text.as_bytes())?;
        Ok(child)
    }

    fn store_log(&self) -> anyhow::Result<()> {
        let job = self.instance.ask(&["jobs", "run", "archive_log"])?["job"]["job"].to_string();
        let deadline = Instant::now() + STORED_TIMEOUT;
        while self.instance.ask(&["jobs", "show", &job])?["state"] != "completed" {
            ensure!(Instant::now() < deadline, "the log is not stored");
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    fn restore(&self, name: &str, to: Option<&str>) -> anyhow::Result<(Value, u64)> {
        let into = self.dir.path().join(name);
        let into = into.to_str().context("an odd directory")?;
        match to {
            Some(to) => self.timed(&["restore", "--into", into, "--to", to]),
            None => self.timed(&["restore", "--into", into]),
        }
    }

    /// A command about backups, and how many milliseconds it took.
    fn timed(&self, arguments: &[&str]) -> anyhow::Result<(Value, u64)> {
        let file = self.dir.path().join("backups.toml");
        let file = file.to_str().context("an odd directory")?;
        let started = Instant::now();
        let told = self
            .instance
            .ask(&[arguments, &["--backups-file", file]].concat())?;
        let took = u64::try_from(started.elapsed().as_millis())?;
        Ok((told, took))
    }

    fn sql(&self, sql: &str) -> anyhow::Result<String> {
        let output = self.psql().args(["--command", sql]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align"]);
        psql.args(["--dbname", &self.database_url]);
        psql.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        psql
    }
}

/// Settings for a directory of its own and a new key.
fn configure(binary: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(binary).args(["backups", "key"]).output()?;
    ensure!(output.status.success(), "streamhaul backups key failed");
    let key = dir.join("key");
    std::fs::write(&key, &output.stdout)?;
    let text = String::from_utf8(output.stdout)?;
    let public = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let public = public.context("the key has no public half")?;
    let file = dir.join("backups.toml");
    let text = format!(
        "recipients = [\"{public}\"]\nidentity_file = \"{}\"\nlog_seconds = 3600\n\n[[destinations]]\nname = \"disk\"\npath = \"{}\"\n",
        key.display(),
        dir.join("backups").display()
    );
    std::fs::write(&file, text)?;
    Ok(file)
}

fn rows_of(restored: &Value, table: &str) -> Option<u64> {
    let mut tables = restored["tables"].as_array()?.iter();
    tables.find(|it| it["table"] == table)?["rows"].as_u64()
}
