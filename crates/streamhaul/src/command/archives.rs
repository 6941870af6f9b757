//! `streamhaul archives`: straight at the archive, so that it is read when nothing else runs.

use std::path::Path;

use anyhow::Context as _;
use backup::{Archive, Identities, Part};
use jiff::civil::Date;
use serde_json::json;

use super::backups::{block_on, size};
use crate::cli::{Archives as Command, ArchivesTarget, KindWord};
use crate::partial_file::PartialFile;
use crate::print;
use crate::state_dir::StateDir;
use crate::telemetry;

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List {
            kind,
            from,
            to,
            target,
        } => list(*kind, (*from, *to), target),
        Command::Fetch {
            day,
            kind,
            into,
            identity,
            target,
        } => {
            let mut archive = open(target)?;
            if let Some(file) = identity {
                archive = archive.with_identities(Identities::read(file)?);
            }
            let fetched = block_on(fetch(&archive, *kind, *day, into))?;
            told(&fetched, into, target.json);
            Ok(())
        }
    }
}

fn open(target: &ArchivesTarget) -> anyhow::Result<Archive> {
    let state = StateDir::choose(target.state_dir.as_deref())?;
    let config = telemetry::configured(target.telemetry_file.as_deref(), &state)?;
    let archive = config.open_archive()?;
    archive.context(
        "there is no archive: set `retention = \"archive\"` and `[archive]` in telemetry.toml, or give --telemetry-file",
    )
}

fn list(
    kind: KindWord,
    (from, to): (Option<Date>, Option<Date>),
    target: &ArchivesTarget,
) -> anyhow::Result<()> {
    let archive = open(target)?;
    let is_wanted =
        |day| from.is_none_or(|from| day >= from) && to.is_none_or(|to: Date| day <= to);
    let parts = block_on(archive.list(kind.0.as_str(), is_wanted))?;
    if target.json {
        print::json(&json!({ "parts": parts }));
        return Ok(());
    }
    let row = |it: &Part| {
        vec![
            it.day.to_string(),
            it.rows.to_string(),
            size(it.bytes),
            size(it.plain_bytes),
            if it.encrypted { "yes" } else { "no" }.to_owned(),
            it.stored_at.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = parts.iter().map(row).collect();
    let head = ["day", "rows", "size", "uncompressed", "encrypted", "stored"];
    print::table(&head, &rows, "nothing is in the archive yet");
    Ok(())
}

/// Writes all parts of a day beside `into`, and gives them its name when they are whole.
async fn fetch(
    archive: &Archive,
    kind: KindWord,
    day: Date,
    into: &Path,
) -> anyhow::Result<Vec<Part>> {
    let parts = archive.list(kind.0.as_str(), |it| it == day).await?;
    if parts.is_empty() {
        anyhow::bail!(
            "the archive has no {} of {day}; see: streamhaul archives list",
            kind.0.as_str()
        );
    }
    if into.exists() {
        anyhow::bail!("{} is there already", into.display());
    }
    let file = PartialFile::create(into)?;
    for part in &parts {
        archive.fetch(part, file.writer()?).await?;
    }
    file.finish()?;
    Ok(parts)
}

fn told(parts: &[Part], into: &Path, json: bool) {
    let rows: u64 = parts.iter().map(|it| it.rows).sum();
    if json {
        print::json(&json!({ "into": into, "rows": rows, "parts": parts }));
        return;
    }
    print::line(&format!(
        "{rows} rows, as they were stored, in {}",
        into.display()
    ));
}
