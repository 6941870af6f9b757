//! Making a backup: the copy of the server, its mark, and the log up to there.

use std::io::{self, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::UnixMillis;
use storage::backup::{Database, Exclusive, Made, Mark, Server};

use crate::error::Error;
use crate::log;
use crate::manifest::{FORM, Manifest, Object};
use crate::program::{Programs, spawn, succeeded};
use crate::upload::{self, Stored};
use crate::{Backups, Destination, Report, Step};

/// How long a quiet moment is waited for; then as long again for locks.
const MARK_PATIENCE: Duration = Duration::from_secs(30);
const REPORT_BYTES: u64 = 16 << 20;

/// A backup that was made.
#[derive(Debug)]
pub struct Taken {
    /// What it is.
    pub manifest: Manifest,
    /// Where it is.
    pub stored: Vec<String>,
    /// Where it is not, and why.
    pub failures: Vec<Error>,
}

impl Backups {
    /// Makes a backup of the server at `url`, in every destination. One that fails is left
    /// behind with nothing new in it; it is an error when all do.
    ///
    /// # Errors
    /// See [`enum@Error`]; then no destination has anything new, and all keep what they had.
    pub async fn take(&self, url: &str) -> Result<Taken, Error> {
        let database = Database::new(url)?;
        let server = primary(&database).await?;
        let programs = Programs::find(self.bin_dir.as_deref(), url, server.major)?;
        let guard = database.guard(Exclusive::Backup).await?;
        let _guard = guard.ok_or(Error::Busy)?;
        self.keep_log(&database).await?;
        let id = id(timestamp(server.now));
        let taken = self.make(&database, &programs, &server, &id).await;
        let stored = taken.as_ref().map_or(&[][..], |taken| &taken.stored);
        self.clear(&id, stored).await;
        let taken = taken?;
        if !self.keeps_log {
            database.drop_slot(&self.slot).await?;
        }
        Ok(taken)
    }

    async fn make(
        &self,
        database: &Database,
        programs: &Programs,
        server: &Server,
        id: &str,
    ) -> Result<Taken, Error> {
        let started = Instant::now();
        let (base, stored) = self.copy(programs, server, id).await?;
        let (destinations, mut failures) = survivors(self.destinations(), stored.outcomes);
        let consistent_at = timestamp(database.server().await?.now);

        self.report(Step::Marking);
        let mark = database
            .mark(MARK_PATIENCE)
            .await?
            .ok_or_else(never_quiet)?;
        let (lsn, marked_at) = (mark.lsn, timestamp(mark.at));
        let tables = self.count(mark).await?;
        let log_end = database.end_segment(server.segment_bytes).await?;
        let outcomes = self
            .store_log(database, programs, &destinations, log_end)
            .await?;
        let (destinations, late) = survivors(&destinations, outcomes);
        failures.extend(late);
        let name = |lsn| log::segment_name(server.timeline, lsn, server.segment_bytes);
        let manifest = Manifest {
            form: FORM,
            id: id.to_owned(),
            system_identifier: server.system_identifier.clone(),
            postgres_major: server.major,
            segment_bytes: server.segment_bytes,
            database: server.database.clone(),
            role: server.role.clone(),
            started_at: timestamp(server.now),
            consistent_at,
            marked_at,
            mark: lsn,
            took_ms: millis(started.elapsed()),
            log_from: name(server.lsn),
            log_to: name(storage::backup::Lsn(log_end.0 - 1)),
            encrypted: self.seal.encrypts(),
            base,
            tables,
        };
        self.finish(database, manifest, destinations, failures)
            .await
    }

    async fn copy(
        &self,
        programs: &Programs,
        server: &Server,
        id: &str,
    ) -> Result<(Object, Stored), Error> {
        const PROGRAM: &str = "pg_basebackup";
        let mut command = programs.command(PROGRAM);
        command.args(["--pgdata=-", "--format=tar", "--wal-method=none"]);
        command
            .args(["--checkpoint=fast", "--label"])
            .arg(format!("streamhaul {id}"));
        let mut child = spawn(PROGRAM, command.stdout(Stdio::piped()))?;
        let failed = |reason: &str| Error::Program {
            program: PROGRAM,
            reason: reason.to_owned(),
        };
        let stdout = child.stdout.take().ok_or_else(|| failed("has no output"))?;
        let stdout = stdout
            .into_owned_fd()
            .map_err(|error| failed(&error.to_string()))?;
        let of = server.bytes;
        let reader = Counted::new(std::fs::File::from(stdout), &self.report, move |bytes| {
            Step::Copying { bytes, of }
        });
        let object = format!("base.tar.{}", self.seal.extension());
        let stored = upload::store(
            self.destinations(),
            &self.seal,
            &format!("base/{id}/{object}"),
            server.bytes,
            reader,
            succeeded(PROGRAM, child),
        )
        .await?;
        let base = Object {
            name: object,
            bytes: stored.sealed.bytes,
            sha256: stored.sealed.sha256.clone(),
            plain_bytes: stored.plain_bytes,
        };
        Ok((base, stored))
    }

    async fn count(&self, mark: Mark) -> Result<Vec<storage::backup::TableCount>, Error> {
        self.report(Step::Counting);
        Ok(mark.count().await?)
    }

    /// The manifest is what makes it a backup.
    async fn finish(
        &self,
        database: &Database,
        manifest: Manifest,
        destinations: Vec<Destination>,
        mut failures: Vec<Error>,
    ) -> Result<Taken, Error> {
        let document = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| Error::Config(format!("the manifest: {error}")))?;
        let mut stored = Vec::new();
        for destination in destinations {
            let path = Manifest::path(&manifest.id);
            match destination.put(&path, document.clone()).await {
                Ok(()) => stored.push(destination.name().to_owned()),
                Err(error) => failures.push(error),
            }
        }
        if stored.is_empty() {
            let first = failures.into_iter().next();
            return Err(first.unwrap_or_else(|| Error::Config("no destination".to_owned())));
        }
        for name in &stored {
            database.record_backup(&made(&manifest, name)).await?;
        }
        Ok(Taken {
            manifest,
            stored,
            failures,
        })
    }

    /// Takes back what a backup left where it was not finished.
    async fn clear(&self, id: &str, stored: &[String]) {
        let lacking = |it: &&Destination| stored.iter().all(|name| name != it.name());
        for destination in self.destinations().iter().filter(lacking) {
            if let Err(error) = destination.delete_backup(id).await {
                tracing::warn!("backup {id} was not finished, and stays in part: {error}");
            }
        }
    }
}

/// What the database remembers of it.
pub(crate) fn made(manifest: &Manifest, destination: &str) -> Made {
    Made {
        id: manifest.id.clone(),
        destination: destination.to_owned(),
        made_at: UnixMillis(manifest.marked_at.as_millisecond()),
        took: Duration::from_millis(manifest.took_ms),
        bytes: manifest.base.bytes,
    }
}

/// Those that took it, and why the others did not.
fn survivors(
    destinations: &[Destination],
    outcomes: Vec<Result<(), Error>>,
) -> (Vec<Destination>, Vec<Error>) {
    let (mut alive, mut failures) = (Vec::new(), Vec::new());
    for (destination, outcome) in destinations.iter().zip(outcomes) {
        match outcome {
            Ok(()) => alive.push(destination.clone()),
            Err(error) => failures.push(error),
        }
    }
    (alive, failures)
}

/// What the server is, which must be the one that is written to.
pub(crate) async fn primary(database: &Database) -> Result<Server, Error> {
    let server = database.server().await?;
    if server.is_replica {
        return Err(Error::Server(
            "that server is a replica; give the URL of the one that it follows".to_owned(),
        ));
    }
    Ok(server)
}

fn never_quiet() -> Error {
    Error::Server(
        "for a minute there was no moment without an open transaction that had written; see pg_stat_activity for one that was forgotten"
            .to_owned(),
    )
}

/// `20261122T031500Z`: sorted by name is sorted by time.
pub(crate) fn id(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn timestamp(at: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells how much has been read, every now and then.
pub(crate) struct Counted<R, F> {
    reader: R,
    report: Report,
    step: F,
    bytes: u64,
    told: u64,
}

impl<R: Read, F: Fn(u64) -> Step> Counted<R, F> {
    pub(crate) fn new(reader: R, report: &Report, step: F) -> Self {
        Self {
            reader,
            report: report.clone(),
            step,
            bytes: 0,
            told: 0,
        }
    }
}

impl<R: Read, F: Fn(u64) -> Step> Read for Counted<R, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.bytes += read as u64;
        if read == 0 || self.bytes - self.told >= REPORT_BYTES {
            self.told = self.bytes;
            (self.report)((self.step)(self.bytes));
        }
        Ok(read)
    }
}
