//! The only SQL, against a real server.

mod queue;
