//! The schema `control`: who may do what, which nodes there are, which session is
//! where. Owner: `api`. Times are the caller's: every function that needs one takes
//! `now`.

pub mod accounts;
pub mod audit;
pub mod bans;
pub mod budgets;
pub mod chains;
pub mod connections;
pub mod demand;
pub mod device_logins;
pub mod dns;
pub mod docks;
pub mod endings;
pub mod epochs;
pub mod expiry;
pub mod heartbeats;
pub mod idempotency;
pub mod lease_keys;
pub mod linked_accounts;
pub mod mail_tokens;
pub mod moves;
pub mod nodes;
pub mod pending;
pub mod people;
pub mod placements;
pub mod plans;
pub mod probes;
pub mod provider_visits;
pub mod provisioning;
pub mod relief;
pub mod round_trips;
pub mod session_events;
pub mod session_list;
pub mod sessions;
pub mod sign_ins;
pub mod slots;
pub mod standings;
pub mod streams;
pub mod subscriptions;
pub mod tokens;
mod usage;
pub mod usage_gaps;
pub mod usage_history;
pub mod wake;
pub mod webhooks;

use crate::columns::{column, millis, number, stored, stored_count};
