//! What processes cost: read from `/proc`, to the nanosecond.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// What a tree of processes has used since it began, and occupies now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on a core, user and kernel, of all threads.
    pub(crate) cpu: Duration,
    /// Context switches, asked for and not.
    pub(crate) switches: u64,
    /// Bytes resident.
    pub(crate) resident_bytes: u64,
    /// Threads alive.
    pub(crate) threads: u64,
}

impl Usage {
    /// Adds up the processes `ids`. One that has ended counts no more.
    pub(crate) fn of(ids: &[u32]) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for id in ids {
            let process = Path::new("/proc").join(id.to_string());
            let Ok(tasks) = fs::read_dir(process.join("task")) else {
                continue;
            };
            let status = fs::read_to_string(process.join("status")).unwrap_or_default();
            sum.resident_bytes += field(&status, "VmRSS:").unwrap_or(0) * 1024;
            for task in tasks.flatten() {
                sum.add_task(&task.path())?;
            }
        }
        Ok(sum)
    }

    /// A thread that ends between two reads is left out.
    fn add_task(&mut self, task: &Path) -> anyhow::Result<()> {
        let Ok(schedule) = fs::read_to_string(task.join("schedstat")) else {
            return Ok(());
        };
        let on_core = schedule.split(' ').next().context("an empty schedstat")?;
        self.cpu += Duration::from_nanos(on_core.parse()?);
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        self.switches += field(&status, "voluntary_ctxt_switches:").unwrap_or(0)
            + field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        self.threads += 1;
        Ok(())
    }

    /// What was used since `earlier`; memory and threads as they are now.
    pub(crate) fn since(self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            switches: self.switches.saturating_sub(earlier.switches),
            ..self
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// A process and all that came from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent(id)?)))
        .collect();
    let mut ids = vec![root];
    let mut next = 0;
    while let Some(&id) = ids.get(next) {
        let children = parents.iter().filter(|(_, parent)| *parent == id);
        ids.extend(children.map(|(child, _)| child));
        next += 1;
    }
    ids
}

fn parent(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    u32::try_from(field(&status, "PPid:")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_time_and_memory() {
        let own = std::process::id();
        let before = Usage::of(&[own]).unwrap();
        let mut sum = 0u64;
        while Usage::of(&[own]).unwrap().since(&before).cpu.is_zero() {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(before.resident_bytes > 0 && before.threads > 0);
    }

    #[test]
    fn a_tree_has_its_children() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let ids = tree(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ids.contains(&child.id()), "{ids:?}");
    }
}
