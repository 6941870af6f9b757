//! Who runs the cluster, and directories that user can use and others cannot.

use std::fs::Permissions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

use super::Error;

/// A socket's path may have 107 bytes; `/.s.PGSQL.5432.lock` takes 19.
const SOCKET_DIR_LENGTH_MAX: usize = 88;

/// The user that runs the cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: Uid,
    gid: Gid,
    /// Whether we must become that user.
    switch: bool,
}

impl Owner {
    /// Ourselves, or an unprivileged user when we are root.
    pub(super) fn find() -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Ok(Self {
                uid: Uid::effective(),
                gid: Gid::effective(),
                switch: false,
            });
        }
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self {
                uid: user.uid,
                gid: user.gid,
                switch: true,
            })
            .ok_or(Error::NoUser)
    }

    /// Lets a command run as this user.
    pub(super) fn apply(self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
    }

    /// Gives away everything in a directory.
    pub(super) fn gives_all_away(self, path: &Path) -> std::io::Result<()> {
        if !self.switch {
            return Ok(());
        }
        self.gives_away(path)?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.gives_all_away(&entry.path())?;
            } else {
                std::os::unix::fs::lchown(
                    entry.path(),
                    Some(self.uid.as_raw()),
                    Some(self.gid.as_raw()),
                )?;
            }
        }
        Ok(())
    }

    /// Whether this user gets to a directory in `parent`.
    pub(super) fn reaches(self, parent: &Path) -> bool {
        !self.switch || others_may_pass(parent)
    }

    fn gives_away(self, path: &Path) -> std::io::Result<()> {
        if self.switch {
            std::os::unix::fs::chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))?;
        }
        Ok(())
    }
}

/// The cluster's files: `<state_dir>/postgres` where its user can get there.
pub(super) fn data_dir(state_dir: &Path) -> PathBuf {
    if !Uid::effective().is_root() || others_may_pass(state_dir) {
        return state_dir.join("postgres");
    }
    Path::new("/var/lib/streamhaul").join(format!("postgres{}", flattened(state_dir)))
}

/// `<state_dir>/run`, or a short place when that would be too long or closed.
pub(super) fn socket_dir(state_dir: &Path) -> PathBuf {
    let own = state_dir.join("run");
    let short = own.as_os_str().len() <= SOCKET_DIR_LENGTH_MAX;
    if short && (!Uid::effective().is_root() || others_may_pass(state_dir)) {
        return own;
    }
    std::env::temp_dir().join(format!("streamhaul-{:016x}", digest(state_dir)))
}

/// Makes a directory that only `owner` can enter, and checks one that is there.
pub(super) fn prepare(path: &Path, owner: Owner) -> Result<(), Error> {
    let failed = |reason: String| Error::Directory {
        path: path.to_owned(),
        reason,
    };
    let io = |error: std::io::Error| failed(error.to_string());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => owner.gives_away(path).map_err(io)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io(error)),
    }
    // Whoever else made it could swap what is in it.
    let metadata = std::fs::symlink_metadata(path).map_err(io)?;
    if !metadata.is_dir() || metadata.uid() != owner.uid.as_raw() {
        return Err(failed(
            "exists and belongs to somebody else; remove it".to_owned(),
        ));
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)
}

fn others_may_pass(path: &Path) -> bool {
    path.ancestors()
        .filter_map(|ancestor| std::fs::metadata(ancestor).ok())
        .all(|metadata| metadata.permissions().mode() & 0o001 != 0)
}

/// `/root/state` as `-root-state`: a name that later versions find again.
fn flattened(path: &Path) -> String {
    path.to_string_lossy().replace('/', "-")
}

/// Short, and good for one version of this program: a socket need not be found
/// again.
fn digest(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_out_of_reach_gets_a_lasting_name() {
        assert_eq!(flattened(Path::new("/root/my state")), "-root-my state");
    }
}
