//! Turns `proto/` into the Rust code that `crates/proto/src/gen` keeps checked in,
//! so that nobody needs a protobuf compiler to build.

use std::path::{Path, PathBuf};

use anyhow::Context;
use prost::Message;

/// The file descriptor set beside the generated modules; gRPC reflection serves it.
pub const DESCRIPTOR_FILE: &str = "streamhaul.descriptor.bin";

/// Writes the generated modules and [`DESCRIPTOR_FILE`] for every `.proto` under
/// `proto_dir` into `out_dir`. The output depends on the inputs only.
///
/// # Errors
/// When a contract does not compile or a file cannot be read or written.
pub fn generate(proto_dir: &Path, out_dir: &Path) -> anyhow::Result<()> {
    let contracts = contracts(proto_dir)?;
    let mut compiler = protox::Compiler::new([proto_dir])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&contracts)?;
    std::fs::create_dir_all(out_dir)?;
    let set = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .out_dir(out_dir)
        // `Fleet.Connect` would clash with the clients' own `connect`: they are made
        // with `new(channel)`.
        .build_transport(false)
        .codec_path("crate::codec::FrugalCodec")
        // It holds secrets: `proto` writes its `Debug` by hand.
        .skip_debug([
            ".streamhaul.fleet.v1.KeyedLease",
            ".streamhaul.fleet.v1.Remote",
            ".streamhaul.telemetry.v1.AppCredential",
        ])
        .compile_fds(set)
        .context("generate Rust from the contracts")?;
    // Comments are for the generated code; reflection does without.
    compiler.include_source_info(false);
    let path = out_dir.join(DESCRIPTOR_FILE);
    std::fs::write(&path, compiler.file_descriptor_set().encode_to_vec())
        .with_context(|| format!("write {}", path.display()))
}

/// Every `.proto` under `dir`, in a stable order.
fn contracts(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_in_code_is_what_the_contracts_generate() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let checked_in = root.join("crates/proto/src/gen");
        let fresh = std::env::temp_dir().join(format!("streamhaul-gen-{}", std::process::id()));
        generate(&root.join("proto"), &fresh).unwrap();
        let names = names(&fresh);
        assert_eq!(names, self::names(&checked_in), "run `cargo xtask gen`");
        for name in names {
            let same = std::fs::read(fresh.join(&name)).unwrap()
                == std::fs::read(checked_in.join(&name)).unwrap();
            assert!(
                same,
                "crates/proto/src/gen/{name} is stale: run `cargo xtask gen`"
            );
        }
        std::fs::remove_dir_all(&fresh).unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
