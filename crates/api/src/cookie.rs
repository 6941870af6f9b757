//! The cookies of our own pages, and whether a request comes from one of them.

use std::time::Duration;

use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// Whose cookie. Each opens its own endpoints and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    Dock,
    Account,
    /// Of a browser that is at a provider's page; it comes back from there.
    Visit,
    /// Of a browser that signed in before; it opens nothing.
    Known,
}

impl Cookie {
    /// By HTTPS the prefix has the browser refuse a cookie that another host of the
    /// domain, or anybody by plain HTTP, planted.
    const fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Dock, false) => "streamhaul_dock",
            (Self::Dock, true) => "__Host-streamhaul_dock",
            (Self::Account, false) => "streamhaul_account",
            (Self::Account, true) => "__Host-streamhaul_account",
            (Self::Visit, false) => "streamhaul_visit",
            (Self::Visit, true) => "__Host-streamhaul_visit",
            (Self::Known, false) => "streamhaul_known",
            (Self::Known, true) => "__Host-streamhaul_known",
        }
    }

    /// A browser that another site sends brings what is lax, and nothing that is strict.
    const fn same_site(self) -> &'static str {
        match self {
            Self::Dock | Self::Account | Self::Known => "Strict",
            Self::Visit => "Lax",
        }
    }

    /// The secret among the request's cookies.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<&str> {
        let wanted = self.name(is_secure(headers));
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == wanted).then_some(value))
    }

    /// The header that gives the browser of this request the secret.
    pub(crate) fn set(
        self,
        secret: &SecretString,
        lifetime: Duration,
        request: &HeaderMap,
    ) -> Option<HeaderValue> {
        self.header(secret.expose_secret(), lifetime.as_secs(), request)
    }

    /// The header that takes it away.
    pub(crate) fn clear(self, request: &HeaderMap) -> Option<HeaderValue> {
        self.header("", 0, request)
    }

    fn header(self, value: &str, seconds: u64, request: &HeaderMap) -> Option<HeaderValue> {
        let is_secure = is_secure(request);
        let name = self.name(is_secure);
        let secure = if is_secure { "; Secure" } else { "" };
        let site = self.same_site();
        let text =
            format!("{name}={value}; Path=/; HttpOnly; SameSite={site}; Max-Age={seconds}{secure}");
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// Whether the browser came by HTTPS, as the proxy in front of us says.
pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https")
}

/// Whether a request that changes something comes from our own page. `SameSite` does
/// not tell the ports of a host apart, so the page of another service on this machine
/// would have the cookie sent along.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else {
        return false;
    };
    let authority = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |cookies: &str| {
            Cookie::Dock
                .read(&headers(&[("cookie", cookies)]))
                .map(str::to_owned)
        };
        let ours = Some("sh_dock_1".to_owned());
        assert_eq!(found("streamhaul_dock=sh_dock_1"), ours);
        assert_eq!(found("a=b; streamhaul_dock=sh_dock_1; c=d"), ours);
        assert_eq!(found("other_streamhaul_dock=sh_dock_1"), None);
        assert_eq!(found("streamhaul_account=sh_dock_1"), None);
        assert_eq!(Cookie::Dock.read(&HeaderMap::new()), None);
    }

    #[test]
    fn by_https_only_the_cookie_that_no_other_host_can_plant_counts() {
        let planted = "streamhaul_account=planted";
        let secure = ("x-forwarded-proto", "https");
        let read = |cookies: &str| {
            let headers = headers(&[secure, ("cookie", cookies)]);
            Cookie::Account.read(&headers).map(str::to_owned)
        };
        assert_eq!(read(planted), None);
        let ours = format!("{planted}; __Host-streamhaul_account=ours");
        assert_eq!(read(&ours), Some("ours".to_owned()));
    }

    #[test]
    fn scripts_and_other_sites_cannot_use_the_cookie() {
        let minute = Duration::from_secs(60);
        let secure = headers(&[("x-forwarded-proto", "https")]);
        let cookie = Cookie::Dock
            .set(&"sh_dock_1".into(), minute, &secure)
            .unwrap();
        assert_eq!(
            cookie.to_str().unwrap(),
            "__Host-streamhaul_dock=sh_dock_1; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        let cleared = Cookie::Account.clear(&HeaderMap::new()).unwrap();
        assert_eq!(
            cleared.to_str().unwrap(),
            "streamhaul_account=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        );
    }

    #[test]
    fn another_port_is_another_origin() {
        let from = |pairs: &[(&str, &str)]| is_same_origin(&headers(pairs));
        let host = ("host", "127.0.0.1:8080");
        assert!(from(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(!from(&[host, ("origin", "http://127.0.0.1:9000")]));
        assert!(!from(&[host, ("origin", "null")]));
        assert!(!from(&[host]));
        assert!(from(&[host, ("sec-fetch-site", "same-origin")]));
        let other_port = ("sec-fetch-site", "same-site");
        assert!(!from(&[
            host,
            other_port,
            ("origin", "http://127.0.0.1:8080")
        ]));
    }
}
