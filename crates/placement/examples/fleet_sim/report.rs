//! What came of it, for people and for programs.

use serde_json::{Value, json};

use crate::run::Outcome;
use crate::strategy::Strategy;

const MOVES_PER_1000_MAX: f64 = 10.0;

/// A strategy's outcomes, one for each seed.
pub(crate) struct Row {
    pub(crate) strategy: Strategy,
    pub(crate) careful: bool,
    pub(crate) outcomes: Vec<Outcome>,
}

/// One scene's rows, ours first.
pub(crate) struct Result {
    pub(crate) name: &'static str,
    /// Minutes, over all seeds, in which no strategy could have carried everything.
    pub(crate) infeasible_minutes: usize,
    pub(crate) rows: Vec<Row>,
}

impl Row {
    pub(crate) const fn new(strategy: Strategy, careful: bool) -> Self {
        Self {
            strategy,
            careful,
            outcomes: Vec::new(),
        }
    }

    fn name(&self) -> String {
        let limits = if self.careful {
            " (careful limits)"
        } else {
            ""
        };
        format!("{}{limits}", self.strategy.name())
    }

    fn worst(&self, figure: impl Fn(&Outcome) -> f64) -> f64 {
        self.outcomes.iter().map(figure).fold(0.0, f64::max)
    }
}

impl Result {
    /// Our cost over that of the cheapest peer that was clean with the same seed; the worst
    /// seed. None: no peer was ever clean.
    fn cost_ratio(&self) -> Option<f64> {
        let (ours, peers) = self.rows.split_first()?;
        let ratios = ours.outcomes.iter().enumerate().filter_map(|(seed, ours)| {
            let clean = peers
                .iter()
                .filter_map(|row| row.outcomes.get(seed))
                .filter(|outcome| outcome.is_clean());
            let cheapest = clean.map(|outcome| outcome.cost).reduce(f64::min)?;
            Some(ours.cost / cheapest)
        });
        ratios.reduce(f64::max)
    }
}

/// What must be true of ours over all scenes and is not, in words; nothing: it holds its bars.
pub(crate) fn missed(results: &[Result]) -> Vec<String> {
    let cost = results.iter().filter_map(Result::cost_ratio);
    let bars = [
        (
            "capped_stream_minutes",
            worst(results, |it| it.capped_minutes as f64),
            0.0,
        ),
        (
            "moves_per_1000",
            worst(results, Outcome::moves_per_1000),
            MOVES_PER_1000_MAX,
        ),
        ("cost_vs_best_clean_baseline", cost.fold(0.0, f64::max), 1.0),
    ];
    let missed = bars.into_iter().filter(|(_, figure, bar)| figure > bar);
    missed
        .map(|(name, figure, bar)| format!("{name} is {figure}, more than {bar}"))
        .collect()
}

/// A table for each scene: the worst over the seeds.
pub(crate) fn table(results: &[Result], seeds: u64) {
    for result in results {
        println!(
            "\n{} ({seeds} seeds, the worst of each; infeasible minutes: {})",
            result.name, result.infeasible_minutes
        );
        println!(
            "{:34} {:>9} {:>13} {:>9} {:>11} {:>9} {:>8} {:>8}",
            "strategy",
            "streams",
            "capped min",
            "rejected",
            "moves/1000",
            "cost",
            "per TB",
            "+RTT ms"
        );
        for row in &result.rows {
            println!(
                "{:34} {:>9} {:>13} {:>9} {:>11.2} {:>9.2} {:>8.3} {:>8.1}",
                row.name(),
                row.worst(|it| it.streams as f64),
                row.worst(|it| it.capped_minutes as f64),
                row.worst(|it| it.rejected as f64),
                row.worst(Outcome::moves_per_1000),
                row.worst(|it| it.cost),
                row.worst(|it| it.cost / (it.carried_bytes / 1e12)),
                row.worst(Outcome::mean_extra_rtt_ms),
            );
        }
        match result.cost_ratio() {
            Some(ratio) => println!("cost over the cheapest clean peer's: {ratio:.3}"),
            None => println!("no peer was clean with any seed"),
        }
    }
    let [capped, moves, cost] = figures(results);
    println!(
        "\ncapped_stream_minutes {capped}, moves_per_1000 {moves}, cost_vs_best_clean_baseline {cost}"
    );
    for missed in missed(results) {
        println!("missed: {missed}");
    }
}

/// The figures, and what they are made of.
pub(crate) fn json(results: &[Result], seeds: u64) -> Value {
    let [capped, moves, cost] = figures(results);
    json!({
        "seeds": seeds,
        "capped_stream_minutes": capped,
        "rejected_streams": worst(results, |it| it.rejected as f64),
        "moves_per_1000": moves,
        "cost_vs_best_clean_baseline": cost,
        "missed": missed(results),
        "scenes": results.iter().map(scene).collect::<Vec<_>>(),
    })
}

fn figures(results: &[Result]) -> [Value; 3] {
    let cost = results.iter().filter_map(Result::cost_ratio);
    [
        json!(worst(results, |it| it.capped_minutes as f64)),
        json!(worst(results, Outcome::moves_per_1000)),
        json!(cost.reduce(f64::max)),
    ]
}

/// Our worst.
fn worst(results: &[Result], figure: impl Fn(&Outcome) -> f64) -> f64 {
    let ours = results.iter().filter_map(|result| result.rows.first());
    ours.map(|row| row.worst(&figure)).fold(0.0, f64::max)
}

fn scene(result: &Result) -> Value {
    let row = |row: &Row| {
        json!({
            "strategy": row.name(),
            "capped_stream_minutes": row.worst(|it| it.capped_minutes as f64),
            "infeasible_capped_minutes": row.worst(|it| it.excused_minutes as f64),
            "rejected_streams": row.worst(|it| it.rejected as f64),
            "moves_per_1000": row.worst(Outcome::moves_per_1000),
            "cost": row.worst(|it| it.cost),
            "mean_extra_rtt_ms": row.worst(Outcome::mean_extra_rtt_ms),
        })
    };
    json!({
        "scene": result.name,
        "infeasible_minutes": result.infeasible_minutes,
        "cost_vs_best_clean_baseline": result.cost_ratio(),
        "strategies": result.rows.iter().map(row).collect::<Vec<_>>(),
    })
}
