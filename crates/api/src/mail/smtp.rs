//! Mail by SMTP.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};

use super::Mailer;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A mail server.
pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    /// From `smtps://user:password@host:465`, `smtp://…:587?tls=required` or, for a
    /// relay on this machine, `smtp://127.0.0.1:25`.
    ///
    /// # Errors
    /// When the URL is none.
    pub(super) fn new(url: &SecretString) -> anyhow::Result<Self> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret());
        // The error would repeat the URL, with the password in it.
        let builder = builder.ok().context("mail.smtp_url: not an SMTP URL")?;
        Ok(Self(builder.timeout(Some(TIMEOUT)).build()))
    }
}

impl Mailer for Smtp {
    fn send(&self, message: Message) -> BoxFuture<'_, anyhow::Result<()>> {
        async move {
            self.0.send(message).await?;
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::accounts::email::Email;
    use crate::config::MailConfig;
    use crate::mail::{Letter, Post};

    /// As much of a mail server as takes one letter.
    async fn take_one(listener: TcpListener) -> String {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 test\r\n").await.unwrap();
        let (mut taken, mut is_data) = (String::new(), false);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            taken.push_str(&line);
            let answer: &[u8] = match line.trim_end() {
                "." => {
                    is_data = false;
                    b"250 taken\r\n"
                }
                _ if is_data => continue,
                "DATA" => {
                    is_data = true;
                    b"354 go on\r\n"
                }
                "QUIT" | "" => return taken,
                _ => b"250 ok\r\n",
            };
            stream.write_all(answer).await.unwrap();
            if answer.ends_with(b"taken\r\n") {
                return taken;
            }
        }
    }

    #[tokio::test]
    async fn a_letter_goes_to_the_mail_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(take_one(listener));
        let config = MailConfig {
            smtp_url: url.into(),
            ..MailConfig::default()
        };
        let letter = Letter {
            to: Email::parse("someone@example.com").unwrap(),
            subject: "A subject",
            text: "A text\r\n".to_owned(),
        };
        Post::new(&config).unwrap().send(&letter).await.unwrap();
        let taken = server.await.unwrap();
        for part in [
            "RCPT TO:<someone@example.com>",
            "Subject: A subject",
            "A text",
        ] {
            assert!(taken.contains(part), "{part}: {taken}");
        }
    }

    #[test]
    fn a_wrong_url_is_not_repeated() {
        let error = Smtp::new(&"http://user:password@host".into())
            .err()
            .unwrap();
        assert!(!format!("{error:?}").contains("password@"), "{error:?}");
    }
}
