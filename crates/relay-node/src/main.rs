//! The relay node on its own.

fn main() -> std::process::ExitCode {
    service_kit::run("relay-node", streamhaul_relay_node::run)
}
