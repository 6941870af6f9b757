//! `streamhaul apps export`.

use std::io::{self, Write};
use std::path::Path;

use proto::telemetry as pb;

use super::ask::parameters;
use crate::calling_off::unless_called_off;
use crate::cli::AppExport;
use crate::partial_file::PartialFile;
use crate::print;
use crate::service_client::Apps;

pub(super) fn run(wanted: &AppExport) -> anyhow::Result<()> {
    let apps = Apps::patient(&wanted.target)?;
    if wanted.output == Path::new("-") {
        return apps.wait(write(&apps, wanted, &mut io::stdout().lock()));
    }
    let file = PartialFile::create(&wanted.output)?;
    let mut writer = file.writer()?;
    apps.wait(unless_called_off(write(&apps, wanted, &mut writer)))?;
    file.finish()?;
    print::line(&format!("wrote {}", wanted.output.display()));
    Ok(())
}

async fn write(apps: &Apps, wanted: &AppExport, out: &mut impl Write) -> anyhow::Result<()> {
    let request = pb::ExportAppRequest {
        org: wanted.app.org.clone(),
        name: wanted.app.name.clone(),
        query: parameters(&[("format", Some(wanted.format.as_str()))], &wanted.events),
    };
    let export =
        async |mut client: pb::apps_client::AppsClient<_>| client.export_app(request).await;
    let piece = |piece: pb::ExportAppResponse| Ok(out.write_all(&piece.piece)?);
    apps.read(export, piece).await?;
    Ok(out.flush()?)
}
