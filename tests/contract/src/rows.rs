//! The answers that the contract has: `rows.txt`.

use anyhow::{Context, ensure};

/// The answers that the contract has, as a list.
const ROWS: &str = include_str!("../rows.txt");
/// What a line begins with whose answer is not given.
const NOT_GIVEN: &str = "- ";

/// One answer of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The whole line.
    pub line: &'static str,
    /// The request's method.
    pub method: &'static str,
    /// Its path, with `{…}` for what is filled in.
    pub path: &'static str,
    /// The answer's status.
    pub status: u16,
    /// The error's code, when it is a refusal.
    pub code: Option<&'static str>,
}

impl Row {
    fn parse(line: &'static str) -> anyhow::Result<Self> {
        let head = line.split_once(": ").map_or(line, |(head, _)| head);
        let mut words = head.split(' ');
        let mut word = || words.next().context("a method, a path and a status");
        let (method, path, status) = (word()?, word()?, word()?.parse()?);
        let code = words.next();
        ensure!(words.next().is_none(), "at most a code after the status");
        ensure!(
            code.is_some() == (status >= 400),
            "a refusal has a code, and only it"
        );
        Ok(Self {
            line,
            method,
            path,
            status,
            code,
        })
    }
}

/// The answers that are given.
///
/// # Errors
/// When a line is not understood.
pub fn given() -> anyhow::Result<Vec<Row>> {
    parsed(lines().filter(|line| !line.starts_with(NOT_GIVEN)))
}

/// Those that are not.
///
/// # Errors
/// When a line is not understood.
pub fn not_given() -> anyhow::Result<Vec<Row>> {
    parsed(lines().filter_map(|line| line.strip_prefix(NOT_GIVEN)))
}

fn lines() -> impl Iterator<Item = &'static str> {
    let lines = ROWS.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn parsed(lines: impl Iterator<Item = &'static str>) -> anyhow::Result<Vec<Row>> {
    lines
        .map(|line| Row::parse(line).with_context(|| format!("rows.txt: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_line_says_what_is_asked_and_what_is_answered() {
        let row = Row::parse("POST /a/{n} 409 conflict: there already").unwrap();
        assert_eq!((row.method, row.path), ("POST", "/a/{n}"));
        assert_eq!((row.status, row.code), (409, Some("conflict")));
        assert_eq!(Row::parse("GET /a 200: live").unwrap().code, None);
        for wrong in [
            "",
            "GET /a",
            "GET /a x",
            "GET /a 200 ok",
            "GET /a 404",
            "GET /a 404 a b",
        ] {
            assert!(Row::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_line_is_there_once() {
        let rows = [given().unwrap(), not_given().unwrap()].concat();
        let lines: HashSet<&str> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines.len(), rows.len());
    }

    /// Where an answer is not the contract's, the documentation says so.
    #[test]
    fn what_is_not_given_is_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api/README.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, section) = page
            .split_once("## What differs from the plugin's contract")
            .unwrap();
        let section = section
            .split_once("\n## ")
            .map_or(section, |(section, _)| section);
        for row in not_given().unwrap() {
            let path = row.path.trim_start_matches("/api/v1");
            let named = format!("`{} {path}` {}", row.method, row.status);
            assert!(
                section.contains(&named),
                "{named} is not in docs/api/README.md"
            );
        }
    }
}
