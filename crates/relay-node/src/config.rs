//! What an operator can set.

mod bonding;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use model::Region;
use model::settings::{Delivery, Resume, Start};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use service_kit::{KitConfig, ServiceConfig};

use crate::control::addresses;
use crate::stats::StatsLimits;
pub use bonding::Srtla;

/// More data threads than this are of no use on one port.
const DATA_THREADS_MAX: u16 = 64;

/// The relay node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Admin listener, logs, traces, shutdown.
    pub kit: KitConfig,
    /// The port for publishers and players.
    pub listen_udp: SocketAddr,
    /// The compatibility port for publishers.
    pub listen_publish: SocketAddr,
    /// The compatibility port for players.
    pub listen_play: SocketAddr,
    /// Statistics over HTTP, for whoever has a play key.
    pub listen_stats: SocketAddr,
    /// Where the node keeps who it is.
    pub state_dir: PathBuf,
    /// The one-time token to enrol with; needed at the first start only.
    #[serde(
        serialize_with = "service_kit::secret::redacted_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub join_token: Option<SecretString>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_token_file: Option<PathBuf>,
    /// The control plane; several replicas with commas between them, or a name that stands
    /// for them.
    pub api_grpc: String,
    /// The metrics-gateway; without it the node reports no samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_grpc: Option<String>,
    /// An ASN database (MaxMind DB format; GeoLite2 ASN, IPinfo Lite or alike) that
    /// says which carrier a link belongs to; read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn_database: Option<PathBuf>,
    /// The host name or address that phones and players reach.
    pub public_host: String,
    /// Where the node stands.
    pub region: Region,
    /// How much it takes on.
    pub limits: Limits,
    /// How much the statistics do.
    pub stats: StatsLimits,
    /// Publishers that come over several links.
    pub srtla: Srtla,
    /// Data threads; 0: one for each core. A stream lives on one of them.
    pub data_threads: u16,
    /// While many datagrams come, how long the next ones may gather before a
    /// thread takes them all: it saves wake-ups, and adds this delay at most.
    /// 0 takes each as it comes.
    pub pause_max_us: u64,
    /// What a player's latency is raised by, over the publisher's.
    pub latency_margin_ms: u64,
    /// The latency a caller gets when it asks for less; 120 is libsrt's own.
    pub latency_min_ms: u64,
    /// Callers that ask for more latency are refused.
    pub latency_max_ms: u64,
    /// How long players are kept after their publisher went, unless a lease
    /// says otherwise, as for the next three.
    pub hold_seconds: u64,
    /// What players see when the publisher returns: `hold` or `cut`.
    pub resume: Resume,
    /// When packets go on to players: `pass_through` or `buffered`.
    pub delivery: Delivery,
    /// Where joining players start: `newest` or `keyframe`.
    pub start: Start,
    /// A publisher silent for so long is gone.
    pub publisher_timeout_seconds: u64,
    /// A node that starts again within so long goes on with the connections that
    /// it had; 0: it ends them when it stops.
    pub resume_seconds: u64,
    /// Packets after which the key changes that a player's are encrypted with.
    pub key_refresh_packets: u64,
    /// So many packets before, the next key is announced.
    pub key_announce_packets: u64,
    /// Whom the control plane may make the node call.
    pub remotes: Remotes,
}

/// Whom the control plane may make the node call: whether private, shared,
/// loopback and link-local addresses are among them. Multicast and unspecified
/// addresses never are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Remotes {
    /// For streams that it pulls: the nodes of a fleet may share a private network.
    pub pull_private_allowed: bool,
    /// For streams that it pushes.
    pub push_private_allowed: bool,
}

impl Default for Remotes {
    fn default() -> Self {
        Self {
            pull_private_allowed: true,
            push_private_allowed: false,
        }
    }
}

/// How much the node takes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions held at once.
    pub sessions_max: u32,
    /// Players of one stream.
    pub players_per_stream_max: u32,
    /// Connection requests from one source prefix (an IPv4 address, an IPv6
    /// /64) in a second.
    pub handshakes_per_second_max: u32,
    /// Publishers and players connected at once from one source prefix. Phones
    /// of one carrier may share an address, so it is generous.
    pub connections_per_source_max: u32,
    /// Cookies handed out in a second, to all callers together.
    pub inductions_per_second_max: u32,
    /// Cookies handed out in a second to one source prefix.
    pub inductions_per_source_max: u32,
    /// Leases that callers bring themselves, verified in a second.
    pub lease_checks_per_second_max: u32,
    /// Mebibytes that all streams together keep for retransmission.
    pub rings_mib_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let refresh = relay_core::Config::default().key_refresh;
        Self {
            kit: KitConfig::with_admin_port(9103),
            listen_udp: any(5000),
            listen_publish: any(4001),
            listen_play: any(4000),
            listen_stats: any(8090),
            state_dir: "/var/lib/streamhaul/relay-node".into(),
            join_token: None,
            join_token_file: None,
            api_grpc: "http://127.0.0.1:7001".into(),
            gateway_grpc: None,
            asn_database: None,
            public_host: "127.0.0.1".into(),
            region: Region::parse("local").expect("a region's name"),
            limits: Limits::default(),
            stats: StatsLimits::default(),
            srtla: Srtla::default(),
            data_threads: 0,
            pause_max_us: 200,
            latency_margin_ms: 60,
            latency_min_ms: 120,
            latency_max_ms: 10_000,
            hold_seconds: 120,
            resume: Resume::Hold,
            delivery: Delivery::PassThrough,
            start: Start::Newest,
            publisher_timeout_seconds: 10,
            resume_seconds: 30,
            key_refresh_packets: refresh.packets,
            key_announce_packets: refresh.announced_before,
            remotes: Remotes::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let relay = relay_core::Limits::default();
        Self {
            sessions_max: relay.sessions_max,
            players_per_stream_max: relay.players_per_stream_max,
            handshakes_per_second_max: relay.handshakes_per_second_max,
            connections_per_source_max: relay.connections_per_source_max,
            inductions_per_second_max: relay.inductions_per_second_max,
            inductions_per_source_max: relay.inductions_per_source_max,
            lease_checks_per_second_max: relay.lease_checks_per_second_max,
            rings_mib_max: (relay.rings_bytes_max >> 20) as u32,
        }
    }
}

impl ServiceConfig for Config {
    fn kit(&self) -> &KitConfig {
        &self.kit
    }

    fn validate(&self) -> Result<(), String> {
        for address in addresses(&self.api_grpc) {
            self.kit.grpc.check("api_grpc", address)?;
        }
        if let Some(gateway) = &self.gateway_grpc {
            self.kit.grpc.check("gateway_grpc", gateway)?;
        }
        self.check_ports()?;
        check_host(&self.public_host)?;
        if self.join_token.is_some() && self.join_token_file.is_some() {
            return Err("set join_token or join_token_file, not both".into());
        }
        let threads = u64::from(self.data_threads);
        within("data_threads", threads, 0, DATA_THREADS_MAX.into())?;
        within("pause_max_us", self.pause_max_us, 0, 2_000)?;
        within("latency_margin_ms", self.latency_margin_ms, 0, 5_000)?;
        within("latency_max_ms", self.latency_max_ms, 20, 60_000)?;
        within(
            "latency_min_ms",
            self.latency_min_ms,
            20,
            self.latency_max_ms,
        )?;
        within("hold_seconds", self.hold_seconds, 0, 86_400)?;
        within(
            "publisher_timeout_seconds",
            self.publisher_timeout_seconds,
            1,
            3_600,
        )?;
        within("resume_seconds", self.resume_seconds, 0, 300)?;
        within("key_refresh_packets", self.key_refresh_packets, 64, 1 << 28)?;
        within(
            "key_announce_packets",
            self.key_announce_packets,
            1,
            self.key_refresh_packets / 2,
        )?;
        for (name, value) in self.stats.named() {
            within(&format!("stats.{name}"), value.into(), 1, 1_000_000)?;
        }
        self.srtla.validate()?;
        self.limits.validate()
    }
}

impl Limits {
    fn validate(&self) -> Result<(), String> {
        for (name, value, max) in [
            ("sessions_max", self.sessions_max, 20_000),
            ("players_per_stream_max", self.players_per_stream_max, 1_024),
            (
                "handshakes_per_second_max",
                self.handshakes_per_second_max,
                1_000_000,
            ),
            (
                "connections_per_source_max",
                self.connections_per_source_max,
                1_000_000,
            ),
            (
                "inductions_per_second_max",
                self.inductions_per_second_max,
                1_000_000,
            ),
            (
                "inductions_per_source_max",
                self.inductions_per_source_max,
                1_000_000,
            ),
            (
                "lease_checks_per_second_max",
                self.lease_checks_per_second_max,
                100_000,
            ),
            ("rings_mib_max", self.rings_mib_max, 1_048_576),
        ] {
            within(&format!("limits.{name}"), value.into(), 1, max)?;
        }
        Ok(())
    }
}

impl Config {
    fn check_ports(&self) -> Result<(), String> {
        let ports = [
            self.listen_udp.port(),
            self.listen_publish.port(),
            self.listen_play.port(),
        ];
        let same = |a: usize, b: usize| ports[a] != 0 && ports[a] == ports[b];
        if same(0, 1) || same(0, 2) || same(1, 2) {
            return Err("listen_udp, listen_publish and listen_play need a port each".into());
        }
        Ok(())
    }

    /// The settings of the relay inside, whose sockets are in the order of
    /// [`listens`](Self::listens).
    pub(crate) fn relay(&self) -> relay_core::Config {
        use relay_core::{PortRole, RefreshAfter};
        relay_core::Config {
            sockets: vec![PortRole::Any, PortRole::Publish, PortRole::Play],
            limits: relay_core::Limits {
                sessions_max: self.limits.sessions_max,
                players_per_stream_max: self.limits.players_per_stream_max,
                handshakes_per_second_max: self.limits.handshakes_per_second_max,
                connections_per_source_max: self.limits.connections_per_source_max,
                inductions_per_second_max: self.limits.inductions_per_second_max,
                inductions_per_source_max: self.limits.inductions_per_source_max,
                lease_checks_per_second_max: self.limits.lease_checks_per_second_max,
                rings_bytes_max: (self.limits.rings_mib_max as usize) << 20,
                ..relay_core::Limits::default()
            },
            latency_margin: Duration::from_millis(self.latency_margin_ms),
            latency_min: Duration::from_millis(self.latency_min_ms),
            latency_max: Duration::from_millis(self.latency_max_ms),
            hold: Duration::from_secs(self.hold_seconds),
            resume: self.resume,
            delivery: self.delivery,
            start: self.start,
            publisher_timeout: Duration::from_secs(self.publisher_timeout_seconds),
            srtla: self.srtla.registry(),
            key_refresh: RefreshAfter {
                packets: self.key_refresh_packets,
                announced_before: self.key_announce_packets,
            },
            ..relay_core::Config::default()
        }
    }

    /// How many data threads there will be.
    pub(crate) fn data_threads(&self) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self.data_threads {
            0 => cores.min(usize::from(DATA_THREADS_MAX)) as u16,
            threads => threads,
        }
    }

    /// The UDP addresses to bind.
    pub(crate) const fn listens(&self) -> [SocketAddr; 3] {
        [self.listen_udp, self.listen_publish, self.listen_play]
    }
}

/// It becomes part of URLs that people paste.
fn check_host(host: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if (1..=255).contains(&host.len()) && host.bytes().all(allowed) {
        Ok(())
    } else {
        Err(format!(
            "public_host is not a host name or address: `{host}`"
        ))
    }
}

fn within(name: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} must be {min} to {max}, not {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(
            Config::default().relay().sockets.len(),
            Config::default().listens().len()
        );
    }

    #[test]
    fn the_bounds_of_groups_are_the_registrys_own_unless_set() {
        let relay = Config::default().relay().srtla;
        let own = srtla::Config::default();
        let elsewhere_max = own.groups_max * own.links_max;
        assert_eq!(
            relay,
            srtla::Config {
                elsewhere_max,
                ..own
            }
        );
    }

    #[test]
    fn an_address_across_the_internet_is_one_by_tls() {
        for service in ["api_grpc", "gateway_grpc"] {
            let set = |config: &mut Config, url: &str| match service {
                "api_grpc" => config.api_grpc = format!("http://10.0.0.1:7001,{url}"),
                _ => config.gateway_grpc = Some(url.to_owned()),
            };
            let plain = "http://streamhaul.example:7001";
            let refused = refused(|config| set(config, plain));
            assert!(refused.starts_with(&format!("{service}: ")), "{refused}");
            assert!(refused.contains("kit.grpc.insecure"), "{refused}");
            let mut allowed = Config::default();
            set(&mut allowed, "https://streamhaul.example:7001");
            assert_eq!(allowed.validate(), Ok(()));
            set(&mut allowed, plain);
            allowed.kit.grpc.insecure = true;
            assert_eq!(allowed.validate(), Ok(()));
        }
    }

    #[test]
    fn each_mistake_is_named() {
        assert!(refused(|c| c.api_grpc = "ftp://a:1".into()).starts_with("api_grpc must be"));
        assert!(
            refused(|c| c.gateway_grpc = Some("a:1".into())).starts_with("gateway_grpc must be")
        );
        assert!(refused(|c| c.listen_play = c.listen_udp).contains("a port each"));
        assert!(refused(|c| c.public_host = "a/b?c".into()).contains("public_host"));
        assert!(refused(|c| c.latency_max_ms = 0).starts_with("latency_max_ms must be 20 to"));
        assert!(refused(|c| c.limits.sessions_max = 0).starts_with("limits.sessions_max must be"));
        assert!(refused(|c| c.stats.sockets_max = 0).starts_with("stats.sockets_max must be"));
        assert!(
            refused(|c| c.srtla.links_per_group_max = 17)
                .starts_with("srtla.links_per_group_max must be 1 to 16")
        );
        assert!(
            refused(|c| c.srtla.link_timeout_seconds = 31)
                .starts_with("srtla.link_timeout_seconds must be 1 to 30")
        );
        assert!(
            refused(|c| c.limits.connections_per_source_max = 0)
                .starts_with("limits.connections_per_source_max must be")
        );
        assert!(
            refused(|c| {
                c.join_token = Some("sh_join_1".into());
                c.join_token_file = Some("/x".into());
            })
            .contains("not both")
        );
    }

    #[test]
    fn the_join_token_is_never_shown() {
        let config = Config {
            join_token: Some("sh_join_secret".into()),
            ..Config::default()
        };
        let shown = serde_json::to_string(&config).unwrap() + &format!("{config:?}");
        assert!(!shown.contains("sh_join_secret"), "{shown}");
    }
}
