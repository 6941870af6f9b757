//! `cargo xtask lint`.

use crate::workspace::{cargo, has_program, run};

/// Checks formatting, Clippy and, where cargo-deny is there, the dependency rules.
pub(crate) fn run_all() -> anyhow::Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
    run(clippy.args(["--", "-D", "warnings"]))?;
    if has_program("cargo-deny") {
        return run(&mut cargo(&[
            "deny", "check", "bans", "licenses", "sources",
        ]));
    }
    eprintln!(
        "the dependency rules were not checked; to check them: cargo install cargo-deny --locked"
    );
    Ok(())
}
