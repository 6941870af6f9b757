//! A running `streamhaul up`, as a child.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::Value;

use crate::stop::Stop;

const STATE_DIR: &str = "--state-dir";
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// Longer than the instance gives itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
const STEP: Duration = Duration::from_millis(50);

/// The instance; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Instance {
    binary: PathBuf,
    state_dir: PathBuf,
    started: SystemTime,
    child: Child,
}

impl Instance {
    /// Starts `streamhaul up` with these arguments, in a process group of its
    /// own: a Ctrl-C reaches it through us.
    pub(crate) fn start(binary: &Path, arguments: &[OsString]) -> anyhow::Result<Self> {
        let state_dir = chosen_state_dir(arguments)
            .or_else(default_state_dir)
            .context("neither XDG_STATE_HOME nor HOME is set: give -- --state-dir")?;
        let started = SystemTime::now();
        let mut command = Command::new(binary);
        command.arg("up").args(arguments).process_group(0);
        // What is printed to standard output is ours.
        command.stdout(std::io::stderr());
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGTERM)?));
        }
        let child = command
            .spawn()
            .with_context(|| binary.display().to_string())?;
        Ok(Self {
            binary: binary.to_owned(),
            state_dir,
            started,
            child,
        })
    }

    /// Waits for its end, and brings it about when that is wanted.
    pub(crate) fn wait(mut self, stop: Stop) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if stop.is_wanted() {
                return self.stop();
            }
            std::thread::sleep(STEP);
        }
    }

    /// Asks it to stop, and insists.
    pub(crate) fn stop(mut self) -> anyhow::Result<ExitStatus> {
        // A process id fits: the kernel's own type is signed.
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(STEP);
        }
        bail!("it did not stop within {STOP_TIMEOUT:?} and was killed")
    }

    /// Waits until it is ready, and says what it tells about itself; nothing when
    /// an end is wanted first.
    pub(crate) fn wait_ready(&mut self, stop: Stop) -> anyhow::Result<Option<Value>> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !stop.is_wanted() {
            if let Some(told) = self.run_file() {
                return Ok(Some(told));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("streamhaul up ended: {status}");
            }
            ensure!(
                Instant::now() < deadline,
                "streamhaul up is not ready after {READY_TIMEOUT:?}"
            );
            std::thread::sleep(STEP);
        }
        Ok(None)
    }

    /// What it wrote; not what a killed one left behind.
    fn run_file(&self) -> Option<Value> {
        let path = self.state_dir.join("run.json");
        let written = path.metadata().ok()?.modified().ok()?;
        let fresh = written + Duration::from_millis(20) >= self.started;
        let text = std::fs::read(path).ok()?;
        fresh.then(|| serde_json::from_slice(&text).ok())?
    }

    /// Runs another command of the product against it, for its JSON.
    pub(crate) fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .arg("--json")
            .arg(STATE_DIR)
            .arg(&self.state_dir)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "streamhaul {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ended = self.child.kill();
            let _collected = self.child.wait();
        }
    }
}

fn chosen_state_dir(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == STATE_DIR {
            return arguments.next().map(PathBuf::from);
        }
        let glued = argument
            .to_str()
            .and_then(|text| text.strip_prefix("--state-dir="));
        if let Some(path) = glued {
            return Some(path.into());
        }
    }
    std::env::var_os("STREAMHAUL_STATE_DIR").map(PathBuf::from)
}

/// Where the product keeps its state when nobody says.
fn default_state_dir() -> Option<PathBuf> {
    let absolute = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Some(state.join("streamhaul"));
    }
    if Uid::effective().is_root() {
        return Some("/var/lib/streamhaul".into());
    }
    absolute("HOME").map(|home| home.join(".local/state/streamhaul"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_found_among_the_arguments() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let chosen = |text| chosen_state_dir(&words(text));
        assert_eq!(chosen("--port-base 1 --state-dir /a"), Some("/a".into()));
        assert_eq!(chosen("--state-dir=/b --only api"), Some("/b".into()));
    }
}
