//! The control plane from outside: real HTTP, real gRPC, a real database, a clock
//! that the tests move.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod accounts;
mod advice;
mod audit;
mod auth;
mod bans;
mod billing;
mod budgets;
mod chains;
mod contract;
mod contract_auth;
mod contract_relay;
mod contract_rows;
mod counted_usage;
mod dock;
mod edge;
mod enrolment;
mod expiry;
mod fleet;
mod house;
mod idempotency;
mod keys;
mod limits;
mod links;
mod live;
mod logs;
mod moves;
mod names;
mod node;
mod nodes;
mod openapi;
mod outage;
mod placement;
mod probes;
mod providers;
mod report;
mod roles;
mod security;
mod sessions;
mod settling;
mod starts;
mod strangers;
mod streams;
mod upkeep;
mod webhooks;
