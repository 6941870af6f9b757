//! Output for people: tables, and JSON for machines.

use std::io::Write as _;

use serde_json::Value;

/// Prints a line.
pub fn line(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Prints bytes as they are.
pub fn bytes(bytes: &[u8]) {
    // A reader that has seen enough, such as `head`, is no failure of ours.
    let _ = std::io::stdout().write_all(bytes);
}

/// Prints a value as JSON.
pub fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Prints rows under a head, aligned; or `none` when there are no rows.
pub fn table(head: &[&str], rows: &[Vec<String>], none: &str) {
    if rows.is_empty() {
        line(none);
        return;
    }
    for text in render(head, rows) {
        line(&text);
    }
}

fn render(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|name| name.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| shown(row)).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(&rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// What strangers have written moves no cursor and rings no bell.
fn shown(row: &[String]) -> Vec<String> {
    let cells = row.iter();
    let clean = cells.map(|cell| cell.replace(char::is_control, "\u{fffd}"));
    clean.collect()
}

/// A field as text: a dash when it is absent.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["cam1".to_owned(), "active".to_owned()],
            vec!["a-long-name".to_owned(), "-".to_owned()],
        ];
        assert_eq!(
            render(&["name", "state"], &rows),
            [
                "NAME         STATE",
                "cam1         active",
                "a-long-name  -"
            ]
        );
    }
}
