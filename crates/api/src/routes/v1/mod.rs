//! Version 1, one file a family.

mod account;
mod audit;
mod auth;
mod budgets;
mod capacity;
mod device;
mod dock;
mod health;
mod keys;
mod live;
mod nodes;
mod placement;
mod plans;
mod plugin;
mod providers;
mod relay;
mod slots;
mod streams;
mod usage;
mod users;

use super::Route;
use crate::error::ApiError;

pub(super) fn routes() -> Vec<Route> {
    [
        audit::routes(),
        budgets::routes(),
        account::routes(),
        capacity::routes(),
        auth::routes(),
        device::routes(),
        providers::routes(),
        dock::routes(),
        health::routes(),
        keys::routes(),
        live::routes(),
        nodes::routes(),
        placement::routes(),
        plans::routes(),
        plugin::routes(),
        relay::routes(),
        slots::routes(),
        streams::routes(),
        usage::routes(),
        users::routes(),
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
