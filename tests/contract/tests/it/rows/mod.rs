//! Every answer of the contract, asked for once and recorded with its request.
//!
//! A scene is a table of requests, each under its line of `rows.txt`, with what an operator
//! or a phone does in between. To add an answer, add its line there and a request here.

mod fleet;
mod limits;
mod sessions;
mod sign_in;
mod slots;
mod stage;
mod table;

use std::collections::BTreeSet;

use stage::Stage;

#[test]
fn every_answer_of_the_contract_is_recorded() {
    let mut stage = Stage::start();
    sign_in::a_plugin_comes_in(&mut stage);
    fleet::everything_is_there(&mut stage);
    slots::slots_are_kept(&mut stage);
    sessions::a_session_begins_once(&mut stage);
    sessions::a_phone_publishes(&mut stage);
    sessions::a_session_is_alive_until_it_is_over(&mut stage);
    sessions::a_stream_moves(&mut stage);
    sessions::sessions_end(&mut stage);
    limits::a_plan_limits(&mut stage);
    limits::too_much_is_refused(&mut stage);
    sign_in::a_plugin_leaves(&mut stage);

    let given = streamhaul_contract::given().unwrap();
    let given: BTreeSet<&str> = given.iter().map(|row| row.line).collect();
    let missing: Vec<_> = given.difference(stage.recorded()).collect();
    assert!(missing.is_empty(), "not recorded: {missing:#?}");
}
