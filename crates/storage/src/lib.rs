//! The only SQL.
//!
//! Functions take a [`Pool`] or a [`Transaction`] and speak `model`; rows stop here.
//! "Not found" is `Ok(None)`. This crate refuses to know who asks, what a state
//! change means and what time it is: `now` is an argument.
//!
//! To add a query, write it with sqlx's `query!` family in the module of the
//! schema's owner. The macros check it at compile time against the data in
//! `.sqlx/` at the workspace root (`SQLX_OFFLINE=true`, set in `.cargo/config.toml`:
//! building needs no database). To refresh that data, `cargo xtask sqlx`, which does this:
//! start a private PostgreSQL, apply `migrations/` in order, and run
//! `SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$PWD/.sqlx DATABASE_URL=postgres://… cargo check
//! -p streamhaul-storage --all-targets` after touching this file.

pub mod backup;
pub mod cluster;
mod columns;
pub mod control;
mod copy;
mod error;
mod migrate;
mod pool;
pub mod queue;
pub mod telemetry;

pub use error::Error;
pub use migrate::{check_schema, migrate};
pub use pool::{
    InvalidUrl, Pool, check_proxy, check_settings, check_url, connect, connect_intake,
    connect_proxied, connect_queue, connect_readers, ping,
};

/// Statements that happen together or not at all; dropped without
/// [`commit`](sqlx::Transaction::commit), none did.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// Begins a [`Transaction`].
///
/// # Errors
/// When the database is away.
pub async fn begin(pool: &Pool) -> Result<Transaction, Error> {
    Ok(pool.begin().await?)
}

/// Makes what a [`Transaction`] did stand.
///
/// # Errors
/// When the database is away or refuses; then nothing of it was done, or all.
pub async fn commit(transaction: Transaction) -> Result<(), Error> {
    Ok(transaction.commit().await?)
}
