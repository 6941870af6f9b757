//! The jobs service.

fn main() -> std::process::ExitCode {
    service_kit::run("jobs", streamhaul_jobs::run)
}
