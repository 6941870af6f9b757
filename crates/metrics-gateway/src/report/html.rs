//! A report as one page that needs nothing else: no scripts, no fonts, no other origin.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::UnixMillis;
use sha2::{Digest as _, Sha256};

use super::plot::{Line, Plot, clock};
use super::{LinkTotals, Report, Totals};

const STYLE: &str = include_str!("style.css");
/// Links with a colour of their own; then colours come again.
const COLOURS: usize = 8;

/// A page, and what it may load: nothing but its own style.
pub(crate) struct Page {
    pub(crate) html: String,
    pub(crate) policy: String,
}

/// Draws a report.
pub(crate) fn page(report: &Report) -> Page {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
    );
    let id = escaped(report.session_id.as_str());
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Session {id}</title><style>{STYLE}</style></head>\n<body><main>\
         <h1>Session <code>{id}</code></h1>{}{}{}{}{}</main></body></html>\n",
        when(report),
        totals(&report.totals),
        plots(report),
        links(report),
        interruptions(report),
    );
    Page { html, policy }
}

fn when(report: &Report) -> String {
    let nodes: Vec<String> = report
        .nodes
        .iter()
        .map(|node| format!("<code>{}</code>", escaped(node.as_str())))
        .collect();
    format!(
        "<p>{} to {} UTC, on {}</p>",
        date_time(report.from),
        date_time(report.to),
        nodes.join(", ")
    )
}

fn totals(totals: &Totals) -> String {
    let ms = |value: Option<f64>| value.map_or_else(dash, |ms| format!("{ms:.1} ms"));
    let percent = |value: Option<f64>| value.map_or_else(dash, |percent| format!("{percent:.2} %"));
    let tiles = [
        ("Published", duration(i64::from(totals.published_s))),
        (
            "Mean bit rate",
            totals
                .bitrate_bps_mean
                .map_or_else(dash, |bps| bits(bps as f64)),
        ),
        ("Highest", bits(totals.bitrate_bps_max as f64)),
        ("Received", bytes(totals.bytes)),
        ("Sent to players", bytes(totals.egress_bytes)),
        ("Lost on the way", percent(totals.loss_pct)),
        ("Never came", percent(totals.given_up_pct)),
        ("Round trip", ms(totals.rtt_ms_mean)),
        ("Longest", ms(totals.rtt_ms_max)),
        ("Players at once", totals.players_max.to_string()),
    ];
    let mut html = "<dl class=\"tiles\">".to_owned();
    for (name, value) in tiles {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html + "</dl>"
}

fn plots(report: &Report) -> String {
    let bitrate = |bps: u64| Some(bps as f64);
    let points = report.points.iter();
    let all = points
        .clone()
        .map(|point| (point.at.0, bitrate(point.bitrate_bps)));
    let mut lines = vec![line("all", all.collect())];
    for (place, link) in report.links.iter().enumerate() {
        let points = points.clone().map(|point| {
            let of_link = point.links.iter().find(|one| one.number == link.number);
            (point.at.0, of_link.and_then(|one| bitrate(one.bitrate_bps)))
        });
        lines.push(line(&colour(place), points.collect()));
    }
    let loss = points.clone().map(|point| (point.at.0, point.loss_pct));
    let rtt = points.map(|point| (point.at.0, point.rtt_ms));
    [
        figure(report, "Bit rate", lines, bits),
        figure(
            report,
            "Lost on the way",
            vec![line("all", loss.collect())],
            |percent| format!("{percent:.3} %").replace(".000", ""),
        ),
        figure(
            report,
            "Round trip",
            vec![line("all", rtt.collect())],
            |ms| format!("{ms} ms"),
        ),
    ]
    .concat()
}

fn line(class: &str, points: Vec<(i64, Option<f64>)>) -> Line {
    Line {
        class: format!("line {class}"),
        points,
    }
}

fn figure(report: &Report, title: &str, lines: Vec<Line>, label: fn(f64) -> String) -> String {
    let stream = report.interruptions.iter().filter(|one| one.link.is_none());
    let plot = Plot {
        title,
        time: (report.from.0, report.to.0),
        gap_ms: (report.point_s * 1500) as i64,
        lines,
        shades: stream
            .map(|one| (one.from.0, one.to.unwrap_or(report.to).0))
            .collect(),
        label,
    };
    format!(
        "<figure><figcaption>{title}</figcaption>{}</figure>",
        plot.svg()
    )
}

fn links(report: &Report) -> String {
    if report.links.is_empty() {
        return "<h2>Links</h2><p>The publisher did not bond.</p>".to_owned();
    }
    let mut html =
        "<h2>Links</h2><div class=\"wide\"><table><thead><tr><th>Link<th>Carrier<th>Kind\
        <th>Share<th>Received<th>Lost<th>Round trip<th>Jitter<th>Time</tr></thead><tbody>"
            .to_owned();
    for (place, link) in report.links.iter().enumerate() {
        html.push_str(&link_row(place, link));
    }
    html + "</tbody></table></div>"
}

fn link_row(place: usize, link: &LinkTotals) -> String {
    let ms = |value: Option<f64>| value.map_or_else(dash, |ms| format!("{ms:.1} ms"));
    let colour = colour(place);
    format!(
        "<tr><td><svg class=\"key\" viewBox=\"0 0 10 10\"><rect class=\"{colour}\" width=\"10\" height=\"10\"/>\
         </svg> {}<td>{}<td>{}<td>{:.1} % <svg class=\"share\" viewBox=\"0 0 100 10\"><rect class=\"{colour}\" \
         width=\"{:.1}\" height=\"10\"/></svg><td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
        link.number,
        link.carrier.as_deref().map_or_else(dash, escaped),
        escaped(&link.link_type),
        link.share_pct,
        link.share_pct,
        bytes(link.bytes),
        link.loss_pct
            .map_or_else(dash, |percent| format!("{percent:.2} %")),
        ms(link.rtt_ms_mean),
        ms(link.jitter_ms_mean),
        duration(i64::from(link.live_s)),
    )
}

fn interruptions(report: &Report) -> String {
    if report.interruptions.is_empty() {
        return "<h2>Interruptions</h2><p>None.</p>".to_owned();
    }
    let mut html = "<h2>Interruptions</h2><table><thead><tr><th>What<th>From<th>To<th>About</tr>\
        </thead><tbody>"
        .to_owned();
    for one in &report.interruptions {
        let what = one
            .link
            .map_or_else(|| "stream".to_owned(), |link| format!("link {link}"));
        let to = one
            .to
            .map_or_else(|| "not back".to_owned(), |to| clock(to.0));
        let _ = write!(
            html,
            "<tr><td>{what}<td>{}<td>{to}<td>{}</tr>",
            clock(one.from.0),
            duration(one.seconds)
        );
    }
    html + "</tbody></table>"
}

fn colour(place: usize) -> String {
    format!("c{}", place % COLOURS)
}

fn dash() -> String {
    "–".to_owned()
}

fn bits(bps: f64) -> String {
    scaled(bps, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter().copied().peekable();
    let mut unit = units.next().unwrap_or_default();
    while value >= step && units.peek().is_some() {
        value /= step;
        unit = units.next().unwrap_or_default();
    }
    let value = format!("{value:.2}");
    let value = value.trim_end_matches('0').trim_end_matches('.');
    format!("{value} {unit}")
}

fn duration(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

fn date_time(at: UnixMillis) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What others wrote, so that it is text and nothing else.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
