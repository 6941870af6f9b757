//! `cargo xtask openapi`: docs/openapi.json, made anew.

use crate::workspace::{cargo, run as succeed};

/// Has the test that compares the document write it.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut test = cargo(&[
        "test",
        "--package",
        "streamhaul-api",
        "--test",
        "it",
        "openapi::the_checked_in_document_is_this_one",
    ]);
    test.env("STREAMHAUL_WRITE_OPENAPI", "1");
    succeed(&mut test)
}
