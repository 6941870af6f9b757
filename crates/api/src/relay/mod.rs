//! A user's sessions: starting, stopping, showing them.

pub(crate) mod keys;
pub(crate) mod request;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod view;
