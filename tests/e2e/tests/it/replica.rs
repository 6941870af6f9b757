//! A replica of the control plane is killed in the middle of everything.

use streamhaul_e2e::replica::{self, Plan};

use crate::{clip_path, turn};

#[test]
fn no_session_is_lost_or_doubled_when_a_replica_is_killed() {
    let _turn = turn();
    let plan = Plan {
        nodes: 40,
        callers: 4,
    };
    let finding = replica::run(plan, &clip_path()).unwrap();
    println!("{finding}");
    finding.judge().unwrap();
}
