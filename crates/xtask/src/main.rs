//! `cargo xtask …`.

fn main() -> std::process::ExitCode {
    streamhaul_xtask::run()
}
