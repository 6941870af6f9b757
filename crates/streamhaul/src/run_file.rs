//! `run.json`: what a running instance tells about itself, so that commands and
//! scripts find it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::secrets::write_private;

/// Where a running instance is reached and by which token.
#[derive(Clone, Serialize, Deserialize)]
pub struct RunFile {
    /// The HTTP API.
    pub api_http: String,
    /// gRPC for relay nodes.
    pub api_grpc: String,
    /// gRPC for whoever looks after background work.
    #[serde(default)]
    pub jobs_grpc: String,
    /// The live view.
    pub gateway_http: String,
    /// gRPC for reports, and for whoever looks after apps.
    #[serde(default)]
    pub gateway_grpc: String,
    /// The relay node's port for publishers and players, as `host:port`.
    pub relay_udp: String,
    /// The relay node's statistics.
    pub relay_stats_http: String,
    /// The admin listeners.
    pub admin: Admin,
    /// The administrator's token.
    pub admin_token: String,
    /// The database.
    pub database_url: String,
}

/// The admin listeners of the services.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Admin {
    /// Of api.
    pub api: String,
    /// Of jobs.
    pub jobs: String,
    /// Of relay-node.
    pub relay_node: String,
    /// Of metrics-gateway.
    pub metrics_gateway: String,
}

/// Why no running instance was found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing runs there.
    #[error("no instance runs on {}; start one with `streamhaul up`, or say where one is: --state-dir, or --api and --token", dir.display())]
    NotRunning {
        /// The state directory.
        dir: PathBuf,
    },
    /// The file belongs to another user.
    #[error("{} belongs to another user; give --api and --token, or run as that user", path.display())]
    Forbidden {
        /// The file.
        path: PathBuf,
    },
    /// The file is not readable for another reason.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl RunFile {
    /// Writes the file for its user only.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_private(path, &json)
    }

    /// Reads what the instance at `path` wrote.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let json = std::fs::read(path).map_err(|error| describe(path, &error))?;
        serde_json::from_slice(&json).map_err(|error| Error::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}

fn describe(path: &Path, error: &io::Error) -> Error {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotRunning {
            dir: path.parent().map(Path::to_owned).unwrap_or_default(),
        },
        io::ErrorKind::PermissionDenied => Error::Forbidden { path },
        _ => Error::Unreadable {
            reason: error.to_string(),
            path,
        },
    }
}
