//! `streamhaul keys`: what leases are signed with.

use serde_json::{Value, json};

use crate::cli::{Keys, Target};
use crate::client::Client;
use crate::print;

const PATH: &str = "/api/v1/ops/keys";

pub(super) fn run(command: &Keys) -> anyhow::Result<()> {
    match command {
        Keys::List(target) => show(target, &Client::of(target)?.get(PATH)?),
        Keys::Rotate(target) => {
            let path = format!("{PATH}/rotate");
            show(target, &Client::of(target)?.post(&path, &json!({}), None)?);
        }
        Keys::Revoke {
            kid,
            reason,
            target,
        } => {
            let path = format!("{PATH}/{kid}/revoke");
            let request = json!({"reason": reason});
            show(target, &Client::of(target)?.post(&path, &request, None)?);
        }
    }
    Ok(())
}

fn show(target: &Target, listed: &Value) {
    if target.json {
        print::json(listed);
        return;
    }
    let keys = listed["keys"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = keys.map(row).collect();
    let head = ["key", "state", "made", "signs since", "believed until"];
    print::table(&head, &rows, "no key");
}

fn row(key: &Value) -> Vec<String> {
    let names = [
        "kid",
        "state",
        "created_at",
        "promoted_at",
        "believed_until",
    ];
    names.map(|name| print::text(&key[name])).to_vec()
}
