//! An archive of telemetry: days of rows, each in objects that say what they are.
//!
//! ```text
//! telemetry/<kind>/<day>/<name>.ndjson.zst[.age]
//!                        <name>.json      last: with it the part is there, without it not
//! ```

mod config;
mod part;

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use jiff::civil::Date;
use object_store::ObjectStoreExt as _;

pub use config::ArchiveConfig;
pub use part::Part;
use part::{FORM, directory};

use crate::chunks::Source;
use crate::destination::{Destination, missing, pour};
use crate::error::Error;
use crate::seal::{Identities, Seal};
use crate::upload;

const COPY_BYTES: usize = 64 << 10;

/// A place for days of telemetry.
#[derive(Clone)]
pub struct Archive {
    destination: Destination,
    seal: Seal,
    identities: Option<Identities>,
}

/// What an object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Lines.
    pub rows: u64,
    /// The object's size.
    pub bytes: u64,
    /// Its size uncompressed.
    pub plain_bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl Archive {
    /// The one that is configured; nothing is asked of a bucket yet, a directory is made.
    ///
    /// # Errors
    /// When the configuration is wrong, or a file that it names cannot be used.
    pub fn open(config: &ArchiveConfig) -> Result<Self, Error> {
        config.validate().map_err(Error::Config)?;
        let identities = match &config.identity_file {
            Some(file) => Some(Identities::read(file)?),
            None => None,
        };
        Ok(Self {
            destination: Destination::open(&config.destination())?,
            seal: Seal::new(&config.recipients)?,
            identities,
        })
    }

    /// This archive, read with another key.
    #[must_use]
    pub fn with_identities(self, identities: Identities) -> Self {
        Self {
            identities: Some(identities),
            ..self
        }
    }

    /// Whether it encrypts.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.seal.encrypts()
    }

    /// What an object is called that is known here as `stem`.
    #[must_use]
    pub fn object_name(&self, stem: &str) -> String {
        format!("{stem}.ndjson.{}", self.seal.extension())
    }

    /// Writes lines, about `bytes` of them, into a new object; it stands only if none failed.
    ///
    /// # Errors
    /// When the archive does not take them, or they cannot be read.
    pub async fn write(
        &self,
        (kind, day): (&str, Date),
        object: &str,
        bytes: u64,
        lines: impl Stream<Item = Result<Bytes, storage::Error>>,
    ) -> Result<Written, Error> {
        let name = format!("{}/{object}", directory(kind, day));
        let (sender, source, _) = Source::new();
        let (told, certain) = tokio::sync::oneshot::channel();
        let feeding = async {
            let mut rows = 0;
            let mut lines = std::pin::pin!(lines);
            let mut outcome = Ok(());
            while let Some(batch) = lines.next().await {
                match batch {
                    Ok(batch) => {
                        rows += newlines(&batch);
                        // Whoever does not take it has its own reasons to tell.
                        if sender.send(Ok(batch)).await.is_err() {
                            break;
                        }
                    }
                    Err(error) => {
                        outcome = Err(Error::Rows(error));
                        break;
                    }
                }
            }
            drop(sender);
            let _ = told.send(outcome);
            rows
        };
        let certain = async { certain.await.unwrap_or(Err(Error::Stopped)) };
        let destinations = std::slice::from_ref(&self.destination);
        let storing = upload::store(destinations, &self.seal, &name, bytes, source, certain);
        let (rows, stored) = tokio::join!(feeding, storing);
        let stored = stored?;
        stored.outcomes.into_iter().collect::<Result<(), Error>>()?;
        Ok(Written {
            rows,
            bytes: stored.sealed.bytes,
            plain_bytes: stored.plain_bytes,
            sha256: stored.sealed.sha256,
        })
    }

    /// Writes what a part is beside it: from then on it is there.
    ///
    /// # Errors
    /// When the archive does not take it.
    pub async fn publish(&self, part: &Part) -> Result<(), Error> {
        let document = serde_json::to_vec_pretty(part)
            .map_err(|error| Error::Config(format!("the manifest: {error}")))?;
        self.destination.put(&part.manifest_path(), document).await
    }

    /// Reads back what is said of a part, and all of it, and compares.
    ///
    /// # Errors
    /// [`Error::Damaged`] when anything is not what it should be.
    pub async fn check(&self, part: &Part) -> Result<(), Error> {
        let path = part.manifest_path();
        let said: Option<Part> = self.destination.document(&path).await?;
        if said.as_ref() != Some(part) {
            return Err(self.damaged(&path, "it is not what was written"));
        }
        self.read(part, io::sink()).await
    }

    /// Deletes a part, if it is there; what is said of it first, so that half of it is none.
    ///
    /// # Errors
    /// When the archive does not answer.
    pub async fn remove(&self, part: &Part) -> Result<(), Error> {
        self.destination.delete(&part.manifest_path()).await?;
        self.destination.delete(&part.path()).await
    }

    /// The parts of a kind, of the days that are wanted, the oldest first.
    ///
    /// # Errors
    /// When the archive does not answer, or a manifest is damaged.
    pub async fn list(
        &self,
        kind: &str,
        is_wanted: impl Fn(Date) -> bool,
    ) -> Result<Vec<Part>, Error> {
        let mut parts: Vec<Part> = Vec::new();
        for name in self.destination.names(&part::kind_directory(kind)).await? {
            if name.ends_with(".json")
                && part::day_of(&name).is_some_and(&is_wanted)
                && let Some(part) = self.destination.document(&name).await?
            {
                parts.push(part);
            }
        }
        parts.sort_by_key(|part| (part.day, part.stored_at));
        Ok(parts)
    }

    /// Gives the lines of a part to `sink`, which may believe them when this says that they are whole.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what was stored; [`Error::Key`] when it cannot be read.
    pub async fn fetch(&self, part: &Part, sink: impl Write + Send + 'static) -> Result<(), Error> {
        if part.form > FORM {
            return Err(Error::Nothing(format!(
                "{} is of a newer version of streamhaul",
                part.path()
            )));
        }
        if part.encrypted && self.identities.is_none() {
            return Err(Error::Key(
                "give the key that reads the archive with --identity".to_owned(),
            ));
        }
        self.read(part, sink).await
    }

    /// Reads all of a part: uncompressed into `sink` and counted, where there is a key for it.
    async fn read(&self, part: &Part, sink: impl Write + Send + 'static) -> Result<(), Error> {
        let name = part.path();
        let object = self
            .destination
            .store()
            .get(&self.destination.path(&name))
            .await;
        let object = object.map_err(|error| missing(&self.destination, &name, &error))?;
        if object.meta.size != part.bytes {
            return Err(self.damaged(&name, "it has another size"));
        }
        let (sender, source, meter) = Source::new();
        let opened = match (part.encrypted, &self.identities) {
            (true, None) => None,
            (_, identities) => Some(identities.clone().unwrap_or_default()),
        };
        let (encrypted, object_name) = (part.encrypted, name.clone());
        let reading = tokio::task::spawn_blocking(move || match opened {
            None => drain(source).map(|()| None),
            Some(identities) => {
                let reader = identities.reader(encrypted, source, &object_name)?;
                lines(reader, sink, &object_name).map(Some)
            }
        });
        let poured = pour(&self.destination, object, &sender).await;
        drop(sender);
        let read = reading.await.map_err(|_| Error::Stopped)?;
        poured?;
        let rows = read?;
        let passed = meter.passed();
        if passed.bytes != part.bytes || passed.sha256 != part.sha256 {
            return Err(self.damaged(&name, "its SHA-256 is not that of what was stored"));
        }
        match rows {
            Some(rows) if rows != part.rows => Err(self.damaged(&name, "it has other rows")),
            _ => Ok(()),
        }
    }

    fn damaged(&self, name: &str, reason: &str) -> Error {
        Error::Damaged {
            object: format!("{name} in {}", self.destination.name()),
            reason: reason.to_owned(),
        }
    }
}

fn drain(mut source: impl Read) -> Result<(), Error> {
    let read = io::copy(&mut source, &mut io::sink());
    // Whoever fed it says why it ended.
    read.map(drop).map_err(|_| Error::Stopped)
}

/// Copies lines and counts them.
fn lines(mut reader: impl Read, mut sink: impl Write, name: &str) -> Result<u64, Error> {
    let (mut buffer, mut rows) = (vec![0; COPY_BYTES], 0);
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| Error::Damaged {
                object: name.to_owned(),
                reason: error.to_string(),
            })?,
        };
        if read == 0 {
            return sink.flush().map(|()| rows).map_err(Error::Output);
        }
        rows += newlines(&buffer[..read]);
        sink.write_all(&buffer[..read]).map_err(Error::Output)?;
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
