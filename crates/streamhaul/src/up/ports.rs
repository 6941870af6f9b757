//! Which ports an instance uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// Every listener of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The HTTP API.
    pub api_http: SocketAddr,
    /// gRPC for relay nodes.
    pub api_grpc: SocketAddr,
    /// gRPC of jobs.
    pub jobs_grpc: SocketAddr,
    /// The live view.
    pub gateway_http: SocketAddr,
    /// gRPC for reports.
    pub gateway_grpc: SocketAddr,
    /// The relay node's statistics.
    pub relay_stats: SocketAddr,
    /// Publishers and players.
    pub relay_udp: SocketAddr,
    /// Publishers only.
    pub relay_publish: SocketAddr,
    /// Players only.
    pub relay_play: SocketAddr,
    /// Admin listener of api.
    pub admin_api: SocketAddr,
    /// Admin listener of jobs.
    pub admin_jobs: SocketAddr,
    /// Admin listener of relay-node.
    pub admin_relay_node: SocketAddr,
    /// Admin listener of metrics-gateway.
    pub admin_metrics_gateway: SocketAddr,
}

/// Why the ports cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else listens there.
    #[error(
        "{protocol} port {port} ({purpose}) is taken: end what uses it, or move every port with --port-base N"
    )]
    Busy {
        /// TCP or UDP.
        protocol: &'static str,
        /// The port.
        port: u16,
        /// What it is for.
        purpose: &'static str,
    },
    /// The system refuses the port for another reason.
    #[error("cannot listen on {protocol} port {port} ({purpose}): {source}")]
    Refused {
        /// TCP or UDP.
        protocol: &'static str,
        /// The port.
        port: u16,
        /// What it is for.
        purpose: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The last place in a block of ports.
const LAST: u16 = 14;
/// The largest `--port-base`.
pub const BASE_MAX: u16 = u16::MAX - LAST;

impl Ports {
    /// The documented ports, or a block of them from `base` on.
    #[must_use]
    pub fn new(base: Option<u16>) -> Self {
        let port = |place: u16, usual: u16| base.map_or(usual, |base| base.saturating_add(place));
        let local = |place, usual| SocketAddr::from((Ipv4Addr::LOCALHOST, port(place, usual)));
        let any = any_address();
        Self {
            api_http: local(0, 8080),
            api_grpc: local(1, 7001),
            jobs_grpc: local(2, 7002),
            gateway_http: local(3, 8081),
            gateway_grpc: local(4, 7004),
            relay_stats: (any, port(5, 8090)).into(),
            relay_udp: (any, port(6, 5000)).into(),
            relay_publish: (any, port(7, 4001)).into(),
            relay_play: (any, port(8, 4000)).into(),
            admin_api: local(11, 9101),
            admin_jobs: local(12, 9102),
            admin_relay_node: local(13, 9103),
            admin_metrics_gateway: local(LAST, 9104),
        }
    }

    /// Checks that nobody else listens on any of them.
    ///
    /// # Errors
    /// The first port that is taken, and what it is for.
    pub fn check(&self) -> Result<(), Error> {
        for (purpose, address) in self.tcp() {
            TcpListener::bind(address)
                .map_err(|source| refusal("TCP", address, purpose, source))?;
        }
        for (purpose, address) in self.udp() {
            UdpSocket::bind(address).map_err(|source| refusal("UDP", address, purpose, source))?;
        }
        Ok(())
    }

    const fn tcp(&self) -> [(&'static str, SocketAddr); 10] {
        [
            ("the HTTP API", self.api_http),
            ("gRPC of api", self.api_grpc),
            ("gRPC of jobs", self.jobs_grpc),
            ("the live view", self.gateway_http),
            ("gRPC of metrics-gateway", self.gateway_grpc),
            ("the relay node's statistics", self.relay_stats),
            ("admin of api", self.admin_api),
            ("admin of jobs", self.admin_jobs),
            ("admin of relay-node", self.admin_relay_node),
            ("admin of metrics-gateway", self.admin_metrics_gateway),
        ]
    }

    const fn udp(&self) -> [(&'static str, SocketAddr); 3] {
        [
            ("publishers and players", self.relay_udp),
            ("publishers only", self.relay_publish),
            ("players only", self.relay_play),
        ]
    }
}

/// Every address of the machine; on one without IPv6, its IPv4 ones.
fn any_address() -> IpAddr {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn refusal(
    protocol: &'static str,
    address: SocketAddr,
    purpose: &'static str,
    source: std::io::Error,
) -> Error {
    let port = address.port();
    if source.kind() == std::io::ErrorKind::AddrInUse {
        return Error::Busy {
            protocol,
            port,
            purpose,
        };
    }
    Error::Refused {
        protocol,
        port,
        purpose,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_used_twice() {
        for ports in [
            Ports::new(None),
            Ports::new(Some(24_000)),
            Ports::new(Some(BASE_MAX)),
        ] {
            let all = ports.tcp().into_iter().chain(ports.udp());
            let unique: BTreeSet<u16> = all.map(|(_, address)| address.port()).collect();
            assert_eq!(unique.len(), 13);
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let mut ports = Ports::new(None);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        ports.api_http = taken.local_addr().unwrap();
        let text = ports.check().unwrap_err().to_string();
        let expected = format!("TCP port {} (the HTTP API) is taken", ports.api_http.port());
        assert!(
            text.starts_with(&expected) && text.contains("--port-base"),
            "{text}"
        );
    }
}
