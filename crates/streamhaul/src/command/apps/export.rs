//! `streamhaul apps export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use proto::telemetry as pb;

use super::ask::parameters;
use crate::cli::AppExport;
use crate::print;
use crate::service_client::Apps;

pub(super) fn run(wanted: &AppExport) -> anyhow::Result<()> {
    if wanted.output == Path::new("-") {
        return write(wanted, &mut io::stdout().lock());
    }
    let part = part(&wanted.output);
    let name = || part.display().to_string();
    let mut file = BufWriter::new(File::create(&part).with_context(name)?);
    let written = write(wanted, &mut file).and_then(|()| {
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(std::fs::rename(&part, &wanted.output)?)
    });
    if written.is_err() {
        // What is not whole looks like the whole to whoever comes later.
        let _ = std::fs::remove_file(&part);
    }
    written?;
    print::line(&format!("wrote {}", wanted.output.display()));
    Ok(())
}

fn write(wanted: &AppExport, out: &mut impl Write) -> anyhow::Result<()> {
    let request = pb::ExportAppRequest {
        org: wanted.app.org.clone(),
        name: wanted.app.name.clone(),
        query: parameters(&[("format", Some(wanted.format.as_str()))], &wanted.events),
    };
    let apps = Apps::patient(&wanted.target)?;
    let export =
        async |mut client: pb::apps_client::AppsClient<_>| client.export_app(request).await;
    apps.read(export, |piece: pb::ExportAppResponse| {
        Ok(out.write_all(&piece.piece)?)
    })?;
    Ok(out.flush()?)
}

/// Beside the file, so that it can be renamed.
fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
