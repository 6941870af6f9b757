//! Version 1, one file a family.

mod account;
mod audit;
mod auth;
mod bans;
mod billing;
mod budgets;
mod capacity;
mod device;
mod dns;
mod dock;
mod fleet;
mod health;
mod invites;
mod keys;
mod live;
mod node_intents;
mod nodes;
mod placement;
mod plans;
mod plugin;
mod preferences;
mod providers;
mod relay;
mod report;
mod sessions;
mod slots;
mod streams;
mod usage;
mod user_sign_ins;
mod user_tokens;
mod users;
mod webhooks;

use super::Route;
use crate::error::ApiError;

pub(super) fn routes() -> Vec<Route> {
    [
        audit::routes(),
        bans::routes(),
        billing::routes(),
        budgets::routes(),
        account::routes(),
        capacity::routes(),
        auth::routes(),
        device::routes(),
        dns::routes(),
        providers::routes(),
        dock::routes(),
        health::routes(),
        keys::routes(),
        live::routes(),
        report::routes(),
        node_intents::routes(),
        nodes::routes(),
        placement::routes(),
        fleet::routes(),
        plans::routes(),
        plugin::routes(),
        preferences::routes(),
        relay::routes(),
        sessions::routes(),
        slots::routes(),
        streams::routes(),
        usage::routes(),
        users::routes(),
        user_sign_ins::routes(),
        invites::routes(),
        user_tokens::routes(),
        webhooks::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A name that an operator gives: 1 to 64 printable characters.
fn check_name(name: &str) -> Result<(), ApiError> {
    let printable = !name.chars().any(char::is_control) && name.trim() == name;
    if printable && (1..=64).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(ApiError::invalid("name: 1 to 64 printable characters"))
}

const REASON_LENGTH_MAX: usize = 256;

/// Why, in an operator's words: 1 to 256 characters around which there is no space.
fn check_reason(reason: &str) -> Result<&str, ApiError> {
    let reason = reason.trim();
    let printable = !reason.chars().any(char::is_control);
    if printable && (1..=REASON_LENGTH_MAX).contains(&reason.chars().count()) {
        return Ok(reason);
    }
    Err(ApiError::invalid(format!(
        "reason: 1 to {REASON_LENGTH_MAX} printable characters"
    )))
}
