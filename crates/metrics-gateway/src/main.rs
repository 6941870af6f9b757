//! The metrics-gateway service.

fn main() -> std::process::ExitCode {
    service_kit::run("metrics-gateway", streamhaul_metrics_gateway::run)
}
