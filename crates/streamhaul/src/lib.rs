//! The product's command.
