//! Child processes that end when their owner does, however it ends.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A running program in a process group of its own. Dropping it kills the
/// group; if the thread that started it dies, the kernel kills the program.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts `command`; what it says on standard error goes to `log`, and on
    /// standard output too unless the command says otherwise.
    ///
    /// # Errors
    /// When the log cannot be opened or the program not started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        Self::start_with(name, command, log, Stdio::null(), None)
    }

    /// The same with standard input and output as given.
    ///
    /// # Errors
    /// When the log cannot be opened or the program not started.
    pub fn start_with(
        name: &str,
        command: &mut Command,
        log: &Path,
        stdin: Stdio,
        stdout: Option<File>,
    ) -> anyhow::Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let stdout = stdout.map_or_else(|| output.try_clone(), Ok)?;
        command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(output)
            .process_group(0);
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
        }
        let child = command
            .spawn()
            .with_context(|| format!("start {name}: {}", hint(command)))?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child,
        })
    }

    /// The program's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's standard input, once, when it was started with a pipe.
    pub fn take_stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of what it has said, under its name.
    #[must_use]
    pub fn last_words(&self) -> String {
        format!("{}:\n{}\n", self.name, tail(&self.log(), 20))
    }

    /// Sends a signal to the program and its children.
    pub fn signal(&self, signal: Signal) {
        // Fails only when it has ended already.
        let _ended = killpg(self.group(), signal);
    }

    /// Kills it, as a crash would, and collects it.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL);
        self.child.wait()?;
        Ok(())
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the process cannot be asked.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`; then the end of its log is in the error.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "{} still runs after {limit:?}; its log ends:\n{}",
            self.name,
            tail(&self.log(), 15)
        )
    }

    /// Bytes of memory it occupies.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that it ever had, in bytes.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn peak_resident_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(field));
        let line = line.with_context(|| format!("no {field}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }

    fn group(&self) -> Pid {
        // A process id fits: the kernel's own type is signed.
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ended = self.child.wait();
    }
}

/// The binary of ours that was built beside the running one.
///
/// # Errors
/// When it was not.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|path| path.exists());
    found.with_context(|| format!("{name} is not built: cargo build --package {name}"))
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// How to get a program that is missing.
fn hint(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    match program.as_str() {
        "ffmpeg" => "missing? apt-get install --yes ffmpeg".into(),
        "nats-server" => "missing? apt-get install --yes nats-server".into(),
        "srt-live-transmit" => "missing? apt-get install --yes srt-tools".into(),
        _ => program,
    }
}
