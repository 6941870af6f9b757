//! What the services of a house are told when they start.

use super::{
    ELSEWHERE, GATEWAY_GRPC, GATEWAY_HTTP, House, JOBS_GRPC, RELAY_PLAY, RELAY_PUBLISH,
    RELAY_STATS, RELAY_UDP, SECOND_RELAY_PLAY, SECOND_RELAY_PUBLISH, SECOND_RELAY_STATS,
    SECOND_RELAY_UDP, Service, api_ports,
};

/// How to start a house; the default suits most.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings of a service besides the necessary ones, such as
    /// `KIT__LOG__FILTER`.
    pub settings: Vec<(Service, String, String)>,
    /// Whether the control plane has a second replica.
    pub replicated: bool,
    /// Whether gRPC goes by TLS, by an authority of the house's own.
    pub tls: bool,
}

/// What callers of a patient house get: longer than a busy machine holds a program up.
const PATIENT_LATENCY_MS: &str = "2000";

impl Options {
    /// For streams of which every byte is judged. With libsrt's own 120 ms a receiver
    /// drops, as it should, what a busy machine sends too late.
    #[must_use]
    pub fn patient() -> Self {
        [Service::RelayNode, Service::SecondRelayNode]
            .into_iter()
            .fold(Self::default(), |options, node| {
                options.with(node, "LATENCY_MIN_MS", PATIENT_LATENCY_MS)
            })
    }

    /// The same with a second replica of the control plane.
    #[must_use]
    pub const fn replicated(mut self) -> Self {
        self.replicated = true;
        self
    }

    /// The same with gRPC by TLS.
    #[must_use]
    pub const fn by_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The same without limits on how often one caller may ask.
    #[must_use]
    pub fn unlimited(self) -> Self {
        ["START", "STOP", "OPS"]
            .into_iter()
            .fold(self, |options, class| {
                let name = format!("HTTP__RATE_LIMITS__{class}");
                options
                    .with(Service::Api, &name, "0")
                    .with(Service::SecondApi, &name, "0")
            })
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, service: Service, name: &str, value: &str) -> Self {
        self.settings.push((service, name.into(), value.into()));
        self
    }
}

impl House {
    pub(super) fn settings(&self, service: Service) -> Vec<(String, String)> {
        let mut settings = self.necessary(service);
        settings.push(("KIT__ADMIN__LISTEN", self.local(service.admin_port())));
        settings.extend(self.grpc_files());
        let own = self.extra.iter().filter(|(other, ..)| *other == service);
        let own = own.map(|(_, name, value)| (name.clone(), value.clone()));
        settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(own)
            .collect()
    }

    fn grpc_files(&self) -> Vec<(&'static str, String)> {
        let Some(certificates) = &self.certificates else {
            return Vec::new();
        };
        vec![
            ("KIT__GRPC__CERT_FILE", certificates.cert()),
            ("KIT__GRPC__KEY_FILE", certificates.key()),
            ("KIT__GRPC__CA_FILE", certificates.ca()),
        ]
        .into_iter()
        .map(|(name, file)| (name, file.display().to_string()))
        .collect()
    }

    fn necessary(&self, service: Service) -> Vec<(&'static str, String)> {
        let secret = |name: &str| self.secret(name).display().to_string();
        let api_grpc = self.api_grpc();
        match service {
            Service::Api | Service::SecondApi => vec![
                ("LISTEN_HTTP", self.local(api_ports(service).0)),
                ("LISTEN_GRPC", self.local(api_ports(service).1)),
                (
                    "GATEWAY_HTTP",
                    format!("http://{}", self.local(GATEWAY_HTTP)),
                ),
                ("GATEWAY_GRPC", self.grpc(GATEWAY_GRPC)),
                ("DATABASE_URL", self.postgres.url()),
                ("ADMIN_TOKEN_FILE", secret("admin_token")),
                ("SERVICE_TOKEN_FILE", secret("service_token")),
                ("SEALING_KEY_FILE", secret("sealing_key")),
                ("FIRST_LEASE_KEY_FILE", secret("lease_key")),
                ("STREAM_KEY_SECRET_FILE", secret("stream_key_secret")),
            ],
            Service::Jobs => vec![
                ("LISTEN_GRPC", self.local(JOBS_GRPC)),
                ("DATABASE_URL", self.postgres.url()),
                ("SERVICE_TOKEN_FILE", secret("service_token")),
                ("API_GRPC", api_grpc),
            ],
            Service::MetricsGateway => vec![
                ("LISTEN_HTTP", self.local(GATEWAY_HTTP)),
                ("LISTEN_GRPC", self.local(GATEWAY_GRPC)),
                ("DATABASE_URL", self.postgres.url()),
                ("SERVICE_TOKEN_FILE", secret("service_token")),
                ("API_GRPC", api_grpc),
            ],
            Service::RelayNode => {
                let ports = [RELAY_UDP, RELAY_PUBLISH, RELAY_PLAY, RELAY_STATS];
                self.node(ports, "node", "join_token", "local")
            }
            Service::SecondRelayNode => {
                let ports = [
                    SECOND_RELAY_UDP,
                    SECOND_RELAY_PUBLISH,
                    SECOND_RELAY_PLAY,
                    SECOND_RELAY_STATS,
                ];
                self.node(ports, "second-node", "second_join_token", ELSEWHERE)
            }
        }
    }

    fn node(
        &self,
        [udp, publish, play, stats]: [u16; 4],
        state: &str,
        join_token: &str,
        region: &str,
    ) -> Vec<(&'static str, String)> {
        vec![
            ("LISTEN_UDP", self.everywhere(udp)),
            ("LISTEN_PUBLISH", self.everywhere(publish)),
            ("LISTEN_PLAY", self.everywhere(play)),
            ("LISTEN_STATS", self.local(stats)),
            ("STATE_DIR", self.file(state).display().to_string()),
            (
                "JOIN_TOKEN_FILE",
                self.secret(join_token).display().to_string(),
            ),
            ("API_GRPC", self.replicas_grpc()),
            ("GATEWAY_GRPC", self.grpc(GATEWAY_GRPC)),
            ("PUBLIC_HOST", "127.0.0.1".into()),
            ("REGION", region.into()),
        ]
    }
}
