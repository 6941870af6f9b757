//! The corpus of every target, replayed: what was found once stays found.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use streamhaul_fuzz::TARGETS;

/// The whole corpus is a part of every clone of the repository.
const CORPUS_BYTES_MAX: u64 = 1 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("corpus").join(target)).unwrap();
    let mut inputs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_of_the_corpus_keeps_every_promise() {
    let mut broken = Vec::new();
    for (name, body) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for path in inputs {
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(AssertUnwindSafe(|| body(&bytes))).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "broken by {broken:#?}");
}

#[test]
fn every_target_has_its_binary_and_its_corpus_and_is_small() {
    let names = |path: &str, strip: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(path)).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        entries
            .map(|entry| name(entry.unwrap()).replace(strip, ""))
            .collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets", ".rs"), targets);
    assert_eq!(names("corpus", "/"), targets);
    let sizes = TARGETS.iter().flat_map(|(name, _)| inputs(name));
    let total: u64 = sizes.map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(total <= CORPUS_BYTES_MAX, "the corpus has {total} bytes");
}
