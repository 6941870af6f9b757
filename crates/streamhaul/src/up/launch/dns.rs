//! What api and jobs are told of the names of streams.

use anyhow::Context as _;
use serde::Deserialize;

use super::Settings;

/// A file with a table for each of the two.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dns {
    pub(super) api: api::DnsConfig,
    pub(super) jobs: jobs::DnsConfig,
}

pub(super) fn read(settings: &Settings) -> anyhow::Result<Dns> {
    let Some(file) = &settings.dns_file else {
        return Ok(Dns::default());
    };
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{}", file.display()))?;
    parse(&text).with_context(|| format!("{}", file.display()))
}

fn parse(text: &str) -> Result<Dns, toml::de::Error> {
    toml::from_str(text)
}

#[cfg(test)]
mod tests {
    use jobs::DnsProvider;

    use super::*;

    #[test]
    fn a_file_has_a_table_for_each_service() {
        let read = parse(
            r#"
            [api]
            zone = "live.example.com"
            [jobs]
            provider = "rfc2136"
            rfc2136 = { server = "192.0.2.53:53", zone = "example.com", key_name = "streamhaul", key_file = "/k" }
            "#,
        )
        .unwrap();
        assert_eq!(read.api.zone.as_deref(), Some("live.example.com"));
        assert_eq!(read.jobs.provider, DnsProvider::Rfc2136);
        assert_eq!(read.jobs.rfc2136.key_name, "streamhaul");
        assert!(parse("zone = \"live.example.com\"").is_err());
        let none = parse("").unwrap();
        assert_eq!(
            (none.api.zone, none.jobs.provider),
            (None, DnsProvider::None)
        );
    }
}
