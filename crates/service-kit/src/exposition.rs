//! Metrics that a service writes itself: series that go away with what they are about,
//! and histograms that were counted elsewhere. The recorder forgets nothing, so such
//! series cannot be its own. The format is Prometheus' text format 0.0.4.

use std::fmt::Write as _;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until its process starts anew.
    Counter,
    /// It says what is now.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What goes after the recorder's own metrics on a page.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    series: usize,
}

impl Exposition {
    /// Begins a metric. All of its series follow before another begins; one without
    /// series is not shown.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Metric<'_> {
        Metric {
            page: self,
            name,
            kind,
            help,
            written: 0,
        }
    }

    /// How many series were written; each bucket, sum and count of a histogram is one.
    #[must_use]
    pub const fn series(&self) -> usize {
        self.series
    }

    /// All that was written.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// One metric while its series are written.
#[derive(Debug)]
pub struct Metric<'a> {
    page: &'a mut Exposition,
    name: &'static str,
    kind: Kind,
    help: &'static str,
    written: usize,
}

impl Metric<'_> {
    /// Writes a series.
    pub fn series(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, value);
    }

    /// Writes a histogram: how many were at most each bound and above the one before,
    /// those beyond all bounds last, and their sum.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut count = 0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, more) in bounds.zip(counts) {
            count += more;
            let bound = number(bound);
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.line("_bucket", &labels, count as f64);
        }
        self.line("_sum", labels, sum);
        self.line("_count", labels, count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let (name, kind, help) = (self.name, self.kind.as_str(), self.help);
        let text = &mut self.page.text;
        if self.written == 0 {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        text.push_str(name);
        text.push_str(suffix);
        for (place, (label, value)) in labels.iter().enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            let _ = write!(text, "{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {}", number(value));
        self.page.series += 1;
        self.written += 1;
    }

    /// How many series were written of this metric.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.written
    }
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_its_head_once_and_labels_cannot_break_out() {
        let mut page = Exposition::default();
        let mut metric = page.metric("things", Kind::Gauge, "Things.");
        metric.series(&[("name", "a\\b\"c\nd"), ("kind", "x")], 1.5);
        metric.series(&[], f64::INFINITY);
        page.metric("absent", Kind::Counter, "None.");
        assert_eq!(page.series(), 2);
        let expected = "# HELP things Things.\n# TYPE things gauge\n\
            things{name=\"a\\\\b\\\"c\\nd\",kind=\"x\"} 1.5\nthings +Inf\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_histogram_adds_up() {
        let mut page = Exposition::default();
        let mut metric = page.metric("took_seconds", Kind::Histogram, "Time.");
        metric.histogram(&[("node", "n")], &[0.1, 0.5], &[3, 0, 2], 1.25);
        assert_eq!(page.series(), 5);
        let text = page.into_text();
        for line in [
            r#"took_seconds_bucket{node="n",le="0.1"} 3"#,
            r#"took_seconds_bucket{node="n",le="0.5"} 3"#,
            r#"took_seconds_bucket{node="n",le="+Inf"} 5"#,
            r#"took_seconds_sum{node="n"} 1.25"#,
            r#"took_seconds_count{node="n"} 5"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{text}");
        }
    }
}
