//! The whole path, from outside.
