//! Rebuilds the crate when a migration comes or changes: they are embedded.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
