//! What a service's `/metrics` says.

/// One scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    series: Vec<(String, f64)>,
}

impl Metrics {
    /// Reads the text format; what it does not understand it leaves out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self {
            series: series.collect(),
        }
    }

    /// The sum of all series of one metric.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.matching(name).map(|(_, value)| value).sum()
    }

    /// The sum of the series of one metric that carry a label.
    #[must_use]
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        let carries = |series: &str| series.split(['{', ',', '}']).any(|part| part == wanted);
        self.matching(name)
            .filter(|(series, _)| carries(series))
            .map(|(_, value)| value)
            .sum()
    }

    /// Every series of one metric, with its labels.
    pub fn matching(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let is_it = move |series: &str| series.split('{').next() == Some(name);
        self.series
            .iter()
            .filter(move |(series, _)| is_it(series))
            .map(|(series, value)| (series.as_str(), *value))
    }

    /// The values that one label of a metric has.
    #[must_use]
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let start = format!("{label}=\"");
        let value = |part: &str| Some(part.strip_prefix(&start)?.trim_end_matches('"').to_owned());
        self.matching(name)
            .filter_map(|(series, _)| series.split(['{', ',', '}']).find_map(value))
            .collect()
    }

    /// The name of every series.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series
            .iter()
            .filter_map(|(series, _)| series.split('{').next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let text = "# TYPE a counter\na{reason=\"x\",b=\"y\"} 2\na{reason=\"z\"} 3\nab 9\n";
        let metrics = Metrics::parse(text);
        assert!((metrics.sum("a") - 5.0).abs() < 1e-9);
        assert!((metrics.labelled("a", "reason", "x") - 2.0).abs() < 1e-9);
    }
}
