//! The control plane as a process.

fn main() -> std::process::ExitCode {
    service_kit::run("api", streamhaul_api::run)
}
