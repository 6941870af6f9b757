//! The job engine's workers and their database die in the middle of jobs.

use std::path::PathBuf;
use std::time::Duration;

use streamhaul_e2e::queue_bench;
use streamhaul_e2e::queue_drill::{self, Plan};

use crate::turn;

#[test]
fn no_job_is_lost_and_no_fenced_effect_doubled_when_workers_and_the_database_die() {
    let _turn = turn();
    let plan = Plan {
        jobs: 3000,
        workers: 4,
        kill_interval: Duration::from_millis(300),
        restarts: 1,
        seed: 6,
        program: PathBuf::from(env!("CARGO_BIN_EXE_streamhaul-measure")),
    };
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let finding = queue_drill::run(&plan, &scratch).unwrap();
    println!("{finding}");
    finding.judge().unwrap();
    assert_eq!(finding.restarts, 1);
}

#[test]
fn a_short_bench_of_the_engine_has_every_figure() {
    let _turn = turn();
    let plan = queue_bench::Plan {
        jobs: 2000,
        turns: 1,
        singles: 5,
        held: Duration::from_secs(1),
        held_rate: 200,
    };
    let json = queue_bench::measure(&plan, None).unwrap().to_json();
    for name in [
        "noop_per_s",
        "enqueue_per_s",
        "start_p99_ms",
        "held_noop_per_s",
        "held_seconds",
        "held_jobs_before",
        "floor_insert_per_s",
        "floor_claim_per_s",
    ] {
        let figure = json[name].as_f64();
        assert!(figure.is_some_and(|it| it > 0.0), "{name}: {json:#}");
    }
    assert!(json["held_xmin_loss_ratio"].is_number(), "{json:#}");
}
