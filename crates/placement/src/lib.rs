//! Chooses a node for a session.
