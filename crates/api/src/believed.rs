//! The proxies whose word about callers is believed. Cloudflare's networks may come from a
//! file, which is read again while the process runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::config::HttpConfig;
use crate::state::App;

/// Between two looks at the file: its networks change a few times a year.
const INTERVAL: Duration = Duration::from_secs(60);

/// The networks of the proxies.
pub(crate) struct Believed(ArcSwap<Vec<IpNet>>);

impl Believed {
    /// Those of a configuration.
    pub(crate) fn new(http: &HttpConfig) -> anyhow::Result<Self> {
        Ok(Self(ArcSwap::from_pointee(http.proxies()?)))
    }

    /// As they are now.
    pub(crate) fn networks(&self) -> Arc<Vec<IpNet>> {
        self.0.load_full()
    }

    /// Reads them again, and says whether they are others. Of a file that is no good
    /// nothing is believed but what was before.
    fn refresh(&self, http: &HttpConfig) -> anyhow::Result<bool> {
        let networks = http.proxies()?;
        let are_others = **self.0.load() != networks;
        if are_others {
            self.0.store(Arc::new(networks));
        }
        Ok(are_others)
    }
}

/// Follows the file until the process ends.
pub(crate) async fn keep(app: Arc<App>) {
    if app.config.http.cloudflare_ranges_file.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        let reader = app.clone();
        let read = move || reader.proxies.refresh(&reader.config.http);
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(true)) => tracing::info!("Cloudflare's networks changed"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "Cloudflare's networks stay as they are");
            }
            Err(error) => tracing::error!(%error, "Reading Cloudflare's networks ended early"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::config::Proxies;

    #[test]
    fn a_newer_file_counts_without_a_restart_and_a_broken_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ranges");
        std::fs::write(&file, "203.0.113.0/24\n").unwrap();
        let http = HttpConfig {
            trusted_proxies: vec![Proxies::Cloudflare],
            cloudflare_ranges_file: Some(file.clone()),
            ..HttpConfig::default()
        };
        let believed = Believed::new(&http).unwrap();
        let is_believed = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            let networks = believed.networks();
            networks.iter().any(|network| network.contains(&address))
        };
        assert!(is_believed("203.0.113.7"));
        assert!(!believed.refresh(&http).unwrap());
        std::fs::write(&file, "198.51.100.0/24\n").unwrap();
        assert!(believed.refresh(&http).unwrap());
        assert!(is_believed("198.51.100.7") && !is_believed("203.0.113.7"));
        std::fs::write(&file, "nonsense\n").unwrap();
        assert!(believed.refresh(&http).is_err());
        assert!(is_believed("198.51.100.7"));
    }
}
