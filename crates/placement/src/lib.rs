//! Chooses a node for a session, and keeps nodes within their byte budgets.
//!
//! ```text
//! offer (policy) ─┐
//! counters ───────┴▶ Account ──settle──▶ Outlook ─┐
//!                    (used, usual week, gate)     ├▶ Budget ─▶ choose ─▶ Ranking ─▶ explain
//!                    sessions ──reserve──▶ Held ──┘        └─▶ plan_moves
//! ```
//! [`choose`] is a pure function: candidates, a request and `now` in, a [`Ranking`] out
//! that names every candidate with each term of its cost, the refused ones with their
//! reason. [`Account`] turns a node's counters into what is used and what is to come.
//! [`vitals::Vitals`] turns heartbeats and silence into a node's health, [`reach::Reach`] what
//! callers from outside find, and [`standing::Facts`] that, the operator's intent and the
//! budget into its state. [`advice`] says when a region's bytes run out.
//! This crate refuses to know where candidates come from, what time it is and to change
//! anything: whoever acts on a ranking reserves under a lock, and asks again there.
//!
//! To add a reason to refuse, add a [`Refusal`] and its test; to add a cost, add a field
//! to [`Cost`], its weight to [`Weights`] and the term to `score::cost`; to add a kind of
//! offer, add it to [`Allowance`] and say in `Account` how its bytes are counted and in
//! [`Budget`] how it runs out. `examples/fleet_sim` shows what the change is worth.

pub mod account;
pub mod advice;
pub mod budget;
mod choice;
pub mod counter;
mod explain;
pub mod forecast;
pub mod gate;
mod moves;
pub mod policy;
pub mod reach;
mod score;
pub mod standing;
pub mod vitals;
pub mod window;

pub use account::Account;
pub use budget::{Budget, Demand, Held, Hold, Outlook, Quota, Rate};
pub use choice::{Candidate, Ranking, Refusal, Verdict, choose};
pub use explain::{Explained, explain};
pub use gate::{Gate, Restriction};
pub use moves::{Movable, Move, MovePolicy, is_pressed, plan_moves};
pub use policy::{Allowance, BandwidthPolicy};
pub use score::{Cost, Request, Weights};
