//! What people and CI run.

pub mod codegen;
