//! The URLs that a streamer is given.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::Context;

/// `srtla://host:port?streamid=…` or `srt://…`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamUrl {
    /// `srtla` or `srt`.
    pub scheme: String,
    /// `host:port`.
    pub authority: String,
    /// Everything behind the question mark.
    pub query: String,
}

impl StreamUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// When it is not of this form or has no stream id.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let describe = || format!("not the URL of a stream: {}", masked(text));
        let (scheme, rest) = text.split_once("://").with_context(describe)?;
        let (authority, query) = rest.split_once('?').with_context(describe)?;
        let url = Self {
            scheme: scheme.to_owned(),
            authority: authority.trim_end_matches('/').to_owned(),
            query: query.to_owned(),
        };
        url.value("streamid").with_context(describe)?;
        Ok(url)
    }

    /// Where it leads.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let mut found = self
            .authority
            .to_socket_addrs()
            .context("the node's name")?;
        found.next().context("the node's name has no address")
    }

    /// The host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority
            .rsplit_once(':')
            .map_or(&self.authority, |(host, _)| host)
    }

    /// The stream id.
    #[must_use]
    pub fn stream_id(&self) -> &str {
        self.value("streamid").unwrap_or_default()
    }

    /// The key in the stream id.
    #[must_use]
    pub fn key(&self) -> &str {
        let id = self.stream_id();
        id.split_once('_').map_or(id, |(_, key)| key)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(other, value)| (other == name).then_some(value))
    }
}

/// A URL without what is secret in it.
fn masked(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url =
            StreamUrl::parse("srtla://127.0.0.1:5000?streamid=live_0af&passphrase=x").unwrap();
        assert_eq!(url.scheme, "srtla");
        assert_eq!(url.address().unwrap(), "127.0.0.1:5000".parse().unwrap());
        assert_eq!(
            (url.host(), url.stream_id(), url.key()),
            ("127.0.0.1", "live_0af", "0af")
        );
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_secrets() {
        for text in [
            "",
            "srt://127.0.0.1:5000",
            "srt://host?mode=caller&secret=0af",
        ] {
            let error = StreamUrl::parse(text).unwrap_err();
            assert!(!format!("{error:#}").contains("0af"), "{error:#}");
        }
    }
}
