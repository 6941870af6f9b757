//! Mail for development and for instances without a mail server: files to read.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::Message;

use super::Mailer;
use crate::token;

/// A directory of `.eml` files that only their user can read; the newest sorts last.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }
}

impl Mailer for Directory {
    fn send(&self, message: Message) -> BoxFuture<'_, anyhow::Result<()>> {
        let directory = self.0.clone();
        async move {
            let text = message.formatted();
            tokio::task::spawn_blocking(move || write(&directory, &text)).await?
        }
        .boxed()
    }
}

fn write(directory: &Path, text: &[u8]) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(directory)
        .with_context(|| directory.display().to_string())?;
    let file = directory.join(format!("{:032x}.eml", token::id_bits()));
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(&file);
    let mut opened = opened.with_context(|| file.display().to_string())?;
    Ok(opened.write_all(text)?)
}
