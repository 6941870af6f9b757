//! The dock in a browser that is not ours, on services that are.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::house::House;

/// Runs the page's browser tests in `web` against a house of their own.
///
/// # Errors
/// When the house does not start, Node is missing or a test fails.
pub fn check(web: &Path) -> anyhow::Result<()> {
    let house = House::start()?;
    let mut tests = Command::new("npm");
    tests
        .args(["run", "--silent", "test:browser"])
        .current_dir(web)
        .envs(house.administrator());
    let status = tests.status().context("npm run test:browser")?;
    ensure!(status.success(), "npm run test:browser: {status}");
    Ok(())
}
