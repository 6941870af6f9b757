//! `streamhaul backup`, `restore`, `verify-backup`, `backups`: straight at the database and the
//! destinations, so that they work when nothing else does.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backup::{
    Backups, Config, Destination, Identities, Listed, Manifest, Report, Request, Step, Target,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::backups;
use crate::calling_off::unless_called_off;
use crate::cli;
use crate::cli::{BackupsTarget, Chosen};
use crate::print;
use crate::run_file::RunFile;
use crate::state_dir::StateDir;

const REPORT_INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn make(command: &cli::Backup) -> anyhow::Result<()> {
    let target = &command.target;
    let (state, backups, config) = open(target)?;
    let url = database_url(command.database_url.as_deref(), &config, &state)?;
    let taken = block_on(backups.take(&url))?;
    let rows = taken.manifest.rows();
    let words = |error| format!("{:#}", anyhow::Error::new(error));
    let failures: Vec<String> = taken.failures.into_iter().map(words).collect();
    if target.json {
        print::json(&json!({
            "backup": summary(&taken.manifest),
            "stored": taken.stored,
            "failures": failures,
        }));
    } else {
        print::line(&format!(
            "{}: {} tables with {rows} rows, {} stored in {}.",
            taken.manifest.id,
            taken.manifest.tables.len(),
            size(taken.manifest.base.bytes),
            taken.stored.join(", ")
        ));
        print::line("To prove it: streamhaul verify-backup");
    }
    if failures.is_empty() {
        return Ok(());
    }
    anyhow::bail!("not everywhere: {}", failures.join("; "))
}

pub(super) fn restore(command: &cli::Restore) -> anyhow::Result<()> {
    let target = &command.target;
    let (_, backups, config) = open(target)?;
    let destination = backups.destination(command.chosen.from.as_deref())?;
    let identities = identities(&command.chosen, &config)?;
    let into = std::path::absolute(&command.into)?;
    let request = Request {
        destination,
        id: command.chosen.backup.as_deref(),
        target: command.to.map_or(Target::Mark, |moment| moment.0),
        into: &into,
        identities: &identities,
    };
    let restored = block_on(backups.restore(request))?;
    let rows: u64 = restored.tables.iter().map(|table| table.rows).sum();
    let equal = request.target == Target::Mark;
    if target.json {
        print::json(&json!({
            "backup": summary(&restored.manifest),
            "into": into,
            "tables": restored.tables,
            "rows": rows,
            "equal": equal.then_some(true),
        }));
        return Ok(());
    }
    let like = match equal {
        true => " as they were when it was made",
        false => "",
    };
    print::line(&format!(
        "{}: {} tables with {rows} rows{like}.",
        restored.manifest.id,
        restored.tables.len()
    ));
    print::line(&format!(
        "PostgreSQL {} runs on {}; `streamhaul up` does where it is `postgres` in the state directory.",
        restored.manifest.postgres_major,
        into.display()
    ));
    Ok(())
}

pub(super) fn verify(command: &cli::VerifyBackup) -> anyhow::Result<()> {
    let target = &command.target;
    let (state, backups, config) = open(target)?;
    let destination = backups.destination(command.chosen.from.as_deref())?;
    let identities = identities(&command.chosen, &config)?;
    let verified =
        block_on(backups.verify(destination, command.chosen.backup.as_deref(), &identities))?;
    // Whoever verifies elsewhere has no database at hand; the proof is beside the backup.
    let remembered = match database_url(command.database_url.as_deref(), &config, &state) {
        Ok(url) => Some(block_on(backups.record(&url, destination, &verified))),
        Err(_) => None,
    };
    if target.json {
        print::json(&json!({
            "backup": summary(&verified.manifest),
            "destination": destination.name(),
            "equal": true,
            "tables": verified.proof.tables,
            "rows": verified.proof.rows,
            "took_ms": verified.proof.took_ms,
            "deleted": verified.deleted,
            "remembered": matches!(remembered, Some(Ok(()))),
        }));
    } else {
        print::line(&format!(
            "{}: {} tables with {} rows came back as they were.",
            verified.manifest.id, verified.proof.tables, verified.proof.rows
        ));
        for id in &verified.deleted {
            print::line(&format!("{id}: deleted, as `keep` says."));
        }
    }
    remembered
        .transpose()
        .map(drop)
        .context("verified, but the database does not remember it")
}

pub(super) fn look(command: &cli::Backups) -> anyhow::Result<()> {
    let (from, target) = match command {
        cli::Backups::List { from, target } => (from, target),
        cli::Backups::Key => {
            print::bytes(backup::generate_identity().expose_secret().as_bytes());
            return Ok(());
        }
    };
    let (_, backups, _) = open(target)?;
    let chosen: Vec<&Destination> = match from {
        Some(_) => vec![backups.destination(from.as_deref())?],
        None => backups.destinations().iter().collect(),
    };
    let mut listed = Vec::new();
    for destination in chosen {
        let found = block_on(destination.list())?;
        listed.extend(found.into_iter().map(|it| (destination.name(), it)));
    }
    if target.json {
        let all: Vec<Value> = listed.iter().map(|(name, it)| entry(name, it)).collect();
        print::json(&json!({"backups": all}));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = listed.iter().map(|(name, it)| row(name, it)).collect();
    let head = ["backup", "destination", "of", "size", "rows", "verified"];
    print::table(&head, &rows, "no backup; make one: streamhaul backup");
    Ok(())
}

fn entry(destination: &str, listed: &Listed) -> Value {
    json!({
        "id": listed.id,
        "destination": destination,
        "backup": listed.manifest.as_ref().map(summary),
        "proof": listed.proof,
    })
}

fn row(destination: &str, listed: &Listed) -> Vec<String> {
    let manifest = listed.manifest.as_ref();
    let told = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        listed.id.clone(),
        destination.to_owned(),
        told(manifest.map(|it| it.marked_at.to_string())),
        manifest.map_or_else(|| "unfinished".to_owned(), |it| size(it.base.bytes)),
        told(manifest.map(|it| it.rows().to_string())),
        told(listed.proof.as_ref().map(|it| it.verified_at.to_string())),
    ]
}

fn summary(manifest: &Manifest) -> Value {
    json!({
        "id": manifest.id,
        "consistent_at": manifest.consistent_at,
        "marked_at": manifest.marked_at,
        "mark": manifest.mark,
        "bytes": manifest.base.bytes,
        "plain_bytes": manifest.base.plain_bytes,
        "encrypted": manifest.encrypted,
        "took_ms": manifest.took_ms,
        "tables": manifest.tables.len(),
        "rows": manifest.rows(),
    })
}

fn open(target: &BackupsTarget) -> anyhow::Result<(StateDir, Backups, Config)> {
    let state = StateDir::choose(target.state_dir.as_deref())?;
    let config = match backups::configured(target.backups_file.as_deref(), &state)? {
        Some(config) => config,
        None => backups::default(&state)?,
    };
    let backups = Backups::open(&config, report(target.json))?;
    Ok((state, backups, config))
}

fn database_url(given: Option<&str>, config: &Config, state: &StateDir) -> anyhow::Result<String> {
    if let Some(url) = given {
        return Ok(url.to_owned());
    }
    if let Some(url) = Backups::database_url(config)? {
        return Ok(url.expose_secret().to_owned());
    }
    let run = RunFile::read(&state.run_file()).context("which database? Give --database-url")?;
    Ok(run.database_url)
}

fn identities(chosen: &Chosen, config: &Config) -> anyhow::Result<Identities> {
    let file: Option<&PathBuf> = chosen.identity.as_ref().or(config.identity_file.as_ref());
    match file {
        Some(file) => Ok(Identities::read(file)?),
        None if config.unencrypted => Ok(Identities::default()),
        None => anyhow::bail!("give the key that reads backups with --identity"),
    }
}

pub(super) fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(unless_called_off(work))
}

/// Tells somebody who watches how far it is.
fn report(json: bool) -> Report {
    if json || !std::io::stderr().is_terminal() {
        return Arc::new(|_| {});
    }
    let last: Mutex<Option<(std::mem::Discriminant<Step>, Instant)>> = Mutex::new(None);
    Arc::new(move |step| {
        let kind = std::mem::discriminant(&step);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = |at: Instant| at.elapsed() < REPORT_INTERVAL;
        if last.is_some_and(|(before, at)| before == kind && is_soon(at)) {
            return;
        }
        *last = Some((kind, Instant::now()));
        let _ = write!(std::io::stderr(), "\r\x1b[K{}\n\x1b[A", words(&step));
    })
}

fn words(step: &Step) -> String {
    match step {
        Step::Copying { bytes, of } => format!("copying: {} of about {}", size(*bytes), size(*of)),
        Step::Marking => "waiting for a quiet moment".to_owned(),
        Step::Counting => "counting the tables' rows".to_owned(),
        Step::Log { segments } => format!("segments of the log: {segments}"),
        Step::Fetching { bytes, of } => format!("fetching: {} of {}", size(*bytes), size(*of)),
        Step::Replaying => "replaying the log".to_owned(),
        Step::Comparing => "comparing every table".to_owned(),
        Step::Pruning => "deleting what need not be kept".to_owned(),
    }
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..=1_048_575 => format!("{} KiB", bytes.div_ceil(1024)),
        1_048_576..=10_737_418_239 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
