//! Compression and encryption, as bytes pass.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use age::stream::{StreamReader, StreamWriter};
use age::x25519;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::Error;

/// zstd's own default: a third of the size at hundreds of megabytes a second.
const LEVEL: i32 = 3;

/// For whom backups are encrypted; nobody: they are not.
#[derive(Clone)]
pub(crate) struct Seal {
    recipients: Arc<[x25519::Recipient]>,
}

/// Who can read backups.
#[derive(Clone, Default)]
pub struct Identities {
    identities: Arc<[x25519::Identity]>,
}

/// Compresses, and encrypts what is compressed.
pub(crate) type Sealer<W> = zstd::stream::write::Encoder<'static, Encrypted<W>>;

pub(crate) enum Encrypted<W: Write> {
    Age(StreamWriter<W>),
    Plain(W),
}

pub(crate) enum Decrypted<R: Read> {
    Age(StreamReader<BufReader<R>>),
    Plain(BufReader<R>),
}

impl Seal {
    pub(crate) fn new(recipients: &[String]) -> Result<Self, Error> {
        let parse = |text: &String| {
            x25519::Recipient::from_str(text)
                .map_err(|error| Error::Key(format!("recipients: {text} is none: {error}")))
        };
        let recipients = recipients.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { recipients })
    }

    pub(crate) fn encrypts(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// What names of sealed objects end with.
    pub(crate) fn extension(&self) -> &'static str {
        extension(self.encrypts())
    }

    pub(crate) fn writer<W: Write>(&self, sink: W) -> io::Result<Sealer<W>> {
        let mut sealer = zstd::stream::write::Encoder::new(self.encrypted(sink)?, LEVEL)?;
        sealer.include_checksum(true)?;
        Ok(sealer)
    }

    fn encrypted<W: Write>(&self, sink: W) -> io::Result<Encrypted<W>> {
        if !self.encrypts() {
            return Ok(Encrypted::Plain(sink));
        }
        let all = self.recipients.iter().map(|it| it as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(all).map_err(io::Error::other)?;
        Ok(Encrypted::Age(encryptor.wrap_output(sink)?))
    }
}

/// What names of sealed objects end with.
pub(crate) const fn extension(encrypted: bool) -> &'static str {
    if encrypted { "zst.age" } else { "zst" }
}

/// Ends what [`Seal::writer`] began.
pub(crate) fn finish<W: Write>(sealer: Sealer<W>) -> io::Result<W> {
    match sealer.finish()? {
        Encrypted::Age(writer) => writer.finish(),
        Encrypted::Plain(writer) => Ok(writer),
    }
}

impl<W: Write> Write for Encrypted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Age(writer) => writer.write(bytes),
            Self::Plain(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Age(writer) => writer.flush(),
            Self::Plain(writer) => writer.flush(),
        }
    }
}

impl Identities {
    /// Those of a file as `age-keygen` writes it.
    ///
    /// # Errors
    /// When it cannot be read, or has none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::local(path, source))?;
        Self::parse(&SecretString::from(text))
            .map_err(|error| Error::Key(format!("{}: {error}", path.display())))
    }

    fn parse(text: &SecretString) -> Result<Self, &'static str> {
        let lines = text.expose_secret().lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities: Arc<[x25519::Identity]> = keys.map(str::parse).collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Err("has no line that begins with AGE-SECRET-KEY-");
        }
        Ok(Self { identities })
    }

    /// Who they are, as `recipients` want it.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        let all = self.identities.iter();
        all.map(|identity| identity.to_public().to_string())
            .collect()
    }

    /// Decrypts, if that is so, and uncompresses.
    pub(crate) fn reader<R: Read>(
        &self,
        encrypted: bool,
        source: R,
        name: &str,
    ) -> Result<impl Read + use<R>, Error> {
        let damaged = |reason: String| Error::Damaged {
            object: name.to_owned(),
            reason,
        };
        let source = BufReader::new(source);
        let decrypted = if encrypted {
            Decrypted::Age(self.decrypt(source).map_err(|error| match error {
                age::DecryptError::NoMatchingKeys => Error::Key(wrong_key(name)),
                other => damaged(other.to_string()),
            })?)
        } else {
            Decrypted::Plain(source)
        };
        zstd::stream::read::Decoder::new(decrypted).map_err(|error| damaged(error.to_string()))
    }

    fn decrypt<R: Read>(
        &self,
        source: BufReader<R>,
    ) -> Result<StreamReader<BufReader<R>>, age::DecryptError> {
        let all = self.identities.iter().map(|it| it as &dyn age::Identity);
        age::Decryptor::new_buffered(source)?.decrypt(all)
    }
}

fn wrong_key(name: &str) -> String {
    format!("{name} is encrypted for another key; give the right one with --identity")
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Age(reader) => reader.read(into),
            Self::Plain(reader) => reader.read(into),
        }
    }
}

/// A new identity, as a file for [`Identities::read`].
#[must_use]
pub fn generate_identity() -> SecretString {
    let identity = x25519::Identity::generate();
    let (public, secret) = (identity.to_public(), identity.to_string());
    format!(
        "# public key: {public}\n{}\n",
        age::secrecy::ExposeSecret::expose_secret(&secret)
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Identities {
        Identities::parse(&generate_identity()).unwrap()
    }

    fn sealed(seal: &Seal, text: &[u8]) -> Vec<u8> {
        let mut writer = seal.writer(Vec::new()).unwrap();
        writer.write_all(text).unwrap();
        finish(writer).unwrap()
    }

    fn opened(key: &Identities, encrypted: bool, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        let mut reader = key
            .reader(encrypted, bytes, "it")
            .map_err(|error| error.to_string())?;
        reader
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn only_the_right_key_reads_what_was_sealed() {
        let (key, other) = (key(), key());
        let text = b"one two three".repeat(10_000);
        let bytes = sealed(&Seal::new(&key.recipients()).unwrap(), &text);
        assert!(bytes.len() < text.len() / 10);
        assert_eq!(opened(&key, true, &bytes).unwrap(), text);
        let refused = opened(&other, true, &bytes).unwrap_err();
        assert!(refused.contains("another key"), "{refused}");
        let plain = sealed(&Seal::new(&[]).unwrap(), &text);
        assert_eq!(opened(&key, false, &plain).unwrap(), text);
    }

    #[test]
    fn a_byte_more_or_less_is_noticed() {
        let key = key();
        for seal in [
            Seal::new(&key.recipients()).unwrap(),
            Seal::new(&[]).unwrap(),
        ] {
            let bytes = sealed(&seal, &b"one two three".repeat(10_000));
            let shorter = &bytes[..bytes.len() - 1];
            assert!(opened(&key, seal.encrypts(), shorter).is_err());
            let mut changed = bytes.clone();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            assert!(opened(&key, seal.encrypts(), &changed).is_err());
        }
    }

    #[test]
    fn keys_that_are_none_are_refused_and_not_repeated() {
        assert!(Seal::new(&["age1nonsense".to_owned()]).is_err());
        assert!(Identities::parse(&"# nothing\n".into()).is_err());
        let error = Identities::parse(&"AGE-SECRET-KEY-NONSENSE".into())
            .err()
            .unwrap();
        assert!(!error.contains("NONSENSE"));
    }
}
