//! Puts the dock's page into the binary: what `npm run build` left in `web/dist`.
//! Without it the binary is whole too, and its page says how to make the real one.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let built = manifest.join("web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // A path that is missing counts as changed at every build, so `web` stands for a
    // `dist` that may come.
    if built.is_dir() {
        println!("cargo::rerun-if-changed=web/dist");
    } else {
        println!("cargo::rerun-if-changed=web");
    }
    let mut files = Vec::new();
    if built.is_dir() {
        collect(&built, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&built).map_err(io::Error::other)?;
        writeln!(table, "({name:?}, include_bytes!({file:?})),").map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("dock_files.rs"), table)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
