//! A whole node against a control plane and a gateway made for the test.

mod bans;
mod bonding;
mod control;
mod encryption;
mod forward;
mod gateway;
mod hostile;
mod noalbs;
mod node;
mod plane;
mod remotes;
mod report;
mod secret_remotes;
mod start;
mod stats;
mod stats_http;
