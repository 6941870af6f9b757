//! `cargo xtask sqlx`: what the compiler knows about the queries, made anew.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Context;
use e2e::postgres::Postgres;

use crate::packages::{self, Program};
use crate::workspace::{cargo, root, run as succeed};

/// Applies the migrations to a fresh database and lets the macros ask it.
pub(crate) fn run() -> anyhow::Result<()> {
    packages::ensure(&[Program::Postgres])?;
    let directory = tempfile::Builder::new()
        .prefix("streamhaul-sqlx-")
        .tempdir()?;
    // PostgreSQL may run as another user, who must get to its files.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let postgres = Postgres::start(directory.path())?;
    for migration in migrations()? {
        apply(&migration, &postgres.url())?;
    }
    let fresh = directory.path().join("queries");
    fs::create_dir(&fresh)?;
    describe(&postgres.url(), &fresh)?;
    replace(&fresh, &root().join(".sqlx"))
}

/// The macros run when the crate is compiled, so it must look changed.
fn describe(database_url: &str, into: &PathBuf) -> anyhow::Result<()> {
    let library = root().join("crates/storage/src/lib.rs");
    File::options()
        .append(true)
        .open(library)?
        .set_modified(std::time::SystemTime::now())?;
    let mut check = cargo(&["check", "--package", "streamhaul-storage", "--all-targets"]);
    check
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", into)
        .env("DATABASE_URL", database_url);
    succeed(&mut check)
}

fn migrations() -> anyhow::Result<Vec<PathBuf>> {
    let directory = root().join("migrations");
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut found = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    found.sort();
    Ok(found)
}

fn apply(migration: &PathBuf, database_url: &str) -> anyhow::Result<()> {
    let mut psql = std::process::Command::new("psql");
    psql.args([
        "--quiet",
        "--no-psqlrc",
        "--set",
        "ON_ERROR_STOP=1",
        "--dbname",
    ]);
    succeed(psql.arg(database_url).arg("--file").arg(migration))
}

/// Queries that are gone leave no file behind.
fn replace(fresh: &PathBuf, kept: &PathBuf) -> anyhow::Result<()> {
    fs::create_dir_all(kept)?;
    for old in fs::read_dir(kept)? {
        fs::remove_file(old?.path())?;
    }
    for new in fs::read_dir(fresh)? {
        let new = new?;
        fs::copy(new.path(), kept.join(new.file_name()))?;
    }
    Ok(())
}
