//! A user's sessions: starting, stopping, showing them; and what their streams are set to.

pub(crate) mod capacity;
pub(crate) mod keys;
pub(crate) mod lifecycle;
pub(crate) mod links;
pub(crate) mod moves;
pub(crate) mod names;
pub(crate) mod outage;
mod outcomes;
pub(crate) mod place;
pub(crate) mod relief;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod start;
pub(crate) mod states;
pub(crate) mod stop;
pub(crate) mod view;
