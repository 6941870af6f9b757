//! The browser, driven by a small Node program: a JSON line each way.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use e2e::program::{Program, tail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Longer than any step of the driver may take by itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// The driver and its browser; dropping it ends both.
#[derive(Debug)]
pub struct Browser {
    program: Program,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Browser {
    /// Starts the driver in `sources`; no browser yet.
    ///
    /// # Errors
    /// When Node is missing.
    pub fn start(sources: &Path, log: &Path) -> anyhow::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new("node");
        command.arg("driver.mjs").current_dir(sources);
        let output = File::from(OwnedFd::from(writer));
        let name = "the browser's driver";
        let mut program =
            Program::start_with(name, &mut command, log, Stdio::piped(), Some(output))?;
        let input = program.take_stdin().context("the driver has no input")?;
        let (sender, answers) = channel();
        std::thread::Builder::new()
            .name("answers".into())
            .spawn(move || pass_on(BufReader::new(reader), &sender))?;
        Ok(Self {
            program,
            input,
            answers,
        })
    }

    /// Lets the driver do something, and waits for what comes of it.
    ///
    /// # Errors
    /// When it could not, or does not answer.
    pub fn run<T: DeserializeOwned>(
        &mut self,
        command: &str,
        mut settings: Value,
    ) -> anyhow::Result<T> {
        settings["command"] = command.into();
        writeln!(self.input, "{settings}").context("the browser's driver is gone")?;
        let Ok(line) = self.answers.recv_timeout(ANSWER_TIMEOUT) else {
            let said = tail(&self.program.log(), 10);
            bail!("the browser's driver does not answer {command}:\n{said}");
        };
        let mut answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer["error"].as_str() {
            bail!("the dock, {command}: {error}");
        }
        serde_json::from_value(answer["ok"].take())
            .with_context(|| format!("the answer to {command}"))
    }

    /// The same without settings.
    ///
    /// # Errors
    /// When it could not, or does not answer.
    pub fn ask<T: DeserializeOwned>(&mut self, command: &str) -> anyhow::Result<T> {
        self.run(command, json!({}))
    }
}

fn pass_on(lines: impl BufRead, answers: &Sender<String>) {
    for line in lines.lines().map_while(Result::ok) {
        // Nobody waits any more.
        if answers.send(line).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for the driver: answers the first line, refuses the second.
    const DRIVER: &str = r#"read line; echo '{"ok": {"url": "here"}}'; read line; echo '{"error": "no such button"}'"#;

    fn stand_in() -> Browser {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", DRIVER]);
        let output = Some(File::from(OwnedFd::from(writer)));
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut program =
            Program::start_with("stand-in", &mut command, log.path(), Stdio::piped(), output)
                .unwrap();
        let input = program.take_stdin().unwrap();
        let (sender, answers) = channel();
        std::thread::spawn(move || pass_on(BufReader::new(reader), &sender));
        Browser {
            program,
            input,
            answers,
        }
    }

    #[test]
    fn answers_and_refusals_come_back() {
        let mut browser = stand_in();
        let answer: Value = browser.ask("visit").unwrap();
        assert_eq!(answer["url"], "here");
        let refused = browser.ask::<Value>("add").unwrap_err();
        assert_eq!(refused.to_string(), "the dock, add: no such button");
    }
}
