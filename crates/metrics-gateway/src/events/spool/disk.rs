//! A directory of segments, as a log needs it: each step that a crash can come between is one.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const EXTENSION: &str = "segment";
const DAMAGED: &str = "damaged";
const LOCK: &str = "lock";

/// Segments by their numbers. What was written may be lost until it is synced, and so may the
/// names of files until [`Disk::sync_names`].
pub(super) trait Disk: Send {
    /// The numbers there are, in any order.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// All of a segment.
    fn read(&self, number: u64) -> io::Result<Vec<u8>>;
    /// Makes an empty segment, which is appended to from now on.
    fn create(&mut self, number: u64) -> io::Result<()>;
    /// Writes to the end of the segment that was made last.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// What was appended is kept for good.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts a segment, for good.
    fn cut(&mut self, number: u64, length: u64) -> io::Result<()>;
    /// Which segments there are is kept for good.
    fn sync_names(&mut self) -> io::Result<()>;
    /// Takes a segment away.
    fn remove(&mut self, number: u64) -> io::Result<()>;
    /// Gives a segment a name by which it is no segment any more: for people to look into.
    fn set_aside(&mut self, number: u64) -> io::Result<()>;
}

/// A directory that is this process's alone, closed to others.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    names: File,
    last: Option<File>,
    /// Held as long as this is open, and no longer, however the process ends.
    _lock: File,
}

impl Directory {
    /// Opens it, made first if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or closed to others, or another process has it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
        let lock = private()
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another gateway has it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self {
            path: path.to_owned(),
            names: File::open(path)?,
            last: None,
            _lock: lock,
        })
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016x}.{EXTENSION}"))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = PathBuf::from(entry?.file_name());
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok());
            if path.extension().is_some_and(|it| it == EXTENSION) {
                numbers.extend(number);
            }
        }
        Ok(numbers)
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        std::fs::read(self.file(number))
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        let file = private()
            .create_new(true)
            .append(true)
            .open(self.file(number))?;
        self.last = Some(file);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.last()?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.last()?.sync_data()
    }

    fn cut(&mut self, number: u64, length: u64) -> io::Result<()> {
        let file = private().open(self.file(number))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.names.sync_all()
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        std::fs::remove_file(self.file(number))
    }

    fn set_aside(&mut self, number: u64) -> io::Result<()> {
        let file = self.file(number);
        let mut aside = file.with_extension(DAMAGED);
        // One of an earlier start may have had this number.
        for count in 1.. {
            if !aside.exists() {
                break;
            }
            aside = file.with_extension(format!("{count}.{DAMAGED}"));
        }
        std::fs::rename(&file, aside)
    }
}

impl Directory {
    fn last(&mut self) -> io::Result<&mut File> {
        self.last
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_one_processs_alone_and_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/spool");
        let mut directory = Directory::open(&path).unwrap();
        assert!(
            Directory::open(&path)
                .unwrap_err()
                .to_string()
                .contains("another gateway")
        );
        directory.create(255).unwrap();
        directory.append(b"abc").unwrap();
        directory.sync().unwrap();
        directory.sync_names().unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&directory.file(255)), 0o600);
        directory.cut(255, 2).unwrap();
        assert_eq!(directory.read(255).unwrap(), b"ab");
        assert_eq!(directory.list().unwrap(), [255]);
        directory.set_aside(255).unwrap();
        assert_eq!(directory.list().unwrap(), [0_u64; 0]);
        assert!(path.join("00000000000000ff.damaged").exists());
        directory.create(255).unwrap();
        directory.set_aside(255).unwrap();
        assert!(path.join("00000000000000ff.1.damaged").exists());
        drop(directory);
        Directory::open(&path).unwrap();
    }

    #[test]
    fn one_that_was_open_to_others_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
        let _directory = Directory::open(parent.path()).unwrap();
        assert_eq!(mode(parent.path()), 0o700);
    }
}
