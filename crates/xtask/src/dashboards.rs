//! The dashboards for Grafana in `deploy/grafana`: Prometheus understands what they ask.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::rules::promtool;
use crate::workspace::{root, run};

/// Has promtool read every expression, as rules.
///
/// # Errors
/// When promtool cannot be run or does not understand one.
pub(crate) fn check() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    for file in files()? {
        let name = file.file_stem().unwrap_or_default();
        let rules = directory.path().join(name).with_extension("rules.yml");
        // JSON is YAML.
        std::fs::write(&rules, rules_of(&expressions(&file)?).to_string())?;
        run(promtool(directory.path())
            .args(["check", "rules"])
            .arg(rules))?;
    }
    Ok(())
}

fn files() -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(root().join("deploy/grafana"))?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    let is_one = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
    Ok(paths.into_iter().filter(is_one).collect())
}

/// A dashboard's expressions, with its panels' titles.
fn expressions(file: &std::path::Path) -> anyhow::Result<Vec<(String, String)>> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let dashboard: Value = serde_json::from_str(&text).with_context(name)?;
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().with_context(name)? {
        let title = panel["title"].as_str().with_context(name)?;
        for target in panel["targets"].as_array().with_context(name)? {
            let expression = target["expr"].as_str().with_context(name)?;
            found.push((title.to_owned(), expression.to_owned()));
        }
    }
    Ok(found)
}

fn rules_of(expressions: &[(String, String)]) -> Value {
    let rule = |(number, (_, expression)): (usize, &(String, String))| json!({ "record": format!("panel:{number}"), "expr": expression });
    let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
    json!({ "groups": [{ "name": "dashboard", "rules": rules }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every page about metrics.
    fn pages() -> String {
        let pages = std::fs::read_dir(root().join("docs/metrics")).unwrap();
        let texts = pages.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap());
        texts.collect()
    }

    /// Names of metrics in an expression: words before a selector or a range.
    fn names(expression: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut word = String::new();
        for letter in expression.chars().chain([' ']) {
            if letter.is_ascii_alphanumeric() || letter == '_' {
                word.push(letter);
                continue;
            }
            let is_metric = word.contains('_') && letter != '(';
            if is_metric && !word.starts_with('_') {
                names.push(word.clone());
            }
            word.clear();
        }
        names
    }

    #[test]
    fn dashboards_show_metrics_that_are_written_down() {
        let documented = pages();
        let files = files().unwrap();
        assert!(!files.is_empty());
        for file in files {
            for (title, expression) in expressions(&file).unwrap() {
                let names = names(&expression);
                assert!(!names.is_empty(), "{title}: {expression}");
                for name in names {
                    let parts = ["_bucket", "_sum", "_count"];
                    let whole = parts.iter().find_map(|part| name.strip_suffix(part));
                    let whole = whole.unwrap_or(&name);
                    assert!(
                        documented.contains(&format!("`{whole}`")),
                        "{title}: {name}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_guides_four_queries_are_shown() {
        let page = std::fs::read_to_string(root().join("docs/metrics/telemetry.md")).unwrap();
        let file = root().join("deploy/grafana/events.json");
        let shown = expressions(&file).unwrap();
        let (_, promised) = page.split_once("four queries").unwrap();
        let promised = promised.lines().filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let is_query = cells.len() == 2 && cells[1].contains("rate(");
            is_query.then(|| cells[1].trim().trim_matches('`').to_owned())
        });
        let promised: Vec<String> = promised.collect();
        assert_eq!(promised.len(), 4, "{promised:?}");
        for query in promised {
            assert!(shown.iter().any(|(_, it)| *it == query), "{query}");
        }
    }
}
