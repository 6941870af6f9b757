//! Bringing a backup back: the copy of the server, the log after it, and a server that replays
//! it up to the instant that is wanted.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use storage::backup::{Database, TableCount};
use storage::cluster::{Binaries, Cluster, Recovery};

use crate::base::Counted;
use crate::chunks::{Passed, Source};
use crate::destination::{Listed, missing, pour};
use crate::error::Error;
use crate::log;
use crate::manifest::{FORM, Manifest, difference};
use crate::seal::{Identities, extension};
use crate::{Backups, Destination, Step};

/// Which instant is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// That at which the backup's tables were counted.
    Mark,
    /// This one: what was committed until then is there, and nothing else.
    Time(Timestamp),
    /// The last one that is stored.
    End,
}

/// What to restore.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// From where.
    pub destination: &'a Destination,
    /// Which backup; else the newest that fits.
    pub id: Option<&'a str>,
    /// Which instant.
    pub target: Target,
    /// A directory to be made.
    pub into: &'a Path,
    /// Who can read it.
    pub identities: &'a Identities,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// From which backup.
    pub manifest: Manifest,
    /// What is in the tables now.
    pub tables: Vec<TableCount>,
}

impl Backups {
    /// Restores a backup into a directory that `postgres` of the same version runs on. At the
    /// mark, the tables are compared with what they were.
    ///
    /// # Errors
    /// See [`enum@Error`]; then the directory is gone again.
    pub async fn restore(&self, request: Request<'_>) -> Result<Restored, Error> {
        let listed = request.destination.list().await?;
        let manifest = choose(&listed, request.id, request.target)?.clone();
        let binaries = Cluster::find_binaries()?;
        if binaries.major != manifest.postgres_major {
            return Err(Error::Server(format!(
                "the backup is of PostgreSQL {}, and the newest here is {}: install postgresql-{0}, or name its directory in PG_BINDIR",
                manifest.postgres_major, binaries.major
            )));
        }
        let segments = segments(request.destination, &manifest, &listed, request.target).await?;
        let socket = self.work()?;
        let socket_dir = socket.path().join("run");
        let recovery = Recovery::prepare(request.into, &socket_dir)?;
        let mut unfinished = Unfinished(Some(request.into.to_owned()));
        self.fetch_all(&request, &manifest, &segments).await?;
        let tables = self
            .replay(recovery, binaries, &manifest, request.target)
            .await?;
        if request.target == Target::Mark {
            self.report(Step::Comparing);
            if let Some(difference) = difference(&manifest.tables, &tables) {
                return Err(Error::Different(difference));
            }
        }
        unfinished.0 = None;
        Ok(Restored { manifest, tables })
    }

    async fn fetch_all(
        &self,
        request: &Request<'_>,
        manifest: &Manifest,
        segments: &[String],
    ) -> Result<(), Error> {
        let into = request.into.to_owned();
        let name = manifest.base_path();
        let of = manifest.base.plain_bytes;
        let report = self.report.clone();
        let passed = self
            .fetch(request, manifest.encrypted, &name, move |reader| {
                let reader = Counted::new(reader, &report, |bytes| Step::Fetching { bytes, of });
                unpack(reader, &into)
            })
            .await?;
        if passed.sha256 != manifest.base.sha256 {
            return Err(Error::Damaged {
                object: name,
                reason: "its SHA-256 is not the manifest's".to_owned(),
            });
        }
        let log_dir = request.into.join("pg_wal");
        let made = std::fs::create_dir_all(log_dir.join("archive_status"));
        made.map_err(|source| Error::local(&log_dir, source))?;
        for (index, object) in segments.iter().enumerate() {
            self.fetch_segment(request, manifest, object, &log_dir)
                .await?;
            let segments = index as u64 + 1;
            self.report(Step::Log { segments });
        }
        Ok(())
    }

    async fn fetch_segment(
        &self,
        request: &Request<'_>,
        manifest: &Manifest,
        object: &str,
        log_dir: &Path,
    ) -> Result<(), Error> {
        let segment = log::segment_of(object).unwrap_or(object);
        let path = log_dir.join(segment);
        let name = log::object(&manifest.system_identifier, object);
        let encrypted = object.ends_with(extension(true));
        let segment_bytes = manifest.segment_bytes;
        let damaged = |reason: &str| Error::Damaged {
            object: name.clone(),
            reason: reason.to_owned(),
        };
        let target = path.clone();
        self.fetch(request, encrypted, &name, move |reader| {
            let mut file = std::fs::File::create(&target)?;
            // One byte more would be too many, whatever follows.
            io::copy(&mut reader.take(segment_bytes + 1), &mut file).map(drop)
        })
        .await?;
        let metadata = path
            .metadata()
            .map_err(|source| Error::local(&path, source))?;
        if metadata.len() == segment_bytes {
            return Ok(());
        }
        Err(damaged("it has not the length of a segment"))
    }

    /// Opens an object and lets `consume` read it, and the rest of it after that.
    async fn fetch(
        &self,
        request: &Request<'_>,
        encrypted: bool,
        name: &str,
        consume: impl FnOnce(&mut dyn Read) -> io::Result<()> + Send + 'static,
    ) -> Result<Passed, Error> {
        let (destination, identities) = (request.destination, request.identities.clone());
        let object = destination.store().get(&destination.path(name)).await;
        let object = object.map_err(|error| missing(destination, name, &error))?;
        let (sender, source, meter) = Source::new();
        let object_name = name.to_owned();
        let into = request.into.to_owned();
        let consumed = tokio::task::spawn_blocking(move || {
            let opened = identities.reader(encrypted, source, &object_name)?;
            let mut reader = Noted {
                reader: opened,
                failed: None,
            };
            let done = consume(&mut reader);
            let drained = done.and_then(|()| io::copy(&mut reader, &mut io::sink()).map(drop));
            match (drained, reader.failed) {
                (_, Some(reason)) => Err(Error::Damaged {
                    object: object_name,
                    reason,
                }),
                (Err(error), None) => Err(Error::local(&into, error)),
                (Ok(()), None) => Ok(()),
            }
        });
        let poured = pour(destination, object, &sender).await;
        drop(sender);
        let consumed = consumed.await;
        poured?;
        consumed.map_err(|error| Error::local(request.into, io::Error::other(error)))??;
        Ok(meter.passed())
    }

    /// Runs a server on what was fetched until it has got there, and counts what it has.
    async fn replay(
        &self,
        recovery: Recovery,
        binaries: Binaries,
        manifest: &Manifest,
        target: Target,
    ) -> Result<Vec<TableCount>, Error> {
        self.report(Step::Replaying);
        let settings = settings(manifest, target);
        let goes_on = Arc::new(AtomicBool::new(true));
        let _stop = StopAtEnd(goes_on.clone());
        let replayed = tokio::task::spawn_blocking(move || {
            let cluster = recovery.run(&binaries, &settings, &|| goes_on.load(Ordering::Relaxed));
            cluster.map(|cluster| (cluster, recovery))
        });
        let replayed = replayed
            .await
            .map_err(|error| Error::Recovery(error.to_string()))?;
        let (cluster, recovery) = replayed.map_err(|error| explain(error, target))?;
        let url = cluster.url_as(&manifest.role, &manifest.database);
        let tables = Database::new(&url)?.count().await?;
        let stopped = tokio::task::spawn_blocking(move || {
            cluster.stop()?;
            recovery.finish().map_err(|error| {
                storage::cluster::Error::NotStarted(format!("what was left of it: {error}"))
            })
        });
        stopped
            .await
            .map_err(|error| Error::Recovery(error.to_string()))??;
        Ok(tables)
    }
}

/// The backup to begin with.
fn choose<'a>(
    listed: &'a [Listed],
    id: Option<&str>,
    target: Target,
) -> Result<&'a Manifest, Error> {
    let whole: Vec<&Manifest> = listed
        .iter()
        .filter_map(|it| it.manifest.as_ref())
        .collect();
    let nothing = |text: String| Err(Error::Nothing(text));
    if whole.is_empty() {
        return nothing("there is no backup there; make one: streamhaul backup".to_owned());
    }
    let chosen = match (id, target) {
        (Some(id), _) => match whole.iter().find(|it| it.id == id) {
            None => {
                return nothing(format!(
                    "there is no backup {id}; see: streamhaul backups list"
                ));
            }
            Some(found) => found,
        },
        (None, Target::Time(time)) => match whole.iter().find(|it| it.consistent_at <= time) {
            None => {
                let first = whole.last().map(|it| it.consistent_at).unwrap_or_default();
                return nothing(format!("the earliest instant there is {first}"));
            }
            Some(found) => found,
        },
        (None, Target::Mark | Target::End) => whole[0],
    };
    match target {
        Target::Time(time) if time < chosen.consistent_at => nothing(format!(
            "backup {} reaches back to {}; an earlier one is needed for {time}",
            chosen.id, chosen.consistent_at
        )),
        _ if chosen.form > FORM => nothing(format!(
            "backup {} is of a newer version of streamhaul",
            chosen.id
        )),
        _ => Ok(chosen),
    }
}

/// The objects with the log from a backup to the instant that is wanted.
async fn segments(
    destination: &Destination,
    manifest: &Manifest,
    listed: &[Listed],
    target: Target,
) -> Result<Vec<String>, Error> {
    let stored = destination.log(&manifest.system_identifier).await?;
    let until = match target {
        Target::Mark => Some(manifest.log_to.clone()),
        // A later backup's mark is later than the instant: its log is enough.
        Target::Time(time) => listed
            .iter()
            .filter_map(|it| it.manifest.as_ref())
            .filter(|it| it.system_identifier == manifest.system_identifier)
            .filter(|it| it.marked_at > time)
            .map(|it| it.log_to.clone())
            .min(),
        Target::End => None,
    };
    let chosen = unbroken(&stored, manifest, until.as_deref());
    let last = chosen.last().and_then(|it| log::segment_of(it));
    let reaches = last.is_some_and(|last| last >= manifest.log_to.as_str());
    if reaches {
        return Ok(chosen);
    }
    Err(Error::Damaged {
        object: format!(
            "the log of backup {} in {}",
            manifest.id,
            destination.name()
        ),
        reason: format!(
            "the segment after {} is missing",
            last.unwrap_or("the first")
        ),
    })
}

/// The segments of a backup's own history, up to the first gap.
fn unbroken(stored: &[String], manifest: &Manifest, until: Option<&str>) -> Vec<String> {
    let timeline = &manifest.log_from[..8];
    let mut expected = log::number(&manifest.log_from, manifest.segment_bytes);
    let mut chosen = Vec::new();
    for object in stored {
        let Some(segment) = log::segment_of(object) else {
            continue;
        };
        let fits = segment.starts_with(timeline) && segment >= manifest.log_from.as_str();
        if !fits || until.is_some_and(|until| segment > until) {
            continue;
        }
        let number = log::number(segment, manifest.segment_bytes);
        match expected {
            // The same once more, sealed in another way.
            Some(next) if number.is_some_and(|it| it < next) => continue,
            _ if number != expected => break,
            _ => {}
        }
        expected = number.map(|it| it + 1);
        chosen.push(object.clone());
    }
    chosen
}

/// Where the server is to stop.
fn settings(manifest: &Manifest, target: Target) -> Vec<String> {
    match target {
        // Not what begins there: it was not there yet.
        Target::Mark => vec![
            format!("recovery_target_lsn={}", manifest.mark),
            "recovery_target_inclusive=off".to_owned(),
        ],
        // The server knows no names of time zones when it reads this.
        Target::Time(time) => vec![format!(
            "recovery_target_time={}+00",
            time.strftime("%Y-%m-%d %H:%M:%S%.6f")
        )],
        Target::End => Vec::new(),
    }
}

fn explain(error: storage::cluster::Error, target: Target) -> Error {
    let text = error.to_string();
    match target {
        Target::Time(time) if text.contains("recovery ended before") => Error::Nothing(format!(
            "the stored log ends before {time}; --to latest brings all of it back"
        )),
        _ if text.contains("recovery ended before") => {
            Error::Recovery("the stored log ends before the backup's mark".to_owned())
        }
        _ => error.into(),
    }
}

fn unpack(reader: impl Read, into: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(false);
    archive.set_preserve_ownerships(false);
    archive.unpack(into)
}

/// Remembers that reading failed, whoever is told.
struct Noted<R> {
    reader: R,
    failed: Option<String>,
}

impl<R: Read> Read for Noted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed = Some(error.to_string());
        }
        read
    }
}

/// A directory that is removed again unless it is finished.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_dir_all(path)
        {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Whoever waits for a recovery may go away.
struct StopAtEnd(Arc<AtomicBool>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
