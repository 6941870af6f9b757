//! A server with a table that is written to, and a place for its backups.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use storage::cluster::{Cluster, ClusterConfig};
use streamhaul_backup::{
    Backups, Config, DestinationConfig, Identities, Request, Restored, Taken, Target,
};
use tempfile::TempDir;
use testkit::database::execute_in;

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) identities: Identities,
    cluster: Cluster,
}

impl World {
    /// A migrated server, and one destination, a directory.
    pub(crate) async fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sh-backup")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap();
        let binaries = Cluster::find_binaries().unwrap();
        let cluster = Cluster::start(
            &ClusterConfig::in_state_dir(&dir.path().join("s")),
            &binaries,
        )
        .unwrap();
        let pool = storage::connect("backups", &cluster.url(), 1).unwrap();
        storage::migrate(&pool).await.unwrap();
        pool.close().await;
        let key = dir.path().join("key");
        std::fs::write(&key, streamhaul_backup::generate_identity().expose_secret()).unwrap();
        let identities = Identities::read(&key).unwrap();
        let config = Config {
            destinations: vec![DestinationConfig {
                name: "disk".to_owned(),
                path: Some(dir.path().join("backups")),
                ..DestinationConfig::default()
            }],
            recipients: identities.recipients(),
            ..Config::default()
        };
        let world = Self {
            dir,
            config,
            identities,
            cluster,
        };
        world.sql("CREATE TABLE public.notes (text text)").await;
        world
    }

    pub(crate) fn backups(&self) -> Backups {
        Backups::open(&self.config, Arc::new(|_| {})).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url()
    }

    pub(crate) async fn sql(&self, sql: &str) {
        execute_in(&self.url(), sql).await;
    }

    pub(crate) async fn note(&self, text: &str) {
        self.sql(&format!("INSERT INTO public.notes VALUES ('{text}')"))
            .await;
    }

    pub(crate) async fn take(&self) -> Taken {
        self.backups().take(&self.url()).await.unwrap()
    }

    /// Restores the newest backup that fits into a directory of its own.
    pub(crate) async fn restore(
        &self,
        name: &str,
        target: Target,
    ) -> Result<Restored, streamhaul_backup::Error> {
        let backups = self.backups();
        backups
            .restore(Request {
                destination: &backups.destinations()[0],
                id: None,
                target,
                into: &self.path(name),
                identities: &self.identities,
            })
            .await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The copy of the server in a backup.
    pub(crate) fn base(&self, id: &str) -> PathBuf {
        let dir = self.path("backups/base").join(id);
        dir.join("base.tar.zst.age")
    }
}

/// How many rows `public.notes` has.
pub(crate) fn notes(restored: &Restored) -> u64 {
    let tables = &restored.tables;
    let notes = tables.iter().find(|it| it.table == "public.notes");
    notes.unwrap().rows
}

/// Every file under a directory, and its contents' length.
pub(crate) fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut next = vec![dir.to_owned()];
    while let Some(dir) = next.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            match entry.metadata().unwrap() {
                metadata if metadata.is_dir() => next.push(entry.path()),
                metadata => found.push((entry.path(), metadata.len())),
            }
        }
    }
    found.sort();
    found
}
