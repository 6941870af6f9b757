//! A node is restarted in the middle of a bonded stream.

use std::path::Path;
use std::time::Duration;

use streamhaul_e2e::bonder::Bonder;
use streamhaul_e2e::restart::{self, Plan};

use crate::turn;

#[test]
fn the_picture_is_back_after_a_node_was_killed_and_after_it_was_stopped() {
    let _turn = turn();
    let plan = Plan {
        bonder: Bonder::Own,
        latency: Duration::from_secs(1),
    };
    // It fails when new pictures do not come, or do not go on.
    let finding = restart::run(&plan, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    println!("{finding}");
}
