//! Storing the server's log, segment by segment. The server keeps each behind a replication
//! slot until every destination has it.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use storage::backup::{Database, Exclusive, Guard, Lsn, Server};

use crate::base::primary;
use crate::error::Error;
use crate::log;
use crate::program::{Programs, spawn, succeeded};
use crate::upload;
use crate::{Backups, Destination, Step};

/// As many segments as are on this machine's disk at a time.
const BATCH: u64 = 16;
/// Somebody else's turn takes no longer than this.
const GUARD_PATIENCE: Duration = Duration::from_secs(120);
const GUARD_PAUSE: Duration = Duration::from_millis(200);

/// A destination while the log goes there.
struct Receiving {
    destination: Destination,
    /// What it has.
    stored: HashSet<String>,
    failure: Option<Error>,
}

impl Backups {
    /// Stores what the server at `url` has written since the last time.
    ///
    /// # Errors
    /// When a destination did not take it; the server keeps it then. When there never was a
    /// backup that the log would follow.
    pub async fn archive_log(&self, url: &str) -> Result<(), Error> {
        let database = Database::new(url)?;
        let server = primary(&database).await?;
        let slot = database.slot(&self.slot).await?;
        if slot.is_none() {
            return Err(Error::Nothing(
                "there is no backup that the log would follow; make one: streamhaul backup"
                    .to_owned(),
            ));
        }
        let programs = Programs::find(self.bin_dir.as_deref(), url, server.major)?;
        let end = database.end_segment(server.segment_bytes).await?;
        let outcomes = self
            .store_log(&database, &programs, self.destinations(), end)
            .await?;
        outcomes.into_iter().collect()
    }

    /// Lets the server keep its log from now on, if it does not yet.
    pub(crate) async fn keep_log(&self, database: &Database) -> Result<(), Error> {
        match database.slot(&self.slot).await? {
            Some(slot) if slot.kept_from.is_some() => return Ok(()),
            Some(_) => {
                tracing::warn!(
                    "the server gave up keeping its log; there is a gap in what is stored"
                );
                database.drop_slot(&self.slot).await?;
            }
            None => {}
        }
        Ok(database.create_slot(&self.slot).await?)
    }

    /// Stores the log up to `end`, a segment's boundary, and says for each destination whether
    /// it has all of it.
    pub(crate) async fn store_log(
        &self,
        database: &Database,
        programs: &Programs,
        destinations: &[Destination],
        end: Lsn,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let _guard = log_guard(database).await?;
        let server = primary(database).await?;
        let slot = database.slot(&self.slot).await?.ok_or(Error::LogLost)?;
        let kept_from = slot.kept_from.ok_or(Error::LogLost)?;
        let mut receiving = Vec::new();
        for destination in destinations {
            receiving.push(Receiving::begin(destination, &server).await);
        }
        // A destination that is not among them still waits for all of it.
        let mut may_forget = destinations.len() == self.destinations().len();
        let mut from = kept_from.round_down(server.segment_bytes);
        while from < end {
            let batch_end = Lsn((from.0 + BATCH * server.segment_bytes).min(end.0));
            self.store_batch(programs, &server, (from, batch_end), &mut receiving)
                .await?;
            may_forget &= receiving.iter().all(|it| it.failure.is_none());
            if may_forget {
                database.advance_slot(&self.slot, batch_end).await?;
            }
            from = batch_end;
            self.report(Step::Log {
                segments: (from.0 - kept_from.round_down(server.segment_bytes).0)
                    / server.segment_bytes,
            });
        }
        let outcome = |it: Receiving| it.failure.map_or(Ok(()), Err);
        Ok(receiving.into_iter().map(outcome).collect())
    }

    async fn store_batch(
        &self,
        programs: &Programs,
        server: &Server,
        (from, end): (Lsn, Lsn),
        receiving: &mut [Receiving],
    ) -> Result<(), Error> {
        let work = self.work()?;
        receive(programs, server, (from, end), work.path()).await?;
        let mut lsn = from;
        while lsn < end {
            let name = log::segment_name(server.timeline, lsn, server.segment_bytes);
            self.store_segment(server, &work.path().join(&name), &name, receiving)
                .await?;
            lsn = Lsn(lsn.0 + server.segment_bytes);
        }
        Ok(())
    }

    async fn store_segment(
        &self,
        server: &Server,
        file: &Path,
        name: &str,
        receiving: &mut [Receiving],
    ) -> Result<(), Error> {
        let object = format!("{name}.{}", self.seal.extension());
        let mut lacking: Vec<&mut Receiving> = receiving
            .iter_mut()
            .filter(|it| it.failure.is_none() && !it.stored.contains(&object))
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let destinations: Vec<Destination> =
            lacking.iter().map(|it| it.destination.clone()).collect();
        let reader = File::open(file).map_err(|source| Error::local(file, source))?;
        let stored = upload::store(
            &destinations,
            &self.seal,
            &log::object(&server.system_identifier, &object),
            server.segment_bytes,
            reader,
            std::future::ready(Ok(())),
        )
        .await?;
        for (it, outcome) in lacking.iter_mut().zip(stored.outcomes) {
            it.failure = outcome.err();
        }
        Ok(())
    }
}

impl Receiving {
    async fn begin(destination: &Destination, server: &Server) -> Self {
        let listed = destination.log(&server.system_identifier).await;
        let (stored, failure) = match listed {
            Ok(names) => (names.into_iter().collect(), None),
            Err(error) => (HashSet::new(), Some(error)),
        };
        Self {
            destination: destination.clone(),
            stored,
            failure,
        }
    }
}

async fn log_guard(database: &Database) -> Result<Guard, Error> {
    let deadline = Instant::now() + GUARD_PATIENCE;
    loop {
        if let Some(guard) = database.guard(Exclusive::Log).await? {
            return Ok(guard);
        }
        if Instant::now() > deadline {
            return Err(Error::Busy);
        }
        tokio::time::sleep(GUARD_PAUSE).await;
    }
}

/// Fetches the segments between two boundaries into `dir`.
async fn receive(
    programs: &Programs,
    server: &Server,
    (from, end): (Lsn, Lsn),
    dir: &Path,
) -> Result<(), Error> {
    const PROGRAM: &str = "pg_receivewal";
    begin_at(server, from, dir)?;
    let mut command = programs.command(PROGRAM);
    command.arg("--directory").arg(dir).arg("--no-loop");
    // It ends once it has passed a place, and a segment's last byte is passed with the segment.
    command.arg("--endpos").arg(Lsn(end.0 - 1).to_string());
    let child = spawn(PROGRAM, &mut command)?;
    succeeded(PROGRAM, child).await
}

/// `pg_receivewal` goes on with the segment that it finds begun. It is not told of the slot,
/// which it would move before anything is stored.
fn begin_at(server: &Server, from: Lsn, dir: &Path) -> Result<(), Error> {
    let name = log::segment_name(server.timeline, from, server.segment_bytes);
    let path = dir.join(format!("{name}.partial"));
    let made = File::create(&path);
    made.map(drop).map_err(|source| Error::local(&path, source))
}
