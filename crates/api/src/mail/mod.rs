//! Letters to people, by whatever takes them there.
//!
//! Another way is another [`Mailer`] and its line in [`mailer`].

mod directory;
mod smtp;

use futures_util::future::BoxFuture;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox};

use crate::accounts::email::Email;
use crate::config::MailConfig;

/// RFC 5322, section 2.1.1.
const LINE_LENGTH_MAX: usize = 998;

/// A letter. Its text holds a secret link, so it is in no log.
pub(crate) struct Letter {
    pub(crate) to: Email,
    pub(crate) subject: &'static str,
    pub(crate) text: String,
}

/// Takes letters to people.
pub(crate) trait Mailer: Send + Sync {
    /// Hands a letter over, once.
    fn send(&self, message: Message) -> BoxFuture<'_, anyhow::Result<()>>;
}

/// Puts letters into envelopes and hands them over.
pub(crate) struct Post {
    from: Mailbox,
    mailer: Option<Box<dyn Mailer>>,
}

impl Post {
    /// What the configuration says.
    ///
    /// # Errors
    /// When it cannot be followed.
    pub(crate) fn new(config: &MailConfig) -> anyhow::Result<Self> {
        Ok(Self {
            from: config.from.parse()?,
            mailer: mailer(config)?,
        })
    }

    /// Whether letters go anywhere.
    pub(crate) const fn is_open(&self) -> bool {
        self.mailer.is_some()
    }

    /// Sends a letter.
    ///
    /// # Errors
    /// When it was not taken.
    pub(crate) async fn send(&self, letter: &Letter) -> anyhow::Result<()> {
        let mailer = self.mailer.as_ref();
        let mailer = mailer.ok_or_else(|| anyhow::anyhow!("no mail is configured"))?;
        mailer.send(self.envelope(letter)?).await
    }

    fn envelope(&self, letter: &Letter) -> anyhow::Result<Message> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, letter.to.as_str().parse()?))
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(plain(&letter.text)?)?;
        Ok(message)
    }
}

/// As it stands: in a line that is broken up, a link is no link to a simple reader.
fn plain(text: &str) -> anyhow::Result<Body> {
    let is_short = text.split("\r\n").all(|line| line.len() <= LINE_LENGTH_MAX);
    anyhow::ensure!(text.is_ascii() && is_short, "a letter is not plain text");
    let encoding = ContentTransferEncoding::SevenBit;
    Ok(Body::dangerous_pre_encoded(text.into(), encoding))
}

fn mailer(config: &MailConfig) -> anyhow::Result<Option<Box<dyn Mailer>>> {
    if let Some(url) = config.smtp_url()? {
        return Ok(Some(Box::new(smtp::Smtp::new(&url)?)));
    }
    Ok(match &config.directory {
        Some(directory) => Some(Box::new(directory::Directory::new(directory.clone()))),
        None => None,
    })
}
