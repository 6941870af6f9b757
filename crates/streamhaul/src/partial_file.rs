//! A file that gets its name when it is whole.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Beside its place until it is finished; gone if it never is, for what is not whole looks like
/// the whole to whoever comes later.
#[derive(Debug)]
pub(crate) struct PartialFile {
    file: File,
    part: Option<PathBuf>,
    into: PathBuf,
}

impl PartialFile {
    /// A new file, empty.
    pub(crate) fn create(into: &Path) -> anyhow::Result<Self> {
        let mut part = into.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| part.display().to_string())?;
        Ok(Self {
            file,
            part: Some(part),
            into: into.to_owned(),
        })
    }

    /// Writes at its end; what is written is not there before it is flushed.
    pub(crate) fn writer(&self) -> anyhow::Result<BufWriter<File>> {
        let file = self.file.try_clone();
        let file = file.with_context(|| self.into.display().to_string())?;
        Ok(BufWriter::new(file))
    }

    /// Gives it its name, in place of what had it.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let name = || self.into.display().to_string();
        self.file.sync_all().with_context(name)?;
        if let Some(part) = &self.part {
            std::fs::rename(part, &self.into).with_context(name)?;
        }
        self.part = None;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // Nobody is left who could be told.
            let _ = std::fs::remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    }

    #[test]
    fn what_is_finished_has_its_name_and_nothing_is_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("day.ndjson");
        std::fs::write(&into, "before").unwrap();
        let file = PartialFile::create(&into).unwrap();
        for line in ["one\n", "two\n"] {
            let mut writer = file.writer().unwrap();
            writer.write_all(line.as_bytes()).unwrap();
            writer.flush().unwrap();
        }
        assert_eq!(std::fs::read_to_string(&into).unwrap(), "before");
        file.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&into).unwrap(), "one\ntwo\n");
        assert_eq!(names(dir.path()), ["day.ndjson"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = PartialFile::create(&dir.path().join("day.ndjson")).unwrap();
        assert_eq!(names(dir.path()), ["day.ndjson.part"]);
        drop(file);
        assert_eq!(names(dir.path()), [""; 0]);
    }
}
