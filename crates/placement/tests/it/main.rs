//! What the choice of a node promises.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod budgets;
mod choice;
mod fleet;
mod moves;
mod properties;
mod standing;
