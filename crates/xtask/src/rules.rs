//! The rules for Prometheus in `deploy/prometheus`: their form, and what they make of
//! numbers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{root, run};

/// Has promtool check and test every rule.
///
/// # Errors
/// When promtool cannot be run or finds something.
pub(crate) fn check() -> anyhow::Result<()> {
    let directory = directory();
    run(promtool(&directory)
        .args(["check", "rules"])
        .args(files(&directory, ".rules.yml")?))?;
    run(promtool(&directory)
        .args(["test", "rules"])
        .args(files(&directory, ".test.yml")?))
}

fn directory() -> PathBuf {
    root().join("deploy/prometheus")
}

pub(crate) fn promtool(directory: &Path) -> Command {
    let mut promtool = Command::new("promtool");
    promtool.current_dir(directory);
    promtool
}

fn files(directory: &Path, ending: &str) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    let is_one = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    Ok(paths.into_iter().filter(is_one).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Words in a text that begin with `prefix`.
    fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
        let words = text.split(move |letter| !is_letter(letter));
        words.filter(move |word| word.starts_with(prefix))
    }

    /// What programs write in full, so that a name that changes breaks no rule silently.
    fn sources() -> String {
        let of = |path: &str| std::fs::read_to_string(root().join("crates").join(path)).unwrap();
        let files = [
            "api/src/metrics.rs",
            "metrics-gateway/src/metrics/fleet.rs",
            "metrics-gateway/src/metrics/slis.rs",
        ];
        files.map(of).concat()
    }

    #[test]
    fn rules_read_metrics_that_there_are_and_every_target_is_met_by_a_rule() {
        let directory = directory();
        let sources = sources();
        let mut targets = BTreeSet::new();
        let rules = std::fs::read_to_string(directory.join("slis.rules.yml")).unwrap();
        for name in words(&rules, "streamhaul_") {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            let name = base.unwrap_or(name);
            let is_group = rules.contains(&format!("- name: {name}\n"));
            assert!(
                is_group || sources.contains(&format!("\"{name}\"")),
                "{name}"
            );
        }
        for tier in ["dev", "stage", "prod"] {
            let file = directory.join(format!("targets.{tier}.rules.yml"));
            let text = std::fs::read_to_string(file).unwrap();
            let named = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("labels: { sli: "));
            let slis: BTreeSet<String> = named
                .filter_map(|line| line.strip_suffix(&format!(", tier: {tier} }}")))
                .map(ToOwned::to_owned)
                .collect();
            assert!(!slis.is_empty(), "{tier}");
            assert!(
                targets.is_empty() || targets == slis,
                "{tier} has other indicators"
            );
            targets = slis;
        }
        for sli in targets {
            let defined = rules.matches(&format!("labels: {{ sli: {sli} }}")).count();
            assert_eq!(defined, 2, "{sli}: events and bad ones");
        }
    }
}
