//! An answer as people read it.

use jiff::Timestamp;
use model::UnixMillis;
use serde_json::{Map, Value, json};
use storage::telemetry::stats::{By, Of, Quantiles};

use super::ask::{Ask, Measure};
use super::table::{Row, Table};

/// The app that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) id: i32,
    pub(crate) org: String,
    pub(crate) name: String,
}

/// What the database found.
pub(crate) enum Found {
    Numbers(Table<u64>),
    Quantiles(Table<Quantiles>),
}

/// The answer to `ask`, as of a time.
pub(crate) fn answer(subject: &Subject, ask: &Ask, found: Found, as_of: UnixMillis) -> Value {
    let span = ask.span;
    let step = i64::from(span.step);
    let begins = (0..i64::from(span.steps)).map(|number| time(span.from + number * step));
    let mut answer = json!({
        "org": subject.org, "app": subject.name, "by": by(ask.by), "type": ask.event_type,
        "from": time(span.from), "to": time(span.to()), "step_seconds": span.step,
        "as_of": time(as_of.as_secs()), "times": begins.collect::<Vec<_>>(),
    });
    let (series, other) = match (&ask.measure, found) {
        (Measure::Rate, Found::Numbers(table)) => {
            let each = f64::from(span.step);
            let all = each * f64::from(span.steps);
            let over = |is_total| if is_total { all } else { each };
            series(ask, &table, |number, is_total| {
                json!(*number as f64 / over(is_total))
            })
        }
        (_, Found::Numbers(table)) => series(ask, &table, |number, _| json!(number)),
        (_, Found::Quantiles(table)) => series(ask, &table, |values, _| quantiles(values)),
    };
    if let Some(fields) = answer.as_object_mut() {
        fields.extend(measure(&ask.measure));
        fields.insert("series".to_owned(), series);
        fields.insert("other".to_owned(), other);
    }
    answer
}

/// The groups, and the rest of them; `show` is told whether a number is of all steps.
fn series<T: Copy + Default>(
    ask: &Ask,
    table: &Table<T>,
    show: impl Fn(&T, bool) -> Value,
) -> (Value, Value) {
    let one = |group: Option<&str>, row: &Row<T>| {
        let values: Vec<Value> = row.steps.iter().map(|value| show(value, false)).collect();
        json!({ "group": group, "total": show(&row.total, true), "values": values })
    };
    if ask.by == By::Nothing {
        let none = Row::empty(ask.span.steps);
        let all = table.groups.first().map_or(&none, |(_, row)| row);
        return (json!([one(None, all)]), Value::Null);
    }
    let groups = table.groups.iter().map(|(name, row)| one(Some(name), row));
    let rest = table.rest.as_ref();
    (
        groups.collect(),
        rest.map_or(Value::Null, |row| one(None, row)),
    )
}

fn measure(measure: &Measure) -> Map<String, Value> {
    let said = match measure {
        Measure::Count => json!({ "measure": "count" }),
        Measure::Rate => json!({ "measure": "rate" }),
        Measure::Uniques(Of::User) => json!({ "measure": "uniques", "of": "user" }),
        Measure::Uniques(Of::Session) => json!({ "measure": "uniques", "of": "session" }),
        Measure::Percentiles(path) => json!({ "measure": "percentiles", "field": path.join(".") }),
    };
    said.as_object().cloned().unwrap_or_default()
}

const fn by(by: By) -> Option<&'static str> {
    match by {
        By::Nothing => None,
        By::Type => Some("type"),
        By::Version => Some("version"),
        By::Os => Some("os"),
    }
}

/// Nothing was measured: nothing to show.
fn quantiles(values: &Quantiles) -> Value {
    match values.samples {
        0 => Value::Null,
        samples => json!({
            "samples": samples, "p50": values.p50, "p95": values.p95, "p99": values.p99,
        }),
    }
}

fn time(seconds: i64) -> Value {
    Timestamp::from_second(seconds).map_or(Value::Null, |at| at.to_string().into())
}
