//! Which core does what: the generator has the first, what is measured the
//! second, so that neither takes the other's time.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The cores of this machine that a run uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cores {
    all: CpuSet,
    generator: CpuSet,
    measured: CpuSet,
}

impl Cores {
    /// Shares out the cores that this process may use. With fewer than two, or
    /// when not `pinned`, everybody has all.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn share(pinned: bool) -> anyhow::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let cores: Vec<usize> = (0..CpuSet::count())
            .filter(|core| all.is_set(*core).unwrap_or(false))
            .collect();
        let one = |core: usize| -> anyhow::Result<CpuSet> {
            let mut set = CpuSet::new();
            set.set(core)?;
            Ok(set)
        };
        let (generator, measured) = match cores.as_slice() {
            [first, second, ..] if pinned => (one(*first)?, one(*second)?),
            _ => (all, all),
        };
        Ok(Self {
            all,
            generator,
            measured,
        })
    }

    /// Puts this thread, and what it starts, on the generator's core.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn pin_generator(&self) -> anyhow::Result<()> {
        Ok(sched_setaffinity(Pid::from_raw(0), &self.generator)?)
    }

    /// Lets `command` run on the measured core only.
    pub(super) fn pin_measured(&self, command: &mut Command) {
        pin(command, self.measured);
    }

    /// Lets `command` run on every core.
    pub(super) fn free(&self, command: &mut Command) {
        pin(command, self.all);
    }
}

fn pin(command: &mut Command, cores: CpuSet) {
    // SAFETY: between fork and exec this makes one system call with a value of
    // its own.
    unsafe {
        command.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &cores)?));
    }
}
