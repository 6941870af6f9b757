//! The server as a child process, and what an earlier one left behind.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::directories::Owner;
use super::{Binaries, ClusterConfig, Error};

const LOG_TAIL_BYTES: u64 = 2000;

/// Runs a program to its end; the error has what it printed.
pub(super) fn run(program: &'static str, command: &mut Command) -> Result<(), Error> {
    let failed = |reason: String| Error::Program { program, reason };
    let output = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// The running server. Its child lives and dies with a thread of its own, since
/// the kernel's "parent died" signal means the thread that forked.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Arc<Mutex<Child>>,
    pid: Pid,
    _keeper: Sender<()>,
}

impl Postmaster {
    pub(super) fn spawn(mut command: Command, config: &ClusterConfig) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::NotStarted(error.to_string());
        let log = File::create(log_path(config)).map_err(|error| failed(&error))?;
        command.stdout(Stdio::null()).stderr(log).process_group(0);
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGINT)?));
        }
        let (keeper, ended) = channel();
        let (spawned, child) = channel();
        std::thread::Builder::new()
            .name("postgres-keeper".to_owned())
            .spawn(move || keep(command, &spawned, &ended))
            .map_err(|error| failed(&error))?;
        let child = child
            .recv()
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
        Ok(Self {
            child: Arc::new(Mutex::new(child)),
            pid,
            _keeper: keeper,
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    /// Fast shutdown; killed after `timeout`.
    pub(super) fn stop(&mut self, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        self.signal(Signal::SIGINT);
        while !self.has_ended() {
            if Instant::now() > deadline {
                self.signal(Signal::SIGKILL);
                return Err(Error::NotStarted(
                    "it did not stop in time and was killed".to_owned(),
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if !self.has_ended() {
            // It may end between the question and the signal; then there is
            // nothing left to do.
            let _ = kill(self.pid, signal);
        }
    }

    #[cfg(test)]
    pub(super) fn kill_for_test(&self) {
        self.signal(Signal::SIGKILL);
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

/// Forks the server and stays until its owner is gone.
fn keep(mut command: Command, spawned: &Sender<std::io::Result<Child>>, owner: &Receiver<()>) {
    if spawned.send(command.spawn()).is_ok() {
        let _ = owner.recv();
    }
}

/// Stops a server that still runs on the cluster's files: its owner was killed.
pub(super) fn stop_left_behind(config: &ClusterConfig, binaries: &Binaries, owner: Owner) {
    if !config.data_dir.join("postmaster.pid").exists() {
        return;
    }
    let mut command = binaries.command("pg_ctl", owner);
    command.arg("--pgdata").arg(&config.data_dir).args([
        "--mode=fast",
        "--wait",
        "--timeout=10",
        "stop",
    ]);
    // A stale file names nobody: then there is nothing to stop, and the server
    // removes the file itself.
    if run("pg_ctl", &mut command).is_ok() {
        tracing::warn!("stopped a PostgreSQL that an earlier run left behind");
    }
}

/// The end of the server's log.
pub(super) fn log_tail(config: &ClusterConfig) -> String {
    let read = || -> std::io::Result<String> {
        let mut log = File::open(log_path(config))?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        Ok(text.trim().replace('\n', " | "))
    };
    read().unwrap_or_else(|error| error.to_string())
}

fn log_path(config: &ClusterConfig) -> PathBuf {
    config.data_dir.join("server.log")
}
