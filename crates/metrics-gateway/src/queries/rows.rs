//! Events as lines: NDJSON for machines, CSV for spreadsheets.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::telemetry::export::Exported;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Ndjson,
    Csv,
}

/// The columns of CSV, in the order of [`csv_line`], and the members of a line of NDJSON.
const COLUMNS: [&str; 18] = [
    "event_id",
    "timestamp",
    "received_at",
    "type",
    "category",
    "data",
    "service",
    "service_version",
    "language",
    "language_version",
    "sdk_version",
    "os",
    "os_version",
    "arch",
    "ci",
    "shell",
    "user_id",
    "session_id",
];

/// What spreadsheets take for the beginning of a formula, in whatever width.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

#[derive(Serialize)]
struct Line<'a> {
    event_id: String,
    timestamp: String,
    received_at: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ci: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

impl Format {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// What comes before the first event.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub(crate) fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Ndjson => Ok(()),
            Self::Csv => write!(out, "{}\r\n", COLUMNS.join(",")),
        }
    }

    /// Writes an event and the end of its line.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub(crate) fn write(self, event: &Exported, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Ndjson => json_line(event, out),
            Self::Csv => csv_line(event, out),
        }
    }
}

fn json_line(event: &Exported, out: &mut impl Write) -> io::Result<()> {
    let (timestamp, received_at) = times(event);
    let line = Line {
        event_id: event.event_id.to_string(),
        timestamp,
        received_at,
        event_type: &event.event_type,
        category: event.category.as_deref(),
        data: event
            .data
            .as_deref()
            .map(serde_json::from_str)
            .transpose()?,
        service: event.service.as_deref(),
        service_version: event.service_version.as_deref(),
        language: event.language.as_deref(),
        language_version: event.language_version.as_deref(),
        sdk_version: event.sdk_version.as_deref(),
        os: event.os.as_deref(),
        os_version: event.os_version.as_deref(),
        arch: event.arch.as_deref(),
        ci: event.ci,
        shell: event.shell.as_deref(),
        user_id: event.user_id.as_deref(),
        session_id: event.session_id.as_deref(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// By RFC 4180.
fn csv_line(event: &Exported, out: &mut impl Write) -> io::Result<()> {
    let (timestamp, received_at) = times(event);
    write!(out, "{},{timestamp},{received_at}", event.event_id)?;
    let texts = [
        Some(event.event_type.as_str()),
        event.category.as_deref(),
        event.data.as_deref(),
        event.service.as_deref(),
        event.service_version.as_deref(),
        event.language.as_deref(),
        event.language_version.as_deref(),
        event.sdk_version.as_deref(),
        event.os.as_deref(),
        event.os_version.as_deref(),
        event.arch.as_deref(),
        event.ci.map(|ci| if ci { "true" } else { "false" }),
        event.shell.as_deref(),
        event.user_id.as_deref(),
        event.session_id.as_deref(),
    ];
    for text in texts {
        out.write_all(b",")?;
        if let Some(text) = text {
            csv_text(text, out)?;
        }
    }
    out.write_all(b"\r\n")
}

/// In quotation marks, whatever it is; what a spreadsheet would compute has an apostrophe before
/// it.
fn csv_text(text: &str, out: &mut impl Write) -> io::Result<()> {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    write!(out, "\"{guard}{}\"", text.replace('"', "\"\""))
}

/// When it happened, and when it came: RFC 3339.
fn times(event: &Exported) -> (String, String) {
    let happened = Timestamp::from_microsecond(event.ts_us).unwrap_or_default();
    let came = Timestamp::from_millisecond(event.received_at.0).unwrap_or_default();
    (happened.to_string(), came.to_string())
}

#[cfg(test)]
mod tests {
    use model::UnixMillis;
    use proptest::prelude::*;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn event(category: &str, data: Option<&str>) -> Exported {
        let text = |text: &str| Some(text.to_owned());
        Exported {
            event_id: Uuid::from_u128(1),
            ts_us: 1_760_000_000_123_456,
            received_at: UnixMillis(1_760_000_001_000),
            event_type: "usage".to_owned(),
            category: text(category),
            data: data.map(str::to_owned),
            service: text("cam"),
            service_version: text("1"),
            language: text("rust"),
            language_version: None,
            sdk_version: None,
            os: text("linux"),
            os_version: None,
            arch: None,
            ci: Some(false),
            shell: None,
            user_id: text("u"),
            session_id: None,
        }
    }

    fn written(format: Format, event: &Exported) -> String {
        let mut out = Vec::new();
        format.write(event, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_what_the_event_has() {
        let line = written(Format::Ndjson, &event("c", Some("{\"a\": 1.50}")));
        assert_eq!(
            line,
            "{\"event_id\":\"00000000-0000-0000-0000-000000000001\",\
             \"timestamp\":\"2025-10-09T08:53:20.123456Z\",\"received_at\":\"2025-10-09T08:53:21Z\",\
             \"type\":\"usage\",\"category\":\"c\",\"data\":{\"a\": 1.50},\"service\":\"cam\",\
             \"service_version\":\"1\",\"language\":\"rust\",\"os\":\"linux\",\"ci\":false,\"user_id\":\"u\"}\n"
        );
        let row = written(Format::Csv, &event("c", None));
        assert_eq!(
            row,
            "00000000-0000-0000-0000-000000000001,2025-10-09T08:53:20.123456Z,2025-10-09T08:53:21Z,\
             \"usage\",\"c\",,\"cam\",\"1\",\"rust\",,,\"linux\",,,\"false\",,\"u\",\r\n"
        );
    }

    #[test]
    fn nothing_is_a_formula() {
        for text in [
            "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1",
        ] {
            let row = written(Format::Csv, &event(text, None));
            assert!(row.contains(&format!(",\"'{text}\",")), "{row}");
        }
    }

    /// Takes a row apart as RFC 4180 says.
    fn fields(row: &str) -> Vec<String> {
        let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
        let mut letters = row.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if is_quoted && letters.peek() == Some(&'"') => {
                    letters.next();
                    field.push('"');
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
                other => field.push(other),
            }
        }
        fields.push(field);
        fields
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC*|[=\",\r\n]*") {
            let fields = fields(&written(Format::Csv, &event(&text, None)));
            prop_assert_eq!(fields.len(), COLUMNS.len());
            let plain = fields[4].strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA));
            prop_assert_eq!(plain.unwrap_or(&fields[4]), &text);
            let line = written(Format::Ndjson, &event(&text, None));
            prop_assert_eq!(line.matches('\n').count(), 1);
            let line: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(line["category"].as_str(), Some(text.as_str()));
        }
    }
}
