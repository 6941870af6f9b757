//! Where the control plane is: one of its replicas at a time.

use std::time::Duration;

use service_kit::GrpcConfig;
use tonic::transport::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A control plane that answers heartbeats is not asked for more signs of life.
const KEEPALIVE: Duration = Duration::from_secs(6);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// The replicas of the control plane. They are alike: any will do.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    endpoints: Vec<Endpoint>,
    chosen: usize,
}

impl Replicas {
    /// From addresses with commas between them, such as `http://a:7001,http://b:7001`.
    /// `chance` chooses the first, so that a fleet is spread over them.
    pub(crate) fn parse(grpc: &GrpcConfig, urls: &str, chance: u16) -> anyhow::Result<Self> {
        let endpoints = addresses(urls)
            .map(|url| endpoint(grpc, "api_grpc", url))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            endpoints,
            chosen: chance.into(),
        })
    }

    /// The one to ask now.
    pub(crate) fn chosen(&self) -> &Endpoint {
        &self.endpoints[self.chosen % self.endpoints.len()]
    }

    /// Chooses another, if there is one: this one is away.
    pub(crate) const fn choose_next(&mut self) {
        self.chosen = self.chosen.wrapping_add(1);
    }
}

/// The single addresses of a list.
pub(crate) fn addresses(urls: &str) -> impl Iterator<Item = &str> {
    urls.split(',').map(str::trim)
}

/// Where a service is, and how long to wait for it.
pub(crate) fn endpoint(grpc: &GrpcConfig, setting: &str, url: &str) -> anyhow::Result<Endpoint> {
    Ok(grpc
        .endpoint(setting, url)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(urls: &str, chance: u16) -> anyhow::Result<Replicas> {
        Replicas::parse(&GrpcConfig::default(), urls, chance)
    }

    #[test]
    fn one_after_the_other_is_chosen() {
        let mut replicas = parse("http://a:7001, http://b:7002", 1).unwrap();
        let chosen = |replicas: &Replicas| replicas.chosen().uri().to_string();
        assert_eq!(chosen(&replicas), "http://b:7002/");
        replicas.choose_next();
        assert_eq!(chosen(&replicas), "http://a:7001/");
        replicas.choose_next();
        assert_eq!(chosen(&replicas), "http://b:7002/");
    }

    #[test]
    fn a_single_one_is_chosen_again() {
        let mut replicas = parse("http://a:7001", u16::MAX).unwrap();
        replicas.choose_next();
        assert_eq!(replicas.chosen().uri(), "http://a:7001/");
    }
}
