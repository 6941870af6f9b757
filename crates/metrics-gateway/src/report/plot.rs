//! Lines over time as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
const LINES_Y: u32 = 4;
const LABELS_X: i64 = 6;

/// What is drawn over the same time.
pub(super) struct Plot<'a> {
    /// Said to those who do not see it; escaped already.
    pub(super) title: &'a str,
    /// From and to, Unix milliseconds.
    pub(super) time: (i64, i64),
    /// A point with nothing for longer than this after the one before begins a new line.
    pub(super) gap_ms: i64,
    pub(super) lines: Vec<Line>,
    /// Times that are shaded.
    pub(super) shades: Vec<(i64, i64)>,
    /// How values are written.
    pub(super) label: fn(f64) -> String,
}

/// One line: its class, and its points; absent ones interrupt it.
pub(super) struct Line {
    pub(super) class: String,
    pub(super) points: Vec<(i64, Option<f64>)>,
}

impl Plot<'_> {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let top = nice(self.highest());
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            self.title
        );
        for (from, to) in &self.shades {
            let (x, end) = (self.x(*from), self.x(*to));
            let width = (end - x).max(1.0);
            let height = HEIGHT - TOP - BOTTOM;
            let _ = write!(
                svg,
                "<rect class=\"gap\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
            );
        }
        self.grid(&mut svg, top);
        for line in &self.lines {
            let _ = write!(
                svg,
                "<path class=\"{}\" d=\"{}\"/>",
                line.class,
                self.path(line, top)
            );
        }
        svg.push_str("</svg>");
        svg
    }

    fn highest(&self) -> f64 {
        let lines = self.lines.iter();
        let values = lines.flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
        values.fold(0.0, f64::max)
    }

    fn x(&self, at: i64) -> f64 {
        let (from, to) = self.time;
        let share = (at - from) as f64 / (to - from).max(1) as f64;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn grid(&self, svg: &mut String, top: f64) {
        for step in 0..=LINES_Y {
            let value = top * f64::from(step) / f64::from(LINES_Y);
            let y = height(value, top);
            let (end, label) = (WIDTH - RIGHT, (self.label)(value));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let (from, to) = self.time;
        for step in 0..=LABELS_X {
            let at = from + (to - from) * step / LABELS_X;
            let anchor = if step == 0 {
                "start"
            } else if step == LABELS_X {
                "end"
            } else {
                "middle"
            };
            let _ = write!(
                svg,
                "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                self.x(at),
                HEIGHT - 8.0,
                clock(at)
            );
        }
    }

    fn path(&self, line: &Line, top: f64) -> String {
        let mut path = String::new();
        let mut before: Option<i64> = None;
        for (at, value) in &line.points {
            let Some(value) = value else {
                before = None;
                continue;
            };
            let goes_on = before.is_some_and(|before| at - before <= self.gap_ms);
            let letter = if goes_on { 'L' } else { 'M' };
            let _ = write!(
                path,
                "{letter}{:.1} {:.1}",
                self.x(*at),
                height(*value, top)
            );
            if !goes_on {
                // A point alone is a dot.
                path.push_str("h0");
            }
            before = Some(*at);
        }
        path
    }
}

fn height(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)
}

/// The next of 1, 2, 4, 5, 8 or 10 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    let step = steps
        .into_iter()
        .find(|step| value <= step * power * 1.000_001);
    step.unwrap_or(10.0) * power
}

/// Hours, minutes and seconds, UTC.
pub(super) fn clock(at: i64) -> String {
    let second = at.div_euclid(1000).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, top) in [
            (0.0, 1.0),
            (0.3, 0.4),
            (1.0, 1.0),
            (4.2, 5.0),
            (81.0, 100.0),
        ] {
            assert!((nice(value) - top).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_line_stops_where_there_is_nothing() {
        let plot = Plot {
            title: "t",
            time: (0, 100_000),
            gap_ms: 15_000,
            lines: Vec::new(),
            shades: Vec::new(),
            label: |value| value.to_string(),
        };
        let points = [
            (0, Some(1.0)),
            (10_000, Some(1.0)),
            (20_000, None),
            (50_000, Some(1.0)),
        ];
        let line = Line {
            class: String::new(),
            points: points.to_vec(),
        };
        let path = plot.path(&line, 1.0);
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
    }
}
