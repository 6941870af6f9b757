//! PostgreSQL's own programs, as children that end with us.

use std::path::Path;
use std::process::Stdio;

use secrecy::{ExposeSecret as _, SecretString};
use storage::cluster::{Binaries, Cluster};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::error::Error;

/// What a program says is kept up to this many bytes.
const SAID_BYTES_MAX: u64 = 16 << 10;

/// The programs that copy a server, and how they reach it.
pub(crate) struct Programs {
    binaries: Binaries,
    url: String,
    password: Option<SecretString>,
}

impl Programs {
    /// Those that are at least as new as the server.
    pub(crate) fn find(chosen: Option<&Path>, url: &str, major: u32) -> Result<Self, Error> {
        let binaries = Cluster::find_copy_programs(chosen)?;
        if binaries.major < major {
            return Err(Error::Server(format!(
                "the server is PostgreSQL {major}, but pg_basebackup in {} is of {}: install postgresql-client-{major}, or set bin_dir",
                binaries.bin_dir.display(),
                binaries.major
            )));
        }
        let (url, password) = without_password(url);
        Ok(Self {
            binaries,
            url,
            password,
        })
    }

    /// A command that connects to the server; nobody else sees the password.
    pub(crate) fn command(&self, program: &'static str) -> Command {
        let mut command = self.binaries.client(program);
        command.env("LC_ALL", "C").arg("--no-password");
        command.arg("--dbname").arg(&self.url);
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        let mut command = Command::from(command);
        command.stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Starts a program.
pub(crate) fn spawn(program: &'static str, command: &mut Command) -> Result<Child, Error> {
    command.spawn().map_err(|error| Error::Program {
        program,
        reason: error.to_string(),
    })
}

/// Waits until a program has ended well.
pub(crate) async fn succeeded(program: &'static str, mut child: Child) -> Result<(), Error> {
    let failed = |reason: String| Error::Program { program, reason };
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let read = stderr.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
        read.map_err(|error| failed(error.to_string()))?;
    }
    let status = child
        .wait()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("NOTICE:"))
        .collect();
    Err(failed(match lines.as_slice() {
        [] => status.to_string(),
        lines => lines.join("; "),
    }))
}

/// A URL without its password, and the password: what programs are called with, everybody on
/// the machine can read.
fn without_password(url: &str) -> (String, Option<SecretString>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else {
        return (url.to_owned(), None);
    };
    let Some((user, password)) = user.split_once(':') else {
        return (url.to_owned(), None);
    };
    let password = percent_decoded(password).into();
    (format!("{scheme}://{user}@{host}{tail}"), Some(password))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let decoded = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        rest = match decoded {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                &after[2..]
            }
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_leave_the_url() {
        let split = |url| {
            let (url, password) = without_password(url);
            (url, password.map(|it| it.expose_secret().to_owned()))
        };
        assert_eq!(
            split("postgres://me:a%40b%3Ac@db.example:5433/live?sslmode=require"),
            (
                "postgres://me@db.example:5433/live?sslmode=require".to_owned(),
                Some("a@b:c".to_owned())
            )
        );
        for plain in [
            "postgres://me@localhost/live?host=/run/x",
            "postgres:///live",
            "nonsense",
        ] {
            assert_eq!(split(plain), (plain.to_owned(), None));
        }
    }
}
