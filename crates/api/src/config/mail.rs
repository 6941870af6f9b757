//! How letters are sent.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// How letters are sent: by `smtp_url` or `smtp_url_file`, else into `directory`, else
/// not at all.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// The mail server: `smtps://user:password@host:465`,
    /// `smtp://user:password@host:587?tls=required`, or `smtp://127.0.0.1:25` for one on
    /// this machine.
    #[serde(serialize_with = "service_kit::secret::redacted")]
    pub smtp_url: SecretString,
    /// A file that holds that URL.
    pub smtp_url_file: Option<PathBuf>,
    /// Writes each letter to a file in this directory instead.
    pub directory: Option<PathBuf>,
    /// Whom letters are from.
    pub from: String,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            smtp_url: SecretString::default(),
            smtp_url_file: None,
            directory: None,
            from: "Streamhaul <streamhaul@localhost.localdomain>".to_owned(),
        }
    }
}

impl MailConfig {
    /// The mail server's URL, if one is set.
    pub(crate) fn smtp_url(&self) -> anyhow::Result<Option<SecretString>> {
        if let Some(file) = &self.smtp_url_file {
            return Ok(Some(service_kit::secret::read_file(file)?));
        }
        let is_set = !self.smtp_url.expose_secret().is_empty();
        Ok(is_set.then(|| self.smtp_url.clone()))
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        if self.from.parse::<lettre::message::Mailbox>().is_err() {
            return Err("mail.from: such as Streamhaul <streamhaul@example.com>".to_owned());
        }
        Ok(())
    }
}
