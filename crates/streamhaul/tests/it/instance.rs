//! A running `streamhaul up`, and the commands that speak to it.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);

/// A state directory, and perhaps an instance on it.
pub(crate) struct Instance {
    pub(crate) dir: TempDir,
    pub(crate) port_base: u16,
    /// Where its backups go, if it makes any by itself.
    pub(crate) backups_file: Option<PathBuf>,
    child: Option<Child>,
}

impl Instance {
    /// A fresh directory; nothing runs yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sh-up")
            .tempdir_in("/tmp")
            .unwrap();
        // As root, PostgreSQL's user passes through.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self {
            dir,
            port_base: free_ports(),
            backups_file: None,
            child: None,
        }
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = self.up().stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.run_file().exists() {
            assert!(
                Instant::now() < deadline && self.runs(),
                "not ready: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop, and says with which code it ended.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        child.wait().unwrap().code()
    }

    /// Ends it as a crash would.
    pub(crate) fn crash(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// `streamhaul up` on this directory.
    pub(crate) fn up(&self) -> Command {
        let mut command = streamhaul();
        command.arg("up").arg("--state-dir").arg(self.state_dir());
        command.args(["--port-base", &self.port_base.to_string()]);
        if let Some(file) = &self.backups_file {
            command.arg("--backups-file").arg(file);
        }
        command
    }

    /// Runs another command against it.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = streamhaul();
        command
            .args(arguments)
            .arg("--state-dir")
            .arg(self.state_dir());
        command.output().unwrap()
    }

    /// The same for its JSON; the command must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.ask(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn run_file(&self) -> PathBuf {
        self.state_dir().join("run.json")
    }

    fn runs(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// The command, without this machine's own settings.
pub(crate) fn streamhaul() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamhaul"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMHAUL_") {
            command.env_remove(name);
        }
    }
    command
}

/// A base from which all ports are free now; another one at each call.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 512) as u16 * 16;
    let free = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok()
    };
    loop {
        let base = first + NEXT.fetch_add(16, Ordering::Relaxed);
        assert!(base < 32_000, "no free ports");
        if (base..base + 16).all(free) {
            return base;
        }
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
