//! Connections that outlive the process: a file that says each second what the next
//! process needs to go on with them.
//!
//! It names sockets and groups, which are secrets, so only the node's user can read
//! it. It is not synced to the disk: after a power cut it is too old anyway.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{NodeId, UnixMillis};
use relay_core::Saved;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::shards::{Gone, Shards};

const FILE_NAME: &str = "connections.json";
/// At a kill, what came since is asked for again.
const PERIOD: Duration = Duration::from_secs(1);

/// Where the connections are kept from one process to the next.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    path: PathBuf,
    node_id: NodeId,
    age_max: Duration,
    /// One write at a time, so that the last one is the newest.
    writing: Arc<Mutex<()>>,
}

#[derive(Serialize, Deserialize)]
struct ConnectionsFile {
    node_id: NodeId,
    relays: Vec<Saved>,
}

impl Keeper {
    /// For the node of this name; what is older than `age_max` is of no use. `None`
    /// when that is nothing: then nothing is kept.
    pub(crate) fn new(directory: &Path, node_id: NodeId, age_max: Duration) -> Option<Self> {
        (!age_max.is_zero()).then(|| Self {
            path: directory.join(FILE_NAME),
            node_id,
            age_max,
            writing: Arc::default(),
        })
    }

    /// What the last process left, one for each of its data threads. Whatever is
    /// wrong with it, the node starts, if need be without.
    pub(crate) fn load(&self, now: UnixMillis) -> Vec<Saved> {
        let json = match fs::read(&self.path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot read the last connections");
                return Vec::new();
            }
        };
        let Ok(file) = serde_json::from_slice::<ConnectionsFile>(&json) else {
            tracing::warn!(path = %self.path.display(), "the file of the last connections is damaged");
            return Vec::new();
        };
        let is_fresh = |saved: &Saved| now.since(saved.taken_at()) <= self.age_max;
        if file.node_id != self.node_id || !file.relays.iter().all(is_fresh) {
            return Vec::new();
        }
        file.relays
    }

    /// Writes down what is going on each second, until a data thread ends.
    pub(crate) async fn run(self, shards: Shards) -> Gone {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_written = true;
        let mut is_failing = false;
        loop {
            ticks.tick().await;
            let saved = match shards.save().await {
                Ok(saved) => saved,
                Err(gone) => return gone,
            };
            let is_empty = saved.iter().all(|saved| saved.connections() == 0);
            if is_empty && !is_written {
                continue;
            }
            is_written = !is_empty;
            let written = self.write(saved).await;
            if let Err(error) = &written
                && !is_failing
            {
                tracing::warn!(path = %self.path.display(), %error, "cannot write down the connections; a restart would end them");
            }
            is_failing = written.is_err();
        }
    }

    /// Writes down what is going on now.
    pub(crate) async fn write_now(&self, shards: &Shards) -> anyhow::Result<()> {
        let saved = shards.save().await?;
        Ok(self.write(saved).await?)
    }

    async fn write(&self, relays: Vec<Saved>) -> io::Result<()> {
        let keeper = self.clone();
        let writing = tokio::task::spawn_blocking(move || keeper.replace(relays));
        writing.await.map_err(io::Error::other)?
    }

    /// Replaces the file as a whole, so that a kill leaves the old or the new one.
    fn replace(&self, relays: Vec<Saved>) -> io::Result<()> {
        let file = ConnectionsFile {
            node_id: self.node_id.clone(),
            relays,
        };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = self.path.with_extension("new");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        serde_json::to_writer(io::BufWriter::new(opened), &file)?;
        fs::rename(&new, &self.path)
    }
}
