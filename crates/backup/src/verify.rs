//! The proof that a backup is one: it is restored into a server of its own, and has there what
//! it had.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::UnixMillis;
use storage::backup::Database;

use crate::base::{made, millis};
use crate::error::Error;
use crate::manifest::{Manifest, Proof};
use crate::restore::{Request, Target};
use crate::seal::Identities;
use crate::{Backups, Destination};

/// A backup that was restored and found whole.
#[derive(Debug)]
pub struct Verified {
    /// What it is.
    pub manifest: Manifest,
    /// The proof.
    pub proof: Proof,
    /// Older ones that were deleted because of it.
    pub deleted: Vec<String>,
}

impl Backups {
    /// Restores a destination's newest backup, or the one named, into a server that is removed
    /// again, compares, and writes the proof beside it. Then the destination's retention is
    /// applied.
    ///
    /// # Errors
    /// See [`enum@Error`]; then nothing was deleted.
    pub async fn verify(
        &self,
        destination: &Destination,
        id: Option<&str>,
        identities: &Identities,
    ) -> Result<Verified, Error> {
        let started = Instant::now();
        let work = self.work()?;
        let restored = self
            .restore(Request {
                destination,
                id,
                target: Target::Mark,
                into: &work.path().join("data"),
                identities,
            })
            .await?;
        let proof = Proof {
            verified_at: Timestamp::now(),
            took_ms: millis(started.elapsed()),
            tables: restored.tables.len() as u64,
            rows: restored.manifest.rows(),
        };
        let document = serde_json::to_vec_pretty(&proof)
            .map_err(|error| Error::Config(format!("the proof: {error}")))?;
        let path = Proof::path(&restored.manifest.id);
        destination.put(&path, document).await?;
        let deleted = self.prune(destination, &restored.manifest).await?;
        Ok(Verified {
            manifest: restored.manifest,
            proof,
            deleted,
        })
    }

    /// Lets the database at `url` remember what was found and deleted.
    ///
    /// # Errors
    /// When it is away.
    pub async fn record(
        &self,
        url: &str,
        destination: &Destination,
        verified: &Verified,
    ) -> Result<(), Error> {
        let database = Database::new(url)?;
        let proof = storage::backup::Proof {
            verified_at: UnixMillis(verified.proof.verified_at.as_millisecond()),
            took: Duration::from_millis(verified.proof.took_ms),
            tables: verified.proof.tables,
            rows: verified.proof.rows,
        };
        let made = made(&verified.manifest, destination.name());
        database.record_proof(&made, &proof).await?;
        for id in &verified.deleted {
            database.forget_backup(destination.name(), id).await?;
        }
        Ok(())
    }
}
