//! The data plane: one UDP port, batched.
